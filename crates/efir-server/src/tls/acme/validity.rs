//! From when until when a certificate is good, read from its DER (RFC 5280 §4.1). Nothing is verified here: the certificate is our own.

use std::time::{Duration, SystemTime};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version, where it is not the first.
const VERSION: u8 = 0xa0;

/// When a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    /// From then on.
    pub(super) begins: SystemTime,
    /// Up to then.
    pub(super) ends: SystemTime,
}

impl Validity {
    /// Of a certificate; `None` where it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(certificate, SEQUENCE)?;
        let (signed, _) = expect(certificate, SEQUENCE)?;
        let rest = expect(signed, VERSION).map_or(signed, |(_, rest)| rest);
        let (_serial, rest) = expect(rest, INTEGER)?;
        let (_algorithm, rest) = expect(rest, SEQUENCE)?;
        let (_issuer, rest) = expect(rest, SEQUENCE)?;
        let (validity, _) = expect(rest, SEQUENCE)?;
        let (begins, rest) = time(validity)?;
        let (ends, _) = time(rest)?;
        Some(Self { begins, ends })
    }

    /// When the next one is to be ordered: with a third of its life left, as authorities recommend.
    pub(super) fn is_due(&self) -> SystemTime {
        let life = self.ends.duration_since(self.begins).unwrap_or_default();
        self.begins + life / 3 * 2
    }
}

/// The content of an element with this tag, and what stands behind it.
fn expect(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // Four bytes say more than a certificate has.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280 §4.1.2.5).
fn time(input: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (text, rest, has_century) = match expect(input, UTC_TIME) {
        Some((text, rest)) => (text, rest, false),
        None => expect(input, GENERALIZED_TIME).map(|(text, rest)| (text, rest, true))?,
    };
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let mut pairs = digits.chunks_exact(2).map(|pair| match pair {
        [tens, ones] => u64::from(tens - b'0') * 10 + u64::from(ones - b'0'),
        _ => 0,
    });
    let first = pairs.next()?;
    let year = match has_century {
        true => first * 100 + pairs.next()?,
        false => first + if first < 50 { 2000 } else { 1900 },
    };
    let [month, day, hour, minute, second] = [(); 5].map(|()| pairs.next());
    let days = days(year, month?, day?)?;
    let seconds = ((days * 24 + hour?) * 60 + minute?) * 60 + second?;
    Some((SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), rest))
}

/// Days since 1970; `None` before, and where there is no such month.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let before = BEFORE.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    // This year's own leap day counts from March.
    let last = if month > 2 { year } else { year.checked_sub(1)? };
    let leap_days = leaps(last).checked_sub(leaps(1969))?;
    Some(year.checked_sub(1970)? * 365 + leap_days + before + day.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the years of a life.
    fn certificate(begins: i32, ends: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(begins, 2, 28);
        params.not_after = rcgen::date_time_ymd(ends, 3, 1);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn seconds(time: SystemTime) -> u64 {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn what_a_certificate_says() {
        for (begins, ends) in [(1999, 2000), (2024, 2025), (2049, 2050), (2026, 2100), (2000, 2400)] {
            let validity = Validity::of(&certificate(begins, ends)).unwrap();
            let expected = |year, month, day| rcgen::date_time_ymd(year, month, day).unix_timestamp() as u64;
            assert_eq!(seconds(validity.begins), expected(begins, 2, 28), "{begins}");
            assert_eq!(seconds(validity.ends), expected(ends, 3, 1), "{ends}");
        }
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let whole = certificate(2024, 2025);
        assert!((0..200).all(|length| Validity::of(&whole[..length]).is_none()));
        assert_eq!(Validity::of(b"0\x84\xff\xff\xff\xff"), None);
    }

    #[test]
    fn the_next_one_is_ordered_with_a_third_left() {
        let at = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400);
        assert_eq!(Validity { begins: at(100), ends: at(190) }.is_due(), at(160));
    }
}
