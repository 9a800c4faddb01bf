//! Figures as people read them.

use std::time::Duration;

/// `1234567` → `1,234,567`.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate: two digits where it is small.
pub(super) fn rate(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { grouped(value.round() as u64) }
}

/// Milliseconds (from µs), with as many digits as tell something.
pub(super) fn ms(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    match us {
        0..10_000 => format!("{ms:.2}"),
        10_000..100_000 => format!("{ms:.1}"),
        _ => grouped(ms.round() as u64),
    }
}

/// `1 channel`, `1,000 channels`.
pub(super) fn count(value: usize, one: &str) -> String {
    format!("{} {one}{}", grouped(value as u64), if value == 1 { "" } else { "s" })
}

/// Bytes in the largest unit that leaves something before the point.
pub(super) fn bytes(value: f64) -> String {
    if value < 1024.0 {
        return format!("{value:.0} B");
    }
    let (value, unit) = if value < 1048576.0 { (value / 1024.0, "KiB") } else { (value / 1048576.0, "MiB") };
    if value < 100.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{} {unit}", grouped(value.round() as u64))
    }
}

/// Seconds, with a digit where there are few.
pub(super) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if time.subsec_millis() == 0 {
        format!("{seconds:.0} s")
    } else if seconds < 1.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{seconds:.1} s")
    }
}

/// CPU time in µs.
pub(super) fn us(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2} µs"),
        10.0..100.0 => format!("{value:.1} µs"),
        _ => format!("{} µs", grouped(value.round() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_tell_something() {
        assert_eq!([ms(503), ms(12_345), ms(1_234_567)], ["0.50", "12.3", "1,235"]);
        assert_eq!([bytes(200.4), bytes(1536.0), bytes(300.0 * 1048576.0)], ["200 B", "1.5 KiB", "300 MiB"]);
        assert_eq!([count(1, "channel"), count(1000, "channel")], ["1 channel", "1,000 channels"]);
        assert_eq!([rate(0.5), rate(123_456.7)], ["0.50", "123,457"]);
        assert_eq!(
            [seconds(Duration::from_secs(10)), seconds(Duration::from_millis(120))],
            ["10 s", "0.12 s"]
        );
    }
}
