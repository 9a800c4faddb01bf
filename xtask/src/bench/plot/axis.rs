//! Axes: where a value stands, which values get a tick, and how a number is written.

use crate::paper::grouped;

/// How values become positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    least: f64,
    most: f64,
    is_log: bool,
    /// Pixels of the least and of the most.
    from: f64,
    to: f64,
}

impl Axis {
    /// From zero to a round number above `most`.
    pub(super) fn linear(most: f64, (from, to): (f64, f64)) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = step(most);
        Self { least: 0.0, most: (most / step).ceil() * step, is_log: false, from, to }
    }

    /// From `least` to `most`, which are more than nothing, each factor as long as the next.
    pub(super) fn log((least, most): (f64, f64), (from, to): (f64, f64)) -> Self {
        let most = if most > least { most } else { least * 10.0 };
        Self { least, most, is_log: true, from, to }
    }

    /// Whole powers of ten around the values.
    pub(super) fn decades((least, most): (f64, f64), ends: (f64, f64)) -> Self {
        let least = 10f64.powf(least.log10().floor());
        Self::log((least, 10f64.powf(most.log10().ceil())), ends)
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let part = if self.is_log {
            (value.max(self.least) / self.least).ln() / (self.most / self.least).ln()
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// The values that get a line and a number.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let first = self.least.log10().ceil() as i32;
            let last = (self.most.log10() + 1e-9).floor() as i32;
            return (first..=last).map(|power| 10f64.powi(power)).collect();
        }
        let step = step(self.most);
        let count = (self.most / step).round() as usize;
        (0..=count).map(|n| n as f64 * step).collect()
    }
}

/// 1, 2, 2.5 or 5 of some power of ten, so that there are 4 to 6 of them.
fn step(most: f64) -> f64 {
    let rough = most / 4.5;
    let power = 10f64.powf(rough.log10().floor());
    let parts = rough / power;
    let whole = [1.0, 2.0, 2.5, 5.0].into_iter().find(|whole| *whole >= parts - 1e-9).unwrap_or(10.0);
    whole * power
}

/// A number with as many digits as tell something.
pub(super) fn number(value: f64) -> String {
    match value {
        _ if value >= 99.95 => grouped(value.round() as u64),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number at an axis: short, without idle zeros.
pub(super) fn tick(value: f64) -> String {
    let short = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value {
        _ if value >= 1e6 => short(value / 1e6, "M"),
        _ if value >= 1e4 => short(value / 1e3, "k"),
        _ if value >= 1e3 => grouped(value.round() as u64),
        _ => short(value, ""),
    }
}

/// Bytes at an axis: 16 B, 1 KiB, 1 MiB.
pub(super) fn bytes(value: f64) -> String {
    match value {
        _ if value >= 1_048_576.0 => format!("{} MiB", tick(value / 1_048_576.0)),
        _ if value >= 1024.0 => format!("{} KiB", tick(value / 1024.0)),
        _ => format!("{} B", tick(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for most in [0.03, 0.7, 1.0, 4.9, 17.1, 99.0, 1_234.0, 136_000.0] {
            let axis = Axis::linear(most, (0.0, 100.0));
            let ticks = axis.ticks();
            assert!((4..=8).contains(&ticks.len()), "{most}: {ticks:?}");
            assert!(ticks.last().is_some_and(|last| *last >= most - 1e-9), "{most}: {ticks:?}");
        }
        assert_eq!(Axis::linear(4.9, (0.0, 100.0)).ticks(), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(Axis::log((1.0, 19_000.0), (0.0, 1.0)).ticks(), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
    }

    #[test]
    fn places_stay_within_the_axis() {
        let axis = Axis::log((1.0, 10_000.0), (50.0, 450.0));
        assert_eq!([1.0, 100.0, 10_000.0, 0.0].map(|value| axis.place(value)), [50.0, 250.0, 450.0, 50.0]);
        let down = Axis::linear(10.0, (300.0, 100.0));
        assert_eq!([0.0, 5.0, 10.0].map(|value| down.place(value)), [300.0, 200.0, 100.0]);
        assert!(Axis::linear(0.0, (0.0, 1.0)).place(0.0).is_finite());
        assert!(Axis::log((5.0, 5.0), (0.0, 1.0)).place(5.0).is_finite());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.384, 5.182, 17.13, 958.0, 136_644.0].map(number),
            ["0.38", "5.18", "17.1", "958", "136,644"]
        );
        assert_eq!(
            [0.0, 0.5, 2.0, 1_000.0, 19_000.0, 1e6].map(tick),
            ["0", "0.5", "2", "1,000", "19k", "1M"]
        );
        assert_eq!([16.0, 1024.0, 1_048_576.0].map(bytes), ["16 B", "1 KiB", "1 MiB"]);
    }
}
