//! The head of an arriving frame (RFC 6455 §5.2). Every rule that its bits can break is checked here, before a single
//! payload byte is kept and as soon as the byte that breaks it has come.

use crate::frame::{CONTROL_BYTES_MAX, Opcode};
use crate::{FrameError, Role};

/// What the decoder allows at this point of the connection.
#[derive(Clone, Copy)]
pub(crate) struct Expectation {
    pub(crate) role: Role,
    /// permessage-deflate was agreed.
    pub(crate) deflate: bool,
    /// A message has begun and not ended.
    pub(crate) is_inside_message: bool,
}

/// A complete and lawful frame head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    pub(crate) compressed: bool,
    /// All zero when the frame has no mask.
    pub(crate) mask: [u8; 4],
    /// Bytes of the head itself.
    pub(crate) head_bytes: usize,
    /// Bytes that the frame says will follow.
    pub(crate) payload_bytes: usize,
}

impl Head {
    /// Reads the head at the start of `input`; `None` until all of it has come. `is_allowed` sees the opcode, RSV1 and
    /// the declared length before the rest of the head has come.
    pub(crate) fn parse(
        input: &[u8],
        expectation: Expectation,
        is_allowed: impl FnOnce(Opcode, bool, u64) -> Result<(), FrameError>,
    ) -> Result<Option<Self>, FrameError> {
        let Some((&first, after_first)) = input.split_first() else { return Ok(None) };
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(FrameError::UnknownOpcode(first & 0x0f))?;
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        check_first(opcode, first, expectation)?;

        let Some((&second, after_second)) = after_first.split_first() else { return Ok(None) };
        let masked = second & 0x80 != 0;
        match expectation.role {
            Role::Server if !masked => return Err(FrameError::MaskMissing),
            Role::Client if masked => return Err(FrameError::MaskForbidden),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(FrameError::ControlTooLong);
        }
        let Some((payload_bytes, after_length)) = length(short, after_second)? else { return Ok(None) };
        is_allowed(opcode, compressed, payload_bytes)?;

        let (mask, body) = if masked {
            let Some((mask, body)) = after_length.split_first_chunk::<4>() else { return Ok(None) };
            (*mask, body)
        } else {
            ([0; 4], after_length)
        };
        let head_bytes = input.len() - body.len();
        // On a 32-bit target a length that passed the limits always fits; the overflow error is for limits set too high.
        let payload_bytes = usize::try_from(payload_bytes).map_err(|_| FrameError::LengthOverflow)?;
        Ok(Some(Self { opcode, fin, compressed, mask, head_bytes, payload_bytes }))
    }
}

fn check_first(opcode: Opcode, first: u8, expectation: Expectation) -> Result<(), FrameError> {
    let compressed = first & 0x40 != 0;
    if first & 0x30 != 0 || (compressed && !expectation.deflate) {
        return Err(FrameError::ReservedBits);
    }
    if opcode.is_control() {
        return match (first & 0x80 != 0, compressed) {
            (_, true) => Err(FrameError::ControlCompressed),
            (false, _) => Err(FrameError::ControlFragmented),
            _ => Ok(()),
        };
    }
    match (opcode == Opcode::Continuation, expectation.is_inside_message) {
        (true, false) => Err(FrameError::ContinuationWithoutStart),
        (false, true) => Err(FrameError::MessageInterleaved),
        (true, true) if compressed => Err(FrameError::ReservedBits),
        _ => Ok(()),
    }
}

/// The payload length and what follows it; refuses long forms of small numbers and the 64th bit.
fn length(short: u8, input: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
    let (length, rest, least) = match short {
        126 => {
            let Some((bytes, rest)) = input.split_first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), rest, 126)
        }
        127 => {
            let Some((bytes, rest)) = input.split_first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), rest, 1 << 16)
        }
        _ => (u64::from(short), input, 0),
    };
    if length >> 63 != 0 {
        Err(FrameError::LengthOverflow)
    } else if length < least {
        Err(FrameError::LengthNotMinimal)
    } else {
        Ok(Some((length, rest)))
    }
}
