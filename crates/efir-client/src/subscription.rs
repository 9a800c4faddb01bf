//! One read as it happens: a response or a socket, from its head to its end. Made by [`crate::transports`]; what to do
//! after the end is decided in [`crate::follow`].

use std::collections::VecDeque;

use bytes::Bytes;
use efir_ws::Opcode;
use http::{HeaderMap, StatusCode};

use crate::OBJECT_BYTES_MAX;
use crate::body::Body;
use crate::client::Opened;
use crate::error::ClientError;
use crate::event::Event;
use crate::transports::http_stream::LineSplitter;
use crate::transports::sse::{self, SseItem, SseParser};
use crate::transports::websocket::WebSocket;
use crate::wire;

/// What came before the body.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status: 200, 304 or 101.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
}

/// One response or socket. Dropping it before the end closes the connection (HTTP/2: resets the stream).
#[derive(Debug)]
pub struct Subscription {
    head: Head,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Complete(VecDeque<Event>),
    Sse { body: Body, parser: SseParser, items: VecDeque<SseItem> },
    Lines { body: Body, splitter: LineSplitter, lines: VecDeque<Bytes> },
    WebSocket(Box<WebSocket>),
}

impl Subscription {
    /// A poll's answer, which has come as a whole.
    pub(crate) fn complete(head: Head, events: VecDeque<Event>) -> Self {
        Self { head, source: Source::Complete(events) }
    }

    pub(crate) fn sse(opened: Opened) -> Self {
        let (head, body) = split(opened);
        let parser = SseParser::new(OBJECT_BYTES_MAX);
        Self { head, source: Source::Sse { body, parser, items: VecDeque::new() } }
    }

    pub(crate) fn lines(opened: Opened) -> Self {
        let (head, body) = split(opened);
        let splitter = LineSplitter::new(OBJECT_BYTES_MAX);
        Self { head, source: Source::Lines { body, splitter, lines: VecDeque::new() } }
    }

    pub(crate) fn websocket(head: Head, socket: WebSocket) -> Self {
        Self { head, source: Source::WebSocket(Box::new(socket)) }
    }

    /// The status and the headers.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What a browser would send as `Last-Event-ID` now; SSE only.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        match &self.source {
            Source::Sse { parser, .. } => Some(parser.last_event_id()),
            _ => None,
        }
    }

    /// The next event; `None` at the end. Safe to cancel: nothing is lost.
    ///
    /// # Errors
    /// Where the connection breaks or the server breaks the protocol. The subscription is over then.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        match &mut self.source {
            Source::Complete(events) => Ok(events.pop_front()),
            Source::Sse { body, parser, items } => loop {
                while let Some(item) = items.pop_front() {
                    if let Some(event) = sse::event(item)? {
                        return Ok(Some(event));
                    }
                }
                match body.next().await? {
                    Some(piece) => parser.feed(&piece, items)?,
                    None => return Ok(None),
                }
            },
            Source::Lines { body, splitter, lines } => loop {
                if let Some(line) = lines.pop_front() {
                    return wire::event(&line).map(Some);
                }
                match body.next().await? {
                    Some(piece) => splitter.feed(&piece, lines)?,
                    None => return Ok(None),
                }
            },
            Source::WebSocket(socket) => socket.next().await,
        }
    }

    /// Channel WebSocket: publishes text (with `payload=json`: JSON).
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] on other transports; otherwise where the connection broke.
    pub async fn send_text(&mut self, text: &str) -> Result<(), ClientError> {
        self.socket()?.send(Opcode::Text, text.as_bytes()).await
    }

    /// Channel WebSocket: publishes bytes.
    ///
    /// # Errors
    /// As [`Subscription::send_text`].
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.socket()?.send(Opcode::Binary, bytes).await
    }

    /// WebSocket: sends a close frame. What still comes, comes with [`Subscription::next`].
    ///
    /// # Errors
    /// As [`Subscription::send_text`].
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), ClientError> {
        self.socket()?.close(code, reason).await
    }

    fn socket(&mut self) -> Result<&mut WebSocket, ClientError> {
        match &mut self.source {
            Source::WebSocket(socket) => Ok(socket),
            _ => Err(ClientError::Unsupported("only a WebSocket can send; publish with a request")),
        }
    }
}

fn split(opened: Opened) -> (Head, Body) {
    let (parts, incoming) = opened.response.into_parts();
    (Head { status: parts.status, headers: parts.headers }, Body::new(incoming, opened.lease))
}
