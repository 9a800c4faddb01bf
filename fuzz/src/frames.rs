//! WebSocket frames (RFC 6455): cut anywhere they say the same, a naive reader of whole frames says the same, and what was understood
//! can be said again.

use bytes::{Bytes, BytesMut};
use efir_ws::{Decoder, DecoderLimits, Event, FrameError, Opcode, Role, frame};

const WIDE: DecoderLimits =
    DecoderLimits { message_bytes_max: 1 << 16, frame_bytes_max: 1 << 16, fragments_max: 64 };
const NARROW: DecoderLimits = DecoderLimits { message_bytes_max: 40, frame_bytes_max: 24, fragments_max: 3 };

/// A frame's head and a control frame: what may wait in the input.
const WAITING_BYTES_MAX: usize = 139;

#[derive(Debug, PartialEq)]
struct Decoded {
    events: Vec<Event>,
    refusal: Option<FrameError>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(([choice, cut], wire)) = bytes.split_first_chunk::<2>() else { return };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let limits = if choice & 2 == 0 { WIDE } else { NARROW };
    let has_deflate = choice & 4 != 0;
    let decoder = || {
        let decoder = Decoder::new(role, limits);
        if has_deflate { decoder.with_deflate() } else { decoder }
    };
    let whole = decode(decoder(), [wire].into_iter(), limits);
    let pieces = decode(decoder(), wire.chunks(1 + usize::from(*cut % 32)), limits);
    assert_eq!(whole, pieces, "cut every {} bytes", 1 + cut % 32);
    if !has_deflate {
        let (events, end) = naive(wire, role, limits);
        assert_eq!(whole.events, events);
        match end {
            End::Waiting => {}
            End::Refused => assert!(whole.refusal.is_some()),
            End::Closed => assert_eq!(whole.refusal, None),
        }
    }
    for event in whole.events {
        let again = decode(Decoder::new(role, WIDE), [&*said(&event, role)].into_iter(), WIDE);
        assert_eq!(again, Decoded { events: vec![event], refusal: None });
    }
}

fn decode<'a>(
    mut decoder: Decoder,
    pieces: impl Iterator<Item = &'a [u8]>,
    limits: DecoderLimits,
) -> Decoded {
    let (mut input, mut events) = (BytesMut::new(), Vec::new());
    let held_bytes_max = 2 * (limits.message_bytes_max + limits.message_bytes_max / 16 + 64) + 256;
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(refusal) => return Decoded { events, refusal: Some(refusal) },
            }
        }
        assert!(input.len() <= WAITING_BYTES_MAX, "{} bytes wait", input.len());
        assert!(decoder.held_bytes() <= held_bytes_max, "{} bytes are held", decoder.held_bytes());
    }
    for event in &events {
        if let Event::Text(payload) | Event::Binary(payload) = event {
            assert!(payload.len() <= limits.message_bytes_max);
        }
    }
    Decoded { events, refusal: None }
}

/// The event in one frame.
fn said(event: &Event, to: Role) -> Bytes {
    const MASK: [u8; 4] = [0x9d, 0, 0xff, 7];
    let (opcode, payload) = match event {
        Event::Text(payload) => (Opcode::Text, payload.clone()),
        Event::Binary(payload) => (Opcode::Binary, payload.clone()),
        Event::Ping(payload) => (Opcode::Ping, payload.clone()),
        Event::Pong(payload) => (Opcode::Pong, payload.clone()),
        Event::Close { code, reason } => {
            let code = code.map(u16::to_be_bytes);
            (Opcode::Close, [code.as_ref().map_or(&[][..], |code| code), reason].concat().into())
        }
    };
    match to {
        Role::Server => frame::encode_masked(opcode, &payload, MASK),
        Role::Client => frame::encode(opcode, &payload),
    }
}

enum End {
    /// The last frame is not all there: it may be refused already.
    Waiting,
    Refused,
    Closed,
}

/// A frame that is all there.
struct Whole {
    is_last: bool,
    opcode: u8,
    payload: Vec<u8>,
    rest: usize,
}

/// A message that has begun.
struct Begun {
    is_text: bool,
    frames: usize,
    payload: Vec<u8>,
}

/// Reads frame by frame out of all bytes, without compression.
fn naive(mut wire: &[u8], role: Role, limits: DecoderLimits) -> (Vec<Event>, End) {
    let mut events = Vec::new();
    let mut begun: Option<Begun> = None;
    loop {
        let frame = match whole(wire, role) {
            Ok(Some(frame)) => frame,
            Ok(None) => return (events, End::Waiting),
            Err(()) => return (events, End::Refused),
        };
        wire = &wire[frame.rest..];
        let bytes = frame.payload.len();
        if frame.opcode >= 8 {
            let Some(event) = control(&frame).filter(|_| frame.is_last && bytes <= 125) else {
                return (events, End::Refused);
            };
            let is_close = matches!(event, Event::Close { .. });
            events.push(event);
            if is_close {
                return (events, End::Closed);
            }
            continue;
        }
        let mut message = match (begun.take(), frame.opcode) {
            (None, 1 | 2) => Begun { is_text: frame.opcode == 1, frames: 0, payload: Vec::new() },
            (Some(message), 0) => message,
            _ => return (events, End::Refused),
        };
        message.frames += 1;
        message.payload.extend(frame.payload);
        let is_fit = bytes <= limits.frame_bytes_max
            && message.payload.len() <= limits.message_bytes_max
            && message.frames <= limits.fragments_max;
        let text = std::str::from_utf8(&message.payload);
        let is_text = text.err().is_none_or(|error| error.error_len().is_none() && !frame.is_last);
        if !is_fit || (message.is_text && !is_text) {
            return (events, End::Refused);
        }
        match (frame.is_last, message.is_text) {
            (true, true) => events.push(Event::Text(message.payload.into())),
            (true, false) => events.push(Event::Binary(message.payload.into())),
            (false, _) => begun = Some(message),
        }
    }
}

/// The first frame, unmasked; `None` where it is not all there.
fn whole(wire: &[u8], role: Role) -> Result<Option<Whole>, ()> {
    let [first, second, ..] = wire else { return Ok(None) };
    let (mut at, short) = (2, u64::from(second & 0x7f));
    let length = match short {
        126 => wire.get(2..4).map(|bytes| u64::from(bytes[0]) << 8 | u64::from(bytes[1])),
        127 => wire.get(2..10).map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
        _ => Some(short),
    };
    let Some(length) = length else { return Ok(None) };
    at += match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let is_masked = second & 0x80 != 0;
    let mask = if is_masked { wire.get(at..at + 4) } else { Some(&[0; 4][..]) };
    at += if is_masked { 4 } else { 0 };
    let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
    let payload = end.and_then(|end| wire.get(at..end));
    let (Some(mask), Some(payload)) = (mask, payload) else { return Ok(None) };
    let is_minimal = match short {
        126 => length >= 126,
        127 => length >= 65_536,
        _ => true,
    };
    let is_known = matches!(first & 0x0f, 0..=2 | 8..=10);
    if first & 0x70 != 0 || !is_known || !is_minimal || is_masked != (role == Role::Server) {
        return Err(());
    }
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(Whole { is_last: first & 0x80 != 0, opcode: first & 0x0f, payload, rest: at + length as usize }))
}

fn control(frame: &Whole) -> Option<Event> {
    let payload = Bytes::copy_from_slice(&frame.payload);
    match (frame.opcode, &frame.payload[..]) {
        (9, _) => Some(Event::Ping(payload)),
        (10, _) => Some(Event::Pong(payload)),
        (_, []) => Some(Event::Close { code: None, reason: payload }),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            let is_lawful = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            let reason = std::str::from_utf8(reason).ok().filter(|_| is_lawful)?;
            Some(Event::Close { code: Some(code), reason: Bytes::copy_from_slice(reason.as_bytes()) })
        }
        _ => None,
    }
}
