//! One shard of the table of channels: those that live, and the stubs of those that do not. Knows no limits and no clock.

use std::{hash::BuildHasher, sync::Arc};

use efir_core::{ChannelName, Position};
use foldhash::quality::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use crate::channel::Channel;

/// A name and its hash, which chooses the shard and the place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed<'a> {
    name: &'a ChannelName,
    hash: u64,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(hasher: &RandomState, name: &'a ChannelName) -> Self {
        Self { name, hash: hasher.hash_one(name) }
    }

    /// The shard among `shards`, by bits that the tables do not look at.
    pub(super) fn shard(self, shards: usize) -> usize {
        (self.hash >> 40) as usize % shards
    }
}

/// Channels whose names have some bits of their hash in common. A live channel is one pointer here: its name stands in the
/// channel.
#[derive(Debug)]
pub(super) struct Shard {
    hasher: RandomState,
    live: HashTable<Arc<Channel>>,
    stubs: HashTable<(ChannelName, Position)>,
    /// Before this time (ms since 1970 UTC) no sweep finds anything here.
    pub(super) due_ms: u64,
}

impl Shard {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { hasher, live: HashTable::new(), stubs: HashTable::new(), due_ms: u64::MAX }
    }

    pub(super) fn find(&self, key: Hashed<'_>) -> Option<&Arc<Channel>> {
        self.live.find(key.hash, |channel| channel.name() == key.name)
    }

    /// Where a channel stood that was put away.
    pub(super) fn stub(&self, key: Hashed<'_>) -> Option<Position> {
        self.stubs.find(key.hash, |(name, _)| name == key.name).map(|(_, position)| *position)
    }

    /// Enters a channel that is not there; its stub goes.
    pub(super) fn insert(&mut self, key: Hashed<'_>, channel: Arc<Channel>) {
        self.remove_stub(key);
        self.live.insert_unique(key.hash, channel, |known| self.hasher.hash_one(known.name()));
    }

    /// Leaves a stub for a channel that is gone.
    pub(super) fn insert_stub(&mut self, name: ChannelName, position: Position) {
        let hash = self.hasher.hash_one(&name);
        let place = self.stubs.entry(hash, |known| known.0 == name, |known| self.hasher.hash_one(&known.0));
        match place {
            Entry::Occupied(mut known) => known.get_mut().1 = position,
            Entry::Vacant(place) => _ = place.insert((name, position)),
        }
    }

    /// Forgets a stub; false where there is none.
    pub(super) fn remove_stub(&mut self, key: Hashed<'_>) -> bool {
        let found = self.stubs.find_entry(key.hash, |(name, _)| name == key.name);
        found.map(|found| found.remove()).is_ok()
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.live.iter()
    }

    /// Keeps the channels for which `keep` says so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Arc<Channel>) -> bool) {
        self.live.retain(|channel| keep(channel));
        if self.live.len() < self.live.capacity() / 8 {
            self.live.shrink_to(self.live.len() * 2, |known| self.hasher.hash_one(known.name()));
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.stubs.is_empty()
    }
}
