//! `history`: a poll within the socket.

use efir_access::Action;
use efir_core::{Batch, Problem, Reply, Start};

use super::{
    Desk,
    command::{self, Place},
};
use crate::short_poll;

pub(super) fn history(desk: &mut Desk<'_>, fields: &str) -> Result<(), Problem> {
    let place: Place<'_> = command::fields(fields)?;
    let channel = place.channel()?;
    let start = place.start(&channel)?.unwrap_or(Start::Now);
    if let Some(visitor) = desk.visitor() {
        visitor.judge(Action::History, &channel)?;
    }
    let found = short_poll::read_one(desk.reader.hub(), &channel, &start, place.limit()?);
    desk.reply(Reply::History(&Batch {
        channel: Some(&channel),
        gaps: &found.gaps,
        problems: &[],
        presence: &found.presence,
        messages: &found.messages,
        cursor: &found.cursor,
        more: found.more,
    }));
    Ok(())
}
