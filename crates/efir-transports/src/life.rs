//! The times of a response that lasts: when it gives a sign of life, and when it makes room for a fresh one.

use std::time::{Duration, Instant};

use efir_core::Times;

/// A misconfigured period of 0 must not become a loop.
const PERIOD_MS_MIN: u64 = 10;

/// Something that happens each period. Every response that lasts pays for each byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beat {
    period_ms: u32,
    next: Instant,
}

impl Beat {
    /// The first time is one period after `now`.
    pub(crate) fn new(now: Instant, period_ms: u64) -> Self {
        let period_ms = u32::try_from(period_ms.max(PERIOD_MS_MIN)).unwrap_or(u32::MAX);
        Self { period_ms, next: now + Duration::from_millis(period_ms.into()) }
    }

    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Whether it is time. Periods that were slept through are not made up for.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if self.next > now {
            return false;
        }
        self.next = now + Duration::from_millis(self.period_ms.into());
        true
    }
}

/// When a stream ends, so that connections do not live for ever and do not all come back at once.
pub(crate) fn rotation(now: Instant, times: &Times) -> Instant {
    now + Duration::from_millis(between(times.rotation_ms_min, times.rotation_ms_max))
}

/// A random number of ms between the two.
pub(crate) fn between(ms_min: u64, ms_max: u64) -> u64 {
    fastrand::u64(ms_min..=ms_max.max(ms_min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_that_was_slept_through_comes_once() {
        let start = Instant::now();
        let mut beat = Beat::new(start, 100);
        assert!(!beat.is_due(start + Duration::from_millis(99)));
        assert!(beat.is_due(start + Duration::from_millis(1_000)));
        assert!(!beat.is_due(start + Duration::from_millis(1_050)));
        assert_eq!(beat.next(), start + Duration::from_millis(1_100));
    }
}
