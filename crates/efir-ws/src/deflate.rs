//! Compressed messages (RFC 7692 §7.2), each on its own: no context lives between two messages.
//!
//! A [`Deflater`] belongs to a worker and makes frames that all connections share. Inflating borrows one context per
//! thread for the time of a call, so a connection at rest holds none. What was agreed is in `negotiation`.

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

/// Compresses whole messages. About 320 kB at 15 window bits: keep one per worker, not per connection.
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
    /// The idle inflate context of this thread, at most one.
    static IDLE: Cell<Option<Box<Decompress>>> = const { Cell::new(None) };
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
