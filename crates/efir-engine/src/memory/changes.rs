//! The logs of members in memory: as every other log, but kept for less long, and never full for somebody who leaves.

use efir_core::Append;

use super::Memory;
use crate::{
    broker::{MemberChange, PublishError},
    channel::{Channel, State},
    clock,
};

impl Memory {
    pub(super) fn append_member_change(
        &self,
        channel: &Channel,
        state: &mut State,
        change: &MemberChange<'_>,
        now_ms: u64,
    ) -> Result<(), PublishError> {
        let log = &mut state.log;
        let own = self.own_retention(channel, log, now_ms);
        let retention = own.as_ref().unwrap_or(&self.presence_retention);
        self.expire_older(log, now_ms, retention.age_ms_max);
        self.check_room_of_change(log.is_empty(), change)?;
        let MemberChange { log: channel, payload, .. } = *change;
        let append = Append { channel, time_ms: now_ms, from: None, payload, key: None };
        let shown_ms = clock::shown_ms(now_ms);
        let appended = self.change_log(log, |log| log.append_shown(&append, shown_ms, retention));
        appended.map(drop).map_err(|error| self.refuse(error))
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
