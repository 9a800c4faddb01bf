//! The channels that a worker watches, each with its subscribers in one dense list.

use std::sync::Arc;

use efir_core::ChannelName;
use hashbrown::HashMap;
use slab::Slab;

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
    pub(super) subscribers: Vec<Subscriber>,
    /// Stands in the queue of walks.
    pub(super) is_walking: bool,
}

/// All of them, by slot and by name.
#[derive(Debug, Default)]
pub(super) struct WatchedChannels {
    slots: Slab<Watched>,
    by_name: HashMap<ChannelName, u32, foldhash::quality::RandomState>,
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
        let slot = match self.by_name.get(name) {
            Some(slot) => *slot,
            None => {
                let slot = self.slots.vacant_key() as u32;
                let watch = Watch::new(Arc::clone(intake) as _, slot);
                let channel = hub.broker().watch(name, Arc::clone(&watch));
                self.slots.insert(Watched { channel, watch, subscribers: Vec::new(), is_walking: false });
                self.by_name.insert(name.clone(), slot);
                slot
            }
        };
        let Some(watched) = self.slots.get_mut(slot as usize) else {
            unreachable!("a slot is removed together with its name")
        };
        watched.channel.add_subscriber();
        watched.subscribers.push(subscriber);
        (Arc::clone(&watched.channel), slot, watched.subscribers.len() as u32 - 1)
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
            self.by_name.remove(watched.channel.name());
            self.slots.remove(slot as usize);
            return None;
        }
        // A channel that thousands left must not keep their room.
        if watched.subscribers.capacity() > 64
            && watched.subscribers.len() < watched.subscribers.capacity() / 4
        {
            watched.subscribers.shrink_to(watched.subscribers.len() * 2);
        }
        watched.subscribers.get(place as usize).copied()
    }

    pub(super) fn at(&self, slot: u32) -> Option<&Watched> {
        self.slots.get(slot as usize)
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut Watched> {
        self.slots.get_mut(slot as usize)
    }
}
