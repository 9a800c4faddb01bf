//! Who is in the node's channels: the members of each channel that has any, the leases that hold them there, and the changes that
//! go into the channel's log of members, `{channel}/presence`. The rules are those of [`efir_core::presence`]; a channel without
//! members is not known here at all.
//!
//! Members and their log change together under one lock, so that a state is exact at its cursor. Nobody is told under it.

mod attended;
mod table;

use efir_core::{
    ChannelName, Code, MemberId, PresenceState, Problem, Who,
    presence::{Change, MemberLease},
};

use self::table::Entrance;
pub(crate) use self::table::Presence;
use crate::{broker::PublishError, clock, hub::Hub};

/// When to come back where there is no room for a lease.
const FULL_RETRY_MS: u64 = 5_000;

/// By what a member is in a channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Via<'a> {
    /// Its tab or process, where it says so.
    pub client: Option<&'a str>,
    /// By what it reads, as others are told.
    pub transport: Option<&'static str>,
}

/// Why somebody could not enter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnterError {
    /// All members of the node together hold as many leases as they may.
    #[error("members hold {leases_max} leases, which is the node's limit")]
    LeasesFull {
        /// The limit in force.
        leases_max: usize,
    },
    /// The member holds as many leases in this channel as it may.
    #[error("the member holds {leases_max} leases in this channel, which is its limit")]
    MemberLeasesFull {
        /// The limit in force.
        leases_max: usize,
    },
    /// There is no room for the log that would tell it.
    #[error("{0}")]
    Log(PublishError),
}

impl EnterError {
    /// The refusal as a client sees it.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(Code::PresenceFull, self.to_string()).with_retry_after_ms(FULL_RETRY_MS);
        match self {
            Self::LeasesFull { leases_max } => problem.with_limit("presence_leases_max", *leases_max as u64),
            Self::MemberLeasesFull { leases_max } => {
                problem.with_limit("presence_member_leases_max", *leases_max as u64)
            }
            Self::Log(error) => error.problem(),
        }
    }
}

/// Keeps a member in a channel until it is dropped.
#[derive(Debug)]
pub struct Lease {
    hub: Hub,
    channel: ChannelName,
    member: MemberId,
    number: u64,
    /// How long it lasts beyond its drop.
    linger_ms: u64,
}

impl Hub {
    /// A member enters a channel and stays until the lease is dropped.
    ///
    /// # Errors
    /// Nobody entered then.
    pub fn enter(&self, channel: &ChannelName, who: &Who, via: Via<'_>) -> Result<Lease, EnterError> {
        self.enter_counted(channel, who, via).map(|(lease, _)| lease)
    }

    /// As [`Hub::enter`]; gives how many members there are then, too.
    ///
    /// # Errors
    /// Nobody entered then.
    pub fn enter_counted(
        &self,
        channel: &ChannelName,
        who: &Who,
        via: Via<'_>,
    ) -> Result<(Lease, u64), EnterError> {
        let number = self.presence().number();
        let lease = via.lease(number, None);
        let count = self.presence().enter(self.broker(), Entrance { channel, who, lease })?;
        let (hub, channel, member) = (self.clone(), channel.clone(), who.id().clone());
        Ok((Lease { hub, channel, member, number, linger_ms: 0 }, count))
    }

    /// Whether a member could enter all of these channels now. Who asks before it enters the first of several is not refused in
    /// the middle, where the others would see it come and go.
    ///
    /// # Errors
    /// There is no room for its leases. Whether there is for the logs only entering tells.
    pub fn check_entering(
        &self,
        channels: &[ChannelName],
        member: &MemberId,
        via: Via<'_>,
    ) -> Result<(), EnterError> {
        // No lease has this number: the next ones are new.
        let (lease, mut coming) = (via.lease(0, None), 0);
        for channel in channels {
            coming += self.presence().ask_room((channel, member), &lease, coming)?;
        }
        Ok(())
    }

    /// A member enters a channel for a time, or renews that; gives how many members there are then.
    ///
    /// # Errors
    /// Nobody entered then.
    pub fn enter_for(
        &self,
        channel: &ChannelName,
        who: &Who,
        via: Via<'_>,
        ms: u64,
    ) -> Result<u64, EnterError> {
        let until_ms = clock::age_ms().saturating_add(ms);
        let lease = via.lease(self.presence().number(), Some(until_ms));
        self.presence().enter(self.broker(), Entrance { channel, who, lease })
    }

    /// Ends all leases of a member's client in a channel (`None`: those that name no client); gives how many members are left.
    pub fn leave(&self, channel: &ChannelName, member: &MemberId, client: Option<&str>) -> u64 {
        self.presence().change(self.broker(), channel, |attended| attended.members.leave(member, client))
    }

    /// Who is in a channel, exact at its cursor in the log of members.
    pub fn members(&self, channel: &ChannelName) -> PresenceState {
        self.presence().state(self.broker(), channel)
    }

    /// How many members are in a channel.
    pub fn member_count(&self, channel: &ChannelName) -> u64 {
        self.presence().count(channel)
    }

    pub(crate) fn sweep_members(&self) {
        self.presence().sweep(self.broker(), clock::age_ms());
    }
}

impl Via<'_> {
    fn lease(self, number: u64, until_ms: Option<u64>) -> MemberLease {
        MemberLease { number, client: self.client.map(Box::from), transport: self.transport, until_ms }
    }
}

impl Lease {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The member.
    pub fn member(&self) -> &MemberId {
        &self.member
    }

    /// How long the member stays when this is dropped, unless it comes back by another lease.
    pub fn set_linger_ms(&mut self, ms: u64) {
        self.linger_ms = ms;
    }

    /// The member says who it is now, and by what it is here; it enters anew where somebody else ended the lease
    /// ([`Hub::leave`]). Gives how many members there are then.
    ///
    /// # Errors
    /// The lease was ended and there is no room for it any more.
    pub fn update(&self, who: &Who, via: Via<'_>) -> Result<u64, EnterError> {
        let lease = via.lease(self.number, None);
        self.hub.presence().enter(self.hub.broker(), Entrance { channel: &self.channel, who, lease })
    }

    /// Drops it; gives how many members there are then.
    pub fn end(mut self) -> u64 {
        self.finish()
    }

    fn finish(&mut self) -> u64 {
        let until_ms = clock::age_ms().saturating_add(self.linger_ms);
        let Self { hub, channel, member, number, linger_ms } = self;
        hub.presence().change(hub.broker(), channel, |attended| {
            if *linger_ms == 0 {
                return attended.members.end(member, *number);
            }
            attended.members.end_at(member, *number, until_ms);
            attended.expect_until(Some(until_ms));
            Change::Nothing
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests;
