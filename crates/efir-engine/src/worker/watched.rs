//! The channels that a worker watches, each with its subscribers in one dense list.

use std::{hash::BuildHasher, sync::Arc};

use efir_core::ChannelName;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::intake::Intake;
use crate::{
    channel::{Channel, Watch},
    hub::Hub,
};

/// A subscription of a connection of this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub(super) connection: u32,
    pub(super) subscription: u32,
}

/// A channel with at least one subscriber here.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) channel: Arc<Channel>,
    pub(super) watch: Arc<Watch>,
    /// Most channels have a reader or two.
    pub(super) subscribers: SmallVec<[Subscriber; 2]>,
    /// Stands in the queue of walks.
    pub(super) is_walking: bool,
}

/// All of them, by slot and by name.
#[derive(Debug, Default)]
pub(super) struct WatchedChannels {
    slots: Slab<Watched>,
    hasher: RandomState,
    /// Slots by the names of their channels, which stand in the channels.
    by_name: HashTable<u32>,
}

impl WatchedChannels {
    /// Adds a subscriber; returns the channel, its slot and the subscriber's place.
    pub(super) fn add(
        &mut self,
        hub: &Hub,
        intake: &Arc<Intake>,
        name: &ChannelName,
        subscriber: Subscriber,
    ) -> (Arc<Channel>, u32, u32) {
        let hash = self.hasher.hash_one(name);
        let is_it = |slot: &u32| self.at(*slot).is_some_and(|watched| watched.channel.name() == name);
        let slot = match self.by_name.find(hash, is_it) {
            Some(slot) => *slot,
            None => self.watch(hub, intake, (name, hash)),
        };
        let Some(watched) = self.slots.get_mut(slot as usize) else {
            unreachable!("a slot is removed together with its name")
        };
        watched.channel.add_subscriber();
        watched.subscribers.push(subscriber);
        (Arc::clone(&watched.channel), slot, watched.subscribers.len() as u32 - 1)
    }

    /// Watches a channel that was not; returns its slot.
    fn watch(&mut self, hub: &Hub, intake: &Arc<Intake>, (name, hash): (&ChannelName, u64)) -> u32 {
        let slot = self.slots.vacant_key() as u32;
        let watch = Watch::new(Arc::clone(intake) as _, slot);
        let channel = hub.broker().watch(name, Arc::clone(&watch));
        self.slots.insert(Watched { channel, watch, subscribers: SmallVec::new(), is_walking: false });
        let Self { slots, hasher, by_name } = self;
        by_name.insert_unique(hash, slot, |slot| {
            let watched = slots.get(*slot as usize);
            watched.map_or(0, |watched| hasher.hash_one(watched.channel.name()))
        });
        slot
    }

    /// Removes the subscriber at `place`; returns the one that took its place and has to know it.
    pub(super) fn remove(&mut self, slot: u32, place: u32) -> Option<Subscriber> {
        let watched = self.slots.get_mut(slot as usize)?;
        if place as usize >= watched.subscribers.len() {
            return None;
        }
        watched.subscribers.swap_remove(place as usize);
        watched.channel.remove_subscriber();
        if watched.subscribers.is_empty() {
            watched.channel.unwatch(&watched.watch);
            let hash = self.hasher.hash_one(watched.channel.name());
            if let Ok(found) = self.by_name.find_entry(hash, |known| *known == slot) {
                found.remove();
            }
            self.slots.remove(slot as usize);
            return None;
        }
        // A channel that thousands left must not keep their room.
        if watched.subscribers.capacity() > 64
            && watched.subscribers.len() < watched.subscribers.capacity() / 4
        {
            let mut lean = SmallVec::with_capacity(watched.subscribers.len() * 2);
            lean.extend_from_slice(&watched.subscribers);
            watched.subscribers = lean;
        }
        watched.subscribers.get(place as usize).copied()
    }

    /// Removes a connection from all channels, looking at each of them; returns those that took its places and have to know them.
    pub(super) fn forget(&mut self, connection: u32) -> Vec<(Subscriber, u32)> {
        let is_its = |subscriber: &Subscriber| subscriber.connection == connection;
        let slots = self.slots.iter().filter(|(_, watched)| watched.subscribers.iter().any(is_its));
        let slots: Vec<u32> = slots.map(|(slot, _)| slot as u32).collect();
        let mut moved = Vec::new();
        for slot in slots {
            while let Some(place) =
                self.at(slot).and_then(|watched| watched.subscribers.iter().position(is_its))
            {
                let place = place as u32;
                moved.extend(self.remove(slot, place).map(|subscriber| (subscriber, place)));
            }
        }
        moved.retain(|(subscriber, _)| !is_its(subscriber));
        moved
    }

    pub(super) fn at(&self, slot: u32) -> Option<&Watched> {
        self.slots.get(slot as usize)
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut Watched> {
        self.slots.get_mut(slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use efir_core::{Limits, Times};

    use super::*;

    #[test]
    fn channels_come_and_go() {
        assert!(size_of::<Watched>() <= 48, "{} bytes", size_of::<Watched>());
        let hub = Hub::new(Limits::default(), Times::default());
        let (mut channels, intake) = (WatchedChannels::default(), Intake::new(Arc::default()));
        let names: Vec<_> = (0..40).map(|n| ChannelName::parse(&format!("room-{n}")).unwrap()).collect();
        let subscriber = |connection| Subscriber { connection, subscription: 0 };
        let mut slots = Vec::new();
        for connection in 0..100 {
            for (index, name) in names.iter().enumerate() {
                let (channel, slot, place) = channels.add(&hub, &intake, name, subscriber(connection));
                assert_eq!((channel.name(), place), (name, connection));
                slots.resize(slots.len().max(index + 1), slot);
                assert_eq!(slots[index], slot, "one slot a channel");
            }
        }
        for slot in slots.iter().step_by(2) {
            let moved = channels.remove(*slot, 0);
            assert_eq!(moved, Some(subscriber(99)), "the last takes the place of the first");
            for _ in 0..98 {
                assert!(channels.remove(*slot, 0).is_some());
            }
            assert_eq!(channels.remove(*slot, 0), None);
            assert!(channels.at(*slot).is_none());
        }
        assert_eq!((channels.slots.len(), channels.by_name.len()), (20, 20));
        let (_, slot, place) = channels.add(&hub, &intake, &names[1], subscriber(100));
        assert_eq!((slot, place), (slots[1], 100));
    }
}
