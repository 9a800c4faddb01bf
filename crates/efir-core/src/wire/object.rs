//! The object of a message (docs/protocol.md §4), encoded once. Its bytes are those of the WebSocket frame too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::{Fields, write_string};
use super::{Frame, websocket};
use crate::channel::ChannelName;
use crate::message::Payload;
use crate::position::Position;

/// What a message is made of.
pub(crate) struct Parts<'a> {
    pub(crate) channel: &'a ChannelName,
    pub(crate) position: Position,
    pub(crate) time_ms: u64,
    pub(crate) from: Option<&'a str>,
    pub(crate) payload: &'a Payload,
}

/// The WebSocket frame around the object; without its head it is the object.
pub(crate) fn encode(parts: &Parts<'_>) -> Frame {
    // Names, position, time and brackets take 98 bytes at most.
    let fixed = 100 + parts.channel.as_str().len() + parts.from.map_or(0, str::len);
    let payload = match parts.payload {
        Payload::Json(raw) => raw.len(),
        // Nothing to spare for escapes: they are rare, and the buffer then grows once.
        Payload::Text(raw) => raw.len() + 2,
        Payload::Bytes(raw) => raw.len().div_ceil(3) * 4 + 2,
    };
    websocket::text(fixed + payload, |out| write(parts, out))
}

fn write(parts: &Parts<'_>, out: &mut Vec<u8>) {
    let mut fields = Fields::open(out);
    fields.string("channel", parts.channel.as_str());
    fields.position("position", parts.position);
    fields.number("time", parts.time_ms);
    if let Some(from) = parts.from {
        fields.string("from", from);
    }
    match parts.payload {
        Payload::Json(raw) => fields.name("data").extend_from_slice(raw),
        Payload::Text(raw) => match std::str::from_utf8(raw) {
            Ok(text) => write_string(text, fields.name("data")),
            // Only a payload that was made past its constructor comes here; it is sent as what it is.
            Err(_) => write_base64(raw, fields.name("bytes")),
        },
        Payload::Bytes(raw) => write_base64(raw, fields.name("bytes")),
    }
    fields.close();
}

fn write_base64(raw: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + raw.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(raw, room).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}
