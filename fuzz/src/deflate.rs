//! permessage-deflate (RFC 7692): a message comes back as it went, and of foreign bytes never more is inflated than is allowed.

use bytes::{Bytes, BytesMut};
use efir_ws::{
    Decoder, DecoderLimits, Deflater, Event, FrameError, Opcode, Role, deflate,
    frame::{self, Flags},
};
use flate2::{Decompress, FlushDecompress, Status};

const LIMITS: [usize; 4] = [0, 100, 5_000, 1 << 20];
const MASK: [u8; 4] = [1, 2, 3, 0xff];

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    if choice & 1 == 0 { there_and_back(*choice, bytes) } else { foreign(*choice, bytes) }
}

fn decoder(role: Role, bytes_max: usize) -> Decoder {
    let limits = DecoderLimits { message_bytes_max: bytes_max, frame_bytes_max: 1 << 20, fragments_max: 4 };
    Decoder::new(role, limits).with_deflate()
}

fn decode(mut decoder: Decoder, frame: &Bytes) -> Result<Option<Event>, FrameError> {
    let mut input = BytesMut::from(&frame[..]);
    let event = decoder.decode(&mut input);
    assert!(event.is_err() || input.is_empty());
    event
}

fn there_and_back(choice: u8, bytes: &[u8]) {
    // The bytes again and again, so that there is something to find.
    let payload = bytes.repeat(1 + usize::from(choice >> 1 & 7));
    let said = Ok(Some(Event::Binary(payload.clone().into())));
    let (level, window_bits) = (1 + choice % 9, 9 + (choice >> 4) % 7);
    let mut own = Deflater::new(level, window_bits);
    for _ in 0..2 {
        let frame = own.compress_frame(Opcode::Binary, &payload);
        assert_eq!(decode(decoder(Role::Client, payload.len()), &frame), said);
    }
    let masked = own.compress_frame_masked(Opcode::Binary, &payload, MASK);
    assert_eq!(decode(decoder(Role::Server, payload.len()), &masked), said);
    let shared = deflate::shared_frame(Opcode::Binary, &payload);
    assert_eq!(decode(decoder(Role::Client, payload.len()), &shared), said);
    if let Some(less) = payload.len().checked_sub(1) {
        let refused = Err(FrameError::InflatedTooLarge { limit: less });
        let found = decode(decoder(Role::Client, less), &shared);
        // What did not become smaller may be too large before it is inflated.
        assert!(found == refused || matches!(found, Err(FrameError::MessageTooLarge { .. })), "{found:?}");
    }
}

fn foreign(choice: u8, bytes: &[u8]) {
    let limit = LIMITS[usize::from(choice >> 1 & 3)];
    let frame = frame::encode_masked_flagged(Opcode::Binary, Flags::WHOLE_COMPRESSED, bytes, MASK);
    let found = decode(decoder(Role::Server, limit), &frame);
    match (found, naive(bytes, limit)) {
        (Ok(Some(Event::Binary(payload))), Some(inflated)) => assert_eq!(payload, inflated),
        (Ok(found), inflated) => panic!("{found:?} where {inflated:?}"),
        // Too long for this limit, before it was inflated.
        (Err(FrameError::MessageTooLarge { .. }), _) => assert!(bytes.len() > limit),
        (Err(error), inflated) => assert_eq!(inflated, None, "{error}"),
    }
}

/// Inflates in one go into more room than is allowed; `None` where that is no whole message of at most `limit` bytes.
fn naive(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let input = [bytes, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let mut output = vec![0; limit + 300];
    let mut context = Decompress::new(false);
    let status = context.decompress(&input, &mut output, FlushDecompress::Finish).ok()?;
    let (read, written) = (context.total_in() as usize, context.total_out() as usize);
    // It ends with what was added, or with a last block of its own and one zero byte at most.
    let is_end = read == input.len() || (read <= bytes.len() && matches!(bytes[read..], [] | [0]));
    if status != Status::StreamEnd || !is_end || written > limit {
        return None;
    }
    output.truncate(written);
    Some(output)
}
