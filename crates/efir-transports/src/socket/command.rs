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

/// What an object has, in whatever order.
#[derive(Default)]
struct Members<'a> {
    /// The last one that can go back.
    id: Option<&'a str>,
    has_odd_id: bool,
    command: Option<(Cow<'a, str>, &'a str)>,
    has_more_commands: bool,
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
        let mut members = Members::default();
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &RawValue>()? {
            let value = value.get();
            if name != "id" {
                members.has_more_commands |= members.command.replace((name, value)).is_some();
            } else if is_id(value) {
                members.id = Some(value);
            } else {
                members.has_odd_id = true;
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
    let command = if members.has_odd_id {
        Err(invalid("`id` is a number or a string of at most 128 bytes"))
    } else if members.has_more_commands {
        Err(invalid("there is more than one command in the frame"))
    } else {
        members.command.ok_or_else(|| invalid("there is no command in the frame"))
    };
    Parsed { id: members.id.unwrap_or(NO_ID), command }
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
