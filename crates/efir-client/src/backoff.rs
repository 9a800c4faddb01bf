//! How long to wait before the next try: full jitter, so that many clients of one server that went away do not come
//! back as one.

use std::time::Duration;

/// Doubling windows from `min` to `max`; each wait is drawn from the whole window.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// The next try succeeded: begin with the smallest window again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait; `random` is drawn from 0..1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let window = self.min.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        window.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_double_up_to_the_largest() {
        let mut backoff = Backoff::new(Duration::from_millis(300), Duration::from_secs(20));
        let windows: Vec<_> = (0..9).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(windows, [300, 600, 1200, 2400, 4800, 9600, 19_200, 20_000, 20_000]);
        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::from_millis(150));
        for _ in 0..100 {
            assert!(backoff.next(1.0) <= Duration::from_secs(20));
        }
    }
}
