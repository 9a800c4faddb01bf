//! The outbound half of RFC 6455 §5.2: unmasked, unfragmented text frames, compressed ones (RFC 7692) among them. The
//! inbound half and the compression itself are in the crate `efir-ws`.

use efir_ws::{Opcode, deflate};

use super::{Frame, RESERVE, framed};

/// The least object that is compressed. Below it little is saved beside what IP and TCP take, and what is sent most is
/// sent fastest (docs/benchmarks.md).
const DEFLATE_BYTES_MIN: usize = 300;
/// A compressed frame must save this part of the object, or else it is not worth the receiver's work.
const SAVED_PART_MIN: usize = 10;

/// A text frame around an object.
#[must_use]
pub fn message(object: &[u8]) -> Frame {
    text(object.len(), |out| out.extend_from_slice(object))
}

/// A text frame around what `write` writes, about `capacity` bytes of UTF-8.
pub(crate) fn text(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    framed(capacity, header, b"", write)
}

/// A text frame of exactly `len` bytes of UTF-8, which `write` writes, in an allocation of its own size.
pub(crate) fn text_of(len: usize, write: impl Fn(&mut Vec<u8>)) -> Box<[u8]> {
    let mut room = [0; RESERVE];
    let head = header(len, &mut room);
    let mut out = Vec::with_capacity(head + len);
    out.extend_from_slice(room.get(RESERVE - head..).unwrap_or_default());
    write(&mut out);
    debug_assert_eq!(out.len(), head + len, "the length was counted wrongly");
    // A frame must never lie about its length, whatever was counted.
    if out.len() == head + len { out.into() } else { Vec::from(text(len, write).bytes).into() }
}

/// How many bytes stand before the content of a frame of ours.
pub(crate) fn head_len(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    }
}

/// Whether an object is long enough to be compressed.
pub(crate) fn is_compressible(object: &[u8]) -> bool {
    object.len() >= DEFLATE_BYTES_MIN
}

/// Whether a frame that was compressed with the full window may go to a connection with a smaller one: nothing in it
/// refers further back than the object is long.
pub(crate) fn fits_window(object: &[u8], window_bits: u8) -> bool {
    window_bits >= 15 || object.len() <= 1 << window_bits
}

/// A compressed text frame around an object; `None` where that saves too little.
pub(crate) fn compressed(object: &[u8]) -> Option<Frame> {
    let bytes = deflate::shared_frame(Opcode::Text, object);
    let most = object.len() - object.len() / SAVED_PART_MIN;
    (bytes.len() <= most).then(|| Frame { head: head_len(&bytes) as u8, bytes, tail: 0 })
}

/// FIN, opcode 1, no mask; the length in 7, 7 + 16 or 7 + 64 bits.
fn header(len: usize, room: &mut [u8; RESERVE]) -> usize {
    const TEXT: u8 = 0x81;
    match len {
        0..=125 => place(room, &[TEXT, len as u8]),
        126..=0xffff => {
            let [a, b] = (len as u16).to_be_bytes();
            place(room, &[TEXT, 126, a, b])
        }
        _ => {
            let [a, b, c, d, e, f, g, h] = (len as u64).to_be_bytes();
            place(room, &[TEXT, 127, a, b, c, d, e, f, g, h])
        }
    }
}

fn place(room: &mut [u8; RESERVE], bytes: &[u8]) -> usize {
    for (place, byte) in room.iter_mut().rev().zip(bytes.iter().rev()) {
        *place = *byte;
    }
    bytes.len()
}
