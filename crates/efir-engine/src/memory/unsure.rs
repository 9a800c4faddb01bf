//! What becomes of a log, or of a shard of them, whose change panicked: nobody can prove what it holds, so it gets another epoch
//! (decision 0023). A change that comes to its end costs nothing for that.

use std::sync::atomic::Ordering;

use efir_core::{Epoch, Log};

use super::{Footprint, Memory, random_seed};

impl Memory {
    /// Changes a log, and keeps the books. Should that panic, nobody can prove what the log holds: it begins anew under another epoch, so
    /// that every cursor is answered with a gap, and never with what is wrong.
    pub(super) fn change_log<T>(&self, log: &mut Log, change: impl FnOnce(&mut Log) -> T) -> T {
        let unsure = Unsure { memory: self, before: Footprint::of(log), log };
        let changed = change(&mut *unsure.log);
        unsure.settle();
        changed
    }
}

/// A log that is being changed.
struct Unsure<'a> {
    memory: &'a Memory,
    before: Footprint,
    log: &'a mut Log,
}

impl Unsure<'_> {
    /// The change came to its end.
    fn settle(self) {
        self.memory.book(self.before, Footprint::of(self.log));
        std::mem::forget(self);
    }
}

impl Drop for Unsure<'_> {
    /// The change panicked.
    #[cold]
    fn drop(&mut self) {
        *self.log = Log::with_head(Epoch::from_seed(random_seed()), 0);
        self.memory.book(self.before, Footprint::of(self.log));
    }
}

/// A shard of which channels are being put away.
pub(super) struct UnsureEpoch<'a>(&'a Memory);

impl<'a> UnsureEpoch<'a> {
    pub(super) fn begin(memory: &'a Memory) -> Self {
        Self(memory)
    }

    /// They are put away.
    pub(super) fn settle(self) {
        std::mem::forget(self);
    }
}

impl Drop for UnsureEpoch<'_> {
    /// That panicked.
    #[cold]
    fn drop(&mut self) {
        self.0.epoch.store(random_seed(), Ordering::Release);
    }
}
