//! One subscriber's connection: its request, and the reading of what comes, by transport.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use super::mark;
use super::sequence::Sequence;

/// How a connection reads; the names are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    ShortPoll,
    LongPoll,
    Sse,
    HttpStream,
    Websocket,
    /// No server at all: bare bytes from the floor's send loop.
    Raw,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortPoll => "short-poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::HttpStream => "http-stream",
            Self::Websocket => "websocket",
            Self::Raw => "raw",
        }
    }

    /// The request that opens it; a long poll goes on from `cursor`.
    fn request(self, target: &Target, cursor: &str) -> String {
        let Target { host, channel } = target;
        let head = |query: &str, more: &str| {
            format!("GET /channels/{channel}{query} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")
        };
        match self {
            Self::ShortPoll => head("", ""),
            Self::LongPoll => head(&format!("?wait=110&after={cursor}"), ""),
            Self::Sse => head("", "Accept: text/event-stream\r\n"),
            Self::HttpStream => head("", "Accept: application/x-ndjson\r\n"),
            Self::Websocket => head(
                "",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
            Self::Raw => String::new(),
        }
    }
}

/// Where to read.
#[derive(Clone, Debug)]
pub struct Target {
    /// The `Host` header.
    pub host: String,
    pub channel: String,
}

/// An open connection. It holds no buffer while nothing is cut.
#[derive(Debug)]
pub struct Connection {
    pub socket: TcpStream,
    pub transport: Transport,
    pub sequence: Sequence,
    /// Something of the answer has come: the server knows this subscriber.
    pub is_answered: bool,
    /// The head of the answer is read (streams and WebSocket).
    is_past_head: bool,
    /// What has come but is cut: part of a head, frame, batch or mark.
    cut: Vec<u8>,
}

impl Connection {
    /// Sends the request. `first` is the number of the first message that is owed.
    pub fn open(socket: TcpStream, transport: Transport, target: &Target, owed: (u64, &str)) -> Result<Self> {
        let (first, cursor) = owed;
        (&socket).write_all(transport.request(target, cursor).as_bytes())?;
        socket.set_nodelay(true)?;
        let sequence = Sequence::starting_at(first);
        let is_past_head = transport == Transport::Raw;
        Ok(Self { socket, transport, sequence, is_answered: false, is_past_head, cut: Vec::new() })
    }

    /// Takes bytes that came; `found` gets the time (µs) at which each message was due.
    ///
    /// # Errors
    /// When the answer is not what this transport answers with.
    pub fn receive(&mut self, bytes: &[u8], target: &Target, mut found: impl FnMut(u64)) -> Result<()> {
        self.is_answered = true;
        if self.cut.is_empty() {
            let done = self.read(bytes, target, &mut found)?;
            self.cut.extend_from_slice(&bytes[done..]);
        } else {
            let mut joined = std::mem::take(&mut self.cut);
            joined.extend_from_slice(bytes);
            let done = self.read(&joined, target, &mut found)?;
            joined.drain(..done);
            // An empty buffer is let go: ten thousand connections are mostly idle.
            self.cut = if joined.is_empty() { Vec::new() } else { joined };
        }
        Ok(())
    }

    /// Reads what is whole; returns how many bytes that was.
    fn read(&mut self, bytes: &[u8], target: &Target, found: &mut impl FnMut(u64)) -> Result<usize> {
        let mut done = 0;
        if matches!(self.transport, Transport::LongPoll | Transport::ShortPoll) {
            while let Some((head, body)) = whole_answer(&bytes[done..])? {
                self.answer(
                    &bytes[done..done + head],
                    &bytes[done + head..done + head + body],
                    target,
                    found,
                )?;
                done += head + body;
            }
            return Ok(done);
        }
        if !self.is_past_head {
            let Some(head) = head_end(bytes) else { return Ok(0) };
            check_status(&bytes[..head])?;
            self.is_past_head = true;
            done = head;
        }
        if self.transport == Transport::Websocket {
            return Ok(done + self.frames(&bytes[done..], found)?);
        }
        Ok(done + marks(&mut self.sequence, &bytes[done..], found))
    }

    /// A poll's answer; a long poll asks again at once.
    fn answer(
        &mut self,
        head: &[u8],
        body: &[u8],
        target: &Target,
        found: &mut impl FnMut(u64),
    ) -> Result<()> {
        check_status(head)?;
        marks(&mut self.sequence, body, found);
        if self.transport == Transport::LongPoll {
            let cursor =
                header(head, "efir-cursor").context("a poll was answered without a cursor")?.to_owned();
            (&self.socket).write_all(self.transport.request(target, &cursor).as_bytes())?;
        }
        Ok(())
    }

    /// Whole WebSocket frames (RFC 6455 §5.2; a server does not mask). Pings are answered.
    fn frames(&mut self, bytes: &[u8], found: &mut impl FnMut(u64)) -> Result<usize> {
        let mut done = 0;
        while let Some((kind, head, len)) = frame_head(&bytes[done..]) {
            let Some(payload) = bytes.get(done + head..done + head + len) else { break };
            match kind {
                1 | 2 => {
                    marks(&mut self.sequence, payload, found);
                }
                8 => bail!("the server closed the socket: {}", String::from_utf8_lossy(payload)),
                9 if len < 126 => {
                    // A mask of zeros leaves the payload as it is.
                    let pong = [&[0x8A, 0x80 | len as u8, 0, 0, 0, 0], payload].concat();
                    (&self.socket).write_all(&pong)?;
                }
                _ => {}
            }
            done += head + len;
        }
        Ok(done)
    }
}

fn marks(sequence: &mut Sequence, bytes: &[u8], found: &mut impl FnMut(u64)) -> usize {
    mark::search(bytes, |number, due| {
        sequence.receive(number);
        found(due);
    })
}

/// Opcode, length of the head, length of the payload; `None` while the head is cut.
fn frame_head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let kind = bytes.first()? & 0x0F;
    match bytes.get(1)? & 0x7F {
        126 => Some((kind, 4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((kind, 10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize)),
        short => Some((kind, 2, usize::from(short))),
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Lengths of head and body of the first answer, if all of it is there.
fn whole_answer(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(head) = head_end(bytes) else { return Ok(None) };
    let length = header(&bytes[..head], "content-length").context("a poll was answered without a length")?;
    let body: usize = length.parse()?;
    Ok((bytes.len() >= head + body).then_some((head, body)))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn check_status(head: &[u8]) -> Result<()> {
    if head.get(9..12).is_some_and(|status| status == b"200" || status == b"101") {
        return Ok(());
    }
    bail!("refused: {}", String::from_utf8_lossy(head).lines().next().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    /// A connection whose other end is ours, fed in pieces of every size.
    fn seen(transport: Transport, answer: &[u8], piece: usize) -> (Vec<u64>, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let target = Target { host: "h".into(), channel: "c".into() };
        let mut connection = Connection::open(socket, transport, &target, (1, "E-0")).unwrap();
        let mut request = [0; 512];
        let _ = other.read(&mut request).unwrap();
        let mut seen = Vec::new();
        for piece in answer.chunks(piece) {
            connection.receive(piece, &target, |due| seen.push(due)).unwrap();
        }
        assert!(connection.sequence.faults(3).is_none(), "{:?}", connection.sequence);
        (seen, other)
    }

    fn message(number: u64, due: u64) -> String {
        mark::payload(number, due, 150)
    }

    #[test]
    fn frames_are_read_however_they_are_cut_and_pings_answered() {
        let mut answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02{}".to_vec();
        for number in 1..3 {
            answer.extend([0x81, 126, 0, 150]);
            answer.extend(message(number, number * 10).bytes());
        }
        answer.extend(b"\x89\x02hi");
        for piece in 1..answer.len() {
            let (seen, mut other) = seen(Transport::Websocket, &answer, piece);
            assert_eq!(seen, [10, 20]);
            let mut pong = [0; 8];
            other.read_exact(&mut pong).unwrap();
            assert_eq!(&pong, b"\x8A\x82\0\0\0\0hi");
        }
    }

    #[test]
    fn streams_are_read_however_they_are_cut() {
        let answer =
            format!("HTTP/1.1 200 OK\r\n\r\n9\r\nid: E-1\n\n\r\n{}\r\n{}", message(1, 5), message(2, 6));
        for piece in 1..answer.len() {
            assert_eq!(seen(Transport::Sse, answer.as_bytes(), piece).0, [5, 6]);
        }
    }

    #[test]
    fn a_long_poll_asks_again_from_the_new_cursor() {
        let body = format!("{{\"messages\":[{},{}]}}", message(1, 5), message(2, 6));
        let answer =
            format!("HTTP/1.1 200 OK\r\nEfir-Cursor: E-2\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for piece in [1, 7, 4096] {
            let (seen, mut other) = seen(Transport::LongPoll, answer.as_bytes(), piece);
            assert_eq!(seen, [5, 6]);
            let mut request = [0; 512];
            let len = other.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..len]).into_owned();
            assert!(request.starts_with("GET /channels/c?wait=110&after=E-2 HTTP/1.1\r\n"), "{request}");
        }
    }
}
