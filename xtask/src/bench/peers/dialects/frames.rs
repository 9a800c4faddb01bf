//! Plain WebSocket frames: a channel is a path, a message is a frame. uWebSockets, ws, axum, Nchan and efir itself.

use anyhow::{Result, bail};
use efir_bench::websocket::{self, Event};
use efir_bench::{Heard, Message, Publish, Seat, Subscribe};

/// Reads a channel at its path.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) host: String,
}

impl Subscribe for Subscriber {
    fn name(&self) -> &str {
        "websocket"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        let path = format!("/channels/{}", seat.channel());
        out.extend_from_slice(websocket::upgrade(&self.host, &path, "").as_bytes());
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        websocket::receive(seat, bytes, heard, read)
    }
}

/// The server has subscribed us before it agrees to the upgrade.
fn read(_: &mut Seat, event: Event<'_>, heard: &mut Heard) -> Result<()> {
    match event {
        Event::Open => heard.is_joined = true,
        Event::Frame(payload) => {
            if payload.starts_with(b"{\"problem\"") {
                bail!("the server refused: {}", String::from_utf8_lossy(payload));
            }
            heard.search(payload);
        }
    }
    Ok(())
}

/// A member of a channel: what it sends goes to all of them, and comes back.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) host: String,
    /// What stands before the channel's name.
    pub(crate) before: &'static str,
}

impl Publish for Member {
    fn name(&self) -> &str {
        "member"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        let path = format!("{}{}", self.before, seat.channel());
        out.extend_from_slice(websocket::upgrade(&self.host, &path, "").as_bytes());
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        websocket::text(message.payload, out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        websocket::receive(seat, bytes, heard, read)
    }

    fn is_answered(&self) -> bool {
        false
    }

    fn is_bound(&self) -> bool {
        true
    }
}

/// Publishes on many channels of our own server programs: the channel, a space, the message.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) host: String,
    pub(crate) path: &'static str,
}

impl Publish for Publisher {
    fn name(&self) -> &str {
        "websocket"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        out.extend_from_slice(websocket::upgrade(&self.host, self.path, "").as_bytes());
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        websocket::text(&[message.channel.as_bytes(), b" ", message.payload].concat(), out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        websocket::receive(seat, bytes, heard, read)
    }

    fn is_answered(&self) -> bool {
        false
    }
}
