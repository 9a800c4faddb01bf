//! What one subscription yields: messages and control objects, the same on every transport. Made in [`crate::wire`] and
//! by the transports.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::presence::PresenceState;
use crate::wire::{Ack, Gap, Heartbeat, Hello, Problem};

/// One thing that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first object of a stream or socket.
    Hello(Hello),
    /// A message.
    Message(MessageView),
    /// Something after the cursor is no longer there.
    Gap(Gap),
    /// Who is in a channel; what comes after its cursor are changes.
    Presence(PresenceState),
    /// A sign of life.
    Heartbeat(Heartbeat),
    /// Something went wrong, and the connection may go on.
    Problem(Problem),
    /// A frame that was sent has been accepted (`ack=1`).
    Ack(Ack),
    /// The answer to a command on `/socket`.
    Reply(Reply),
    /// SSE: an `id:` without an event moved the cursor (of several channels, their token).
    Cursor(String),
    /// SSE: `retry:` says when to come back after the end.
    Retry(Duration),
    /// The end of a poll's batch.
    BatchEnd(BatchEnd),
    /// The peer closed the WebSocket.
    Closed(Closed),
}

/// What stands around the messages of a poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchEnd {
    /// The cursor to go on from; `None` where the answer was 304.
    pub cursor: Option<String>,
    /// A further read gives something at once.
    pub more: bool,
    /// When to come back (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// The close frame of the peer; 1006 where the connection ended without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The close code (RFC 6455 §7.4).
    pub code: u16,
    /// The reason, perhaps empty.
    pub reason: String,
}

/// The answer to a command on `/socket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The `id` of the command, as JSON.
    pub id: Bytes,
    /// The reply's JSON, or why the command was refused.
    pub outcome: Result<Bytes, Problem>,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// The channel.
    pub channel: String,
    /// Where it stands.
    pub position: String,
    /// When it was accepted, ms since 1970 UTC.
    pub time_ms: u64,
    /// Who sent it, if proven.
    pub from: Option<String>,
    /// The payload.
    pub data: Data,
    /// The whole object as it came.
    pub raw: Bytes,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// JSON as it came; text is a JSON string.
    Json(Bytes),
    /// Bytes that are not text.
    Bytes(Bytes),
}

impl MessageView {
    /// The text, where the payload is text (or a JSON string, which is the same).
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match &self.data {
            Data::Json(json) => serde_json::from_slice(json).ok(),
            Data::Bytes(_) => None,
        }
    }

    /// The payload as it was published: text as UTF-8, JSON as JSON, bytes as bytes.
    #[must_use]
    pub fn payload(&self) -> Cow<'_, [u8]> {
        match (&self.data, self.text()) {
            (_, Some(text)) => Cow::Owned(text.into_bytes()),
            (Data::Json(payload) | Data::Bytes(payload), None) => Cow::Borrowed(payload),
        }
    }

    /// The epoch of the position.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.position.split_once('-').map_or("", |(epoch, _)| epoch)
    }

    /// The offset of the position; `None` where the position has not the right form.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.position.split_once('-').and_then(|(_, offset)| offset.parse().ok())
    }
}
