//! The table of the channels that have members, under a few locks, and what a sweep does there.

use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use efir_core::{
    ChannelName, Limits, MemberId, PresenceState, Times, Who,
    presence::{Change, Member, MemberLease, TellMost},
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::{EnterError, attended::Attended};
use crate::{broker::Broker, channel::Due, clock};

/// Locks of the table; a power of two.
const SHARDS: usize = 16;

#[derive(Debug, Default)]
struct Shard {
    channels: HashMap<ChannelName, Attended, RandomState>,
    /// Before this time (ms since 1970 UTC) a sweep finds nothing here.
    due_ms: Option<u64>,
}

/// The members of all channels.
#[derive(Debug)]
pub(crate) struct Presence {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// The earliest `due_ms`, so that a sweep of a node without pollers costs one load; `u64::MAX`: none.
    due_ms: AtomicU64,
    leases: AtomicUsize,
    leases_max: usize,
    member_leases_max: usize,
    next_number: AtomicU64,
    most: TellMost,
}

/// Somebody who wants to be in a channel.
pub(super) struct Entrance<'a> {
    pub(super) channel: &'a ChannelName,
    pub(super) who: &'a Who,
    pub(super) lease: MemberLease,
}

impl Presence {
    pub(crate) fn new(limits: &Limits, times: &Times) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::default(),
            due_ms: AtomicU64::new(u64::MAX),
            leases: AtomicUsize::new(0),
            leases_max: limits.presence_leases_max,
            member_leases_max: limits.presence_member_leases_max,
            next_number: AtomicU64::new(1),
            most: TellMost { members_max: limits.presence_members_max, interval_ms: times.presence_count_ms },
        }
    }

    fn shard(&self, channel: &ChannelName) -> &Mutex<Shard> {
        let index = self.hasher.hash_one(channel) as usize % SHARDS;
        self.shards.get(index).unwrap_or_else(|| unreachable!("{SHARDS} shards"))
    }

    /// Calls `change` with the members of a channel and appends to their log what it comes to. Gives how many they are then.
    pub(super) fn change(
        &self,
        broker: &dyn Broker,
        channel: &ChannelName,
        change: impl FnOnce(&mut Attended) -> Change,
    ) -> u64 {
        let (due, count) = {
            let mut shard = self.shard(channel).lock();
            let Some(attended) = shard.channels.get_mut(channel) else { return 0 };
            let before = attended.members.leases();
            let change = change(attended);
            let due = attended.append(broker, &change, clock::age_ms(), self.most);
            self.book(before, attended.members.leases());
            let count = attended.members.len() as u64;
            self.settle(&mut shard, channel);
            (due, count)
        };
        if let Some(due) = due {
            broker.tell(due);
        }
        count
    }

    pub(super) fn enter(&self, broker: &dyn Broker, entrance: Entrance<'_>) -> Result<u64, EnterError> {
        let Entrance { channel, who, lease } = entrance;
        let (now_ms, number) = (clock::age_ms(), lease.number);
        let (due, count) = {
            let mut shard = self.shard(channel).lock();
            let attended =
                shard.channels.entry_ref(channel).or_insert_with(|| Attended::new(channel.presence_log()));
            let before = attended.members.leases();
            let appended = self.admit(attended, who, lease, now_ms).and_then(|change| {
                attended.try_append(broker, &change, now_ms, self.most).map_err(|error| {
                    attended.members.end(who.id(), number);
                    EnterError::Log(error)
                })
            });
            self.book(before, attended.members.leases());
            let count = attended.members.len() as u64;
            self.settle(&mut shard, channel);
            (appended?, count)
        };
        if let Some(due) = due {
            broker.tell(due);
        }
        Ok(count)
    }

    pub(super) fn state(&self, broker: &dyn Broker, channel: &ChannelName) -> PresenceState {
        let shard = self.shard(channel).lock();
        let channel = channel.clone();
        let Some(attended) = shard.channels.get(&channel) else {
            let cursor = broker.position(&channel.presence_log());
            return PresenceState { channel, cursor, count: 0, members: Some(Bytes::from_static(b"[]")) };
        };
        PresenceState {
            cursor: broker.position(&attended.log),
            count: attended.members.len() as u64,
            members: (!attended.telling.is_counted()).then(|| attended.list()),
            channel,
        }
    }

    pub(super) fn count(&self, channel: &ChannelName) -> u64 {
        let shard = self.shard(channel).lock();
        shard.channels.get(channel).map_or(0, |attended| attended.members.len() as u64)
    }

    /// Ends the leases whose time has come, and tells the numbers that are owed.
    pub(super) fn sweep(&self, broker: &dyn Broker, now_ms: u64) {
        if self.due_ms.load(Ordering::Relaxed) > now_ms {
            return;
        }
        // What comes due while this looks around must not be overlooked.
        self.due_ms.store(u64::MAX, Ordering::SeqCst);
        for shard in &self.shards {
            let dues = self.sweep_shard(broker, &mut shard.lock(), now_ms);
            dues.into_iter().for_each(|due| broker.tell(due));
        }
    }

    fn sweep_shard(&self, broker: &dyn Broker, shard: &mut Shard, now_ms: u64) -> Vec<Due> {
        let Some(due_ms) = shard.due_ms else { return Vec::new() };
        if due_ms > now_ms {
            self.due_ms.fetch_min(due_ms, Ordering::SeqCst);
            return Vec::new();
        }
        shard.due_ms = None;
        let (mut dues, mut next_ms) = (Vec::new(), u64::MAX);
        shard.channels.retain(|_, attended| {
            let before = attended.members.leases();
            dues.extend(attended.sweep(broker, now_ms, self.most));
            self.book(before, attended.members.leases());
            next_ms = next_ms.min(attended.due_ms(self.most));
            !attended.is_over()
        });
        self.look_by(shard, next_ms);
        dues
    }

    /// Lets go of a channel that nobody is in, and sees to it that a sweep comes when there is something to do.
    fn settle(&self, shard: &mut Shard, channel: &ChannelName) {
        let Some(attended) = shard.channels.get(channel) else { return };
        if attended.is_over() {
            shard.channels.remove(channel);
            return;
        }
        let due_ms = attended.due_ms(self.most);
        self.look_by(shard, due_ms);
    }

    fn look_by(&self, shard: &mut Shard, due_ms: u64) {
        if due_ms == u64::MAX {
            return;
        }
        if due_ms < shard.due_ms.unwrap_or(u64::MAX) {
            shard.due_ms = Some(due_ms);
        }
        self.due_ms.fetch_min(due_ms, Ordering::SeqCst);
    }

    fn book(&self, before: usize, after: usize) {
        self.leases.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    pub(super) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// How many leases more there would be, 0 or 1, if a member entered by `lease` now, where `coming` others are about to.
    pub(super) fn ask_room(
        &self,
        (channel, member): (&ChannelName, &MemberId),
        lease: &MemberLease,
        coming: usize,
    ) -> Result<usize, EnterError> {
        let shard = self.shard(channel).lock();
        let member = shard.channels.get(channel).and_then(|attended| attended.members.get(member));
        self.check_room(member, lease, coming)
    }

    /// Whoever renews needs no room, so those who are in stay in when the node is full.
    fn check_room(
        &self,
        member: Option<&Member>,
        lease: &MemberLease,
        coming: usize,
    ) -> Result<usize, EnterError> {
        if member.is_some_and(|member| member.renews(lease)) {
            return Ok(0);
        }
        let (leases_max, own_max) = (self.leases_max, self.member_leases_max);
        if self.leases.load(Ordering::Relaxed).saturating_add(coming) >= leases_max {
            return Err(EnterError::LeasesFull { leases_max });
        }
        if member.map_or(0, Member::lease_count) >= own_max {
            return Err(EnterError::MemberLeasesFull { leases_max: own_max });
        }
        Ok(1)
    }

    /// Lets a member in, if there is room for its lease.
    fn admit(
        &self,
        attended: &mut Attended,
        who: &Who,
        lease: MemberLease,
        now_ms: u64,
    ) -> Result<Change, EnterError> {
        self.check_room(attended.members.get(who.id()), &lease, 0)?;
        let until_ms = lease.until_ms;
        let leases_max = self.member_leases_max;
        // Since when somebody is there is read by people.
        let entered = attended.members.enter(who, lease, clock::shown_ms(now_ms), leases_max);
        let change = entered.map_err(|_| EnterError::MemberLeasesFull { leases_max })?;
        attended.expect_until(until_ms);
        Ok(change)
    }
}
