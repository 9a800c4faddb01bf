//! The outbound half of RFC 6455 §5.2: unmasked, unfragmented text frames. The inbound half is the crate `efir-ws`.

use super::{Frame, RESERVE, framed};

/// A text frame around an object.
#[must_use]
pub fn message(object: &[u8]) -> Frame {
    text(object.len(), |out| out.extend_from_slice(object))
}

/// A text frame around what `write` writes, about `capacity` bytes of UTF-8.
pub(crate) fn text(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    framed(capacity, header, b"", write)
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
