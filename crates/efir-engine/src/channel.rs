//! One channel on this node: its log and who wants to know when it grows.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use efir_core::{ChannelName, Cursor, Log, Message, Position, Read, ReadMost};
use parking_lot::Mutex;
use smallvec::SmallVec;

/// Somebody who is told that a channel grew: a worker, or one polled response.
pub trait Noted: Send + Sync {
    /// The channel watched under `token` grew. Called outside of all locks; must be quick.
    fn note(&self, token: u32);
    /// The node drains.
    fn drain(&self);
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
    watches: SmallVec<[Arc<Watch>; 2]>,
    /// The table no longer holds this channel; whoever still has the `Arc` asks the table again.
    pub(crate) is_gone: bool,
}

/// A channel that somebody watches or that keeps messages.
#[derive(Debug)]
pub struct Channel {
    name: ChannelName,
    state: Mutex<State>,
    /// Streams, sockets and held polls that read it now.
    subscribers: AtomicU32,
    /// When it was last published to, for trimming the least recently used first.
    pub(crate) published_ms: AtomicU64,
    /// Whether the queue of least recently used channels knows it.
    pub(crate) is_queued: AtomicBool,
}

impl Channel {
    pub(crate) fn new(name: ChannelName, log: Log) -> Arc<Self> {
        Arc::new(Self {
            name,
            state: Mutex::new(State { log, watches: SmallVec::new(), is_gone: false }),
            subscribers: AtomicU32::new(0),
            published_ms: AtomicU64::new(0),
            is_queued: AtomicBool::new(false),
        })
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Runs `change` under the channel's lock; keep it short.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock())
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
        self.state.lock().watches.retain(|known| !Arc::ptr_eq(known, watch));
    }
}

impl State {
    pub(crate) fn watch(&mut self, watch: Arc<Watch>) {
        self.watches.push(watch);
    }

    pub(crate) fn is_watched(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Those who have to be told, each once until it reads; call [`tell`] after the lock is gone.
    pub(crate) fn due_watches(&self) -> SmallVec<[Arc<Watch>; 4]> {
        self.watches.iter().filter(|watch| !watch.is_noted.swap(true, Ordering::SeqCst)).cloned().collect()
    }
}

/// Notes the growth of a channel to its watchers.
pub(crate) fn tell(watches: &[Arc<Watch>]) {
    for watch in watches {
        watch.target.note(watch.token);
    }
}
