//! What a cursor is owed: the subscriptions of one response and everything after their cursors.
//!
//! A reader remembers two places per channel: how far it has *pushed* into an outbox and how far that was *sent*. When a socket
//! takes no more, the difference is forgotten and read from the log again. It knows nothing of wire forms beyond their names.

use std::{hash::BuildHasher, sync::Arc};

use efir_core::{
    ChannelName, Cursor, Gap, Message, Position, Problem, ReadMost, Start,
    wire::{Control, Form},
};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::{channel::Channel, guest::Account, hub::Hub, outbox::Outbox, seam::Seam};

/// Pieces that one pull hands out at most; one vectored write takes no more than 1,024 slices (`IOV_MAX`).
const PIECES_MAX: usize = 512;
/// Bytes after which a pull stops; more comes with the next one, so that no connection starves its neighbours.
const PULL_BYTES_MAX: usize = 64 * 1024;
/// Readers of more channels than this find them by hash.
const LINEAR_MAX: usize = 16;

/// One channel of a reader. A socket may have thousands: every field is paid for.
#[derive(Debug)]
struct Subscription {
    target: Target,
    /// Where the carrier keeps this subscription in its own table: the channel's slot, and the place among its subscribers.
    slot: u32,
    place: u32,
    /// Everything up to here is on the wire (or its frame has begun).
    sent: Cursor,
    is_noted: bool,
    /// Stands in the reader's list `ahead`.
    is_ahead: bool,
}

#[derive(Debug)]
enum Target {
    /// Joined; the carrier does not watch the channel yet. Boxed, because that is soon over.
    Joined(Box<ChannelName>),
    /// The carrier watches it.
    Watched(Arc<Channel>),
}

impl Subscription {
    fn name(&self) -> &ChannelName {
        match &self.target {
            Target::Joined(name) => name,
            Target::Watched(channel) => channel.name(),
        }
    }

    fn channel(&self) -> Option<&Arc<Channel>> {
        match &self.target {
            Target::Joined(_) => None,
            Target::Watched(channel) => Some(channel),
        }
    }
}

/// The subscriptions of a reader by name. The names stand in the subscriptions.
#[derive(Debug, Default)]
struct ByName {
    hasher: RandomState,
    places: HashTable<u32>,
}

/// A subscription that came or went; the carrier watches or unwatches the channel.
#[derive(Debug)]
pub(crate) enum Change {
    Joined { subscription: u32 },
    Left { slot: u32, place: u32 },
}

/// What a poll takes of one channel.
#[derive(Debug)]
pub struct Taken {
    /// The channel.
    pub channel: ChannelName,
    /// What is missing before the messages.
    pub gap: Option<Gap>,
    /// In ascending order.
    pub messages: Vec<Arc<Message>>,
}

/// The subscriptions of one response.
#[derive(Debug)]
pub struct Reader {
    hub: Hub,
    subscriptions: SmallVec<[Option<Subscription>; 1]>,
    by_name: Option<Box<ByName>>,
    /// Subscriptions with something after their cursor.
    noted: SmallVec<[u32; 2]>,
    /// Subscriptions of which more was pushed than sent, and up to where. Empty at rest.
    ahead: SmallVec<[(u32, Cursor); 1]>,
    changes: Vec<Change>,
    /// Who pays for what the response publishes.
    account: Account,
}

impl Reader {
    /// A reader of no channel yet.
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            subscriptions: SmallVec::new(),
            by_name: None,
            noted: SmallVec::new(),
            ahead: SmallVec::new(),
            changes: Vec::new(),
            account: Account::default(),
        }
    }

    /// The hub that is read from.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Who pays for what the response publishes; nobody unless it is set.
    pub fn account_mut(&mut self) -> &mut Account {
        &mut self.account
    }

    /// Pays for a message of so many bytes that the response is about to publish.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn pay(&self, bytes: usize) -> Result<(), Problem> {
        self.account.pay(self.hub.rates(), bytes)
    }

    /// Joins a channel and returns the join cursor: reading on after it misses nothing. A cursor that the client gave comes back
    /// as it was given, also when it leads to a gap, so that a drop before the gap was told does not hide the gap.
    /// Joining a channel again only returns where it stands.
    pub fn join(&mut self, name: ChannelName, start: Start) -> Cursor {
        if let Some(cursor) = self.cursor(&name) {
            return cursor;
        }
        let cursor = self.hub.resolve(&name, start);
        let has_free = self.len() < self.subscriptions.len();
        let free = if has_free { self.subscriptions.iter().position(Option::is_none) } else { None };
        let index = free.unwrap_or(self.subscriptions.len());
        let subscription = Subscription {
            target: Target::Joined(Box::new(name)),
            slot: u32::MAX,
            place: u32::MAX,
            sent: cursor.clone(),
            is_noted: false,
            is_ahead: false,
        };
        match self.subscriptions.get_mut(index) {
            Some(place) => *place = Some(subscription),
            None => self.push(subscription),
        }
        self.index_name(index as u32);
        self.changes.push(Change::Joined { subscription: index as u32 });
        cursor
    }

    /// Grows by halves: most sockets join a few channels and keep them.
    fn push(&mut self, subscription: Subscription) {
        let len = self.subscriptions.len();
        if len == self.subscriptions.capacity() {
            self.subscriptions.reserve_exact(len.div_ceil(2));
        }
        self.subscriptions.push(Some(subscription));
    }

    fn index_name(&mut self, index: u32) {
        let subscriptions = &self.subscriptions;
        let hash = |by_name: &RandomState, index: u32| {
            by_name.hash_one(named(subscriptions, index).map_or(&[][..], ChannelName::as_bytes))
        };
        if let Some(by_name) = &mut self.by_name {
            let ByName { hasher, places } = &mut **by_name;
            places.insert_unique(hash(hasher, index), index, |known| hash(hasher, *known));
        } else if subscriptions.len() > LINEAR_MAX {
            let mut by_name = Box::<ByName>::default();
            let ByName { hasher, places } = &mut *by_name;
            for index in
                (0..).zip(subscriptions).filter_map(|(index, place)| place.is_some().then_some(index))
            {
                places.insert_unique(hash(hasher, index), index, |known| hash(hasher, *known));
            }
            self.by_name = Some(by_name);
        }
    }

    /// Leaves a channel; false if it was not joined.
    pub fn leave(&mut self, name: &ChannelName) -> bool {
        let Some(index) = self.find(name) else { return false };
        if let Some(by_name) = &mut self.by_name {
            let hash = by_name.hasher.hash_one(name.as_bytes());
            if let Ok(found) = by_name.places.find_entry(hash, |known| *known == index) {
                found.remove();
            }
        }
        self.noted.retain(|noted| *noted != index);
        self.ahead.retain(|(ahead, _)| *ahead != index);
        self.changes
            .retain(|change| !matches!(change, Change::Joined { subscription } if *subscription == index));
        let left = self.subscriptions.get_mut(index as usize).and_then(Option::take);
        if let Some(Subscription { target: Target::Watched(_), slot, place, .. }) = left {
            self.changes.push(Change::Left { slot, place });
        }
        true
    }

    /// How many channels are joined.
    pub fn len(&self) -> usize {
        match &self.by_name {
            Some(by_name) => by_name.places.len(),
            None => self.subscriptions.iter().flatten().count(),
        }
    }

    /// Whether no channel is joined.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn pass_seam(&self, seam: Seam) {
        for subscription in self.subscriptions.iter().flatten() {
            self.hub.seams().pass(seam, subscription.name());
        }
    }

    /// Where a channel stands, counting what is in the outbox as read.
    pub fn cursor(&self, name: &ChannelName) -> Option<Cursor> {
        Some(self.pushed(self.find(name)?)?.clone())
    }

    /// All channels and where they stand, counting what is in the outbox as read.
    pub fn cursors(&self) -> impl Iterator<Item = (&ChannelName, &Cursor)> {
        let indexed = (0..).zip(&self.subscriptions);
        indexed.filter_map(|(index, place)| Some((place.as_ref()?.name(), self.pushed(index)?)))
    }

    /// Everything up to here is in an outbox or on the wire.
    fn pushed(&self, index: u32) -> Option<&Cursor> {
        let subscription = self.subscription(index)?;
        let ahead = self.ahead.iter().rev().find(|(ahead, _)| subscription.is_ahead && *ahead == index);
        Some(ahead.map_or(&subscription.sent, |(_, cursor)| cursor))
    }

    fn set_pushed(&mut self, index: u32, cursor: Cursor) {
        let Some(Some(found)) = self.subscriptions.get_mut(index as usize) else { return };
        if !std::mem::replace(&mut found.is_ahead, true) {
            self.ahead.push((index, cursor));
        } else if let Some((_, known)) = self.ahead.iter_mut().rev().find(|(ahead, _)| *ahead == index) {
            *known = cursor;
        }
    }

    /// Pushes what comes after the cursors of all channels that have something, gaps first, up to a bounded amount.
    /// Returns whether anything was pushed; [`Reader::is_behind`] tells whether more is waiting.
    pub fn pull(&mut self, form: Form, out: &mut Outbox) -> bool {
        let before = out.len();
        let mut left = PIECES_MAX;
        self.ahead.reserve(self.noted.len().min(left));
        while let Some(index) = self.noted.last().copied() {
            if left == 0 || out.len() - before >= PULL_BYTES_MAX {
                break;
            }
            let is_done = self.pull_one(index, form, out, &mut left);
            if is_done {
                self.noted.pop();
            } else {
                // The others go first next time, so that one busy channel starves none.
                self.noted.rotate_right(1);
            }
        }
        out.len() > before
    }

    /// Reads one channel into the outbox; true when nothing more is waiting there.
    fn pull_one(&mut self, index: u32, form: Form, out: &mut Outbox, left: &mut usize) -> bool {
        let (Some(subscription), Some(after)) = (self.subscription(index), self.pushed(index)) else {
            return true;
        };
        let Some(channel) = subscription.channel() else {
            self.set_noted(index, false);
            return true;
        };
        let read = channel.read(after, ReadMost { messages: *left, bytes: PULL_BYTES_MAX });
        if let Some(missed) = &read.gap {
            let gap = missed.gap(subscription.name(), after);
            self.hub.counters().tell_gap(gap.reason);
            out.push_moving(&Control::Gap(&gap).encode(form), index, gap.resume_from);
        }
        for message in &read.messages {
            out.push_message(message, form, index);
        }
        *left = left.saturating_sub(read.messages.len().max(1));
        if read.gap.is_some() || !read.messages.is_empty() {
            self.set_pushed(index, read.cursor.into());
        }
        self.set_noted(index, read.more);
        !read.more
    }

    fn set_noted(&mut self, index: u32, is_noted: bool) {
        if let Some(Some(found)) = self.subscriptions.get_mut(index as usize) {
            found.is_noted = is_noted;
        }
    }

    /// Takes what comes after the cursors, for an answer that ends the response: up to `most` in all. The second value tells
    /// whether more is waiting.
    pub fn take(&mut self, most: ReadMost) -> (Vec<Taken>, bool) {
        let mut taken = Vec::new();
        let mut left = most;
        let mut more = false;
        let noted = std::mem::take(&mut self.noted);
        for index in noted {
            let Some(subscription) = self.subscriptions.get_mut(index as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            subscription.is_noted = false;
            let Some(channel) = subscription.channel() else { continue };
            if left.messages == 0 || left.bytes == 0 {
                more |= subscription.sent.position() != Some(channel.head());
                continue;
            }
            let read = channel.read(&subscription.sent, left);
            more |= read.more;
            left.messages = left.messages.saturating_sub(read.messages.len());
            let bytes: usize = read.messages.iter().map(|message| message.object().len()).sum();
            left.bytes = left.bytes.saturating_sub(bytes);
            if read.gap.is_none() && read.messages.is_empty() {
                continue;
            }
            let channel = subscription.name().clone();
            let gap = read.gap.map(|missed| missed.gap(&channel, &subscription.sent));
            // Nothing of it will be read again: the answer is written whole, or its connection ends.
            subscription.sent = read.cursor.into();
            taken.push(Taken { channel, gap, messages: read.messages });
        }
        for gap in taken.iter().filter_map(|one| one.gap.as_ref()) {
            self.hub.counters().tell_gap(gap.reason);
        }
        (taken, more)
    }

    /// Whether a channel has more than the last pull handed out.
    pub fn is_behind(&self) -> bool {
        !self.noted.is_empty()
    }

    fn find(&self, name: &ChannelName) -> Option<u32> {
        let is_it = |index: &u32| named(&self.subscriptions, *index) == Some(name);
        match &self.by_name {
            Some(by_name) => by_name.places.find(by_name.hasher.hash_one(name.as_bytes()), is_it).copied(),
            None => (0..self.subscriptions.len() as u32).find(is_it),
        }
    }

    fn subscription(&self, index: u32) -> Option<&Subscription> {
        self.subscriptions.get(index as usize)?.as_ref()
    }
}

/// The carrier's side.
impl Reader {
    /// What came and went since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(crate) fn name(&self, subscription: u32) -> Option<&ChannelName> {
        Some(self.subscription(subscription)?.name())
    }

    /// The carrier watches the channel now. The subscription counts as having something to read, which closes the seam
    /// between resolving the cursor and watching.
    pub(crate) fn attach(&mut self, subscription: u32, channel: Arc<Channel>, (slot, place): (u32, u32)) {
        if let Some(Some(found)) = self.subscriptions.get_mut(subscription as usize) {
            found.target = Target::Watched(channel);
            found.slot = slot;
            found.place = place;
        }
        self.note(subscription);
    }

    /// The carrier moved a subscription among its channel's subscribers.
    pub(crate) fn set_place(&mut self, subscription: u32, place: u32) {
        if let Some(Some(found)) = self.subscriptions.get_mut(subscription as usize) {
            found.place = place;
        }
    }

    /// Ends the reader; yields where the carrier kept its subscriptions. A reader stands in a channel once, so removing one place
    /// never moves another of its own.
    pub(crate) fn into_places(self) -> impl Iterator<Item = (u32, u32)> {
        let watched = self.subscriptions.into_iter().flatten().filter(|gone| gone.channel().is_some());
        watched.map(|gone| (gone.slot, gone.place))
    }

    /// Whether it reads exactly one channel.
    pub(crate) fn is_single(&self) -> bool {
        self.subscriptions.len() == 1
    }

    /// The carrier pushed shared frames up to `position` into the outbox by itself.
    pub(crate) fn push_to(&mut self, subscription: u32, position: Position) {
        self.set_pushed(subscription, position.into());
    }

    /// Something may stand after the cursor of this subscription.
    pub(crate) fn note(&mut self, subscription: u32) {
        if let Some(Some(found)) = self.subscriptions.get_mut(subscription as usize)
            && !found.is_noted
        {
            found.is_noted = true;
            self.noted.push(subscription);
        }
    }

    /// The offset up to which a subscription was sent, if it is in this epoch and nothing else is under way.
    pub(crate) fn sent_position(&self, subscription: u32) -> Option<Position> {
        self.subscription(subscription)?.sent.position()
    }

    /// A frame up to `position` is on its way to the wire.
    pub(crate) fn commit(&mut self, subscription: u32, position: Position) {
        // A frame of a channel that was left meanwhile says nothing about the one that has its place now.
        if let Some(Some(found)) = self.subscriptions.get_mut(subscription as usize)
            && found.is_ahead
        {
            found.sent = position.into();
        }
    }

    /// The carrier wrote shared frames up to `position` by itself, while nothing was pushed.
    pub(crate) fn skip_to(&mut self, subscription: u32, position: Position) {
        if let Some(Some(found)) = self.subscriptions.get_mut(subscription as usize) {
            found.sent = position.into();
        }
    }

    /// Everything that was pushed is written.
    pub(crate) fn settle(&mut self) {
        for (index, cursor) in std::mem::take(&mut self.ahead) {
            let Some(Some(found)) = self.subscriptions.get_mut(index as usize) else { continue };
            found.is_ahead = false;
            found.sent = cursor;
        }
    }

    /// What was pushed and not sent is forgotten; it will be read again.
    pub(crate) fn rewind(&mut self) {
        for (index, cursor) in std::mem::take(&mut self.ahead) {
            let Some(Some(found)) = self.subscriptions.get_mut(index as usize) else { continue };
            found.is_ahead = false;
            if found.sent != cursor {
                self.note(index);
            }
        }
    }
}

fn named(subscriptions: &[Option<Subscription>], index: u32) -> Option<&ChannelName> {
    Some(subscriptions.get(index as usize)?.as_ref()?.name())
}

#[cfg(test)]
mod tests;
