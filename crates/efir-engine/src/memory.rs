//! The memory broker: every channel's log in this process, gone when it ends.
//!
//! An epoch says: offsets under this name mean the same messages. All channels begin under the node's epoch. A channel that was
//! reaped leaves a stub (epoch and head), so that its offsets go on. Stubs are capped; when one is forgotten, the node takes
//! a *new* epoch for whatever begins from then on: else the forgotten channel could begin again at offset 1 under an epoch in
//! which offset 1 was already another message, and an old cursor would be served silently wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use efir_core::{
    Append, AppendError, ChannelName, Cursor, Durability, Epoch, Limits, Log, Position, Read, ReadMost,
    Receipt, Retention, Start,
};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::{
    broker::{Broker, PublishError},
    channel::{self, Channel, Watch},
    clock,
    hub::{Page, Publish},
};

/// Locks of the table of channels; a power of two.
const SHARDS: usize = 64;
/// Shards that one sweep visits; eight sweeps see every channel.
const SHARDS_PER_SWEEP: usize = SHARDS / 8;

#[derive(Debug)]
enum Entry {
    Live(Arc<Channel>),
    Stub(Position),
}

type Shard = HashMap<ChannelName, Entry, foldhash::quality::RandomState>;

/// All channels of a node that keeps them in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    limits: Limits,
    retention: Retention,
    hasher: foldhash::quality::RandomState,
    shards: Box<[Mutex<Shard>]>,
    /// What channels that nobody knows stand under; changes when a stub is forgotten.
    epoch: AtomicU64,
    /// Weight of all logs.
    weight: AtomicUsize,
    /// Channels that keep at least one message.
    channels: AtomicUsize,
    /// Idempotency keys that all channels remember. They cannot be trimmed, so they are bounded on their own.
    keys: AtomicUsize,
    /// Channels by the time of a publish, which may not be their last: whoever comes first is looked at again before it is trimmed.
    least_recent: Mutex<BTreeMap<(u64, u64), Arc<Channel>>>,
    next_entry: AtomicU64,
    /// Names of stubs, oldest first.
    stubs: Mutex<VecDeque<ChannelName>>,
    next_sweep: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(limits: Limits) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Self {
            retention: limits.retention(),
            limits,
            hasher: foldhash::quality::RandomState::default(),
            shards,
            epoch: AtomicU64::new(random_seed()),
            weight: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            least_recent: Mutex::default(),
            next_entry: AtomicU64::new(0),
            stubs: Mutex::default(),
            next_sweep: AtomicUsize::new(0),
        }
    }

    fn node_epoch(&self) -> Epoch {
        Epoch::from_seed(self.epoch.load(Ordering::Acquire))
    }

    fn shard(&self, name: &ChannelName) -> &Mutex<Shard> {
        use std::hash::BuildHasher;
        let index = self.hasher.hash_one(name) as usize % SHARDS;
        // The remainder is below the number of shards, which never changes.
        self.shards.get(index).unwrap_or_else(|| unreachable!("{SHARDS} shards"))
    }

    /// The channel if it is live, and otherwise where it stands.
    fn find(&self, name: &ChannelName) -> Result<Arc<Channel>, Position> {
        match self.shard(name).lock().get(name) {
            Some(Entry::Live(channel)) => Ok(Arc::clone(channel)),
            Some(Entry::Stub(position)) => Err(*position),
            None => Err(Position { epoch: self.node_epoch(), offset: 0 }),
        }
    }

    /// The channel, made if it is not live.
    fn live(&self, name: &ChannelName) -> Arc<Channel> {
        let mut shard = self.shard(name).lock();
        let log = match shard.get(name) {
            Some(Entry::Live(channel)) => return Arc::clone(channel),
            Some(Entry::Stub(position)) => Log::with_head(position.epoch, position.offset),
            None => Log::new(self.node_epoch()),
        };
        let channel = Channel::new(name.clone(), log);
        shard.insert(name.clone(), Entry::Live(Arc::clone(&channel)));
        channel
    }

    /// Books a change of a log's weight and emptiness.
    fn book(&self, before: Footprint, after: Footprint) {
        self.weight.fetch_add(after.weight.wrapping_sub(before.weight), Ordering::Relaxed);
        self.keys.fetch_add(after.keys.wrapping_sub(before.keys), Ordering::Relaxed);
        match (before.is_empty, after.is_empty) {
            (true, false) => _ = self.channels.fetch_add(1, Ordering::Relaxed),
            (false, true) => _ = self.channels.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Trims the least recently used channels until all logs together fit again.
    fn shed(&self) {
        let weight_max = self.limits.log_bytes_max;
        if self.weight.load(Ordering::Relaxed) <= weight_max {
            return;
        }
        // A little more than needed, so that the next publish does not trim again.
        let goal = weight_max - weight_max / 64;
        let mut queue = self.least_recent.lock();
        let mut turns = queue.len() * 2 + 1;
        while self.weight.load(Ordering::Relaxed) > goal && turns > 0 {
            turns -= 1;
            let Some(((seen_ms, entry), channel)) = queue.pop_first() else { return };
            let published_ms = channel.published_ms.load(Ordering::Relaxed);
            if published_ms != seen_ms {
                queue.insert((published_ms, entry), channel);
                continue;
            }
            let is_empty = channel.with(|state| {
                let before = Footprint::of(&state.log);
                while self.weight_after(before, &state.log) > goal && state.log.trim_oldest() > 0 {}
                let after = Footprint::of(&state.log);
                self.book(before, after);
                after.is_empty
            });
            match is_empty {
                true => channel.is_queued.store(false, Ordering::Relaxed),
                false => _ = queue.insert((published_ms, entry), channel),
            }
        }
    }

    fn weight_after(&self, before: Footprint, log: &Log) -> usize {
        let change = Footprint::of(log).weight.wrapping_sub(before.weight);
        self.weight.load(Ordering::Relaxed).wrapping_add(change)
    }

    fn queue(&self, channel: &Arc<Channel>, now_ms: u64) {
        if !channel.is_queued.swap(true, Ordering::Relaxed) {
            let entry = self.next_entry.fetch_add(1, Ordering::Relaxed);
            self.least_recent.lock().insert((now_ms, entry), Arc::clone(channel));
        }
    }

    /// Removes what has expired from a log before it is read or grown.
    fn expire(&self, log: &mut Log, now_ms: u64) {
        if log.next_expiry_ms(self.limits.retention_ms_max).is_none_or(|expiry_ms| expiry_ms > now_ms) {
            return;
        }
        let before = Footprint::of(log);
        log.expire(now_ms, self.limits.retention_ms_max);
        self.book(before, Footprint::of(log));
    }

    fn sweep_shard(&self, shard: &Mutex<Shard>, now_ms: u64) {
        let mut gone = Vec::new();
        let mut shard = shard.lock();
        shard.retain(|name, entry| {
            let Entry::Live(channel) = entry else { return true };
            let position = channel.with(|state| {
                self.expire(&mut state.log, now_ms);
                let is_idle = state.log.is_reapable() && !state.is_watched();
                state.is_gone = is_idle;
                is_idle.then(|| state.log.position())
            });
            match position {
                None => true,
                Some(position) if position.offset == 0 => false,
                Some(position) => {
                    gone.push(name.clone());
                    *entry = Entry::Stub(position);
                    true
                }
            }
        });
        drop(shard);
        self.stubs.lock().extend(gone);
    }

    /// Forgets the oldest stubs beyond the limit.
    fn cap_stubs(&self) {
        let mut stubs = self.stubs.lock();
        while stubs.len() > self.limits.stubs_max {
            let Some(name) = stubs.pop_front() else { return };
            let mut shard = self.shard(&name).lock();
            // A name stands here twice when its channel lived and was reaped again; only a stub is forgotten.
            if let Some(Entry::Stub(_)) = shard.get(&name) {
                shard.remove(&name);
                self.epoch.store(random_seed(), Ordering::Release);
            }
        }
    }
}

impl Broker for Memory {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn publish(&self, publish: &Publish<'_>, now_ms: u64) -> Result<Receipt, PublishError> {
        loop {
            let channel = self.live(publish.channel);
            let appended = channel.with(|state| {
                if state.is_gone {
                    return None;
                }
                self.expire(&mut state.log, now_ms);
                let before = Footprint::of(&state.log);
                let append = Append {
                    channel: publish.channel,
                    time_ms: now_ms,
                    from: publish.from,
                    payload: publish.payload,
                    key: publish.key,
                };
                if let (None, Some(refusal)) = (state.log.recall(&append), self.is_full(before, &append)) {
                    return Some(Err(refusal));
                }
                let appended = state.log.append(&append, &self.retention).map_err(|error| self.refuse(error));
                self.book(before, Footprint::of(&state.log));
                Some(appended.map(|appended| (appended, state.due_watches())))
            });
            let Some(appended) = appended else { continue };
            let (appended, watches) = appended?;
            channel.published_ms.store(now_ms, Ordering::Relaxed);
            self.queue(&channel, now_ms);
            // Before they are told: a held poll that is answered on another core is a subscriber no more.
            let subscribers = channel.subscribers();
            channel::tell(&watches);
            self.shed();
            return Ok(Receipt {
                channel: publish.channel.clone(),
                position: appended.position(),
                durability: self.durability(),
                duplicate: appended.is_duplicate(),
                subscribers,
            });
        }
    }

    fn read(&self, name: &ChannelName, start: Start, most: ReadMost) -> Page {
        match self.find(name) {
            Ok(channel) => channel.with(|state| {
                self.expire(&mut state.log, clock::now_ms());
                let read = read_log(&state.log, &start, most);
                Page { read, head: state.log.position() }
            }),
            Err(position) => {
                let log = Log::with_head(position.epoch, position.offset);
                Page { read: read_log(&log, &start, most), head: position }
            }
        }
    }

    fn resolve(&self, name: &ChannelName, start: Start) -> Cursor {
        if let Start::After(cursor) = start {
            return cursor;
        }
        match self.find(name) {
            Ok(channel) => channel.with(|state| {
                self.expire(&mut state.log, clock::now_ms());
                state.log.cursor(&start)
            }),
            Err(position) => position.into(),
        }
    }

    fn position(&self, name: &ChannelName) -> Position {
        self.find(name).map_or_else(|position| position, |channel| channel.head())
    }

    fn watch(&self, name: &ChannelName, watch: Arc<Watch>) -> Arc<Channel> {
        loop {
            let channel = self.live(name);
            let is_watched = channel.with(|state| {
                if !state.is_gone {
                    state.watch(Arc::clone(&watch));
                }
                !state.is_gone
            });
            if is_watched {
                return channel;
            }
        }
    }

    fn sweep(&self, now_ms: u64) {
        let first = self.next_sweep.fetch_add(SHARDS_PER_SWEEP, Ordering::Relaxed) % SHARDS;
        for shard in self.shards.iter().skip(first).take(SHARDS_PER_SWEEP) {
            self.sweep_shard(shard, now_ms);
        }
        self.cap_stubs();
        let mut queue = self.least_recent.lock();
        if queue.len() > 2 * self.channels.load(Ordering::Relaxed) + 1024 {
            queue.retain(|_, channel| {
                let is_empty = channel.with(|state| state.log.is_empty());
                if is_empty {
                    channel.is_queued.store(false, Ordering::Relaxed);
                }
                !is_empty
            });
        }
    }
}

impl Memory {
    /// Why the node has no room for a message that is new.
    fn is_full(&self, before: Footprint, append: &Append<'_>) -> Option<PublishError> {
        let Limits { channels_max, node_keys_max, .. } = self.limits;
        if before.is_empty && self.channels.load(Ordering::Relaxed) >= channels_max {
            return Some(PublishError::ChannelsFull { channels_max });
        }
        let is_out_of_keys = append.key.is_some() && self.keys.load(Ordering::Relaxed) >= node_keys_max;
        is_out_of_keys.then_some(PublishError::NodeKeysFull { keys_max: node_keys_max })
    }

    fn refuse(&self, error: AppendError) -> PublishError {
        match error {
            AppendError::KeyConflict => PublishError::KeyConflict,
            AppendError::KeyWindowFull => PublishError::KeyWindowFull { keys_max: self.limits.keys_max },
            AppendError::OffsetsUsedUp => PublishError::Exhausted,
        }
    }
}

fn read_log(log: &Log, start: &Start, most: ReadMost) -> Read {
    match start {
        Start::After(_) | Start::Beginning => log.read(&log.cursor(start), most),
        Start::Last(count) => log.last(*count, most),
        Start::Now => log.last(most.messages, most),
    }
}

/// What a log counts for in the node's books.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    weight: usize,
    keys: usize,
    is_empty: bool,
}

impl Footprint {
    fn of(log: &Log) -> Self {
        Self { weight: log.weight(), keys: log.keys(), is_empty: log.is_empty() }
    }
}

/// Epochs are compared across restarts and nodes, so their seeds come from the operating system.
fn random_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| fastrand::u64(..))
}

#[cfg(test)]
mod tests;
