//! How messages are published: by HTTP on kept-alive connections, by `/socket`, or on a channel's own WebSocket.
//!
//! Payloads go as text, so that one of n bytes has n bytes.

use anyhow::Result;

use super::Tokens;
use super::socket::refuse_problem;
use crate::dialect::{Heard, Message, Publish, Seat};
use crate::http;
use crate::websocket::{self, Event};

/// `POST /channels/…`.
#[derive(Clone, Debug)]
pub struct HttpPublisher {
    host: String,
    base: String,
    tokens: Tokens,
}

impl HttpPublisher {
    /// To the server with this `Host`, below this path.
    #[must_use]
    pub fn new(host: &str, base: &str) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { host: host.to_owned(), base, tokens: Tokens::default() }
    }

    /// Each connection shows one of these, in turn.
    #[must_use]
    pub fn with_tokens(mut self, tokens: &Tokens) -> Self {
        self.tokens = tokens.clone();
        self
    }
}

impl Publish for HttpPublisher {
    fn name(&self) -> &str {
        "http"
    }

    fn publish(&self, seat: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        let (Self { host, base, tokens }, Message { channel, payload }) = (self, message);
        let head = format!(
            "POST {base}/channels/{channel} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n{}\r\n",
            payload.len(),
            tokens.header(seat)
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(payload);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        http::answers(seat, bytes, heard, |_, event, heard| {
            heard.answers += u64::from(matches!(event, http::Event::End));
            Ok(())
        })
    }
}

/// `publish` commands on `/socket`.
#[derive(Clone, Debug)]
pub struct SocketPublisher {
    host: String,
    base: String,
    tokens: Tokens,
}

impl SocketPublisher {
    /// As [`HttpPublisher::new`].
    #[must_use]
    pub fn new(host: &str, base: &str) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { host: host.to_owned(), base, tokens: Tokens::default() }
    }

    /// Each connection shows one of these, in turn.
    #[must_use]
    pub fn with_tokens(mut self, tokens: &Tokens) -> Self {
        self.tokens = tokens.clone();
        self
    }
}

impl Publish for SocketPublisher {
    fn name(&self) -> &str {
        "socket"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        let path = format!("{}/socket", self.base);
        out.extend_from_slice(websocket::upgrade(&self.host, &path, &self.tokens.header(seat)).as_bytes());
    }

    fn publish(&self, _seat: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        let begin = format!(r#"{{"id":1,"publish":{{"channel":"{}","text":""#, message.channel);
        websocket::text(&[begin.as_bytes(), message.payload, b"\"}}"].concat(), out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        websocket::receive(seat, bytes, heard, |_, event, heard| {
            match event {
                Event::Open => heard.is_joined = true,
                Event::Frame(payload) => {
                    refuse_problem(payload)?;
                    heard.answers += u64::from(payload.starts_with(b"{\"id\":"));
                }
            }
            Ok(())
        })
    }
}

/// Frames on the WebSocket of a channel, which is read there, too: its own messages come back.
#[derive(Clone, Debug)]
pub struct WebsocketPublisher {
    host: String,
    base: String,
    tokens: Tokens,
}

impl WebsocketPublisher {
    /// As [`HttpPublisher::new`].
    #[must_use]
    pub fn new(host: &str, base: &str) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { host: host.to_owned(), base, tokens: Tokens::default() }
    }

    /// Each connection shows one of these, in turn.
    #[must_use]
    pub fn with_tokens(mut self, tokens: &Tokens) -> Self {
        self.tokens = tokens.clone();
        self
    }
}

impl Publish for WebsocketPublisher {
    fn name(&self) -> &str {
        "websocket"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        let path = format!("{}/channels/{}?ack=1", self.base, seat.channel());
        out.extend_from_slice(websocket::upgrade(&self.host, &path, &self.tokens.header(seat)).as_bytes());
    }

    fn publish(&self, _seat: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        websocket::text(message.payload, out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        websocket::receive(seat, bytes, heard, |_, event, heard| {
            match event {
                Event::Open => heard.is_joined = true,
                Event::Frame(payload) => {
                    refuse_problem(payload)?;
                    heard.answers += u64::from(payload.starts_with(b"{\"ack\":"));
                    heard.search(payload);
                }
            }
            Ok(())
        })
    }

    fn is_bound(&self) -> bool {
        true
    }
}
