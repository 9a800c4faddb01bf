//! Frames that arrive, turned into events: strict RFC 6455, every limit checked before bytes are kept.
//!
//! An idle [`Decoder`] holds no buffer; an unfinished message costs its bytes and nothing that was only declared.
//! A message that lies whole in the input is unmasked in place and split off, without a copy.

use bytes::{Buf, Bytes, BytesMut};

use crate::deflate::inflate;
use crate::frame::{Opcode, is_close_code};
use crate::head::{Expectation, Head};
use crate::mask::{rotate, unmask};
use crate::utf8::{self, Utf8Validator};
use crate::{FrameError, Role};

/// How much a peer may send in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Bytes of a whole message, as the application sees it: inflated, all fragments together.
    pub message_bytes_max: usize,
    /// Bytes of one data frame's payload. Compressed frames get 1/16 more, as deflate may add to what it cannot shrink.
    pub frame_bytes_max: usize,
    /// Frames of one message, the first and empty ones counted.
    pub fragments_max: usize,
}

/// What a peer sent.
///
/// A payload may share the allocation of the input that it was split off from: copy what is kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message; valid UTF-8.
    Text(Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// Must be answered with a pong of the same payload (at most 125 bytes).
    Ping(Bytes),
    /// Answers our ping, or is a heartbeat of the peer's own.
    Pong(Bytes),
    /// The peer ends the connection. Nothing comes after it.
    Close {
        /// The lawful code that the peer gave, if any.
        code: Option<u16>,
        /// The peer's words; valid UTF-8, at most 123 bytes.
        reason: Bytes,
    },
}

/// The receiving half of one connection.
///
/// ```
/// use bytes::BytesMut;
/// use efir_ws::{Decoder, DecoderLimits, Event, Role};
///
/// let limits = DecoderLimits { message_bytes_max: 65_536, frame_bytes_max: 65_536, fragments_max: 128 };
/// let mut decoder = Decoder::new(Role::Client, limits);
/// let mut input = BytesMut::from(&b"\x81\x02hi\x89"[..]);
/// assert_eq!(decoder.decode(&mut input), Ok(Some(Event::Text("hi".into()))));
/// assert_eq!(decoder.decode(&mut input), Ok(None), "a ping has begun");
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    /// Made by the first frame of a message that is not there as a whole, dropped with its last byte.
    unfinished: Option<Box<Unfinished>>,
    role: Role,
    deflate: bool,
    /// Set by a close frame or an error.
    is_finished: bool,
}

/// A message of which a part has come.
#[derive(Debug)]
struct Unfinished {
    opcode: Opcode,
    compressed: bool,
    /// Frames begun so far.
    fragments: usize,
    /// Unmasked bytes of all frames so far, still deflated if `compressed`.
    payload: Vec<u8>,
    text: Utf8Validator,
    frame: OpenFrame,
}

/// The rest of the frame that is being received.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    remaining_bytes: usize,
    /// Turned so that it fits the next byte.
    mask: [u8; 4],
    fin: bool,
}

impl Decoder {
    /// A decoder for a connection without compression.
    #[must_use]
    pub fn new(role: Role, limits: DecoderLimits) -> Self {
        Self { limits, unfinished: None, role, deflate: false, is_finished: false }
    }

    /// The same for a connection that agreed on permessage-deflate without context takeover.
    #[must_use]
    pub fn with_deflate(mut self) -> Self {
        self.deflate = true;
        self
    }

    /// Whether a close frame or an error has ended the connection; further input is thrown away.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether no message has begun without ending: nothing is held here and no peer is late.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.unfinished.is_none()
    }

    /// How many bytes a message may have.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.limits.message_bytes_max
    }

    /// From now on messages and frames may have so many bytes.
    pub fn set_message_bytes_max(&mut self, bytes_max: usize) {
        self.limits.message_bytes_max = bytes_max;
        self.limits.frame_bytes_max = bytes_max;
    }

    /// Bytes that are held of a message that has begun and not ended.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.payload.capacity())
    }

    /// Takes bytes from the front of `input` and gives the next event; `None` when more bytes are needed. Call it
    /// until then. At most the head of a frame or a control frame (139 bytes) is left in `input` meanwhile.
    ///
    /// # Errors
    /// [`FrameError`] once, at the first byte that breaks a rule or a limit; afterwards the decoder is finished.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        if self.is_finished {
            input.clear();
            return Ok(None);
        }
        let result = self.next_event(input);
        if matches!(result, Err(_) | Ok(Some(Event::Close { .. }))) {
            self.is_finished = true;
            self.unfinished = None;
            input.clear();
        }
        result
    }

    fn next_event(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        loop {
            if let Some(unfinished) = &mut self.unfinished
                && unfinished.is_inside_frame()
            {
                if !unfinished.take_bytes(input)? {
                    return Ok(None);
                }
                if unfinished.frame.fin {
                    return self.end_message();
                }
                continue;
            }
            let Some(head) = self.read_head(input)? else { return Ok(None) };
            let frame_bytes = head.head_bytes.saturating_add(head.payload_bytes);
            let is_whole = input.len() >= frame_bytes;
            if head.opcode.is_control() {
                return if is_whole { control(head, split_payload(input, head)).map(Some) } else { Ok(None) };
            }
            if is_whole && head.fin && head.opcode != Opcode::Continuation {
                return self.whole_message(head, split_payload(input, head)).map(Some);
            }
            input.advance(head.head_bytes);
            self.open_frame(head);
            if head.payload_bytes == 0 && head.fin {
                return self.end_message();
            }
        }
    }

    fn read_head(&self, input: &[u8]) -> Result<Option<Head>, FrameError> {
        let expectation = Expectation {
            role: self.role,
            deflate: self.deflate,
            is_inside_message: self.unfinished.is_some(),
        };
        Head::parse(input, expectation, |opcode, compressed, payload_bytes| {
            if opcode.is_control() { Ok(()) } else { self.check_size(compressed, payload_bytes) }
        })
    }

    /// Whether a frame that declares `payload_bytes` may be received. Nothing was kept of it yet.
    fn check_size(&self, compressed: bool, payload_bytes: u64) -> Result<(), FrameError> {
        let DecoderLimits { message_bytes_max, frame_bytes_max, fragments_max } = self.limits;
        let (before, fragments, compressed) = match &self.unfinished {
            Some(unfinished) => {
                (unfinished.payload.len() as u64, unfinished.fragments, unfinished.compressed)
            }
            None => (0, 0, compressed),
        };
        let allow = |limit: usize| {
            let more = if compressed { limit / 16 + 64 } else { 0 };
            limit.saturating_add(more) as u64
        };
        if fragments >= fragments_max {
            return Err(FrameError::TooManyFragments { limit: fragments_max });
        }
        if payload_bytes > allow(frame_bytes_max) {
            return Err(FrameError::FrameTooLarge { limit: frame_bytes_max });
        }
        if before.saturating_add(payload_bytes) > allow(message_bytes_max) {
            return Err(FrameError::MessageTooLarge { limit: message_bytes_max });
        }
        Ok(())
    }

    fn open_frame(&mut self, head: Head) {
        let frame = OpenFrame { remaining_bytes: head.payload_bytes, mask: head.mask, fin: head.fin };
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.fragments += 1;
            unfinished.frame = frame;
        } else {
            self.unfinished = Some(Box::new(Unfinished {
                opcode: head.opcode,
                compressed: head.compressed,
                fragments: 1,
                payload: Vec::new(),
                text: Utf8Validator::default(),
                frame,
            }));
        }
    }

    /// The last byte of a message has come.
    fn end_message(&mut self) -> Result<Option<Event>, FrameError> {
        let Some(unfinished) = self.unfinished.take() else { return Ok(None) };
        if unfinished.compressed {
            let limit = self.limits.message_bytes_max;
            return inflate(&unfinished.payload, limit)
                .and_then(|payload| message(unfinished.opcode, payload))
                .map(Some);
        }
        let payload = Bytes::from(unfinished.payload);
        if unfinished.opcode == Opcode::Text {
            unfinished.text.finish().map_err(|_| FrameError::TextNotUtf8)?;
            return Ok(Some(Event::Text(payload)));
        }
        Ok(Some(Event::Binary(payload)))
    }

    /// A message that came in one frame and lay whole in the input.
    fn whole_message(&self, head: Head, payload: Bytes) -> Result<Event, FrameError> {
        let payload =
            if head.compressed { inflate(&payload, self.limits.message_bytes_max)? } else { payload };
        message(head.opcode, payload)
    }
}

impl Unfinished {
    fn is_inside_frame(&self) -> bool {
        self.frame.remaining_bytes > 0
    }

    /// Moves what has come of the open frame out of `input`; true when that was all of it.
    fn take_bytes(&mut self, input: &mut BytesMut) -> Result<bool, FrameError> {
        let frame = &mut self.frame;
        let taken = frame.remaining_bytes.min(input.len());
        let Some(piece) = input.get_mut(..taken) else { return Ok(false) };
        unmask(piece, frame.mask);
        if self.opcode == Opcode::Text && !self.compressed {
            self.text.feed(piece).map_err(|_| FrameError::TextNotUtf8)?;
        }
        let coming_bytes = if frame.fin { frame.remaining_bytes } else { usize::MAX };
        grow(&mut self.payload, taken, coming_bytes);
        self.payload.extend_from_slice(piece);
        frame.mask = rotate(frame.mask, taken);
        frame.remaining_bytes -= taken;
        // An emptied buffer keeps its whole room for the next read only when it is cleared.
        if taken == input.len() {
            input.clear();
        } else {
            input.advance(taken);
        }
        Ok(frame.remaining_bytes == 0)
    }
}

/// Makes room for `taken` bytes: at most twice of what has come, so that a declared length alone costs nothing, and
/// not more than the message can still bring (`coming_bytes`).
fn grow(payload: &mut Vec<u8>, taken: usize, coming_bytes: usize) {
    if payload.capacity() - payload.len() < taken {
        let doubled = payload.len().max(256);
        payload.reserve_exact(taken.max(doubled.min(coming_bytes)));
    }
}

/// Splits a whole frame off `input` and unmasks its payload in place.
fn split_payload(input: &mut BytesMut, head: Head) -> Bytes {
    let mut payload = input.split_to(head.head_bytes + head.payload_bytes);
    payload.advance(head.head_bytes);
    if head.mask != [0; 4] {
        unmask(&mut payload, head.mask);
    }
    payload.freeze()
}

fn message(opcode: Opcode, payload: Bytes) -> Result<Event, FrameError> {
    if opcode != Opcode::Text {
        return Ok(Event::Binary(payload));
    }
    if utf8::is_valid(&payload) { Ok(Event::Text(payload)) } else { Err(FrameError::TextNotUtf8) }
}

fn control(head: Head, mut payload: Bytes) -> Result<Event, FrameError> {
    match head.opcode {
        Opcode::Ping => return Ok(Event::Ping(payload)),
        Opcode::Pong => return Ok(Event::Pong(payload)),
        _ => {}
    }
    if payload.is_empty() {
        return Ok(Event::Close { code: None, reason: payload });
    }
    let code = payload.try_get_u16().map_err(|_| FrameError::CloseCodeTruncated)?;
    if !is_close_code(code) {
        return Err(FrameError::CloseCodeInvalid(code));
    }
    if !utf8::is_valid(&payload) {
        return Err(FrameError::CloseReasonNotUtf8);
    }
    Ok(Event::Close { code: Some(code), reason: payload })
}
