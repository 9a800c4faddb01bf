//! Frames that leave us: one allocation holds header and payload, so one encoded frame serves any number of connections.
//!
//! A frame without a mask depends on its contents only (RFC 6455 §5.2); masked ones are for clients.

use bytes::Bytes;

use crate::mask::unmask;

/// Bytes that a control frame may carry (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Bytes of a close frame's reason: a control frame's payload without the code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// What a frame is (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further piece of the unfinished message.
    Continuation = 0x0,
    /// A message of UTF-8 text, or its first piece.
    Text = 0x1,
    /// A message of bytes, or its first piece.
    Binary = 0x2,
    /// The end of the connection.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or is a heartbeat of its own.
    Pong = 0xa,
}

impl Opcode {
    /// The opcode of the four low bits of a frame's first byte; `None` for the reserved ones.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong: at most 125 bytes, never in pieces, welcome between the pieces of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The two flags of a frame that a sender chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// FIN: the last (or only) piece of its message.
    pub fin: bool,
    /// RSV1: the message is compressed (RFC 7692 §6). Only on the first frame of a message.
    pub compressed: bool,
}

impl Flags {
    /// A message in one frame.
    pub const WHOLE: Self = Self { fin: true, compressed: false };
    /// A compressed message in one frame.
    pub const WHOLE_COMPRESSED: Self = Self { fin: true, compressed: true };
    /// A piece of a message with more to come.
    pub const PIECE: Self = Self { fin: false, compressed: false };
}

/// The first 2 to 10 bytes of an unmasked frame.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; 10],
    len: u8,
}

impl Header {
    /// The bytes to send before the payload.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The header of an unmasked frame with a payload of `payload_bytes`, the length in its shortest form.
#[must_use]
pub fn header(opcode: Opcode, flags: Flags, payload_bytes: usize) -> Header {
    let first = opcode as u8 | u8::from(flags.fin) << 7 | u8::from(flags.compressed) << 6;
    let mut bytes = [0; 10];
    let [b0, b1, b2, b3, rest @ ..] = &mut bytes;
    *b0 = first;
    let len = if payload_bytes <= CONTROL_BYTES_MAX {
        *b1 = payload_bytes as u8;
        2
    } else if let Ok(short) = u16::try_from(payload_bytes) {
        *b1 = 126;
        [*b2, *b3] = short.to_be_bytes();
        4
    } else {
        *b1 = 127;
        let [l0, l1, tail @ ..] = (payload_bytes as u64).to_be_bytes();
        [*b2, *b3] = [l0, l1];
        *rest = tail;
        10
    };
    Header { bytes, len }
}

/// A whole unmasked message or control frame in one allocation, as a server sends it.
///
/// ```
/// use efir_ws::{Opcode, frame::encode};
/// assert_eq!(&encode(Opcode::Text, b"hi")[..], b"\x81\x02hi");
/// ```
///
/// A control frame's payload must not exceed [`CONTROL_BYTES_MAX`]; it is the caller's to keep that.
#[must_use]
pub fn encode(opcode: Opcode, payload: &[u8]) -> Bytes {
    encode_flagged(opcode, Flags::WHOLE, payload)
}

/// An unmasked frame with chosen flags: pieces of a message, or a payload that is compressed already.
#[must_use]
pub fn encode_flagged(opcode: Opcode, flags: Flags, payload: &[u8]) -> Bytes {
    debug_assert!(!opcode.is_control() || payload.len() <= CONTROL_BYTES_MAX);
    let header = header(opcode, flags, payload.len());
    let header = header.as_slice();
    let mut frame = Vec::with_capacity(header.len() + payload.len());
    frame.extend_from_slice(header);
    frame.extend_from_slice(payload);
    Bytes::from(frame)
}

/// A whole masked message or control frame in one allocation, as a client sends it. The mask must be unpredictable
/// (RFC 6455 §10.3): take it from a random source for each frame.
#[must_use]
pub fn encode_masked(opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Bytes {
    encode_masked_flagged(opcode, Flags::WHOLE, payload, mask)
}

/// A masked frame with chosen flags. See [`encode_flagged`] and [`encode_masked`].
#[must_use]
pub fn encode_masked_flagged(opcode: Opcode, flags: Flags, payload: &[u8], mask: [u8; 4]) -> Bytes {
    debug_assert!(!opcode.is_control() || payload.len() <= CONTROL_BYTES_MAX);
    let mut header = header(opcode, flags, payload.len());
    let [_, second, ..] = &mut header.bytes;
    *second |= 0x80;
    let header = header.as_slice();
    let start = header.len() + mask.len();
    let mut frame = Vec::with_capacity(start + payload.len());
    frame.extend_from_slice(header);
    frame.extend_from_slice(&mask);
    frame.extend_from_slice(payload);
    unmask(frame.get_mut(start..).unwrap_or_default(), mask);
    Bytes::from(frame)
}

/// An unmasked close frame. A reason above [`CLOSE_REASON_BYTES_MAX`] is cut before the character that does not fit.
#[must_use]
pub fn encode_close(code: u16, reason: &str) -> Bytes {
    encode(Opcode::Close, &close_payload(code, reason))
}

/// A masked close frame. See [`encode_close`].
#[must_use]
pub fn encode_close_masked(code: u16, reason: &str, mask: [u8; 4]) -> Bytes {
    encode_masked(Opcode::Close, &close_payload(code, reason), mask)
}

fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    // A character has at most four bytes, so one of these cuts is between two of them.
    let reason = (CLOSE_REASON_BYTES_MAX - 3..=CLOSE_REASON_BYTES_MAX)
        .rev()
        .find_map(|cut| reason.get(..cut.min(reason.len())))
        .unwrap_or_default();
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    payload
}

/// Whether a peer may send this close code: 1000–1003, 1007–1014 (RFC 6455 §7.4.1 and its IANA registry) and the
/// ranges 3000–4999 for libraries and applications.
#[must_use]
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_use_the_shortest_length() {
        let bytes = |len| header(Opcode::Binary, Flags::WHOLE, len).as_slice().to_vec();
        assert_eq!(bytes(0), [0x82, 0]);
        assert_eq!(bytes(125), [0x82, 125]);
        assert_eq!(bytes(126), [0x82, 126, 0, 126]);
        assert_eq!(bytes(65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(bytes(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(header(Opcode::Text, Flags::WHOLE_COMPRESSED, 1).as_slice(), [0xc1, 1]);
        assert_eq!(header(Opcode::Continuation, Flags::PIECE, 1).as_slice(), [0x00, 1]);
    }

    #[test]
    fn masked_example_of_rfc_6455_section_5_7() {
        let frame = encode_masked(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&frame[..], [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn a_long_close_reason_is_cut_at_a_character() {
        let frame = encode_close(1008, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122, "61 whole characters of two bytes fit 123 bytes");
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(encode_close(1008, &"e".repeat(200)).len(), 2 + CONTROL_BYTES_MAX);
        assert_eq!(&encode_close(1000, "")[..], [0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn close_codes_that_never_travel_are_known() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert!(!is_close_code(code), "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(is_close_code(code), "{code}");
        }
    }
}
