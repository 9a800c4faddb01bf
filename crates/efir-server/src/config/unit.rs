//! Values as people write them: sizes ("8MiB"), times ("15s"), and back.

use std::time::Duration;

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, of bytes, ms or things.
    Number(u64),
    /// On or off.
    Switch(bool),
    /// A text; empty where nothing is set.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

const SIZES: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// Bytes of a size such as `8MiB`, `64 KiB` or `65536`; KB, MB and GB are thousands.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number = parse_count(number)?;
    let thousands = [("KB", 1_000), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let unit = unit.trim_start();
    let factor = if unit.is_empty() {
        1
    } else {
        SIZES.iter().chain(&thousands).find(|(name, _)| *name == unit).map(|(_, factor)| *factor)?
    };
    number.checked_mul(factor)
}

/// A number such as `10000` or `10_000`.
#[must_use]
pub fn parse_count(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.starts_with('_') || text.starts_with('+') {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// Milliseconds of a time such as `15s`, `250ms` or `1h 30m`. A number without a unit is refused, `0` is not.
#[must_use]
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    if text == "0" {
        return Some(0);
    }
    humantime::parse_duration(text).ok()?.as_millis().try_into().ok()
}

/// The size in the largest unit that divides it.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let unit = SIZES.iter().rev().skip(1).find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    match unit.or(SIZES.first().filter(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size))) {
        Some((name, size)) => format!("{}{name}", bytes / size),
        None => format!("{bytes}B"),
    }
}

/// The time as [`parse_time`] reads it.
#[must_use]
pub fn time_text(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("8MiB", Some(8_388_608)),
            ("64 KiB", Some(65_536)),
            ("1GiB", Some(1 << 30)),
            ("70_000", Some(70_000)),
            ("5B", Some(5)),
            ("2MB", Some(2_000_000)),
            ("8mib", None),
            ("8.5MiB", None),
            ("-1", None),
            ("", None),
            ("MiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
        for (bytes, text) in
            [(8_388_608, "8MiB"), (65_536, "64KiB"), (1 << 30, "1GiB"), (1500, "1500B"), (0, "0B")]
        {
            assert_eq!(size_text(bytes), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("15s", Some(15_000)),
            ("250ms", Some(250)),
            ("1h 30m", Some(5_400_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("15", None),
            ("-1s", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), ms, "{text:?}");
        }
        for ms in [0, 1, 250, 15_000, 3_600_000, 5_400_001] {
            assert_eq!(parse_time(&time_text(ms)), Some(ms));
        }
    }
}
