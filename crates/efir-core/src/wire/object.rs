//! The object of a message (docs/protocol.md §4), encoded once. Its bytes are those of the WebSocket frame too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::{Fields, string_len, write_string};
use super::websocket;
use crate::channel::ChannelName;
use crate::message::Payload;
use crate::position::{EPOCH_LEN, Position, decimal_len};

/// What a message is made of.
pub(crate) struct Parts<'a> {
    pub(crate) channel: &'a ChannelName,
    pub(crate) position: Position,
    pub(crate) time_ms: u64,
    pub(crate) from: Option<&'a str>,
    pub(crate) payload: &'a Payload,
}

/// The WebSocket frame around the object; behind its head it is the object. No byte of its allocation is spare.
pub(crate) fn encode(parts: &Parts<'_>) -> Box<[u8]> {
    websocket::text_of(len(parts), |out| write(parts, out))
}

/// How many bytes [`write`] writes.
pub(crate) fn len(parts: &Parts<'_>) -> usize {
    const NAMES: usize = r#"{"channel":,"position":"-","time":,}"#.len() + EPOCH_LEN;
    let from = parts.from.map_or(0, |from| r#""from":,"#.len() + string_len(from.as_bytes()));
    let data = match parts.payload {
        Payload::Json(raw) => r#""data":"#.len() + raw.len(),
        Payload::Text(raw) if std::str::from_utf8(raw).is_ok() => r#""data":"#.len() + string_len(raw),
        Payload::Text(raw) | Payload::Bytes(raw) => r#""bytes":"""#.len() + raw.len().div_ceil(3) * 4,
    };
    let numbers = decimal_len(parts.position.offset) + decimal_len(parts.time_ms);
    NAMES + string_len(parts.channel.as_bytes()) + numbers + from + data
}

pub(crate) fn write(parts: &Parts<'_>, out: &mut Vec<u8>) {
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
