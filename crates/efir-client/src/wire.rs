//! The objects of docs/protocol.md §4, §6 and §7 as this client sees them, and the reading of one object.
//! Knows no transport: they hand over the bytes of one object.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::error::ClientError;
use crate::event::{Data, Event, MessageView, Reply};
use crate::presence::PresenceState;

/// The first object of a stream or socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hello {
    /// The channel, where there is one only.
    pub channel: Option<String>,
    /// The join cursor; of several channels, their token; not on `/socket`.
    pub cursor: Option<String>,
    /// The channels and their join cursors, where there are several.
    #[serde(default)]
    pub channels: Vec<ChannelCursor>,
    /// The time between two heartbeats.
    pub heartbeat_ms: Option<u64>,
    /// How many channels a `/socket` may have.
    pub channels_max: Option<u64>,
}

/// One channel and a cursor in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ChannelCursor {
    /// The channel.
    pub channel: String,
    /// The cursor.
    pub cursor: String,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Heartbeat {
    /// The server's clock, ms since 1970 UTC.
    pub time: u64,
    /// The cursor; of several channels, their token; not on `/socket`.
    pub cursor: Option<String>,
}

/// Something after the cursor is no longer there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Gap {
    /// The channel.
    pub channel: String,
    /// Why, as docs/protocol.md §4 lists it.
    pub reason: String,
    /// The cursor that was given.
    pub after: Option<String>,
    /// The position just before the oldest message that is kept.
    pub resume_from: String,
    /// The channel's current epoch.
    pub epoch: String,
}

/// What was wrong and what to do (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status that it has or would have.
    pub status: u16,
    /// The code that programs compare.
    pub code: String,
    /// A short text for people.
    pub title: String,
    /// What exactly was wrong.
    pub detail: String,
    /// What to do: `retry_now`, `retry_later`, `refresh_token` or `stop`.
    pub action: String,
    /// When to come back, in ms.
    pub retry_after_ms: Option<u64>,
    /// The limit that was passed.
    pub limit: Option<LimitPassed>,
    /// The channel, where it concerns one of several only.
    pub channel: Option<String>,
    /// The frame that it concerns (1, 2, 3 … on a channel WebSocket).
    pub ordinal: Option<u64>,
}

/// A limit and its value in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct LimitPassed {
    /// Its name in the configuration.
    pub name: String,
    /// Its value.
    pub value: u64,
}

impl Problem {
    /// When to come back.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{text} ({})", self.code)
    }
}

/// The answer to a publish.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Receipt {
    /// The channel.
    pub channel: String,
    /// Where the message stands.
    pub position: String,
    /// The offset of that position.
    pub offset: u64,
    /// The epoch of that position.
    pub epoch: String,
    /// What holds now: `memory`, `disk` or `broker`.
    pub durability: String,
    /// The same key and payload were accepted before.
    pub duplicate: bool,
    /// Streams and held polls on that node; informational.
    pub subscribers: u64,
}

/// The answer to `authorize` on `/socket`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Authorized {
    /// The user of the token; none of a server's key, and where everybody may do everything.
    pub user: Option<String>,
    /// From when on the token is worth nothing, in ms since 1970 UTC.
    pub expires: Option<u64>,
}

/// The answer to one frame of a channel WebSocket opened with `ack=1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ack {
    /// Which frame: 1, 2, 3 …
    pub ordinal: u64,
    /// As of a publish.
    #[serde(flatten)]
    pub receipt: Receipt,
}

/// Any object that may stand on a line or in a frame. `data` and `reply` may be JSON `null`, which must not look absent.
#[derive(Deserialize)]
struct Object<'a> {
    channel: Option<String>,
    position: Option<String>,
    time: Option<u64>,
    from: Option<String>,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    bytes: Option<String>,
    hello: Option<Hello>,
    heartbeat: Option<Heartbeat>,
    gap: Option<Gap>,
    presence: Option<PresenceState>,
    problem: Option<Problem>,
    ack: Option<Ack>,
    #[serde(default, borrow, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    reply: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one object: a message, a control object, or an answer on `/socket`.
pub(crate) fn event(raw: &Bytes) -> Result<Event, ClientError> {
    let mut object: Object<'_> = json(raw, "an object")?;
    if let Some(id) = object.id {
        return answer(raw, id, &mut object);
    }
    if let Some(hello) = object.hello {
        return Ok(Event::Hello(hello));
    }
    if let Some(heartbeat) = object.heartbeat {
        return Ok(Event::Heartbeat(heartbeat));
    }
    if let Some(gap) = object.gap {
        return Ok(Event::Gap(gap));
    }
    if let Some(state) = object.presence {
        return Ok(Event::Presence(state));
    }
    if let Some(problem) = object.problem {
        return Ok(Event::Problem(problem));
    }
    if let Some(ack) = object.ack {
        return Ok(Event::Ack(ack));
    }
    message(raw, object).map(Event::Message)
}

/// Reads an object that must be a message.
pub(crate) fn message_view(raw: &Bytes) -> Result<MessageView, ClientError> {
    message(raw, json(raw, "a message")?)
}

/// Reads JSON that must have the shape of `T`.
pub(crate) fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let shown = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes));
        ClientError::Protocol(format!("{what} has not the right shape ({error}): {shown}"))
    })
}

fn answer(raw: &Bytes, id: &RawValue, object: &mut Object<'_>) -> Result<Event, ClientError> {
    let id = part(raw, id);
    if let Some(problem) = object.problem.take() {
        return Ok(Event::Reply(Reply { id, outcome: Err(problem) }));
    }
    let Some(reply) = object.reply else {
        return Err(ClientError::Protocol("an answer has neither reply nor problem".into()));
    };
    Ok(Event::Reply(Reply { id, outcome: Ok(part(raw, reply)) }))
}

fn message(raw: &Bytes, object: Object<'_>) -> Result<MessageView, ClientError> {
    let (Some(channel), Some(position), Some(time_ms)) = (object.channel, object.position, object.time)
    else {
        let shown = String::from_utf8_lossy(raw.get(..200).unwrap_or(raw));
        return Err(ClientError::Protocol(format!("an object is neither a message nor known: {shown}")));
    };
    let data = match (object.data, object.bytes) {
        (Some(data), None) => Data::Json(part(raw, data)),
        (None, Some(bytes)) => base64::engine::general_purpose::STANDARD
            .decode(bytes)
            .map(|bytes| Data::Bytes(bytes.into()))
            .map_err(|error| {
                ClientError::Protocol(format!("the bytes of {position} are not base64: {error}"))
            })?,
        _ => return Err(ClientError::Protocol(format!("message {position} has not one of data and bytes"))),
    };
    Ok(MessageView { channel, position, time_ms, from: object.from, data, raw: raw.clone() })
}

/// The bytes of a value inside of `raw`, shared with it.
pub(crate) fn part(raw: &Bytes, value: &RawValue) -> Bytes {
    raw.slice_ref(value.get().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Event, ClientError> {
        event(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_message_keeps_its_bytes() {
        let text = r#"{"channel":"общий-чат","position":"e-12","time":1795233744123,"from":"ann","data":{"n": 9007199254740993,"t":"\u0000👋"}}"#;
        let Ok(Event::Message(message)) = read(text) else { panic!("no message") };
        assert_eq!((message.channel.as_str(), message.position.as_str()), ("общий-чат", "e-12"));
        assert_eq!((message.epoch(), message.offset()), ("e", Some(12)));
        assert_eq!((message.time_ms, message.from.as_deref()), (1_795_233_744_123, Some("ann")));
        assert_eq!(message.raw, text);
        assert_eq!(
            message.data,
            Data::Json(Bytes::from_static(r#"{"n": 9007199254740993,"t":"\u0000👋"}"#.as_bytes()))
        );
    }

    #[test]
    fn null_is_a_payload() {
        let Ok(Event::Message(message)) = read(r#"{"channel":"a","position":"e-1","time":1,"data":null}"#)
        else {
            panic!("no message")
        };
        assert_eq!(message.data, Data::Json(Bytes::from_static(b"null")));
    }

    #[test]
    fn text_and_bytes() {
        let Ok(Event::Message(text)) = read(r#"{"channel":"a","position":"e-1","time":1,"data":"При\nвет"}"#)
        else {
            panic!("no message")
        };
        assert_eq!(text.text().as_deref(), Some("При\nвет"));
        let Ok(Event::Message(bytes)) = read(r#"{"channel":"a","position":"e-1","time":1,"bytes":"AP8="}"#)
        else {
            panic!("no message")
        };
        assert_eq!(bytes.data, Data::Bytes(Bytes::from_static(&[0, 255])));
        assert_eq!(bytes.text(), None);
    }

    #[test]
    fn control_objects() {
        assert_eq!(
            read(r#"{"heartbeat":{"time":7,"cursor":"e-1"}}"#).unwrap(),
            Event::Heartbeat(Heartbeat { time: 7, cursor: Some("e-1".into()) })
        );
        let Ok(Event::Hello(hello)) = read(
            r#"{"hello":{"channels":[{"channel":"a","cursor":"e-1"}],"cursor":"T","heartbeat_ms":15000}}"#,
        ) else {
            panic!("no hello")
        };
        assert_eq!(hello.channels, [ChannelCursor { channel: "a".into(), cursor: "e-1".into() }]);
        let Ok(Event::Ack(ack)) = read(
            r#"{"ack":{"ordinal":2,"channel":"a","position":"e-1","offset":1,"epoch":"e","durability":"memory","duplicate":false,"subscribers":0}}"#,
        ) else {
            panic!("no ack")
        };
        assert_eq!((ack.ordinal, ack.receipt.offset), (2, 1));
    }

    #[test]
    fn answers_on_a_socket() {
        let Ok(Event::Reply(reply)) = read(r#"{"id":"x","reply":{"channel":"a"}}"#) else {
            panic!("no reply")
        };
        assert_eq!(
            (reply.id.as_ref(), reply.outcome),
            (&b"\"x\""[..], Ok(Bytes::from_static(br#"{"channel":"a"}"#)))
        );
        let Ok(Event::Reply(reply)) = read(r#"{"id":1,"problem":{"code":"unknown_command"}}"#) else {
            panic!("no reply")
        };
        assert_eq!(reply.outcome.unwrap_err().code, "unknown_command");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "[]", "{}", "1", r#"{"channel":"a"}"#, r#"{"channel":"a","position":"e-1","time":1}"#]
        {
            assert!(matches!(read(text), Err(ClientError::Protocol(_))), "{text:?}");
        }
        let both = r#"{"channel":"a","position":"e-1","time":1,"data":1,"bytes":"AA=="}"#;
        assert!(matches!(read(both), Err(ClientError::Protocol(_))));
        let base64 = r#"{"channel":"a","position":"e-1","time":1,"bytes":"*"}"#;
        assert!(matches!(read(base64), Err(ClientError::Protocol(_))));
    }
}
