//! The lab's clock: the wall clock's milliseconds with their fraction, which never go back while the server runs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads both clocks once, and from then on only the one that never jumps: latencies are differences of its times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    begin: Instant,
    /// Since 1970 UTC, at `begin`.
    began: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { begin: Instant::now(), began }
    }

    /// Milliseconds since 1970 UTC, exact to a microsecond.
    pub(super) fn now_ms(&self) -> f64 {
        self.at_ms(Instant::now())
    }

    /// The same for a time that is near.
    pub(super) fn at_ms(&self, at: Instant) -> f64 {
        // A float of this size has steps of 0.0002 ms.
        let us = (self.began + at.saturating_duration_since(self.begin)).as_micros();
        us as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_as_time_does() {
        let clock = Clock::new();
        let (begin, later) = (Instant::now(), Instant::now() + Duration::from_millis(1_500));
        let passed = clock.at_ms(later) - clock.at_ms(begin);
        assert!((passed - 1_500.0).abs() < 0.1 + later.duration_since(begin).as_secs_f64(), "{passed}");
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1_000.0;
        assert!((clock.now_ms() - wall).abs() < 1_000.0);
    }
}
