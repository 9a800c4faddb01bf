//! The object of a message (docs/protocol.md §4), encoded once. Its bytes are those of the WebSocket frame too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::Quoted;
use super::websocket;
use crate::channel::ChannelName;
use crate::message::Payload;
use crate::position::{EPOCH_LEN, Position, decimal_len, write_decimal};

const CHANNEL: &[u8] = br#"{"channel":"#;
const POSITION: &[u8] = br#","position":""#;
const TIME: &[u8] = br#"","time":"#;
const FROM: &[u8] = br#","from":"#;
const DATA: &[u8] = br#","data":"#;
const BYTES: &[u8] = br#","bytes":"#;

/// What a message is made of; texts are looked through once.
pub(crate) struct Parts<'a> {
    channel: Quoted<'a>,
    position: Position,
    time_ms: u64,
    from: Option<Quoted<'a>>,
    data: Data<'a>,
}

enum Data<'a> {
    Json(&'a [u8]),
    Text(Quoted<'a>),
    Bytes(&'a [u8]),
}

impl<'a> Parts<'a> {
    pub(crate) fn new(
        channel: &'a ChannelName,
        position: Position,
        time_ms: u64,
        from: Option<&'a str>,
        payload: &'a Payload,
    ) -> Self {
        let data = match payload {
            Payload::Json(raw) => Data::Json(raw),
            Payload::Text(raw) if std::str::from_utf8(raw).is_ok() => Data::Text(Quoted::new(raw)),
            // Text that is none was made past its constructor; it is sent as what it is.
            Payload::Text(raw) | Payload::Bytes(raw) => Data::Bytes(raw),
        };
        let from = from.map(|from| Quoted::new(from.as_bytes()));
        Self { channel: Quoted::new(channel.as_bytes()), position, time_ms, from, data }
    }

    /// The WebSocket frame around the object; behind its head it is the object. No byte of its allocation is spare.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        websocket::text_of(self.len(), |out| self.write_to(out))
    }

    /// How many bytes [`Parts::write_to`] writes.
    fn len(&self) -> usize {
        const NAMES: usize = CHANNEL.len() + POSITION.len() + EPOCH_LEN + 1 + TIME.len() + 1;
        let numbers = decimal_len(self.position.offset) + decimal_len(self.time_ms);
        let from = self.from.map_or(0, |from| FROM.len() + from.len());
        let data = match self.data {
            Data::Json(raw) => DATA.len() + raw.len(),
            Data::Text(text) => DATA.len() + text.len(),
            Data::Bytes(raw) => BYTES.len() + 2 + raw.len().div_ceil(3) * 4,
        };
        NAMES + self.channel.len() + numbers + from + data
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(CHANNEL);
        self.channel.write_to(out);
        out.extend_from_slice(POSITION);
        self.position.write_to(out);
        out.extend_from_slice(TIME);
        write_decimal(self.time_ms, out);
        if let Some(from) = self.from {
            out.extend_from_slice(FROM);
            from.write_to(out);
        }
        match self.data {
            Data::Json(raw) => {
                out.extend_from_slice(DATA);
                out.extend_from_slice(raw);
            }
            Data::Text(text) => {
                out.extend_from_slice(DATA);
                text.write_to(out);
            }
            Data::Bytes(raw) => {
                out.extend_from_slice(BYTES);
                write_base64(raw, out);
            }
        }
        out.push(b'}');
    }
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::position::Epoch;

    #[test]
    fn the_length_is_known_before() {
        let channel = ChannelName::parse("a\"b").unwrap();
        for text in ["", "x", "\"\\\n\u{1}ж", &"x".repeat(300), &"\t".repeat(70_000)] {
            let text = Bytes::copy_from_slice(text.as_bytes());
            for payload in [Payload::Text(text.clone()), Payload::Json(text.clone()), Payload::Bytes(text)] {
                for from in [None, Some("ann\n")] {
                    let position = Position::new(Epoch(7), 123);
                    let parts = Parts::new(&channel, position, 1_795_233_744_123, from, &payload);
                    let mut written = Vec::new();
                    parts.write_to(&mut written);
                    assert_eq!(parts.len(), written.len());
                }
            }
        }
    }
}
