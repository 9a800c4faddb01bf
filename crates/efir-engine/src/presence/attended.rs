//! One channel that has members, and what its log is told of them. Its table is [`super::table`].

use std::sync::OnceLock;

use bytes::Bytes;
use efir_core::{
    ChannelName, Payload,
    presence::{Change, Members, Tell, TellMost, Telling},
    wire,
};

use crate::{
    broker::{Broker, MemberChange, PublishError},
    channel::Due,
};

/// A channel that somebody is in.
#[derive(Debug)]
pub(super) struct Attended {
    pub(super) log: ChannelName,
    pub(super) members: Members,
    pub(super) telling: Telling,
    /// All members as JSON, made when somebody asks and forgotten with the next change.
    list: OnceLock<Bytes>,
    /// Before this time (ms since 1970 UTC) no lease ends by itself; `u64::MAX`: none does.
    expiry_ms: u64,
}

impl Attended {
    pub(super) fn new(log: ChannelName) -> Self {
        let (members, telling) = (Members::default(), Telling::default());
        Self { log, members, telling, list: OnceLock::new(), expiry_ms: u64::MAX }
    }

    /// Whether there is nobody and nothing left to tell.
    pub(super) fn is_over(&self) -> bool {
        self.members.is_empty() && !self.telling.is_counted()
    }

    pub(super) fn list(&self) -> Bytes {
        self.list.get_or_init(|| wire::presence::list(&self.members)).clone()
    }

    pub(super) fn expect_until(&mut self, until_ms: Option<u64>) {
        self.expiry_ms = self.expiry_ms.min(until_ms.unwrap_or(u64::MAX));
    }

    /// When a sweep finds something here; `u64::MAX`: never.
    pub(super) fn due_ms(&self, most: TellMost) -> u64 {
        self.expiry_ms.min(self.telling.due_ms(most).unwrap_or(u64::MAX))
    }

    /// Ends the leases whose time has come, and tells what is owed.
    pub(super) fn sweep(&mut self, broker: &dyn Broker, now_ms: u64, most: TellMost) -> Vec<Due> {
        let (changes, mut dues) = (self.expire(now_ms), Vec::new());
        if self.telling.is_counted() {
            self.forget_list(&changes);
            changes.iter().for_each(|change| self.telling.owe(change));
        } else {
            dues.extend(changes.iter().filter_map(|change| self.append(broker, change, now_ms, most)));
        }
        let tell = self.telling.catch_up(&self.members, now_ms, most);
        dues.extend(self.say(broker, (tell, &Change::Nothing), now_ms, false).ok().flatten());
        dues
    }

    fn expire(&mut self, now_ms: u64) -> Vec<Change> {
        if self.expiry_ms > now_ms {
            return Vec::new();
        }
        let changes = self.members.expire(now_ms);
        self.expiry_ms = self.members.next_expiry_ms().unwrap_or(u64::MAX);
        changes
    }

    /// Appends what is to be told of a change to the log. It cannot be refused, but for an epoch without offsets.
    pub(super) fn append(
        &mut self,
        broker: &dyn Broker,
        change: &Change,
        now_ms: u64,
        most: TellMost,
    ) -> Option<Due> {
        let tell = self.hear(change, now_ms, most);
        self.say(broker, (tell, change), now_ms, false).ok().flatten()
    }

    /// As [`Attended::append`]; refused where the node has no room for the log.
    pub(super) fn try_append(
        &mut self,
        broker: &dyn Broker,
        change: &Change,
        now_ms: u64,
        most: TellMost,
    ) -> Result<Option<Due>, PublishError> {
        let tell = self.hear(change, now_ms, most);
        let is_first = matches!(change, Change::Entered(_)) && self.members.len() == 1;
        self.say(broker, (tell, change), now_ms, is_first)
    }

    fn hear(&mut self, change: &Change, now_ms: u64, most: TellMost) -> Tell {
        self.forget_list(std::slice::from_ref(change));
        self.telling.hear(change, &self.members, now_ms, most)
    }

    fn forget_list(&mut self, changes: &[Change]) {
        if changes.iter().any(|change| *change != Change::Nothing) {
            self.list = OnceLock::new();
        }
    }

    fn say(
        &self,
        broker: &dyn Broker,
        (tell, change): (Tell, &Change),
        now_ms: u64,
        is_refusable: bool,
    ) -> Result<Option<Due>, PublishError> {
        let payload: Option<Payload> = match tell {
            Tell::Nothing => None,
            Tell::Change => wire::presence::change(change, &self.members),
            Tell::Count => Some(wire::presence::count(&self.members)),
            Tell::State => Some(wire::presence::state(&self.members, &self.list())),
        };
        let Some(payload) = payload else { return Ok(None) };
        let change = MemberChange { log: &self.log, payload: &payload, is_refusable };
        let appended = broker.append_change(&change, now_ms);
        if let Err(error) = &appended {
            tracing::debug!(event = "member_change_untold", %error, log = %self.log, "a change of members is not told");
        }
        appended.map(Some)
    }
}
