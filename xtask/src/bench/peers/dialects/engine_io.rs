//! Socket.IO 5 over Engine.IO 4: packets of text that begin with their kind, in WebSocket frames or in polls.
//!
//! `0` opens, `2` pings and wants `3`, `40` joins the default namespace, `42[…]` is an event. A poll carries several
//! packets, with a record separator between them.

use anyhow::{Context, Result, bail};
use efir_bench::websocket::{self, Event};
use efir_bench::{Heard, Message, Publish, Seat, Subscribe, http};

const JOIN: &[u8] = b"40";
const PONG: &[u8] = b"3";
const SEPARATOR: u8 = 0x1E;

/// What a packet asks of whoever reads it.
#[derive(Debug, PartialEq, Eq)]
enum Packet {
    Open,
    Ping,
    Joined,
    Other,
}

/// # Errors
/// When the server ends the connection or refuses the namespace.
fn packet(bytes: &[u8]) -> Result<Packet> {
    Ok(match bytes {
        [b'0', ..] => Packet::Open,
        [b'2'] => Packet::Ping,
        [b'4', b'0', ..] => Packet::Joined,
        [b'1', ..] | [b'4', b'1' | b'4', ..] => {
            bail!("the server refused: {}", String::from_utf8_lossy(bytes));
        }
        _ => Packet::Other,
    })
}

fn receive(seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
    websocket::receive(seat, bytes, heard, |_, event, heard| {
        let Event::Frame(payload) = event else { return Ok(()) };
        match packet(payload)? {
            Packet::Open => websocket::text(JOIN, &mut heard.reply),
            Packet::Ping => websocket::text(PONG, &mut heard.reply),
            Packet::Joined => heard.is_joined = true,
            Packet::Other => {
                heard.search(payload);
            }
        }
        Ok(())
    })
}

fn open(host: &str, room: Option<&str>, out: &mut Vec<u8>) {
    let room = room.map(|room| format!("&channel={room}")).unwrap_or_default();
    let path = format!("/socket.io/?EIO=4&transport=websocket{room}");
    out.extend_from_slice(websocket::upgrade(host, &path, "").as_bytes());
}

/// Reads the room of its channel over a WebSocket.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) host: String,
}

impl Subscribe for Subscriber {
    fn name(&self) -> &str {
        "websocket"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        open(&self.host, Some(seat.channel()), out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        receive(seat, bytes, heard)
    }
}

/// Publishes by events; a member is in the room of its channel, too.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) host: String,
    pub(crate) is_member: bool,
}

impl Publish for Publisher {
    fn name(&self) -> &str {
        "websocket"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        open(&self.host, self.is_member.then(|| seat.channel()), out);
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        let begin = match self.is_member {
            true => r#"42["send",""#.to_owned(),
            false => format!(r#"42["publish","{}",""#, message.channel),
        };
        websocket::text(&[begin.as_bytes(), message.payload, b"\"]"].concat(), out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        receive(seat, bytes, heard)
    }

    fn is_answered(&self) -> bool {
        false
    }

    fn is_bound(&self) -> bool {
        self.is_member
    }
}

/// What a long poll's next answer belongs to.
const OPENING: u8 = 0;
const POSTED: u8 = 1;
const POLLING: u8 = 2;

/// Reads the room of its channel by long polls, all on one kept-alive connection. A seat's cursor is the session.
#[derive(Debug)]
pub(crate) struct LongPoll {
    pub(crate) host: String,
}

impl LongPoll {
    fn path(seat: &Seat) -> String {
        let session = seat.cursor.as_deref().map(|session| format!("&sid={session}")).unwrap_or_default();
        format!("/socket.io/?EIO=4&transport=polling&channel={}{session}", seat.channel())
    }

    fn poll(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", Self::path(seat), self.host);
        out.extend_from_slice(request.as_bytes());
    }

    /// Sends a packet; its answer is followed by a poll.
    fn post(&self, seat: &mut Seat, packet: &[u8], out: &mut Vec<u8>) {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
            Self::path(seat),
            self.host,
            packet.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(packet);
        seat.stage = POSTED;
    }

    fn answer(&self, seat: &mut Seat, body: &[u8], heard: &mut Heard) -> Result<()> {
        heard.requests += 1;
        if seat.stage == OPENING {
            seat.cursor = Some(session(body)?.into());
            self.post(seat, JOIN, &mut heard.reply);
            return Ok(());
        }
        let mut is_pinged = false;
        if seat.stage == POLLING {
            for part in body.split(|byte| *byte == SEPARATOR) {
                match packet(part)? {
                    Packet::Ping => is_pinged = true,
                    Packet::Joined => heard.is_joined = true,
                    Packet::Open | Packet::Other => {}
                }
            }
            heard.search(body);
        }
        if is_pinged {
            self.post(seat, PONG, &mut heard.reply);
        } else {
            self.poll(seat, &mut heard.reply);
            seat.stage = POLLING;
        }
        Ok(())
    }
}

impl Subscribe for LongPoll {
    fn name(&self) -> &str {
        "long-poll"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        self.poll(seat, out);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        let mut done = 0;
        while let Some(head) = http::whole_head(&bytes[done..])? {
            let rest = &bytes[done..];
            let length = http::header(&rest[..head], "content-length").context("a poll without a length")?;
            let Some(body) = rest.get(head..head + length.parse::<usize>()?) else { break };
            self.answer(seat, body, heard)?;
            done += head + body.len();
        }
        Ok(done)
    }
}

/// The session's name in `0{"sid":"NAME",…}`.
fn session(body: &[u8]) -> Result<String> {
    let body = String::from_utf8_lossy(body);
    let opened: serde_json::Value = match body.strip_prefix('0') {
        Some(json) => serde_json::from_str(json)?,
        None => bail!("the server did not open: {body}"),
    };
    Ok(opened["sid"].as_str().context("the server opened without a session")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(packet(b"0{\"sid\":\"a\"}").unwrap(), Packet::Open);
        assert_eq!(packet(b"2").unwrap(), Packet::Ping);
        assert_eq!(packet(b"40{\"sid\":\"a\"}").unwrap(), Packet::Joined);
        assert_eq!(packet(b"42[\"message\",\"2\"]").unwrap(), Packet::Other);
        assert!(packet(b"44{\"message\":\"no\"}").is_err());
        assert!(packet(b"1").is_err());
    }

    #[test]
    fn a_session_is_found() {
        assert_eq!(session(br#"0{"sid":"a-b","upgrades":[]}"#).unwrap(), "a-b");
        assert!(session(b"6").is_err());
    }
}
