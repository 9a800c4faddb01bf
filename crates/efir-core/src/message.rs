//! A payload as it was published and a message as it stands in a channel (docs/protocol.md §4). A message is encoded
//! once, and once for each wire form that is asked for; everybody shares those bytes. The forms are in [`crate::wire`].

use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::FixedState;
use once_cell::race::OnceBox;
use thiserror::Error;

use crate::channel::ChannelName;
use crate::codes::Code;
use crate::position::Position;
use crate::wire::{Form, Frame, http_stream, json_check, object, sse, websocket};

/// What a message weighs besides its object: its own fields, the counters of its allocation (16 bytes), its place in the
/// log, and what an allocator adds by rounding.
pub const MESSAGE_OVERHEAD: usize = size_of::<Message>() + 64;

/// What was published. Made by its constructors, so that each kind holds what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// One JSON text on one line: UTF-8, at most 128 deep, raw CR and LF replaced by spaces.
    Json(Bytes),
    /// UTF-8.
    Text(Bytes),
    /// Anything.
    Bytes(Bytes),
}

/// Why bytes are not a payload of the kind that they were said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// Not UTF-8.
    #[error("not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The first wrong byte, counted from 0.
        at: usize,
    },
    /// Not JSON (RFC 8259).
    #[error("not JSON at byte {at}: expected {expected}")]
    Syntax {
        /// The byte, counted from 0.
        at: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// The JSON ends too early.
    #[error("not JSON: it ends after byte {at}, where {expected} was expected")]
    End {
        /// How many bytes there are.
        at: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// More than 128 arrays and objects inside one another.
    #[error("the JSON is nested more than {} deep at byte {at}", json_check::DEPTH_MAX)]
    Depth {
        /// The bracket that is one too many, counted from 0.
        at: usize,
    },
    /// An escape like `\ud800` that is half of a character; no UTF-8 text can hold it.
    #[error("the JSON has a lone surrogate escape at byte {at}")]
    Surrogate {
        /// The escape, counted from 0.
        at: usize,
    },
}

impl PayloadError {
    /// The code that the client gets.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotUtf8 { .. } => Code::InvalidUtf8,
            Self::Syntax { .. } | Self::End { .. } | Self::Depth { .. } | Self::Surrogate { .. } => {
                Code::InvalidJson
            }
        }
    }
}

impl Payload {
    /// A JSON payload, kept byte for byte but for raw CR and LF (legal only between tokens), which become spaces.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn json(bytes: Bytes) -> Result<Self, PayloadError> {
        let has_line_ends = json_check::check(&bytes)?;
        if !has_line_ends {
            return Ok(Self::Json(bytes));
        }
        let one_line = bytes.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte });
        Ok(Self::Json(one_line.collect()))
    }

    /// A text payload.
    ///
    /// # Errors
    /// [`PayloadError::NotUtf8`].
    pub fn text(bytes: Bytes) -> Result<Self, PayloadError> {
        json_check::utf8(&bytes)?;
        Ok(Self::Text(bytes))
    }

    /// A payload of any bytes.
    #[must_use]
    pub fn bytes(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw().len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells payloads under the same idempotency key apart; the kind is part of it. Not for keeping on disk.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let kind: u8 = match self {
            Self::Json(_) => 1,
            Self::Text(_) => 2,
            Self::Bytes(_) => 3,
        };
        let hash = |seed: u64| u128::from(FixedState::with_seed(seed).hash_one((kind, self.raw().as_ref())));
        (hash(0x6566_6972_2d61) << 64) | hash(0x9e37_79b9_7f4a_7c15)
    }

    fn raw(&self) -> &Bytes {
        match self {
            Self::Json(bytes) | Self::Text(bytes) | Self::Bytes(bytes) => bytes,
        }
    }
}

/// One item of a channel's log, encoded when it is made. A million idle channels keep one each: every field is paid for.
#[derive(Debug)]
pub struct Message {
    position: Position,
    time_ms: u64,
    /// The WebSocket frame. Behind its head stands the object.
    websocket: Box<[u8]>,
    /// The other forms that somebody asked for, each one linked from the one before it; freed with the message.
    derived: OnceBox<Derived>,
}

/// A form that is not the object itself, made by whoever asks first.
#[derive(Debug)]
struct Derived {
    form: Form,
    frame: Frame,
    next: OnceBox<Derived>,
}

/// A message whose own bytes are on their way out.
struct Lent(Arc<Message>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0.websocket
    }
}

impl Message {
    /// Encodes a message. `time_ms` is ms since 1970 UTC; `from` is a sender that is proven.
    #[must_use]
    pub fn new(
        channel: &ChannelName,
        position: Position,
        time_ms: u64,
        from: Option<&str>,
        payload: &Payload,
    ) -> Arc<Self> {
        Self::aging(channel, position, (time_ms, time_ms), from, payload)
    }

    /// The same where it ages from another time than the one that readers are shown, which stands second.
    pub(crate) fn aging(
        channel: &ChannelName,
        position: Position,
        (time_ms, shown_ms): (u64, u64),
        from: Option<&str>,
        payload: &Payload,
    ) -> Arc<Self> {
        let websocket = object::Parts::new(channel, position, shown_ms, from, payload).encode();
        Arc::new(Self { position, time_ms, websocket, derived: OnceBox::new() })
    }

    /// The JSON object, the same bytes on every transport.
    #[must_use]
    pub fn object(&self) -> &[u8] {
        self.websocket.get(websocket::head_len(&self.websocket)..).unwrap_or_default()
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its offset within the epoch.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.position.offset
    }

    /// When it was accepted, ms since 1970 UTC; what its age is counted from.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Its bytes in a wire form: made by the first who asks, shared by all.
    #[must_use]
    pub fn frame(self: &Arc<Self>, form: Form) -> Frame {
        match form {
            Form::WebSocket => self.whole(),
            Form::Batch => Frame { bytes: self.whole().plain(), head: 0, tail: 0 },
            Form::Sse => self.derived(form, || sse::message(Some(self.position), self.object())),
            Form::SseShared => self.derived(form, || sse::message(None, self.object())),
            Form::HttpStream => self.derived(form, || http_stream::line(self.object())),
            Form::WebSocketDeflate { window_bits } => self.compressed(window_bits),
        }
    }

    /// Its own bytes. They keep the message alive, so that none of its derived forms may hold them.
    fn whole(self: &Arc<Self>) -> Frame {
        let bytes = Bytes::from_owner(Lent(Arc::clone(self)));
        Frame { bytes, head: websocket::head_len(&self.websocket) as u8, tail: 0 }
    }

    /// A further form. Two who ask at the same moment may both make it; one of the two is kept.
    fn derived(&self, form: Form, make: impl Fn() -> Frame) -> Frame {
        let mut place = &self.derived;
        loop {
            let found = place.get_or_init(|| Box::new(Derived { form, frame: make(), next: OnceBox::new() }));
            if found.form == form {
                return found.frame.clone();
            }
            place = &found.next;
        }
    }

    /// One compressed frame for all windows; the plain one where compression is not worth it or not allowed.
    fn compressed(self: &Arc<Self>, window_bits: u8) -> Frame {
        let object = self.object();
        if !websocket::is_compressible(object) || !websocket::fits_window(object, window_bits) {
            return self.whole();
        }
        let nothing = || Frame { bytes: Bytes::new(), head: 0, tail: 0 };
        let compressed = self.derived(Form::WebSocketDeflate { window_bits: 15 }, || {
            websocket::compressed(object).unwrap_or_else(nothing)
        });
        if compressed.bytes.is_empty() { self.whole() } else { compressed }
    }

    /// The bytes that count against the limits of the log: the object and [`MESSAGE_OVERHEAD`]. Frames of other forms,
    /// which exist only while such readers are there, are not counted.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.object().len() + MESSAGE_OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small() {
        assert!(size_of::<Message>() <= 48, "{} bytes", size_of::<Message>());
    }
}
