//! The client protocol of NATS in WebSocket frames: lines such as `SUB SUBJECT ID`, and payloads of a given length.

use anyhow::{Result, bail};
use efir_bench::websocket::{self, Event};
use efir_bench::{Heard, Message, Publish, Seat, Subscribe};

/// `verbose`: no `+OK` for each line. `echo`: a member gets its own messages, as everybody else.
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\"protocol\":1,\"lang\":\"efir-bench\",\"version\":\"1\"}\r\n";
const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"PONG\r\n";

fn open(host: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(websocket::upgrade(host, "/", "").as_bytes());
}

/// Says hello, subscribes where `reads`, and asks for a PONG, before which the server has done both.
fn receive(seat: &mut Seat, bytes: &[u8], heard: &mut Heard, reads: bool) -> Result<usize> {
    websocket::receive(seat, bytes, heard, |seat, event, heard| {
        match event {
            Event::Open => {
                let mut hello = CONNECT.to_owned();
                if reads {
                    for (n, channel) in seat.channels().enumerate() {
                        hello += &format!("SUB {channel} {}\r\n", n + 1);
                    }
                }
                websocket::binary(&[hello.as_bytes(), PING].concat(), &mut heard.reply);
            }
            Event::Frame(payload) => {
                if payload.starts_with(b"-ERR") {
                    bail!("the server refused: {}", String::from_utf8_lossy(payload).trim());
                }
                heard.is_joined |= payload.ends_with(PONG);
                if payload.ends_with(PING) {
                    websocket::binary(PONG, &mut heard.reply);
                }
                heard.search(payload);
            }
        }
        Ok(())
    })
}

/// Subscribes to its channels.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) host: String,
}

impl Subscribe for Subscriber {
    fn name(&self) -> &str {
        "websocket"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        open(&self.host, out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        receive(seat, bytes, heard, true)
    }
}

/// Publishes; a member is subscribed to its channel, too.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) host: String,
    pub(crate) is_member: bool,
}

impl Publish for Publisher {
    fn name(&self) -> &str {
        "websocket"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        open(&self.host, out);
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        let head = format!("PUB {} {}\r\n", message.channel, message.payload.len());
        websocket::binary(&[head.as_bytes(), message.payload, b"\r\n"].concat(), out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        receive(seat, bytes, heard, self.is_member)
    }

    fn is_answered(&self) -> bool {
        false
    }

    fn is_bound(&self) -> bool {
        self.is_member
    }
}
