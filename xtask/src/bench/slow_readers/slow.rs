//! A subscriber that does not read for a while, and then checks what it gets: everything, or one gap and what follows.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use efir_bench::websocket;
use socket2::{Domain, Socket, Type};

/// What this side of the connection holds before the server has to wait.
const RECEIVE_BUFFER: usize = 4 * 1024;
/// How long catching up may take.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(10);

/// One of them.
pub(crate) struct Slow {
    socket: TcpStream,
    channel: String,
    /// Bytes that came and are not looked at, or are cut.
    unread: Vec<u8>,
    is_past_head: bool,
    /// The offset of the last message or gap.
    offset: u64,
    gaps: u64,
}

/// How many of them did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caught {
    pub(crate) resumed: u64,
    pub(crate) gaps: u64,
}

impl Caught {
    pub(crate) fn add(&mut self, other: Self) {
        self.resumed += other.resumed;
        self.gaps += other.gaps;
    }
}

impl Slow {
    /// Subscribes and reads the greeting, so that everything from the first message on is owed.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) fn open(server: SocketAddr, channel: &str) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // Before it connects: the window that is offered follows from it.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.connect(&server.into())?;
        let mut socket = TcpStream::from(socket);
        socket.write_all(
            websocket::upgrade(&server.to_string(), &format!("/channels/{channel}"), "").as_bytes(),
        )?;
        socket.set_nonblocking(true)?;
        let channel = channel.to_owned();
        let mut slow = Self { socket, channel, unread: Vec::new(), is_past_head: false, offset: 0, gaps: 0 };
        let deadline = Instant::now() + CAUGHT_UP_MAX;
        while !slow.is_past_head {
            ensure!(Instant::now() < deadline, "a slow reader is not answered");
            slow.read_now()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(slow)
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// When the connection ends, or what comes is not what is owed.
    pub(crate) fn read_now(&mut self) -> Result<()> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => bail!("the server ended a slow reader at {}", self.offset),
                Ok(len) => self.unread.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a slow reader"),
            }
            self.look()?;
        }
        Ok(())
    }

    /// Reads at most so many bytes of what is there, as somebody does who is slow.
    ///
    /// # Errors
    /// As [`Slow::read_now`].
    pub(crate) fn read_some(&mut self, bytes: usize) -> Result<()> {
        let mut buffer = vec![0; bytes];
        match self.socket.read(&mut buffer) {
            Ok(0) => bail!("the server ended a slow reader at {}", self.offset),
            Ok(len) => self.unread.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a slow reader"),
        }
        self.look()
    }

    /// Reads until the message before `end` is there.
    ///
    /// # Errors
    /// As [`Slow::read_now`], or when there is no end to be seen or more than one gap.
    pub(crate) fn read_up_to(mut self, end: u64) -> Result<Caught> {
        let deadline = Instant::now() + CAUGHT_UP_MAX;
        while self.offset + 1 < end {
            self.read_now()?;
            ensure!(Instant::now() < deadline, "a slow reader stands at {} of {}", self.offset, end - 1);
            std::thread::sleep(Duration::from_micros(200));
        }
        ensure!(self.offset + 1 == end, "a slow reader is at {}, beyond {}", self.offset, end - 1);
        match self.gaps {
            0 => Ok(Caught { resumed: 1, gaps: 0 }),
            1 => Ok(Caught { resumed: 0, gaps: 1 }),
            more => bail!("a slow reader got {more} gaps"),
        }
    }

    /// Looks at what is whole.
    fn look(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.unread);
        let mut done = 0;
        if !self.is_past_head {
            let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                self.unread = bytes;
                return Ok(());
            };
            ensure!(bytes.get(9..12) == Some(b"101"), "refused: {}", String::from_utf8_lossy(&bytes[..head]));
            self.is_past_head = true;
            done = head + 4;
        }
        while let Some((kind, payload, next)) = frame(&bytes, done) {
            if kind == 1 {
                self.object(payload)?;
            }
            done = next;
        }
        self.unread = bytes[done..].to_vec();
        Ok(())
    }

    /// A message has the next offset; a gap begins where we stand.
    fn object(&mut self, json: &[u8]) -> Result<()> {
        let object: serde_json::Value = serde_json::from_slice(json)?;
        if let Some(gap) = object.get("gap") {
            let (after, resume) = (offset(&gap["after"])?, offset(&gap["resume_from"])?);
            ensure!(gap["channel"] == *self.channel, "a gap of another channel: {gap}");
            ensure!(
                after == self.offset && resume > after,
                "a gap that does not begin at {}: {gap}",
                self.offset
            );
            self.gaps += 1;
            self.offset = resume;
        } else if let Some(position) = object.get("position") {
            let next = offset(position)?;
            ensure!(next == self.offset + 1, "message {next} follows {} without a gap", self.offset);
            self.offset = next;
        }
        Ok(())
    }
}

fn offset(position: &serde_json::Value) -> Result<u64> {
    let text = position.as_str().context("a position is a string")?;
    let (_, offset) = text.rsplit_once('-').context("a position has an offset")?;
    Ok(offset.parse()?)
}

/// Opcode, payload and end of the frame that begins at `from`; `None` while it is cut (RFC 6455 §5.2, not masked).
fn frame(bytes: &[u8], from: usize) -> Option<(u8, &[u8], usize)> {
    let bytes = bytes.get(from..)?;
    let (head, len) = match bytes.get(1)? & 0x7F {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(short)),
    };
    Some((bytes.first()? & 0x0F, bytes.get(head..head + len)?, from + head + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(objects: &[&str]) -> Result<Slow> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let socket = TcpStream::connect(listener.local_addr()?)?;
        let channel = "c".to_owned();
        let mut slow = Slow { socket, channel, unread: Vec::new(), is_past_head: true, offset: 0, gaps: 0 };
        for object in objects {
            // Byte by byte, so that every frame is cut everywhere.
            for byte in [&[0x81, object.len() as u8], object.as_bytes()].concat() {
                slow.unread.push(byte);
                slow.look()?;
            }
        }
        Ok(slow)
    }

    #[test]
    fn messages_follow_one_another_or_a_gap() {
        let gap =
            r#"{"gap":{"channel":"c","reason":"trimmed","after":"E-1","resume_from":"E-7","epoch":"E"}}"#;
        let slow = fed(&[r#"{"hello":{}}"#, r#"{"position":"E-1"}"#, gap, r#"{"position":"E-8"}"#]).unwrap();
        assert_eq!((slow.offset, slow.gaps), (8, 1));
        assert!(fed(&[r#"{"position":"E-2"}"#]).is_err(), "the first is missing");
        assert!(fed(&[gap]).is_err(), "a gap that begins after a message that was never read");
        assert!(fed(&[r#"{"position":"E-1"}"#, gap, r#"{"position":"E-9"}"#]).is_err());
        assert!(fed(&[r#"{"position":"E-1"}"#, r#"{"position":"E-1"}"#]).is_err());
    }
}
