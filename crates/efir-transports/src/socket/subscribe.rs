//! `subscribe` and `unsubscribe`.

use efir_core::{Code, Problem, Reply, Start};
use serde::Deserialize;
use std::borrow::Cow;

use super::{
    Desk,
    command::{self, Place},
};
use crate::place::readable_name;

/// The reply goes out before any message of the channel, because messages are read only after the command.
pub(super) fn subscribe(desk: &mut Desk<'_>, fields: &str) -> Result<(), Problem> {
    let place: Place<'_> = command::fields(fields)?;
    let channel = place.channel()?;
    let mut start = place.start(&channel)?.unwrap_or(Start::Now);
    if place.limit()?.is_some() {
        let detail = "`subscribe` has no `limit`: everything after its cursor comes; `last` says how much of what there is";
        return Err(command::invalid(detail).with_channel(channel));
    }
    if desk.reader.cursor(&channel).is_some() {
        let detail = format!("this socket is subscribed to {channel:?}; unsubscribe first");
        return Err(Problem::new(Code::AlreadySubscribed, detail).with_channel(channel));
    }
    if let Some(visitor) = desk.visitor() {
        visitor.judge_read(desk.reader.hub(), (&channel, &mut start), false)?;
    }
    let channels_max = desk.reader.hub().limits().socket_channels_max;
    if desk.reader.len() >= channels_max {
        let detail = format!("this socket is subscribed to {channels_max} channels, which is the limit");
        let problem = Problem::new(Code::TooManyChannels, detail)
            .with_limit("socket_channels_max", channels_max as u64);
        return Err(problem.with_channel(channel));
    }
    let members_of = if start == Start::Now { channel.members_of() } else { None };
    let state = members_of.map(|channel| desk.reader.hub().members(&channel));
    let start = state.as_ref().map_or(start, |state| Start::After(state.cursor.into()));
    let cursor = desk.reader.join(channel.clone(), start);
    desk.reply(Reply::Subscribed { channel: &channel, cursor: &cursor, presence: state.as_ref() });
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
}

pub(super) fn unsubscribe(desk: &mut Desk<'_>, fields: &str) -> Result<(), Problem> {
    let named: Named<'_> = command::fields(fields)?;
    let channel = readable_name(named.channel.as_bytes())?;
    if !desk.reader.leave(&channel) {
        let detail = format!("this socket is not subscribed to {channel:?}");
        return Err(Problem::new(Code::NotSubscribed, detail).with_channel(channel));
    }
    desk.reply(Reply::Unsubscribed { channel: &channel });
    Ok(())
}
