//! efir's `/socket` as a publisher uses it that wants no receipts: a command without an id is answered only when it is
//! refused, which is what the peers' publishers get, too.

use anyhow::{Result, bail};
use efir_bench::websocket::{self, Event};
use efir_bench::{Heard, Message, Publish, Seat};

/// Publishes on many channels by commands.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) host: String,
}

impl Publish for Publisher {
    fn name(&self) -> &str {
        "socket"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        out.extend_from_slice(websocket::upgrade(&self.host, "/socket", "").as_bytes());
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        let begin = format!(r#"{{"publish":{{"channel":"{}","text":""#, message.channel);
        websocket::text(&[begin.as_bytes(), message.payload, b"\"}}"].concat(), out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        websocket::receive(seat, bytes, heard, |_, event, heard| {
            match event {
                Event::Open => heard.is_joined = true,
                Event::Frame(payload) if payload.windows(9).any(|window| window == b"\"problem\"") => {
                    bail!("the server refused: {}", String::from_utf8_lossy(payload));
                }
                Event::Frame(_) => {}
            }
            Ok(())
        })
    }

    fn is_answered(&self) -> bool {
        false
    }
}
