//! Who is in a channel (docs/protocol.md §9): members, held there by leases, and what a change of theirs means to others. Pure:
//! time comes in as an argument, and who keeps the leases is the engine's affair. What is told when is in [`telling`], who a
//! member says it is in [`who`]; the bytes are in [`crate::wire::presence`].

mod telling;
mod who;

use std::collections::{BTreeMap, btree_map::Entry};

use bytes::Bytes;
use smallvec::SmallVec;
use thiserror::Error;

pub use telling::{Tell, TellMost, Telling};
pub use who::{MEMBER_ID_BYTES_MAX, MemberId, Who, WhoError};

use crate::channel::ChannelName;
use crate::position::Position;

/// What keeps a member in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLease {
    /// Its number, given once.
    pub number: u64,
    /// The tab or process of the member, where it says so.
    pub client: Option<Box<str>>,
    /// By what the member reads, where that is known.
    pub transport: Option<&'static str>,
    /// When it ends, in ms since 1970 UTC; `None`: when somebody ends it.
    pub until_ms: Option<u64>,
}

/// One member of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Empty: it has none.
    pub name: Box<str>,
    /// JSON on one line; empty: it has none.
    pub data: Bytes,
    /// When it came, in ms since 1970 UTC.
    pub since_ms: u64,
    /// At least one. How many there may be is bounded by [`Members::enter`].
    leases: SmallVec<[MemberLease; 1]>,
}

/// What others see of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// A member came.
    Entered(MemberId),
    /// Its name, data or transports are others now.
    Updated(MemberId),
    /// It is gone.
    Left(MemberId),
}

/// A member holds as many leases as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the member holds as many leases as it may")]
pub struct LeasesUsedUp;

/// The members of one channel, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    members: BTreeMap<MemberId, Member>,
    /// Of all members.
    leases: usize,
}

/// Who is in a channel at a position of its log, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceState {
    /// The channel that they are in.
    pub channel: ChannelName,
    /// What comes after it in the log is not in here.
    pub cursor: Position,
    /// How many they are.
    pub count: u64,
    /// The members as a JSON list; `None` where only their number is told.
    pub members: Option<Bytes>,
}

/// The names of transports, sorted.
type Transports = SmallVec<[&'static str; 5]>;

impl Member {
    /// By which transports it is here, in alphabetical order.
    #[must_use]
    pub fn transports(&self) -> Transports {
        let mut transports: Transports = self.leases.iter().filter_map(|lease| lease.transport).collect();
        transports.sort_unstable();
        transports.dedup();
        transports
    }

    /// Whether a lease would take the place of one that the member holds.
    #[must_use]
    pub fn renews(&self, lease: &MemberLease) -> bool {
        self.leases.iter().any(|known| known.is_renewed_by(lease))
    }

    /// How many leases it holds.
    #[must_use]
    pub fn lease_count(&self) -> usize {
        self.leases.len()
    }

    /// Takes what `who` says; true if that changes anything.
    fn take(&mut self, who: &Who) -> bool {
        let mut is_changed = false;
        if let Some(name) = who.name()
            && *self.name != *name
        {
            self.name = name.into();
            is_changed = true;
        }
        if let Some(data) = who.data()
            && self.data != *data
        {
            self.data = data.clone();
            is_changed = true;
        }
        is_changed
    }

    /// Adds a lease or renews the one that stands in its place; true if the member is here by another transport now.
    fn hold(&mut self, lease: MemberLease, leases_max: usize) -> Result<bool, LeasesUsedUp> {
        let (before, count) = (self.transports(), self.leases.len());
        // Numbers stay single: the lease itself goes before one that it could replace.
        let own = self.leases.iter().position(|known| known.number == lease.number);
        let place = own.or_else(|| self.leases.iter().position(|known| known.is_renewed_by(&lease)));
        match place.and_then(|place| self.leases.get_mut(place)) {
            Some(known) => *known = lease,
            None if count >= leases_max => return Err(LeasesUsedUp),
            None => self.leases.push(lease),
        }
        Ok(self.transports() != before)
    }
}

impl MemberLease {
    /// The same lease; or this one is until a time, and the later one for the same tab and transport. Nobody ends this one before
    /// its time, so whoever comes back needs no second place.
    fn is_renewed_by(&self, later: &Self) -> bool {
        let is_same_tab = self.client == later.client && self.transport == later.transport;
        self.number == later.number || self.until_ms.is_some() && is_same_tab
    }
}

impl Members {
    /// A member enters by a lease, or renews it, and says who it is. A lease with a known number is that lease; any takes
    /// the place of one until a time of the same client and transport.
    ///
    /// # Errors
    /// Nothing changed.
    pub fn enter(
        &mut self,
        who: &Who,
        lease: MemberLease,
        now_ms: u64,
        leases_max: usize,
    ) -> Result<Change, LeasesUsedUp> {
        if leases_max == 0 {
            return Err(LeasesUsedUp);
        }
        match self.members.entry(who.id().clone()) {
            Entry::Vacant(place) => {
                let leases = SmallVec::from_iter([lease]);
                let mut member =
                    Member { name: Box::default(), data: Bytes::new(), since_ms: now_ms, leases };
                member.take(who);
                place.insert(member);
                self.leases += 1;
                Ok(Change::Entered(who.id().clone()))
            }
            Entry::Occupied(mut place) => {
                let member = place.get_mut();
                let before = member.leases.len();
                let has_moved = member.hold(lease, leases_max)?;
                self.leases += member.leases.len() - before;
                let is_changed = member.take(who) | has_moved;
                Ok(if is_changed { Change::Updated(who.id().clone()) } else { Change::Nothing })
            }
        }
    }

    /// A lease ends.
    pub fn end(&mut self, id: &MemberId, number: u64) -> Change {
        self.retain(id, |lease| lease.number != number)
    }

    /// A lease that somebody would have ended now ends by itself at a time. Nothing where it is gone already.
    pub fn end_at(&mut self, id: &MemberId, number: u64, until_ms: u64) {
        let Some(member) = self.members.get_mut(id) else { return };
        let Some(at) = member.leases.iter().position(|lease| lease.number == number) else { return };
        let mut lease = member.leases.remove(at);
        lease.until_ms = Some(until_ms);
        match member.leases.iter_mut().find(|known| known.is_renewed_by(&lease)) {
            Some(known) => {
                known.until_ms = known.until_ms.max(lease.until_ms);
                self.leases -= 1;
            }
            None => member.leases.push(lease),
        }
    }

    /// All leases of a member's client end (`None`: those that name no client).
    pub fn leave(&mut self, id: &MemberId, client: Option<&str>) -> Change {
        self.retain(id, |lease| lease.client.as_deref() != client)
    }

    /// The leases whose time has come end; gives what that means, member by member.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Change> {
        let is_over = |lease: &MemberLease| lease.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        let due = self.members.iter().filter(|(_, member)| member.leases.iter().any(is_over));
        let due: Vec<MemberId> = due.map(|(id, _)| id.clone()).collect();
        let changes = due.iter().map(|id| self.retain(id, |lease| !is_over(lease)));
        changes.filter(|change| *change != Change::Nothing).collect()
    }

    /// When [`Members::expire`] will next find something, in ms since 1970 UTC.
    #[must_use]
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.members.values().flat_map(|member| &member.leases).filter_map(|lease| lease.until_ms).min()
    }

    /// Keeps the leases for which `keep` says so; whoever has none left is gone.
    fn retain(&mut self, id: &MemberId, keep: impl Fn(&MemberLease) -> bool) -> Change {
        let Some(member) = self.members.get_mut(id) else { return Change::Nothing };
        let (leases, transports) = (member.leases.len(), member.transports());
        member.leases.retain(|lease| keep(lease));
        self.leases -= leases - member.leases.len();
        if member.leases.is_empty() {
            self.members.remove(id);
            return Change::Left(id.clone());
        }
        if member.transports() == transports { Change::Nothing } else { Change::Updated(id.clone()) }
    }

    /// A member that is here.
    #[must_use]
    pub fn get(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.members.iter()
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many leases they hold together.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases
    }
}

#[cfg(test)]
mod tests;
