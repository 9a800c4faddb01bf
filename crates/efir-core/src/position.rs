//! Where a message stands: an epoch and an offset, and their text `<epoch>-<offset>` (docs/protocol.md §1).
//! Knows nothing of logs; what a client sends back is a [`crate::cursor::Cursor`].

use std::fmt;

/// The greatest offset: it still fits a JSON number that is read as a double (RFC 8259 §6).
pub const OFFSET_MAX: u64 = (1 << 53) - 1;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of an epoch's text.
pub(crate) const EPOCH_LEN: usize = 11;

/// Characters of a position's text, at most: the epoch, a dash and 16 digits.
const TEXT_LEN_MAX: usize = EPOCH_LEN + 1 + OFFSET_LEN_MAX;
/// Digits of the greatest offset.
const OFFSET_LEN_MAX: usize = 16;

/// The life of a log in which offsets are dense; compared only for equality.
///
/// Its text has exactly 11 characters of `[0-9A-Za-z]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// An epoch from a seed that the caller drew at random; different seeds give different epochs.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        // The finalizer of splitmix64: a bijection, so that neighbouring seeds do not look alike.
        let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(x ^ (x >> 31))
    }

    /// Reads exactly 11 base62 characters; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; EPOCH_LEN] = text.as_bytes().try_into().ok()?;
        let (last, first) = text.split_last()?;
        let mut value = 0u64;
        let mut is_wrong = false;
        // Ten digits fit 64 bits whatever they are.
        for byte in first {
            let digit = digit(*byte);
            is_wrong |= digit == NO_DIGIT;
            value = value.wrapping_mul(62).wrapping_add(u64::from(digit));
        }
        let last = digit(*last);
        if is_wrong || last == NO_DIGIT {
            return None;
        }
        value.checked_mul(62)?.checked_add(u64::from(last)).map(Self)
    }

    /// Appends the 11 characters to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&base62::<EPOCH_LEN>(self.0));
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(known_text(&base62::<EPOCH_LEN>(self.0)))
    }
}

/// Where a message stands in its channel. Offset 0 is the place before the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the log.
    pub epoch: Epoch,
    /// 1, 2, 3 … within the epoch; at most [`OFFSET_MAX`].
    pub offset: u64,
}

impl Position {
    /// The place `offset` of `epoch`.
    #[must_use]
    pub fn new(epoch: Epoch, offset: u64) -> Self {
        Self { epoch, offset }
    }

    /// Reads `<epoch>-<offset>`; `None` where the epoch has not our form or the offset is not a canonical decimal of at
    /// most [`OFFSET_MAX`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, offset) = text.split_once('-')?;
        Some(Self { epoch: Epoch::parse(epoch)?, offset: parse_offset(offset)? })
    }

    /// Appends the text to `out`; allocates only when `out` must grow.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.epoch.write_to(out);
        out.push(b'-');
        write_decimal(self.offset, out);
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(TEXT_LEN_MAX);
        self.write_to(&mut text);
        f.write_str(known_text(&text))
    }
}

/// An offset in its only form: decimal, no sign, no leading zeros, at most [`OFFSET_MAX`].
pub(crate) fn parse_offset(text: &str) -> Option<u64> {
    let is_canonical = text.len() <= OFFSET_LEN_MAX && (text == "0" || !text.starts_with('0'));
    if !is_canonical || text.is_empty() {
        return None;
    }
    let digits = text.bytes().map(|byte| byte.wrapping_sub(b'0'));
    let value = digits.clone().fold(0u64, |value, digit| value * 10 + u64::from(digit));
    (digits.max()? <= 9 && value <= OFFSET_MAX).then_some(value)
}

/// The last `N` base62 digits of `value`, most significant first.
pub(crate) fn base62<const N: usize>(mut value: u64) -> [u8; N] {
    /// 62^5, the greatest power that 32 bits hold: dividing those is cheaper.
    const FIVE: u64 = 916_132_832;
    let mut text = [b'0'; N];
    for five in text.rchunks_mut(5) {
        let mut part = (value % FIVE) as u32;
        value /= FIVE;
        for place in five.iter_mut().rev() {
            if let Some(digit) = BASE62.get((part % 62) as usize) {
                *place = *digit;
            }
            part /= 62;
        }
    }
    text
}

/// 00, 01 … 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// Appends `value` in decimal.
pub(crate) fn write_decimal(mut value: u64, out: &mut Vec<u8>) {
    let len = decimal_len(value);
    let mut text = [[b'0'; 2]; 10];
    for place in text.iter_mut().rev() {
        if let Some(pair) = PAIRS.get((value % 100) as usize) {
            *place = *pair;
        }
        value /= 100;
        if value == 0 {
            break;
        }
    }
    let text = text.as_flattened();
    out.extend_from_slice(text.get(text.len() - len..).unwrap_or_default());
}

/// How many digits [`write_decimal`] appends.
pub(crate) fn decimal_len(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |tens| tens as usize + 1)
}

/// Bytes that we know to be text, as a string.
pub(crate) fn known_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

const NO_DIGIT: u8 = u8::MAX;

/// What a base62 digit stands for; [`NO_DIGIT`] for another byte.
fn digit(byte: u8) -> u8 {
    const DIGITS: [u8; 256] = {
        let mut digits = [NO_DIGIT; 256];
        let mut n = 0;
        while n < BASE62.len() {
            digits[BASE62[n] as usize] = n as u8;
            n += 1;
        }
        digits
    };
    DIGITS.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_epoch_has_eleven_characters() {
        assert_eq!(Epoch(0).to_string(), "00000000000");
        assert_eq!(Epoch(61).to_string(), "0000000000z");
        assert_eq!(Epoch::parse(&Epoch(u64::MAX).to_string()), Some(Epoch(u64::MAX)));
        assert_eq!(Epoch::parse("zzzzzzzzzzz"), None, "more than 64 bits");
        assert_eq!(Epoch::parse("0000000000"), None);
        assert_eq!(Epoch::parse("0000000000."), None);
    }

    #[test]
    fn only_the_canonical_offset_is_read() {
        let epoch = "00000000001";
        for good in ["0", "1", "10", "9007199254740991"] {
            assert_eq!(
                Position::parse(&format!("{epoch}-{good}")).unwrap().to_string(),
                format!("{epoch}-{good}")
            );
        }
        for bad in ["", "01", "+1", "-1", "1.0", "9007199254740992", "99999999999999999999999", "1 "] {
            assert_eq!(Position::parse(&format!("{epoch}-{bad}")), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn text_and_position_are_one(epoch: u64, offset in 0..=OFFSET_MAX) {
            let position = Position::new(Epoch(epoch), offset);
            let mut written = Vec::new();
            position.write_to(&mut written);
            prop_assert_eq!(String::from_utf8(written).unwrap(), position.to_string());
            prop_assert_eq!(Position::parse(&position.to_string()), Some(position));
        }

        #[test]
        fn decimals_are_those_of_std(value: u64) {
            let mut written = Vec::new();
            write_decimal(value, &mut written);
            prop_assert_eq!(String::from_utf8(written).unwrap(), value.to_string());
        }

        #[test]
        fn seeds_give_different_epochs(a: u64, b: u64) {
            prop_assert_eq!(a == b, Epoch::from_seed(a) == Epoch::from_seed(b));
        }
    }
}
