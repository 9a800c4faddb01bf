//! Why the messages before the oldest are no longer there, in bounded memory: runs of offsets with the same reason.

use crate::gap::GapReason;

/// Beyond this many changes of reason the oldest runs are told as one.
pub(super) const RUNS_MAX: usize = 32;

/// Runs in ascending order; each begins after the one before it.
#[derive(Debug, Default)]
pub(super) struct Removals(Vec<(u64, GapReason)>);

impl Removals {
    /// The message at `offset`, the next in order, was removed.
    pub(super) fn push(&mut self, offset: u64, reason: GapReason) {
        match self.0.last_mut() {
            Some((through, last)) if *last == reason => *through = offset,
            _ => {
                if self.0.len() == RUNS_MAX {
                    self.0.remove(0);
                }
                self.0.push((offset, reason));
            }
        }
    }

    /// Whether nothing was ever removed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why the message at `offset` is gone.
    pub(super) fn reason(&self, offset: u64) -> GapReason {
        let run = self.0.partition_point(|(through, _)| *through < offset);
        self.0.get(run).map_or(GapReason::Trimmed, |(_, reason)| *reason)
    }
}
