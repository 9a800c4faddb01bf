//! The body of a response under somebody else's HTTP stack.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use efir_engine::polled::Polled;
use http_body::{Frame, SizeHint};

use crate::pieces::Pieces;

/// Bytes of one frame that is handed over; HTTP/2 stacks queue what they are given, without a limit of their own.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// All of an answer at once, or a response that lasts.
pub struct Body(Kind);

enum Kind {
    Whole(Bytes),
    Pieces(Pieces),
    /// Nothing, in the place of a body whose length nobody knows: the answer to `HEAD`.
    Nothing,
    Stream {
        polled: Box<Polled>,
        rest: Bytes,
        is_over: bool,
    },
}

impl Body {
    /// The body of an answer to `HEAD` whose `GET` would be a stream: empty, without saying that its length is 0.
    pub fn nothing() -> Self {
        Self(Kind::Nothing)
    }

    /// All of it, where that is known and is something.
    ///
    /// # Errors
    /// The body itself, where it is not.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Whole(bytes) if !bytes.is_empty() => Ok(bytes),
            kind => Err(Self(kind)),
        }
    }

    pub(crate) fn stream(polled: Polled) -> Self {
        Self(Kind::Stream { polled: Box::new(polled), rest: Bytes::new(), is_over: false })
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }
}

impl From<Pieces> for Body {
    fn from(pieces: Pieces) -> Self {
        Self(Kind::Pieces(pieces))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut self.0 {
            Kind::Whole(bytes) => std::mem::take(bytes),
            Kind::Pieces(pieces) => pieces.take(FRAME_BYTES_MAX),
            Kind::Nothing | Kind::Stream { is_over: true, .. } => Bytes::new(),
            Kind::Stream { polled, rest, is_over } => {
                while rest.is_empty() && !*is_over {
                    match ready!(polled.poll_piece(cx)) {
                        Some(piece) => *rest = piece,
                        None => *is_over = true,
                    }
                }
                rest.split_to(rest.len().min(FRAME_BYTES_MAX))
            }
        };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Pieces(pieces) => pieces.is_empty(),
            Kind::Nothing => true,
            Kind::Stream { is_over, .. } => *is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pieces(pieces) => SizeHint::with_exact(pieces.len() as u64),
            Kind::Nothing | Kind::Stream { .. } => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Kind::Pieces(pieces) => f.debug_tuple("Pieces").field(&pieces.len()).finish(),
            Kind::Nothing => f.write_str("Nothing"),
            Kind::Stream { .. } => f.write_str("Stream"),
        }
    }
}
