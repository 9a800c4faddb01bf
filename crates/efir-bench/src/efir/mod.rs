//! How efir is spoken to: its transports, as subscribers and publishers use them (docs/protocol.md).
//!
//! `polls.rs` asks again and again, `streams.rs` reads one answer or socket, `socket.rs` is `/socket`, `publish.rs` sends,
//! `tokens.rs` is what they show of who they are.

mod polls;
mod publish;
mod socket;
mod streams;
mod tokens;

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;

use crate::dialect::{Heard, Seat, Subscribe};
use crate::websocket;

pub use publish::{HttpPublisher, SocketPublisher, WebsocketPublisher};
pub use tokens::Tokens;

/// How a subscriber reads; the names are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Asks at intervals.
    ShortPoll,
    /// Asks again as soon as there was an answer.
    LongPoll,
    /// Server-Sent Events.
    Sse,
    /// Lines of JSON.
    HttpStream,
    /// A WebSocket at a channel.
    Websocket,
    /// A WebSocket at `/socket`: many channels by commands.
    Socket,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Websocket, Self::Sse, Self::HttpStream, Self::LongPoll, Self::ShortPoll, Self::Socket];

    /// As on the wire; `socket` for `/socket`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortPoll => "short-poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::HttpStream => "http-stream",
            Self::Websocket => "websocket",
            Self::Socket => "socket",
        }
    }
}

/// A subscriber of efir. Where a seat has a cursor when it opens, reading begins after it.
#[derive(Clone, Debug)]
pub struct Efir {
    transport: Transport,
    /// The `Host` header.
    host: String,
    /// What stands before `/channels`, without a slash at its end.
    base: String,
    poll_interval: Duration,
    tokens: Tokens,
}

/// How long a long poll asks to be held, in seconds; the most that the protocol allows.
const HOLD_S: u32 = 110;

impl Efir {
    /// On this transport, from the server with this `Host`.
    #[must_use]
    pub fn new(transport: Transport, host: &str) -> Self {
        let poll_interval = Duration::from_secs(1);
        let (base, tokens) = (String::new(), Tokens::default());
        Self { transport, host: host.to_owned(), base, poll_interval, tokens }
    }

    /// Below this path, as where efir is mounted in an application.
    #[must_use]
    pub fn below(mut self, base: &str) -> Self {
        base.trim_end_matches('/').clone_into(&mut self.base);
        self
    }

    /// How often a short poll asks; a second otherwise.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Each connection shows one of these, in turn.
    #[must_use]
    pub fn with_tokens(mut self, tokens: &Tokens) -> Self {
        self.tokens = tokens.clone();
        self
    }

    /// The path and query for reading a seat's channels; `query` comes behind.
    fn path(&self, seat: &Seat, query: &str) -> String {
        let mut path = self.base.clone();
        if seat.channels_len() == 1 {
            path += "/channels/";
            path += seat.channel();
        } else {
            path += "/subscribe";
            for channel in seat.channels() {
                let mark = if path.ends_with("subscribe") { '?' } else { '&' };
                // Writing to a string cannot fail.
                let _ = write!(path, "{mark}channel={channel}");
            }
        }
        let cursor = seat.cursor.as_deref().map(|cursor| format!("after={cursor}"));
        for part in cursor.as_deref().into_iter().chain([query]).filter(|part| !part.is_empty()) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path += part;
        }
        path
    }

    fn get(&self, seat: &Seat, path: &str, more: &str, out: &mut Vec<u8>) {
        let (host, who) = (&self.host, self.tokens.header(seat));
        out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}{who}\r\n").as_bytes());
    }

    fn upgrade(&self, seat: &Seat, path: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(websocket::upgrade(&self.host, path, &self.tokens.header(seat)).as_bytes());
    }
}

impl Subscribe for Efir {
    fn name(&self) -> &str {
        self.transport.name()
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        match self.transport {
            Transport::ShortPoll | Transport::LongPoll => polls::open(self, seat, out),
            Transport::Sse | Transport::HttpStream | Transport::Websocket => streams::open(self, seat, out),
            Transport::Socket => socket::open(self, seat, out),
        }
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        match self.transport {
            Transport::ShortPoll | Transport::LongPoll => polls::receive(self, seat, bytes, heard),
            Transport::Sse | Transport::HttpStream => streams::receive(seat, bytes, heard),
            Transport::Websocket => streams::receive_frames(seat, bytes, heard),
            Transport::Socket => socket::receive(seat, bytes, heard),
        }
    }

    fn joins_at_once(&self, seat: &Seat) -> bool {
        // It is answered when there is something to tell.
        self.transport == Transport::LongPoll && seat.cursor.is_some()
    }

    fn wake(&self, seat: &mut Seat, heard: &mut Heard) {
        polls::ask(self, seat, heard);
    }
}
