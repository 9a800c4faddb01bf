//! `enter` and `leave`: who is on the other end of the socket, for presence (docs/protocol.md §9.3).

use std::borrow::Cow;

use efir_core::{Problem, Reply};
use efir_engine::{Lease, Via};
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
    let hub = desk.reader.hub().clone();
    let data = entrance.data.as_ref().map(|data| data.get());
    let who = entering::say(&entrance.member, entrance.name.as_deref(), data, hub.limits());
    let who = who.map_err(|error| error.problem().with_channel(channel.clone()))?;
    let entered = desk.entered.get_or_insert_default();
    let known = entered.leases.iter().position(|lease| *lease.channel() == channel);
    match known.and_then(|at| entered.leases.get_mut(at)) {
        Some(lease) if lease.member() == who.id() => lease.update(&who),
        Some(lease) => *lease = begin(&hub, &channel, &who, entered.client.as_deref())?,
        None => {
            entering::check_enters(entered.leases.len() + 1, hub.limits())
                .map_err(|problem| problem.with_channel(channel.clone()))?;
            let lease = begin(&hub, &channel, &who, entered.client.as_deref())?;
            entered.leases.push(lease);
        }
    }
    desk.reply(Reply::Present { channel: &channel, count: hub.member_count(&channel) });
    Ok(())
}

fn begin(
    hub: &efir_engine::Hub,
    channel: &efir_core::ChannelName,
    who: &efir_core::Who,
    client: Option<&str>,
) -> Result<Lease, Problem> {
    let via = Via { client, transport: Some("websocket") };
    hub.enter(channel, who, via).map_err(|error| error.problem().with_channel(channel.clone()))
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
    if let Some(entered) = desk.entered {
        entered.leases.retain(|lease| *lease.channel() != channel);
    }
    let count = desk.reader.hub().member_count(&channel);
    desk.reply(Reply::Present { channel: &channel, count });
    Ok(())
}
