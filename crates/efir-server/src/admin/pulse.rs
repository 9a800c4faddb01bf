//! Whether the workers still turn: each says so once a second, and whoever asks sees how long ago that was.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Between two signs of life.
const PERIOD: Duration = Duration::from_secs(1);
/// A worker that gave no sign for so long hangs: its event loop does not turn.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// What stands for a worker that has ended.
const ENDED: u64 = u64::MAX;

/// The signs of life of all workers.
#[derive(Debug)]
pub(crate) struct Pulses {
    began: Instant,
    /// When each was last heard, in ms since `began`.
    heard: Box<[AtomicU64]>,
}

impl Pulses {
    pub(crate) fn new(workers: usize) -> Self {
        Self { began: Instant::now(), heard: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Gives signs of life on the event loop of this worker, as long as it runs.
    pub(crate) async fn beat(&self, worker: usize) {
        let Some(heard) = self.heard.get(worker) else { return };
        let mut interval = tokio::time::interval(PERIOD);
        loop {
            interval.tick().await;
            heard.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// The worker has ended, as it should.
    pub(crate) fn end(&self, worker: usize) {
        if let Some(heard) = self.heard.get(worker) {
            heard.store(ENDED, Ordering::Relaxed);
        }
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.heard.iter().filter(|heard| heard.load(Ordering::Relaxed) != ENDED).count()
    }

    /// How many of them hang.
    pub(crate) fn hanging(&self) -> usize {
        let oldest_ms = self.now_ms().saturating_sub(SILENT_MAX.as_millis() as u64);
        self.heard.iter().filter(|heard| heard.load(Ordering::Relaxed) < oldest_ms).count()
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_turn_is_seen() {
        let began = Instant::now() - SILENT_MAX - Duration::from_secs(5);
        let pulses = Pulses { began, ..Pulses::new(3) };
        assert_eq!((pulses.workers(), pulses.hanging()), (3, 3));
        pulses.heard[0].store(pulses.now_ms(), Ordering::Relaxed);
        assert_eq!(pulses.hanging(), 2);
        pulses.end(1);
        assert_eq!((pulses.workers(), pulses.hanging()), (2, 1));
    }
}
