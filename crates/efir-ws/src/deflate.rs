//! Compressed messages (RFC 7692 §7.2), each on its own: no context lives between two messages.
//!
//! Contexts belong to threads, never to connections: [`shared_frame`] and inflating borrow the one of their thread for the
//! time of a call, so a connection at rest holds none. What was agreed is in `negotiation`.

use std::cell::Cell;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::FrameError;
use crate::frame::{Flags, Opcode, encode_flagged, encode_masked_flagged};

/// The end of a flushed DEFLATE stream, which senders cut off and receivers put back (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Put back by us: the cut tail and an empty final block. The stream then ends exactly here if, and only if, the
/// sender cut it where a block ends.
const TAIL_AND_END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// An empty message compressed (RFC 7692 §7.2.3.6).
const EMPTY: &[u8] = &[0x00];

/// Room that a [`Deflater`] keeps between two messages.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// The level of shared frames. Level 2 costs three times as much on small messages and saves a tenth of them more
/// (`examples/deflate_cost.rs`).
const SHARED_LEVEL: u8 = 1;

/// Compresses whole messages. About 320 kB at 15 window bits: keep one per thread, not per connection.
#[derive(Debug)]
pub struct Deflater {
    context: Compress,
    scratch: Vec<u8>,
}

impl Deflater {
    /// `level` 1 (fast) to 9 (small); `window_bits` 9–15 as agreed. Values outside are moved to the nearest bound.
    #[must_use]
    pub fn new(level: u8, window_bits: u8) -> Self {
        let level = Compression::new(u32::from(level.clamp(1, 9)));
        let context = Compress::new_with_window_bits(level, false, window_bits.clamp(9, 15));
        Self { context, scratch: Vec::new() }
    }

    /// A whole compressed, unmasked frame, to be shared by every connection that agreed to this window.
    pub fn compress_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Bytes {
        let frame = encode_flagged(opcode, Flags::WHOLE_COMPRESSED, self.compress(payload));
        self.trim();
        frame
    }

    /// A whole compressed, masked frame, as a client sends it.
    pub fn compress_frame_masked(&mut self, opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Bytes {
        let frame = encode_masked_flagged(opcode, Flags::WHOLE_COMPRESSED, self.compress(payload), mask);
        self.trim();
        frame
    }

    fn compress(&mut self, payload: &[u8]) -> &[u8] {
        if payload.is_empty() {
            return EMPTY;
        }
        self.context.reset();
        self.scratch.clear();
        loop {
            // Never less than a flush marker's room, else zlib would write the marker twice.
            self.scratch.reserve(payload.len() / 2 + 64);
            let done = self.context.total_in() as usize;
            let rest = payload.get(done..).unwrap_or_default();
            let result = self.context.compress_vec(rest, &mut self.scratch, FlushCompress::Sync);
            // An error is impossible on a fresh stream without dictionary; the loop must end all the same.
            if result.is_err() || self.scratch.len() < self.scratch.capacity() {
                break;
            }
        }
        self.scratch.strip_suffix(&TAIL).unwrap_or(&self.scratch)
    }

    /// One huge message must not keep its room forever.
    fn trim(&mut self) {
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_BYTES_MAX);
    }
}

thread_local! {
    /// What compresses on this thread; made by the first frame.
    static SHARED: Cell<Option<Box<Deflater>>> = const { Cell::new(None) };
    /// The idle inflate context of this thread, at most one.
    static IDLE: Cell<Option<Box<Decompress>>> = const { Cell::new(None) };
}

/// A whole compressed, unmasked frame with the full window, for every connection that agreed to one (or to one that is
/// not smaller than the payload). Uses the compressor of this thread.
#[must_use]
pub fn shared_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    with_shared(|deflater| deflater.compress_frame(opcode, payload))
}

/// A whole compressed, masked frame with the full window. Uses the compressor of this thread.
#[must_use]
pub fn masked_frame(opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Bytes {
    with_shared(|deflater| deflater.compress_frame_masked(opcode, payload, mask))
}

fn with_shared(compress: impl FnOnce(&mut Deflater) -> Bytes) -> Bytes {
    let mut deflater = SHARED.take().unwrap_or_else(|| Box::new(Deflater::new(SHARED_LEVEL, 15)));
    let frame = compress(&mut deflater);
    SHARED.set(Some(deflater));
    frame
}

/// The contents of a compressed message of at most `limit` bytes.
pub(crate) fn inflate(compressed: &[u8], limit: usize) -> Result<Bytes, FrameError> {
    // Not what RFC 7692 §7.2.3.6 asks senders to do for an empty message, but it can mean nothing else.
    if compressed.is_empty() {
        return Ok(Bytes::new());
    }
    let mut context = IDLE.take().unwrap_or_else(|| Box::new(Decompress::new(false)));
    context.reset(false);
    let result = inflate_with(&mut context, compressed, limit);
    IDLE.set(Some(context));
    result
}

fn inflate_with(context: &mut Decompress, compressed: &[u8], limit: usize) -> Result<Bytes, FrameError> {
    let mut output = Vec::with_capacity(compressed.len().saturating_mul(3).min(limit).saturating_add(1));
    let mut is_ended = false;
    for input in [compressed, &TAIL_AND_END] {
        if is_ended {
            break;
        }
        let rest = inflate_piece(context, input, &mut output, limit)?;
        if let Some(rest) = rest {
            is_ended = true;
            // A sender may end its stream with a final block; RFC 7692 §7.2.3.4 then has one zero byte follow.
            if !matches!(rest, [] | [0]) {
                return Err(FrameError::DeflateInvalid);
            }
        }
    }
    if is_ended { Ok(Bytes::from(output)) } else { Err(FrameError::DeflateInvalid) }
}

/// Inflates all of `input`; gives what follows the stream's end, `None` while it goes on.
fn inflate_piece<'a>(
    context: &mut Decompress,
    mut input: &'a [u8],
    output: &mut Vec<u8>,
    limit: usize,
) -> Result<Option<&'a [u8]>, FrameError> {
    loop {
        if output.len() == output.capacity() {
            let more = output.len().max(256).min(limit.saturating_add(1).saturating_sub(output.len()));
            output.reserve_exact(more);
        }
        let before = context.total_in();
        let status = context
            .decompress_vec(input, output, FlushDecompress::Sync)
            .map_err(|_| FrameError::DeflateInvalid)?;
        let consumed = (context.total_in() - before) as usize;
        input = input.get(consumed..).unwrap_or_default();
        if output.len() > limit {
            return Err(FrameError::InflatedTooLarge { limit });
        }
        if status == Status::StreamEnd {
            return Ok(Some(input));
        }
        // Room is left, so the context has said all that it can say about this input.
        if output.len() < output.capacity() {
            return if input.is_empty() { Ok(None) } else { Err(FrameError::DeflateInvalid) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn compress(payload: &[u8]) -> Vec<u8> {
        Deflater::new(6, 15).compress(payload).to_vec()
    }

    /// Text that compresses somewhat, different at each length.
    fn sample(bytes: usize) -> Vec<u8> {
        let mut state = bytes as u32 | 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 30 == 0 { (state >> 16) as u8 } else { b'a' }
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn the_examples_of_rfc_7692_are_read() {
        for hello in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(hello, LIMIT).unwrap(), "Hello", "{hello:02x?}");
        }
    }

    #[test]
    fn an_empty_message_is_one_zero_byte() {
        let mut deflater = Deflater::new(1, 15);
        assert_eq!(&deflater.compress_frame(Opcode::Text, b"")[..], [0xc1, 1, 0]);
        assert_eq!(inflate(&[0], LIMIT).unwrap(), "");
        assert_eq!(inflate(&[], LIMIT).unwrap(), "");
        assert_eq!(
            &deflater.compress_frame(Opcode::Text, b"Hello")[2..],
            [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0]
        );
    }

    #[test]
    fn every_length_and_window_survives_the_round_trip() {
        for window_bits in [9, 12, 15] {
            let mut deflater = Deflater::new(1, window_bits);
            for bytes in (0..700).chain([1023, 1024, 65_535, 65_536, 200_000]) {
                let payload = sample(bytes);
                let compressed = deflater.compress(&payload).to_vec();
                assert_eq!(
                    inflate(&compressed, bytes).unwrap(),
                    payload,
                    "{bytes} bytes, window {window_bits}"
                );
            }
        }
    }

    #[test]
    fn a_small_window_is_kept() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let mut twice: Vec<u8> = (0..1000).map(|_| noise()).collect();
        twice.extend_from_within(..);
        let compressed_bytes = |window_bits| Deflater::new(9, window_bits).compress(&twice).len();
        assert!(compressed_bytes(15) < 1200, "the second half is found 1,000 bytes back");
        assert!(compressed_bytes(9) > 1600, "nothing is found within 512 bytes");
    }

    #[test]
    fn the_limit_is_exact() {
        let compressed = compress(&[b'x'; 10_000]);
        assert!(inflate(&compressed, 10_000).is_ok());
        assert_eq!(inflate(&compressed, 9_999), Err(FrameError::InflatedTooLarge { limit: 9_999 }));
        assert_eq!(inflate(&compressed, 0), Err(FrameError::InflatedTooLarge { limit: 0 }));
    }

    #[test]
    fn cut_or_continued_streams_are_refused() {
        let compressed = compress(&sample(300));
        for cut in 1..compressed.len() {
            let result = inflate(&compressed[..cut], LIMIT);
            assert!(result.is_err(), "cut at {cut} of {}: {result:?}", compressed.len());
        }
        let mut ended = vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        ended.push(1);
        assert_eq!(inflate(&ended, LIMIT), Err(FrameError::DeflateInvalid));
        assert_eq!(inflate(&[0xff; 20], LIMIT), Err(FrameError::DeflateInvalid));
    }

    #[test]
    fn an_error_does_not_spoil_the_next_message() {
        assert!(inflate(&[0xff, 0xff, 0xff], LIMIT).is_err());
        assert!(inflate(&compress(&[0; 5000]), 10).is_err());
        assert_eq!(inflate(&compress(b"after"), LIMIT).unwrap(), "after");
    }

    #[test]
    fn frames_of_one_thread_share_nothing_but_their_compressor() {
        let text = "the same text again and again, ".repeat(20);
        let first = shared_frame(Opcode::Text, text.as_bytes());
        assert_eq!(shared_frame(Opcode::Text, text.as_bytes()), first, "no context is taken over");
        let masked = masked_frame(Opcode::Text, text.as_bytes(), [0; 4]);
        assert_eq!(masked[6..], first[2..]);
    }

    #[test]
    fn scratch_room_is_given_back_after_a_huge_message() {
        let mut deflater = Deflater::new(1, 15);
        let _frame = deflater.compress_frame(Opcode::Binary, &vec![0; 4 << 20]);
        assert!(deflater.scratch.capacity() <= SCRATCH_BYTES_MAX);
    }
}
