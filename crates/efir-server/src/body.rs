//! The bodies that a server answers with.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::meter::{Answering, Streaming};

/// What is answered, from one of the server's three sources.
pub(crate) struct ServerBody {
    source: Source,
    /// Ends with the body.
    _answering: Option<Answering>,
    /// As well.
    _streaming: Option<Streaming>,
}

enum Source {
    Whole(Full<Bytes>),
    Transport(efir_transports::Body),
    Page(axum::body::Body),
}

impl ServerBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::new(Source::Whole(Full::new(bytes)))
    }

    pub(crate) fn transport(body: efir_transports::Body) -> Self {
        Self::new(Source::Transport(body))
    }

    pub(crate) fn page(body: axum::body::Body) -> Self {
        Self::new(Source::Page(body))
    }

    fn new(source: Source) -> Self {
        Self { source, _answering: None, _streaming: None }
    }

    /// Keeps the mark of a stream of HTTP/2 until the body has been handed out.
    pub(crate) fn streamed_until_its_end(self, streaming: Streaming) -> Self {
        Self { _streaming: Some(streaming), ..self }
    }

    /// Keeps the request's mark until the body has been handed out.
    pub(crate) fn until_its_end(self, answering: Answering) -> Self {
        Self { _answering: Some(answering), ..self }
    }
}

impl Body for ServerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.get_mut().source {
            Source::Whole(body) => Pin::new(body).poll_frame(cx).map_err(axum::Error::new),
            Source::Transport(body) => Pin::new(body).poll_frame(cx).map_err(axum::Error::new),
            Source::Page(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(body) => body.is_end_stream(),
            Source::Transport(body) => body.is_end_stream(),
            Source::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(body) => body.size_hint(),
            Source::Transport(body) => body.size_hint(),
            Source::Page(body) => body.size_hint(),
        }
    }
}
