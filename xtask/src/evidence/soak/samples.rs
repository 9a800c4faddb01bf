//! What a long run looks like from outside, at equal intervals, and whether a figure grows.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use efir_bench::process;

use crate::server;

/// One look at the server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Since all connections were open.
    pub(super) minutes: f64,
    /// The allocator's; the median of the looks of this interval.
    pub(super) allocated: f64,
    /// RssAnon.
    pub(super) memory: u64,
    pub(super) files: u64,
    pub(super) threads: u64,
    pub(super) connections: u64,
    pub(super) responses: u64,
    pub(super) channels: u64,
    pub(super) log_bytes: u64,
    pub(super) keys: u64,
    /// p99 and longest time from due to read, in µs.
    pub(super) latency: (u64, u64),
}

/// What `/metrics` of the admin listener says.
pub(in crate::evidence) struct Metrics(String);

impl Metrics {
    /// Asks for them.
    ///
    /// # Errors
    /// When the listener does not answer.
    pub(in crate::evidence) fn read(admin: SocketAddr) -> Result<Self> {
        Ok(Self(server::get(admin, "/metrics").context("reading /metrics")?))
    }

    /// The sum over all labels of a metric.
    ///
    /// # Errors
    /// When there is no such metric.
    pub(in crate::evidence) fn value(&self, name: &str) -> Result<u64> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        let of = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        });
        let values: Vec<f64> = of.collect();
        anyhow::ensure!(!values.is_empty(), "/metrics has no {name}");
        Ok(values.iter().sum::<f64>() as u64)
    }

    /// All of a sample that stands in metrics; the rest is the caller's.
    ///
    /// # Errors
    /// When a metric or the process is missing.
    pub(super) fn sample(&self, process: u32) -> Result<Sample> {
        Ok(Sample {
            memory: process::memory(process)?,
            files: process::open_files(process)? as u64,
            threads: self.value("process_threads")?,
            connections: self.value("efir_connections")?,
            responses: self.value("efir_responses")?,
            channels: self.value("efir_channels")?,
            log_bytes: self.value("efir_log_bytes")?,
            keys: self.value("efir_keys")?,
            ..Sample::default()
        })
    }
}

/// The middle one; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// How fast something grows: per unit of x, with the half width of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slope {
    pub(super) each: f64,
    pub(super) half: f64,
}

impl Slope {
    /// By least squares; `None` for fewer than three points.
    pub(super) fn of(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        if points.len() < 3 {
            return None;
        }
        let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let each = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
        let rest: f64 = points.iter().map(|point| (point.1 - y - each * (point.0 - x)).powi(2)).sum();
        let error = (rest / (count - 2.0) / spread).sqrt();
        Some(Self { each, half: student(count - 2.0) * error })
    }

    /// Where the interval begins and ends.
    pub(super) fn interval(self) -> (f64, f64) {
        (self.each - self.half, self.each + self.half)
    }
}

/// The 97.5 % quantile of Student's t, within 2 % from three degrees of freedom on.
fn student(freedom: f64) -> f64 {
    1.96 + 2.37 / freedom + 2.82 / freedom.powi(2) + 2.56 / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_and_how_sure_it_is() {
        let line: Vec<(f64, f64)> = (0..10).map(|n| (f64::from(n), 3.0 + 2.0 * f64::from(n))).collect();
        let slope = Slope::of(&line).unwrap();
        assert!((slope.each - 2.0).abs() < 1e-9 && slope.half < 1e-6);
        // Up and down by turns: it does not grow, and the interval says so.
        let flat: Vec<(f64, f64)> = (0..30).map(|n| (f64::from(n), f64::from(n % 2))).collect();
        let (low, high) = Slope::of(&flat).unwrap().interval();
        assert!(low < 0.0 && high > 0.0, "{low} {high}");
        assert!(Slope::of(&line[..2]).is_none());
    }

    #[test]
    fn students_quantiles() {
        for (freedom, wanted) in [(3.0, 3.182), (5.0, 2.571), (10.0, 2.228), (28.0, 2.048), (60.0, 2.000)] {
            assert!((student(freedom) / wanted - 1.0_f64).abs() < 0.02, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let text = "# TYPE a gauge\na{t=\"x\"} 2\na{t=\"y\"} 3\nab 9\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.value("a").unwrap(), 5);
        assert!(metrics.value("c").is_err());
    }
}
