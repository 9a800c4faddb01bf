//! Who is in a channel (docs/protocol.md §9), as this client sees it: the state, the changes, and a list that follows both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Data, Event, MessageView};

/// One member of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Member {
    /// The id that it chose.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its data, if it has any.
    pub data: Option<Value>,
    /// By which transports it is here, in alphabetical order.
    pub transports: Vec<String>,
    /// When it came, ms since 1970 UTC.
    pub since: u64,
}

/// Who is in a channel, exact at its cursor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PresenceState {
    /// The channel that they are in.
    pub channel: String,
    /// The changes after it are not in here.
    pub cursor: String,
    /// How many they are.
    pub count: u64,
    /// The members; `None` where they are so many that only their number is told.
    pub members: Option<Vec<Member>>,
}

/// What a message of the log of members says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// A member came.
    Enter(Member),
    /// A member changed; it is this now.
    Update(Member),
    /// A member is gone.
    Leave {
        /// Its id.
        id: String,
    },
    /// There are so many; who they are is not told any more.
    Count(u64),
    /// All of them are told again.
    State {
        /// How many they are.
        count: u64,
        /// The members.
        members: Vec<Member>,
    },
}

/// What the server answers to who enters or leaves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Attendance {
    /// The channel.
    pub channel: String,
    /// How many members are in it now.
    pub count: u64,
    /// How long the lease lasts, where it is one for a time.
    pub lease_ms: Option<u64>,
}

/// Who is entering: an id, and what it says of itself. What it does not say stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// `[A-Za-z0-9._~-]`, 1 to 64 bytes.
    pub id: String,
    /// An empty one removes it.
    pub name: Option<String>,
    /// JSON; `null` removes it.
    pub data: Option<Value>,
    /// The tab or process: each has leases of its own.
    pub client: Option<String>,
}

/// The members of one channel, kept by its state and what comes after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Where the list stands; empty before the first state.
    cursor: String,
    members: BTreeMap<String, Member>,
    count: u64,
    is_listed: bool,
}

impl Who {
    /// Somebody who says nothing but its id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Says a name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says data.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Says by which tab or process.
    #[must_use]
    pub fn client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// Its words in a query.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.lease_query();
        query.extend(self.name.iter().map(|name| ("name", name.clone())));
        query.extend(self.data.iter().map(|data| ("data", data.to_string())));
        query
    }

    /// What tells one lease from another.
    pub(crate) fn lease_query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("member", self.id.clone())];
        query.extend(self.client.iter().map(|client| ("client", client.clone())));
        query
    }

    /// The body of a `PUT`.
    pub(crate) fn body(&self) -> String {
        let mut body = serde_json::Map::new();
        body.extend(self.name.iter().map(|name| ("name".to_owned(), Value::from(name.clone()))));
        body.extend(self.data.iter().map(|data| ("data".to_owned(), data.clone())));
        Value::Object(body).to_string()
    }
}

impl MessageView {
    /// What a message of a log of members says; `None` for any other message.
    #[must_use]
    pub fn member_change(&self) -> Option<MemberChange> {
        match &self.data {
            Data::Json(json) if self.channel.ends_with("/presence") => serde_json::from_slice(json).ok(),
            _ => None,
        }
    }
}

impl Members {
    /// Takes the state, or a change of the log; everything else is not for it. False for a change that cannot be taken, because
    /// the one before it is missing: then the state has to be read again.
    pub fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Presence(state) => self.take_state(state),
            Event::Message(message) => match message.member_change() {
                Some(change) => return self.take_change(message, change),
                None => return true,
            },
            Event::Gap(gap) if gap.channel.ends_with("/presence") => return false,
            _ => {}
        }
        true
    }

    fn take_state(&mut self, state: &PresenceState) {
        self.cursor.clone_from(&state.cursor);
        self.count = state.count;
        self.set_members(state.members.clone());
    }

    fn take_change(&mut self, message: &MessageView, change: MemberChange) -> bool {
        let Some((epoch, offset)) = self.cursor.split_once('-') else { return false };
        let (known, offset) = (offset.parse::<u64>().ok(), message.offset());
        if epoch != message.epoch() || known.is_none() {
            return false;
        }
        if offset <= known {
            return true;
        }
        if offset != known.map(|known| known + 1) {
            return false;
        }
        self.cursor.clone_from(&message.position);
        match change {
            MemberChange::Enter(member) | MemberChange::Update(member) => {
                self.members.insert(member.id.clone(), member);
            }
            MemberChange::Leave { id } => drop(self.members.remove(&id)),
            MemberChange::Count(count) => {
                self.count = count;
                self.set_members(None);
            }
            MemberChange::State { members, .. } => self.set_members(Some(members)),
        }
        true
    }

    fn set_members(&mut self, members: Option<Vec<Member>>) {
        self.is_listed = members.is_some();
        let members = members.into_iter().flatten();
        self.members = members.map(|member| (member.id.clone(), member)).collect();
    }

    /// The members by id; `None` where only their number is told.
    #[must_use]
    pub fn list(&self) -> Option<&BTreeMap<String, Member>> {
        self.is_listed.then_some(&self.members)
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        if self.is_listed { self.members.len() as u64 } else { self.count }
    }

    /// Where the list stands: the position of the last change in it.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire;

    fn event(text: &str) -> Event {
        wire::event(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn change(offset: u64, data: &str) -> Event {
        event(&format!(r#"{{"channel":"a/presence","position":"e-{offset}","time":1,"data":{data}}}"#))
    }

    fn ids(members: &Members) -> Vec<&str> {
        members.list().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn a_list_follows_state_and_changes() {
        let mut members = Members::default();
        let enter = |id: &str| format!(r#"{{"enter":{{"id":"{id}","transports":["sse"],"since":1}}}}"#);
        assert!(!members.take(&change(1, &enter("x"))), "nothing is known yet");
        assert!(members.take(&event(
            r#"{"presence":{"channel":"a","cursor":"e-1","count":1,"members":[{"id":"x","name":"Аня","transports":[],"since":1}]}}"#
        )));
        assert!(members.take(&change(1, &enter("y"))), "it is in the state already");
        assert_eq!(ids(&members), ["x"]);
        assert!(members.take(&change(2, &enter("y"))));
        assert_eq!((ids(&members), members.count(), members.cursor()), (vec!["x", "y"], 2, "e-2"));
        assert!(!members.take(&change(4, r#"{"leave":{"id":"x"}}"#)), "one is missing");
        assert!(members.take(&change(3, r#"{"leave":{"id":"x"}}"#)));
        assert!(members.take(&change(4, r#"{"count":101}"#)));
        assert_eq!((members.list(), members.count()), (None, 101));
        assert!(
            members.take(&change(
                5,
                r#"{"state":{"count":1,"members":[{"id":"z","transports":[],"since":1}]}}"#
            ))
        );
        assert_eq!(ids(&members), ["z"]);
        let gap = r#"{"gap":{"channel":"a/presence","reason":"trimmed","after":"e-5","resume_from":"e-9","epoch":"e"}}"#;
        assert!(!members.take(&event(gap)));
    }
}
