//! The envelope of a command: `{"id":1,"NAME":{…}}`. What stands in the braces is left to the command, byte for byte.

use std::{borrow::Cow, fmt};

use efir_core::{ChannelName, Code, Problem, Start};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{place::readable_name, request};

/// The id of a command that has none.
pub(super) const NO_ID: &str = "null";

/// Bytes of an id, which goes back as it came.
const ID_BYTES_MAX: usize = 128;

/// What stands in one frame.
pub(super) struct Parsed<'a> {
    /// As JSON; `null` where there is none that could be read.
    pub(super) id: &'a str,
    /// The name and its fields, as JSON.
    pub(super) command: Result<(Cow<'a, str>, &'a str), Problem>,
}

/// More than any command has.
const MEMBERS_MAX: usize = 8;

/// The members of an object, in order; of those beyond [`MEMBERS_MAX`] only `id`.
struct Members<'a> {
    first: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The last `id` after them, and whether there was anything after them.
    late_id: Option<&'a RawValue>,
    is_over: bool,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object as {\"id\":1,\"subscribe\":{\"channel\":\"chat\"}}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { first: Vec::new(), late_id: None, is_over: false };
        while let Some((name, value)) = map.next_entry::<Name<'de>, &RawValue>()? {
            if members.first.len() < MEMBERS_MAX {
                members.first.push((name.0, value));
                continue;
            }
            members.is_over = true;
            if name.0 == "id" {
                members.late_id = Some(value);
            }
        }
        Ok(members)
    }
}

/// Reads one frame.
pub(super) fn parse(text: &[u8]) -> Parsed<'_> {
    let members = match serde_json::from_slice::<Members<'_>>(text) {
        Ok(members) => members,
        Err(error) => {
            let code = if error.is_data() { Code::InvalidCommand } else { Code::InvalidJson };
            return Parsed { id: NO_ID, command: Err(Problem::new(code, format!("the command: {error}"))) };
        }
    };
    let mut id = NO_ID;
    let mut command = None;
    let mut problem = None;
    if members.is_over {
        problem = Some(invalid("the frame has more than 8 members"));
    }
    let late_id = members.late_id.map(|id| ("id".into(), id));
    for (name, value) in members.first.into_iter().chain(late_id) {
        if name == "id" {
            match is_id(value.get()) {
                true => id = value.get(),
                false => problem = Some(invalid("`id` is a number or a string of at most 128 bytes")),
            }
        } else if command.replace((name, value.get())).is_some() {
            problem = Some(invalid("there is more than one command in the frame"));
        }
    }
    let command = command.ok_or_else(|| invalid("there is no command in the frame"));
    Parsed { id, command: problem.map_or(command, Err) }
}

fn is_id(raw: &str) -> bool {
    raw.len() <= ID_BYTES_MAX
        && raw.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// Reads a command's fields.
pub(super) fn fields<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Problem> {
    serde_json::from_str(json).map_err(|error| invalid(&error.to_string()))
}

pub(super) fn invalid(detail: &str) -> Problem {
    Problem::new(Code::InvalidCommand, detail)
}

/// The fields by which a command names a channel and where to begin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    last: Option<u64>,
    limit: Option<u64>,
}

impl Place<'_> {
    pub(super) fn channel(&self) -> Result<ChannelName, Problem> {
        readable_name(self.channel.as_bytes())
    }

    pub(super) fn start(&self, channel: &ChannelName) -> Result<Option<Start>, Problem> {
        let last = self.last.map(|last| usize::try_from(last).unwrap_or(usize::MAX));
        request::start(self.after.as_deref(), last).map_err(|problem| problem.with_channel(channel.clone()))
    }

    pub(super) fn limit(&self) -> Result<Option<usize>, Problem> {
        match self.limit {
            Some(0) => Err(invalid("`limit` is a number from 1 on")),
            limit => Ok(limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        parse(text.as_bytes()).command.unwrap_err().code
    }

    #[test]
    fn the_fields_stay_as_they_are() {
        let parsed = parse(br#" {"id":"x", "publish" : {"data" : { "a":1.0e5 }} } "#);
        assert_eq!(parsed.id, "\"x\"");
        let (name, fields) = parsed.command.unwrap();
        assert_eq!((&*name, fields), ("publish", r#"{"data" : { "a":1.0e5 }}"#));
        assert_eq!(parse(br#"{"p\u0069ng":{}}"#).command.unwrap().0, "ping");
        assert_eq!(parse(br#"{"ping":{}}"#).id, "null");
    }

    #[test]
    fn refusals() {
        assert_eq!(code("{"), Code::InvalidJson);
        assert_eq!(code("nonsense"), Code::InvalidJson);
        assert_eq!(code("[1]"), Code::InvalidCommand);
        assert_eq!(code("{}"), Code::InvalidCommand);
        assert_eq!(code(r#"{"id":1}"#), Code::InvalidCommand);
        assert_eq!(code(r#"{"id":{},"ping":{}}"#), Code::InvalidCommand);
        assert_eq!(code(r#"{"id":1,"ping":{},"subscribe":{}}"#), Code::InvalidCommand);
        let parsed = parse(br#"{"ping":{},"publish":{},"id":7}"#);
        assert_eq!(parsed.id, "7", "the id is told wherever it stands");
        for text in [r#"{"id":7,MANY"a":1}"#, r#"{MANY"a":1,"id":7}"#] {
            let text = text.replace("MANY", &r#""ping":{},"#.repeat(20));
            let parsed = parse(text.as_bytes());
            assert_eq!((parsed.id, parsed.command.unwrap_err().code), ("7", Code::InvalidCommand), "{text}");
        }
    }
}
