//! The same frames through our decoder and through tungstenite: the same messages and the same verdict.
//!
//! Left out of the comparison, as tungstenite 0.30 is not strict there: lengths that are not minimal, the 64th bit of a
//! length, close code 1014 (which IANA registered later), and frames that are cut before their end.

use std::io::{self, Cursor, Read, Write};

use bytes::{Bytes, BytesMut};
use efir_ws::{Decoder, DecoderLimits, Event, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
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

/// A lawful part of a conversation.
#[derive(Clone, Debug)]
enum Part {
    /// First byte's opcode, payload, where it is cut; a ping follows each cut.
    Message(u8, Vec<u8>, Vec<Index>),
    Pong(Vec<u8>),
    Close(u16, String),
}

fn part() -> impl Strategy<Value = Part> {
    let cuts = || vec(any::<Index>(), 0..4);
    prop_oneof![
        8 => ("[aé€𝄞]{0,12}|\\PC{0,60}", cuts()).prop_map(|(text, cuts)| Part::Message(1, text.into_bytes(), cuts)),
        4 => (vec(any::<u8>(), 0..320), cuts()).prop_map(|(bytes, cuts)| Part::Message(2, bytes, cuts)),
        2 => vec(any::<u8>(), 0..=125).prop_map(Part::Pong),
        1 => (990_u16..5100, "[a-zé]{0,10}")
            .prop_filter("registered later", |(code, _)| *code != 1014)
            .prop_map(|(code, reason)| Part::Close(code, reason)),
    ]
}

/// What goes wrong with one frame of a lawful conversation.
#[derive(Clone, Debug)]
enum Damage {
    FirstByte(u8),
    Bit(u8),
    Mask,
    Lost,
    Doubled,
    PayloadCut,
    PayloadByte(Index, u8),
    PayloadLong,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        1 => any::<u8>().prop_map(Damage::FirstByte),
        3 => (0_u8..8).prop_map(Damage::Bit),
        1 => Just(Damage::Mask),
        2 => Just(Damage::Lost),
        2 => Just(Damage::Doubled),
        2 => Just(Damage::PayloadCut),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::PayloadByte(at, byte)),
        1 => Just(Damage::PayloadLong),
    ]
}

fn frames_of(parts: &[Part], mask: Option<[u8; 4]>) -> Vec<RawFrame> {
    let mut frames = Vec::new();
    let mut push = |first, payload: &[u8]| frames.push(RawFrame { first, mask, payload: payload.to_vec() });
    for part in parts {
        match part {
            Part::Message(opcode, payload, cuts) => {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
                cuts.sort_unstable();
                let (mut from, mut opcode) = (0, *opcode);
                for cut in cuts {
                    push(opcode, &payload[from..cut]);
                    push(0x89, b"between");
                    (from, opcode) = (cut, 0);
                }
                push(0x80 | opcode, &payload[from..]);
            }
            Part::Pong(payload) => push(0x8a, payload),
            Part::Close(code, reason) => push(0x88, &[&code.to_be_bytes()[..], reason.as_bytes()].concat()),
        }
    }
    frames
}

fn harm(frames: &mut Vec<RawFrame>, at: Index, damage: &Damage) {
    if frames.is_empty() {
        return;
    }
    let at = at.index(frames.len());
    let frame = &mut frames[at];
    match *damage {
        Damage::FirstByte(byte) => frame.first = byte,
        Damage::Bit(bit) => frame.first ^= 1 << bit,
        Damage::Mask => frame.mask = if frame.mask.is_some() { None } else { Some([1, 2, 3, 4]) },
        Damage::Lost => drop(frames.remove(at)),
        Damage::Doubled => frames.insert(at, frames[at].clone()),
        Damage::PayloadCut => drop(frame.payload.pop()),
        Damage::PayloadByte(_, byte) if frame.payload.is_empty() => frame.payload.push(byte),
        Damage::PayloadByte(at, byte) => {
            let at = at.index(frame.payload.len());
            frame.payload[at] = byte;
        }
        Damage::PayloadLong => frame.payload.resize(frame.payload.len() + 126, b'x'),
    }
    // Damage may have made a close frame with the code that the two sides judge differently.
    frames.retain(|frame| frame.first & 0x0f != 8 || !frame.payload.starts_with(&1014_u16.to_be_bytes()));
}

fn conversation() -> impl Strategy<Value = (Role, Vec<RawFrame>)> {
    let role = prop_oneof![Just(Role::Server), Just(Role::Client)];
    (role, any::<[u8; 4]>(), vec(part(), 1..6), vec((any::<Index>(), damage()), 0..3)).prop_map(
        |(role, mask, parts, damages)| {
            let mut frames = frames_of(&parts, (role == Role::Server).then_some(mask));
            for (at, damage) in &damages {
                harm(&mut frames, *at, damage);
            }
            (role, frames)
        },
    )
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
        (role, frames) in conversation(),
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
