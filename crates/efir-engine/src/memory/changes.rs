//! The logs of members in memory: as every other log, but kept for less long, and never full for somebody who leaves.

use efir_core::{Append, ChannelName};

use super::{Footprint, Memory};
use crate::{
    broker::{MemberChange, PublishError},
    channel::State,
};

impl Memory {
    /// How old the messages of a channel may become.
    pub(super) fn age_ms_max(&self, name: &ChannelName) -> u64 {
        let is_presence_log = name.is_presence_log();
        if is_presence_log { self.presence_retention.age_ms_max } else { self.retention.age_ms_max }
    }

    pub(super) fn append_member_change(
        &self,
        state: &mut State,
        change: &MemberChange<'_>,
        now_ms: u64,
    ) -> Result<(), PublishError> {
        let log = &mut state.log;
        self.expire_older(log, now_ms, self.presence_retention.age_ms_max);
        let before = Footprint::of(log);
        self.check_room_of_change(before.is_empty, change)?;
        let MemberChange { log: channel, payload, .. } = *change;
        let append = Append { channel, time_ms: now_ms, from: None, payload, key: None };
        let appended = log.append(&append, &self.presence_retention).map_err(|error| self.refuse(error));
        self.book(before, Footprint::of(log));
        appended.map(drop)
    }

    /// Whether the node has room for a change; who leaves needs none.
    pub(super) fn check_room_of_change(
        &self,
        is_first: bool,
        change: &MemberChange<'_>,
    ) -> Result<(), PublishError> {
        if change.is_refusable { self.check_room(is_first, None) } else { Ok(()) }
    }
}
