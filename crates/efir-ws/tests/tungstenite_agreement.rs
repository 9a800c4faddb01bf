//! The same frames through our decoder and through tungstenite: the same messages and the same verdict.
//!
//! Left out of the comparison, as tungstenite 0.30 is not strict there: lengths that are not minimal, the 64th bit of a
//! length, close code 1014 (which IANA registered later), and frames that are cut before their end.

use std::io::{self, Cursor, Read, Write};

use bytes::{Bytes, BytesMut};
use efir_ws::{Decoder, DecoderLimits, Event, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Message, WebSocket};

const BYTES_MAX: usize = 300;

/// A frame with every field free, right or wrong, and as many payload bytes as it declares.
#[derive(Clone, Debug)]
struct RawFrame {
    first: u8,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
}

impl RawFrame {
    fn write(&self, wire: &mut Vec<u8>) {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        wire.push(self.first);
        if self.payload.len() < 126 {
            wire.push(mask_bit | self.payload.len() as u8);
        } else {
            wire.push(mask_bit | 126);
            wire.extend((self.payload.len() as u16).to_be_bytes());
        }
        wire.extend(self.mask.iter().flatten());
        let mask = self.mask.unwrap_or_default();
        wire.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

fn first_byte() -> impl Strategy<Value = u8> {
    // Mostly lawful, so that sequences get far before they fail.
    prop_oneof![
        4 => Just(0x81), 3 => Just(0x82), 3 => Just(0x01), 2 => Just(0x02), 4 => Just(0x00), 5 => Just(0x80),
        2 => Just(0x89), 2 => Just(0x8a), 1 => Just(0x88), 1 => any::<u8>(),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let close = (900_u16..5100, "[a-zé]{0,10}").prop_filter("registered later", |(code, _)| *code != 1014);
    prop_oneof![
        6 => "\\PC{0,30}".prop_map(String::into_bytes),
        2 => "[aé€𝄞]{1,12}".prop_flat_map(|text| (0..=text.len()).prop_map(move |cut| text.as_bytes()[..cut].to_vec())),
        2 => Just(Vec::new()),
        2 => close.prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat()),
        1 => vec(any::<u8>(), 0..20),
        1 => vec(Just(b'x'), 120..320),
    ]
}

fn frames(role: Role) -> impl Strategy<Value = (Role, Vec<RawFrame>)> {
    let mask = (any::<[u8; 4]>(), prop::bool::weighted(0.03)).prop_map(move |(mask, is_wrong)| {
        let is_masked = (role == Role::Server) != is_wrong;
        is_masked.then_some(mask)
    });
    let frame =
        (first_byte(), mask, payload()).prop_map(|(first, mask, payload)| RawFrame { first, mask, payload });
    (Just(role), vec(frame, 1..12))
}

/// What one side made of the frames.
#[derive(Debug, PartialEq)]
struct Verdict {
    events: Vec<Event>,
    is_refused: bool,
}

fn ours(role: Role, wire: &[u8], chunk: usize) -> Verdict {
    let limits =
        DecoderLimits { message_bytes_max: BYTES_MAX, frame_bytes_max: BYTES_MAX, fragments_max: 100 };
    let mut decoder = Decoder::new(role, limits);
    let mut events = Vec::new();
    let mut input = BytesMut::new();
    for piece in wire.chunks(chunk) {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return Verdict { events, is_refused: true },
            }
        }
    }
    Verdict { events, is_refused: false }
}

/// Reads from memory, throws away what is written.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(role: Role, wire: &[u8]) -> Verdict {
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let config = WebSocketConfig::default().max_message_size(Some(BYTES_MAX)).max_frame_size(Some(BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(wire)), role, Some(config));
    let mut events = Vec::new();
    loop {
        let event = match socket.read() {
            Ok(Message::Text(text)) => Event::Text(Bytes::copy_from_slice(text.as_bytes())),
            Ok(Message::Binary(bytes)) => Event::Binary(bytes),
            Ok(Message::Ping(bytes)) => Event::Ping(bytes),
            Ok(Message::Pong(bytes)) => Event::Pong(bytes),
            Ok(Message::Close(close)) => {
                // A forbidden code is not an error there, it is replaced by these words.
                let is_refused = close.as_ref().is_some_and(is_replaced);
                if !is_refused {
                    events.push(close_event(close));
                }
                return Verdict { events, is_refused };
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return Verdict { events, is_refused: false },
            Err(_) => return Verdict { events, is_refused: true },
        };
        events.push(event);
    }
}

fn is_replaced(close: &CloseFrame) -> bool {
    u16::from(close.code) == 1002 && close.reason.as_str() == "Protocol violation"
}

fn close_event(close: Option<CloseFrame>) -> Event {
    match close {
        None => Event::Close { code: None, reason: Bytes::new() },
        Some(close) => Event::Close {
            code: Some(close.code.into()),
            reason: Bytes::copy_from_slice(close.reason.as_bytes()),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn verdicts_agree(
        (role, frames) in prop_oneof![frames(Role::Server), frames(Role::Client)],
        chunk in prop_oneof![1_usize..8, Just(usize::MAX)],
    ) {
        let mut wire = Vec::new();
        for frame in &frames {
            frame.write(&mut wire);
        }
        prop_assert_eq!(ours(role, &wire, chunk), theirs(role, &wire));
    }
}

#[test]
fn what_we_send_is_what_they_read() {
    let long = "x".repeat(BYTES_MAX);
    let wire = [
        efir_ws::frame::encode(efir_ws::Opcode::Text, "grüß dich".as_bytes()),
        efir_ws::frame::encode(efir_ws::Opcode::Binary, long.as_bytes()),
        efir_ws::frame::encode(efir_ws::Opcode::Ping, b"p"),
        efir_ws::frame::encode_close(4001, "done"),
    ]
    .concat();
    let verdict = theirs(Role::Client, &wire);
    assert!(!verdict.is_refused);
    assert_eq!(verdict.events.len(), 4);
    assert_eq!(verdict, ours(Role::Client, &wire, 3));
}
