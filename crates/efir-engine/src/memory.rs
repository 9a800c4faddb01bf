//! The memory broker: every channel's log in this process, gone when it ends.
//!
//! An epoch says: offsets under this name mean the same messages. All channels begin under the node's epoch. A channel that was
//! reaped leaves a stub (epoch and head), so that its offsets go on. Stubs are capped; when one is forgotten, the node takes
//! a *new* epoch for whatever begins from then on: else the forgotten channel could begin again at offset 1 under an epoch in
//! which offset 1 was already another message, and an old cursor would be served silently wrong.

mod changes;
mod least_recent;
mod own;
mod table;
mod unsure;

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use efir_core::{
    Append, AppendError, Appended, ChannelName, Cursor, Durability, Epoch, Limits, Log, Position, Read,
    ReadMost, Receipt, Retention, Start,
};
use foldhash::quality::RandomState;

use self::{
    least_recent::LeastRecent,
    own::{Own, Patience},
    table::{Hashed, Shard},
    unsure::UnsureEpoch,
};
use crate::{
    broker::{Broker, MemberChange, PublishError, Stock},
    channel::{self, Channel, Due, Watch},
    clock,
    hub::{Page, Publish},
    retention::{RetentionMark, RetentionRules},
    sync::Mutex,
};

/// Locks of the table of channels; a power of two. Under shuttle one, for chance is to be its alone.
const SHARDS: usize = if cfg!(shuttle) { 1 } else { 64 };
/// Shards that one sweep visits; eight sweeps see every channel.
const SHARDS_PER_SWEEP: usize = SHARDS.div_ceil(8);
/// Bytes that one publish trims at most beyond what it needs itself: about a hundred small channels, half a millisecond.
const SHED_BYTES_MAX: usize = 32 * 1024;
/// Bytes that are trimmed at once when the process takes too much memory: some ten ms of work.
const TRIM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A shard is looked through at most so often within the time that messages or keys are kept, so that channels at rest cost nothing.
const LOOKS_PER_LIFE: u64 = 64;
/// When a channel without messages that somebody watches is looked at again, in ms: nobody tells when the last watcher leaves.
const UNWATCHED_MS: u64 = 30_000;

/// All channels of a node that keeps them in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    limits: Limits,
    retention: Retention,
    /// Of the logs of members.
    presence_retention: Retention,
    /// Of channels that keep less.
    own: Own,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    /// What channels that nobody knows stand under; changes when a stub is forgotten.
    epoch: AtomicU64,
    /// Weight of all logs.
    weight: AtomicUsize,
    /// Channels that keep at least one message.
    channels: AtomicUsize,
    /// Idempotency keys that all channels remember. They cannot be trimmed, so they are bounded on their own.
    keys: AtomicUsize,
    /// Whom to trim first; empty while there is room.
    least_recent: Mutex<LeastRecent>,
    /// Names of stubs, oldest first.
    stubs: Mutex<VecDeque<ChannelName>>,
    next_sweep: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(limits: Limits) -> Self {
        let hasher = RandomState::default();
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(hasher.clone()))).collect();
        Self {
            retention: limits.retention(),
            presence_retention: limits.presence_retention(),
            own: Own::default(),
            limits,
            hasher,
            shards,
            epoch: AtomicU64::new(random_seed()),
            weight: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            least_recent: Mutex::default(),
            stubs: Mutex::default(),
            next_sweep: AtomicUsize::new(0),
        }
    }

    fn node_epoch(&self) -> Epoch {
        Epoch::from_seed(self.epoch.load(Ordering::Acquire))
    }

    fn shard(&self, key: Hashed<'_>) -> &Mutex<Shard> {
        // The remainder is below the number of shards, which never changes.
        self.shards.get(key.shard(SHARDS)).unwrap_or_else(|| unreachable!("{SHARDS} shards"))
    }

    /// The channel if it is live, and otherwise where it stands.
    fn find(&self, name: &ChannelName) -> Result<Arc<Channel>, Position> {
        let key = Hashed::new(&self.hasher, name);
        let shard = self.shard(key).lock();
        match shard.find(key) {
            Some(channel) => Ok(Arc::clone(channel)),
            None => Err(self.position_of_absent(&shard, key)),
        }
    }

    fn position_of_absent(&self, shard: &Shard, key: Hashed<'_>) -> Position {
        shard.stub(key).unwrap_or_else(|| Position { epoch: self.node_epoch(), offset: 0 })
    }

    /// The channel, made if it is not live and `may_begin` says nothing against that: what is refused must leave nothing behind, for
    /// names are free. A sweep will look at it when it is `life_ms` older, or sooner if it keeps less than others.
    fn live<E>(
        &self,
        name: &ChannelName,
        (now_ms, life_ms): (u64, u64),
        may_begin: impl FnOnce() -> Result<(), E>,
    ) -> Result<Arc<Channel>, E> {
        let key = Hashed::new(&self.hasher, name);
        let mut shard = self.shard(key).lock();
        let known = shard.find(key).map(Arc::clone);
        let channel = match known {
            Some(channel) => channel,
            None => {
                may_begin()?;
                let position = self.position_of_absent(&shard, key);
                let log = Log::with_head(position.epoch, position.offset);
                let channel = Channel::new(name.clone(), log, RetentionMark::new(self.own.mark()));
                shard.insert(key, Arc::clone(&channel));
                channel
            }
        };
        let life_ms = if channel.keeps_as_node() { life_ms } else { self.own.age_ms_min().min(life_ms) };
        shard.due_ms = shard.due_ms.min(now_ms.saturating_add(life_ms));
        Ok(channel)
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
        // A little more than needed, so that the next publish does not trim again; not so much that this one would take long.
        self.trim_to(weight_max - (weight_max / 64).min(SHED_BYTES_MAX));
    }

    fn trim_to(&self, goal: usize) {
        let mut least_recent = self.least_recent.lock();
        while self.weight.load(Ordering::Relaxed) > goal {
            let Some(channel) = least_recent.next(SHARDS, |shard| self.least_recent_of(shard)) else {
                return;
            };
            channel.with(|state| {
                let before = Footprint::of(&state.log);
                self.change_log(&mut state.log, |log| {
                    while self.weight_after(before, log) > goal && log.trim_oldest() > 0 {}
                });
            });
        }
    }

    fn least_recent_of(&self, shard: usize) -> Vec<least_recent::Listed> {
        let shard = self.shards.get(shard);
        shard.map(|shard| least_recent::list(shard.lock().channels())).unwrap_or_default()
    }

    fn weight_after(&self, before: Footprint, log: &Log) -> usize {
        let change = Footprint::of(log).weight.wrapping_sub(before.weight);
        self.weight.load(Ordering::Relaxed).wrapping_add(change)
    }

    /// Removes what has expired from a channel's log before it is read.
    fn expire(&self, channel: &Channel, log: &mut Log, now_ms: u64) {
        let own = self.own_retention(channel, log, now_ms);
        self.expire_older(log, now_ms, own.as_ref().unwrap_or(&self.retention).age_ms_max);
    }

    fn expire_older(&self, log: &mut Log, now_ms: u64, age_ms_max: u64) {
        if log.next_expiry_ms(age_ms_max).is_none_or(|expiry_ms| expiry_ms > now_ms) {
            return;
        }
        self.change_log(log, |log| log.expire(now_ms, age_ms_max));
    }

    /// Frees what has expired in a shard and puts away the channels that nobody needs, unless none can be due yet.
    fn sweep_shard(&self, shard: &Mutex<Shard>, now_ms: u64) {
        let mut shard = shard.lock();
        if shard.due_ms > now_ms {
            return;
        }
        // Should this panic, channels may be gone without a stub: what begins from then on has another epoch.
        let unsure = UnsureEpoch::begin(self);
        let mut next_ms = u64::MAX;
        let mut gone = Vec::new();
        let mut patience = Patience::default();
        shard.retain(|channel| {
            !channel.retire_if(|state| {
                if !patience.reaches(channel) {
                    return false;
                }
                let age_ms_max = self.age_ms_max(channel, &mut state.log, now_ms);
                self.expire_older(&mut state.log, now_ms, age_ms_max);
                let due_ms = state.log.next_expiry_ms(age_ms_max);
                if due_ms.is_none() && !state.is_watched() {
                    gone.push((channel.name().clone(), state.log.position()));
                    return true;
                }
                next_ms = next_ms.min(due_ms.unwrap_or(now_ms.saturating_add(UNWATCHED_MS)));
                false
            })
        });
        let life_ms = self.retention.age_ms_max.min(self.presence_retention.age_ms_max);
        let life_ms = life_ms.min(self.own.age_ms_min());
        let rest_ms = life_ms.min(self.limits.key_window_ms) / LOOKS_PER_LIFE;
        let due_ms = next_ms.max(now_ms.saturating_add(rest_ms));
        shard.due_ms = if patience.is_over() { now_ms } else { due_ms };
        // What was never published to leaves nothing.
        gone.retain(|(_, position)| position.offset > 0);
        for (name, position) in &gone {
            shard.insert_stub(name.clone(), *position);
        }
        unsure.settle();
        drop(shard);
        self.stubs.lock().extend(gone.into_iter().map(|(name, _)| name));
    }

    /// Forgets the oldest stubs beyond the limit.
    fn cap_stubs(&self) {
        let mut stubs = self.stubs.lock();
        while stubs.len() > self.limits.stubs_max {
            let Some(name) = stubs.pop_front() else { return };
            let key = Hashed::new(&self.hasher, &name);
            let seed = random_seed();
            let mut shard = self.shard(key).lock();
            // A name stands here twice when its channel lived and was reaped again; only a stub is forgotten. The new epoch is there
            // before anybody can find the stub gone.
            if shard.remove_stub(key) {
                self.epoch.store(seed, Ordering::Release);
            }
        }
    }
}

impl Broker for Memory {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn publish(&self, publish: &Publish<'_>, now_ms: u64) -> Result<Receipt, PublishError> {
        let life_ms = match publish.key {
            Some(_) => self.limits.retention_ms_max.min(self.limits.key_window_ms),
            None => self.limits.retention_ms_max,
        };
        loop {
            let may_begin = || self.check_room(true, publish.key);
            let channel = self.live(publish.channel, (now_ms, life_ms), may_begin)?;
            let appended = channel.with_live(|state| {
                self.append(&channel, &mut state.log, publish, now_ms)
                    .map(|appended| (appended, state.due_watches()))
            });
            let Some(appended) = appended else { continue };
            let (appended, watches) = appended?;
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

    fn append_change(&self, change: &MemberChange<'_>, now_ms: u64) -> Result<Due, PublishError> {
        let life_ms = self.presence_retention.age_ms_max;
        loop {
            let may_begin = || self.check_room_of_change(true, change);
            let log = self.live(change.log, (now_ms, life_ms), may_begin)?;
            let appended = log.with_live(|state| {
                self.append_member_change(&log, state, change, now_ms).map(|()| state.due())
            });
            if let Some(appended) = appended {
                return appended;
            }
        }
    }

    fn tell(&self, due: Due) {
        due.tell();
        self.shed();
    }

    fn read(&self, name: &ChannelName, start: Start, most: ReadMost) -> Page {
        match self.find(name) {
            Ok(channel) => channel.with(|state| {
                self.expire(&channel, &mut state.log, clock::age_ms());
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
                self.expire(&channel, &mut state.log, clock::age_ms());
                state.log.cursor(&start)
            }),
            Err(position) => position.into(),
        }
    }

    fn position(&self, name: &ChannelName) -> Position {
        self.find(name).map_or_else(|position| position, |channel| channel.head())
    }

    fn watch(&self, name: &ChannelName, watch: Arc<Watch>) -> Arc<Channel> {
        let now_ms = clock::age_ms();
        loop {
            let Ok(channel) = self.live(name, (now_ms, UNWATCHED_MS), || Ok::<_, Infallible>(()));
            if channel.with_live(|state| state.watch(Arc::clone(&watch))).is_some() {
                return channel;
            }
        }
    }

    fn keep_by(&self, rules: Option<RetentionRules>) {
        self.replace_own(rules);
    }

    fn stock(&self) -> Stock {
        Stock {
            channels: self.channels.load(Ordering::Relaxed),
            log_bytes: self.weight.load(Ordering::Relaxed),
            keys: self.keys.load(Ordering::Relaxed),
        }
    }

    fn trim(&self, bytes: usize) {
        // Logs are not why it is too much where there is next to nothing in them.
        let goal = self.weight.load(Ordering::Relaxed).saturating_sub(bytes.min(TRIM_BYTES_MAX));
        self.trim_to(goal.max(self.limits.log_bytes_max / 16));
    }

    fn sweep(&self, now_ms: u64) {
        let first = self.next_sweep.fetch_add(SHARDS_PER_SWEEP, Ordering::Relaxed).rem_euclid(SHARDS);
        let swept = self.shards.iter().enumerate().skip(first).take(SHARDS_PER_SWEEP);
        for (_, shard) in swept.clone() {
            self.sweep_shard(shard, now_ms);
        }
        self.cap_stubs();
        let (weight, weight_max) = (self.weight.load(Ordering::Relaxed), self.limits.log_bytes_max);
        let mut least_recent = self.least_recent.lock();
        if weight < weight_max / 4 * 3 {
            least_recent.forget();
        } else if weight > weight_max / 8 * 7 {
            for (shard, _) in swept {
                least_recent.prepare((shard, SHARDS), |shard| self.least_recent_of(shard));
            }
        }
    }
}

impl Memory {
    /// Appends to a channel's log and keeps the books.
    fn append(
        &self,
        channel: &Channel,
        log: &mut Log,
        publish: &Publish<'_>,
        now_ms: u64,
    ) -> Result<Appended, PublishError> {
        let own = self.own_retention(channel, log, now_ms);
        let retention = own.as_ref().unwrap_or(&self.retention);
        self.expire_older(log, now_ms, retention.age_ms_max);
        let is_first = log.is_empty();
        let Publish { channel, payload, key, from } = *publish;
        let append = Append { channel, time_ms: now_ms, from, payload, key };
        if let Err(refusal) = self.check_room(is_first, key)
            && log.recall(&append).is_none()
        {
            return Err(refusal);
        }
        let shown_ms = clock::shown_ms(now_ms);
        self.change_log(log, |log| log.append_shown(&append, shown_ms, retention))
            .map_err(|error| self.refuse(error))
    }

    /// Whether the node has room for a message that is new.
    fn check_room(&self, is_first: bool, key: Option<&str>) -> Result<(), PublishError> {
        let Limits { channels_max, node_keys_max, .. } = self.limits;
        if is_first && self.channels.load(Ordering::Relaxed) >= channels_max {
            return Err(PublishError::ChannelsFull { channels_max });
        }
        if key.is_some() && self.keys.load(Ordering::Relaxed) >= node_keys_max {
            return Err(PublishError::NodeKeysFull { keys_max: node_keys_max });
        }
        Ok(())
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
