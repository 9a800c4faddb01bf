//! `enter` and `leave`: who is on the other end of the socket, for presence (docs/protocol.md §9.3).

use std::borrow::Cow;

use efir_access::Action;
use efir_core::{ChannelName, Problem, Reply, Who};
use efir_engine::{EnterError, Hub, Lease, Via};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Desk, command};
use crate::{place::channel_name, request::entering};

/// Who is on the other end, and where it is by this socket.
#[derive(Debug, Default)]
pub(super) struct Entered {
    /// `client=` of the socket.
    client: Option<Box<str>>,
    leases: Vec<Lease>,
}

impl Entered {
    pub(super) fn new(client: Option<Box<str>>) -> Self {
        Self { client, leases: Vec::new() }
    }

    /// The server ends the socket; whoever is sent away comes back after a while.
    pub(super) fn set_linger_ms(&mut self, ms: u64) {
        self.leases.iter_mut().for_each(|lease| lease.set_linger_ms(ms));
    }

    /// Leaves where this says no.
    pub(super) fn retain(&mut self, mut may_stay: impl FnMut(&ChannelName) -> bool) {
        self.leases.retain(|lease| may_stay(lease.channel()));
    }

    /// Enters, or says anew who is in; also somebody else may have ended the lease since. Gives how many members there are then.
    fn enter(&mut self, hub: &Hub, channel: &ChannelName, who: &Who) -> Result<u64, Problem> {
        let via = Via { client: self.client.as_deref(), transport: Some("websocket") };
        let refuse = |error: EnterError| error.problem();
        match self.leases.iter_mut().find(|lease| lease.channel() == channel) {
            Some(lease) if lease.member() == who.id() => lease.update(who, via).map_err(refuse),
            Some(lease) => {
                let other = hub.enter(channel, who, via).map_err(refuse)?;
                Ok(std::mem::replace(lease, other).end())
            }
            None => {
                entering::check_enters(self.leases.len() + 1, hub.limits())?;
                let (lease, count) = hub.enter_counted(channel, who, via).map_err(refuse)?;
                self.leases.push(lease);
                Ok(count)
            }
        }
    }

    /// Leaves; `None` where it was not entered by this socket.
    fn leave(&mut self, channel: &ChannelName) -> Option<u64> {
        let place = self.leases.iter().position(|lease| lease.channel() == channel)?;
        Some(self.leases.swap_remove(place).end())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entrance<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    member: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "entering::present")]
    data: Option<Box<RawValue>>,
}

pub(super) fn enter(desk: &mut Desk<'_>, fields: &str) -> Result<(), Problem> {
    let entrance: Entrance<'_> = command::fields(fields)?;
    let channel = channel_name(entrance.channel.as_bytes())?;
    if let Some(visitor) = desk.visitor() {
        visitor.judge(Action::Presence, &channel)?;
    }
    let hub = desk.reader.hub().clone();
    let data = entrance.data.as_ref().map(|data| data.get());
    let who = entering::say(&entrance.member, entrance.name.as_deref(), data, hub.limits());
    let who = who.map_err(|error| error.problem().with_channel(channel.clone()))?;
    let entered = desk.entered.get_or_insert_default();
    let count =
        entered.enter(&hub, &channel, &who).map_err(|problem| problem.with_channel(channel.clone()))?;
    desk.reply(Reply::Present { channel: &channel, count });
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
}

pub(super) fn leave(desk: &mut Desk<'_>, fields: &str) -> Result<(), Problem> {
    let named: Named<'_> = command::fields(fields)?;
    let channel = channel_name(named.channel.as_bytes())?;
    let left = desk.entered.as_mut().and_then(|entered| entered.leave(&channel));
    let count = left.unwrap_or_else(|| desk.reader.hub().member_count(&channel));
    desk.reply(Reply::Present { channel: &channel, count });
    Ok(())
}
