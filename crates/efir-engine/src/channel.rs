//! One channel on this node: its log and who wants to know when it grows.

use std::sync::{Arc, atomic::AtomicU32};

use efir_core::{ChannelName, Cursor, Log, Message, Position, Read, ReadMost};
use smallvec::SmallVec;

use crate::{
    retention::RetentionMark,
    sync::{AtomicBool, Mutex, Ordering},
};

/// Somebody who is told that a channel grew: a worker, or one polled response.
pub trait Noted: Send + Sync {
    /// The channel watched under `token` grew. Called outside of all locks; must be quick.
    fn note(&self, token: u32);
    /// The node drains.
    fn drain(&self);
    /// The node takes too much memory: whoever carries connections cuts those that hold the most. Nothing where nothing is held.
    fn shed(&self) {}
    /// Bytes that are kept for the one client that this carries a response to. Nothing where there are many: those are told to shed.
    fn held_bytes(&self) -> usize {
        0
    }
    /// As one of those that hold the most, that client has to go.
    fn cut(&self) {}
    /// Who may do what has changed: whoever carries connections asks them again.
    fn recheck(&self) {}
}

/// One watcher's interest in one channel.
///
/// The flag makes a thousand publishes one note: it is set by the first and taken back by the watcher *before* it reads.
pub struct Watch {
    is_noted: AtomicBool,
    token: u32,
    target: Arc<dyn Noted>,
}

impl Watch {
    /// An interest of `target`, which knows the channel as `token`.
    pub fn new(target: Arc<dyn Noted>, token: u32) -> Arc<Self> {
        Arc::new(Self { is_noted: AtomicBool::new(false), token, target })
    }

    /// The watcher is about to read; whatever comes after this is noted anew.
    pub fn rearm(&self) {
        self.is_noted.store(false, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("token", &self.token).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) log: Log,
    /// Unallocated while nobody watches.
    watches: Option<Box<SmallVec<[Arc<Watch>; 2]>>>,
}

/// Watchers that have to be told that their channel grew.
#[derive(Debug, Default)]
pub struct Due(SmallVec<[Arc<Watch>; 2]>);

/// A channel that somebody watches or that keeps messages. A million idle ones pay for each of its bytes.
#[derive(Debug)]
pub struct Channel {
    name: ChannelName,
    state: Mutex<State>,
    /// Streams, sockets and held polls that read it now.
    subscribers: AtomicU32,
    /// The table no longer holds this channel; whoever still has the `Arc` asks the table again. Changed and read under the lock.
    is_gone: AtomicBool,
    /// What it keeps.
    retention: RetentionMark,
}

impl Channel {
    /// A channel that keeps what the mark says.
    pub(crate) fn new(name: ChannelName, log: Log, retention: RetentionMark) -> Arc<Self> {
        Arc::new(Self {
            name,
            state: Mutex::new(State { log, watches: None }),
            subscribers: AtomicU32::new(0),
            is_gone: AtomicBool::new(false),
            retention,
        })
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    /// What it keeps.
    pub(crate) fn retention(&self) -> &RetentionMark {
        &self.retention
    }

    /// Whether it keeps what the node does.
    pub(crate) fn keeps_as_node(&self) -> bool {
        self.retention.is_as_node()
    }

    /// Runs `change` under the channel's lock; keep it short.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock())
    }

    /// Runs `change` under the channel's lock; `None` where the table no longer holds the channel.
    pub(crate) fn with_live<T>(&self, change: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.state.lock();
        (!self.is_gone.load(Ordering::Relaxed)).then(|| change(&mut state))
    }

    /// The table lets go of the channel, unless `change` says that it must not.
    pub(crate) fn retire_if(&self, change: impl FnOnce(&mut State) -> bool) -> bool {
        let mut state = self.state.lock();
        let is_gone = change(&mut state);
        self.is_gone.store(is_gone, Ordering::Relaxed);
        is_gone
    }

    /// When its newest message was accepted, in ms since 1970 UTC; `None` where it keeps none.
    pub(crate) fn newest_ms(&self) -> Option<u64> {
        self.state.lock().log.newest_ms()
    }

    pub(crate) fn head(&self) -> Position {
        self.state.lock().log.position()
    }

    pub(crate) fn read(&self, after: &Cursor, most: ReadMost) -> Read {
        self.state.lock().log.read(after, most)
    }

    /// Messages after an offset of the current epoch, for the walk over subscribers that are in step. Tells whether there are
    /// more; `None` when the log does not reach back that far, or the epoch is another: then only [`Channel::read`] tells the truth.
    pub(crate) fn read_in_step(
        &self,
        after: Position,
        most: ReadMost,
        into: &mut Vec<Arc<Message>>,
    ) -> Option<bool> {
        let state = self.state.lock();
        if state.log.epoch() != after.epoch {
            return None;
        }
        let read = state.log.read_after(after.offset, most, into);
        read.gap.is_none().then_some(read.more)
    }

    pub(crate) fn subscribers(&self) -> u32 {
        self.subscribers.load(Ordering::Relaxed)
    }

    pub(crate) fn add_subscriber(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_subscriber(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }

    /// The watcher no longer wants to know.
    pub(crate) fn unwatch(&self, watch: &Arc<Watch>) {
        let mut state = self.state.lock();
        let Some(watches) = &mut state.watches else { return };
        watches.retain(|known| !Arc::ptr_eq(known, watch));
        if watches.is_empty() {
            state.watches = None;
        }
    }
}

impl State {
    pub(crate) fn watch(&mut self, watch: Arc<Watch>) {
        self.watches.get_or_insert_default().push(watch);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watches.is_some()
    }

    /// As [`State::due_watches`], to be kept until a lock elsewhere is gone, too.
    pub(crate) fn due(&self) -> Due {
        Due(self.due_watches())
    }

    /// Those who have to be told, each once until it reads; call [`tell`] after the lock is gone.
    pub(crate) fn due_watches(&self) -> SmallVec<[Arc<Watch>; 2]> {
        let mut due = SmallVec::new();
        let Some(watches) = &self.watches else { return due };
        for watch in watches.iter() {
            // A look costs less than a swap. It is enough, because a watcher that rearmed before it took the lock is seen, and one that
            // takes it after us reads what was appended.
            if !watch.is_noted.load(Ordering::SeqCst) && !watch.is_noted.swap(true, Ordering::SeqCst) {
                due.push(Arc::clone(watch));
            }
        }
        due
    }
}

/// Notes the growth of a channel to its watchers.
pub(crate) fn tell(watches: &[Arc<Watch>]) {
    for watch in watches {
        watch.target.note(watch.token);
    }
}

impl Due {
    /// Notes the growth.
    pub(crate) fn tell(self) {
        tell(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the two counters of its `Arc` it takes no more than 96 bytes.
    #[test]
    fn an_idle_channel_is_small() {
        assert!(size_of::<Channel>() <= 80, "{} bytes", size_of::<Channel>());
    }
}
