//! Members as JSON (docs/protocol.md §9): the state, and the payloads of the changes.

use bytes::Bytes;

use super::json::{Fields, write_string};
use crate::message::Payload;
use crate::presence::{Change, Member, MemberId, Members, PresenceState};

/// About what a member takes.
const MEMBER_BYTES: usize = 160;

/// What the log says of a change; `None` where nothing changed. The members are those after it.
#[must_use]
pub fn change(change: &Change, members: &Members) -> Option<Payload> {
    let (name, id) = match change {
        Change::Nothing => return None,
        Change::Entered(id) => ("enter", id),
        Change::Updated(id) => ("update", id),
        Change::Left(id) => ("leave", id),
    };
    Some(payload(MEMBER_BYTES, |fields| {
        let out = fields.name(name);
        match members.get(id) {
            Some(member) => write_member(id, member, out),
            None => {
                let mut gone = Fields::open(out);
                gone.string("id", id.as_str());
                gone.close();
            }
        }
    }))
}

/// What the log says where only the number of members is told.
#[must_use]
pub fn count(members: &Members) -> Payload {
    payload(32, |fields| fields.number("count", members.len() as u64))
}

/// What the log says when all members are told again; `list` as [`list`] gives it.
#[must_use]
pub fn state(members: &Members, list: &[u8]) -> Payload {
    payload(64 + list.len(), |fields| {
        let mut state = Fields::open(fields.name("state"));
        state.number("count", members.len() as u64);
        state.name("members").extend_from_slice(list);
        state.close();
    })
}

/// The members as a JSON list.
#[must_use]
pub fn list(members: &Members) -> Bytes {
    let mut out = Vec::with_capacity(2 + members.len() * MEMBER_BYTES);
    out.push(b'[');
    for (n, (id, member)) in members.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_member(id, member, &mut out);
    }
    out.push(b']');
    out.into()
}

/// Appends the object of a state.
pub(super) fn write_state(state: &PresenceState, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.string("channel", state.channel.as_str());
    fields.position("cursor", state.cursor);
    fields.number("count", state.count);
    if let Some(members) = &state.members {
        fields.name("members").extend_from_slice(members);
    }
    fields.close();
}

fn write_member(id: &MemberId, member: &Member, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.string("id", id.as_str());
    if !member.name.is_empty() {
        fields.string("name", &member.name);
    }
    if !member.data.is_empty() {
        fields.name("data").extend_from_slice(&member.data);
    }
    fields.list("transports", member.transports(), write_string);
    fields.number("since", member.since_ms);
    fields.close();
}

/// JSON that is written here is on one line, and valid.
fn payload(capacity: usize, write: impl FnOnce(&mut Fields<'_>)) -> Payload {
    let mut out = Vec::with_capacity(capacity);
    let mut fields = Fields::open(&mut out);
    write(&mut fields);
    fields.close();
    Payload::Json(out.into())
}
