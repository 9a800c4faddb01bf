//! The bodies that a server answers with, and those that it is asked with.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    ledger::Entry,
    meter::{Answering, Streaming},
    streams::{Flow, Piece},
};

/// What HTTP/2 gets of a whole answer at once: the library keeps what it was given until it is sent.
const PIECE_BYTES: usize = 16 * 1024;

/// What is answered, from one of the server's three sources.
pub(crate) struct ServerBody {
    source: Source,
    /// Ends with the body.
    _answering: Option<Answering>,
    /// As well.
    _streaming: Option<(Streaming, Entry)>,
    /// Of HTTP/2: the stream that it goes out on.
    flow: Option<Rc<Flow>>,
}

enum Source {
    Whole { rest: Bytes, piece_bytes: usize },
    Transport(efir_transports::Body),
    Page(axum::body::Body),
}

impl ServerBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::new(Source::Whole { rest: bytes, piece_bytes: usize::MAX })
    }

    pub(crate) fn transport(body: efir_transports::Body) -> Self {
        Self::new(Source::Transport(body))
    }

    pub(crate) fn page(body: axum::body::Body) -> Self {
        Self::new(Source::Page(body))
    }

    fn new(source: Source) -> Self {
        Self { source, _answering: None, _streaming: None, flow: None }
    }

    /// Of a stream of HTTP/2: keeps its mark until the body has been handed out, and an entry of what it holds that long.
    pub(crate) fn streamed_until_its_end(
        self,
        (streaming, flow): (Streaming, Rc<Flow>),
        enter: impl FnOnce(usize) -> Entry,
    ) -> Self {
        let source = match self.source {
            Source::Whole { rest, .. } => Source::Whole { rest, piece_bytes: PIECE_BYTES },
            Source::Transport(body) => match body.into_whole() {
                Ok(rest) => Source::Whole { rest, piece_bytes: PIECE_BYTES },
                Err(body) => Source::Transport(body),
            },
            page @ Source::Page(_) => page,
        };
        // Messages of the log that the log may have let go of by the time they are taken are held, too.
        let bytes = match &source {
            Source::Whole { rest, .. } => rest.len(),
            Source::Transport(body) => {
                body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default()
            }
            Source::Page(_) => 0,
        };
        let streaming = Some((streaming, enter(bytes)));
        Self { source, _streaming: streaming, flow: Some(flow), _answering: self._answering }
    }

    /// Keeps the request's mark until the body has been handed out.
    pub(crate) fn until_its_end(self, answering: Answering) -> Self {
        Self { _answering: Some(answering), ..self }
    }
}

/// The body of a request. Dropped when it was read, or is not wanted.
pub(crate) struct AskedBody {
    body: Incoming,
    /// Of HTTP/2: what it may come to.
    _entry: Option<Entry>,
}

impl AskedBody {
    pub(crate) fn new(body: Incoming, entry: Option<Entry>) -> Self {
        Self { body, _entry: entry }
    }

    /// For whoever will not read it.
    pub(crate) fn into_incoming(self) -> Incoming {
        self.body
    }
}

/// How much of a body may have to be kept.
pub(crate) fn kept_bytes_max(body: &Incoming, message_bytes_max: usize) -> usize {
    let told = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    told.unwrap_or(usize::MAX).min(message_bytes_max)
}

impl Body for AskedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Takes the next piece. What is left of a large answer in the end is copied, so that it is not the whole that waits to be sent.
fn next_piece(rest: &mut Bytes, piece_bytes: usize) -> Bytes {
    if rest.len() <= piece_bytes {
        return std::mem::take(rest);
    }
    let piece = rest.split_to(piece_bytes);
    if rest.len() <= 2 * piece_bytes {
        *rest = Bytes::copy_from_slice(rest);
    }
    piece
}

impl Body for ServerBody {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let Self { source, flow, .. } = self.get_mut();
        let polled = match source {
            Source::Whole { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Source::Whole { rest, piece_bytes } => {
                Poll::Ready(Some(Ok(Frame::data(next_piece(rest, *piece_bytes)))))
            }
            Source::Transport(body) => Pin::new(body).poll_frame(cx).map_err(axum::Error::new),
            Source::Page(body) => Pin::new(body).poll_frame(cx),
        };
        polled.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, flow.as_ref())))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole { rest, .. } => rest.is_empty(),
            Source::Transport(body) => body.is_end_stream(),
            Source::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Source::Transport(body) => body.size_hint(),
            Source::Page(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_comes_in_pieces_and_its_end_does_not_keep_all_of_it() {
        let whole: Vec<u8> = (0..250_u8).cycle().take(100_000).collect();
        let (mut rest, mut pieces) = (Bytes::from(whole.clone()), Vec::new());
        while !rest.is_empty() {
            pieces.push(next_piece(&mut rest, 16 * 1024));
        }
        assert_eq!(pieces.concat(), whole);
        assert!(pieces.iter().all(|piece| piece.len() <= 16 * 1024));
        // Nobody else holds the buffer of the last one.
        let last = pieces.pop().unwrap();
        pieces.pop();
        assert!(last.try_into_mut().is_ok());
    }
}
