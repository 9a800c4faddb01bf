//! Many connections that read what comes, without a buffer each: they search the bytes for numbers (`number.rs`), and
//! every connection checks that its numbers come one by one.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use efir_bench::histogram::Histogram;
use efir_bench::sequence::{Faults, Sequence};
use efir_bench::system::{self, Poll};

use super::number;
use super::speaker::Timetable;

/// How many connections go out from one source address: the search for a free port gets dear beyond.
const PER_SOURCE: usize = 5_000;
/// How long connections may take to be answered.
const ANSWERED_MAX: Duration = Duration::from_secs(60);

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) socket: TcpStream,
    pub(crate) sequence: Sequence,
    /// The head of the answer is read.
    is_open: bool,
    /// Something came behind the head: the server has taken the subscriber in.
    pub(crate) is_greeted: bool,
    /// A head or number that was cut.
    cut: Vec<u8>,
}

/// All connections, and what they have seen together.
#[derive(Debug)]
pub(crate) struct Crowd {
    server: SocketAddrV4,
    poll: Poll,
    lines: Vec<Option<Line>>,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    /// Numbers are counted, but not checked: each goes to some of the connections only.
    pub(crate) only_counts: bool,
    /// When numbers are due; without one no latency is measured.
    pub(crate) timetable: Option<Timetable>,
    pub(crate) latency: Histogram,
    /// Numbers read by all together; a publisher may look at it, too.
    pub(crate) delivered: Arc<AtomicU64>,
    pub(crate) bytes: u64,
    pub(crate) ended: u64,
    pub(crate) why: Option<String>,
}

/// The request of a subscriber.
pub(crate) fn request(transport: &str, target: &str) -> String {
    let more = match transport {
        "sse" => "Accept: text/event-stream\r\n",
        "http-stream" => "Accept: application/x-ndjson\r\n",
        _ => {
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
    };
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
}

/// A text frame as a client sends it (RFC 6455 §5.2); a mask of zeros leaves the text as it is.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let len = text.len();
    let mut frame = match len {
        0..126 => vec![0x81, 0x80 | len as u8],
        126..65_536 => [&[0x81, 0xFE], (len as u16).to_be_bytes().as_slice()].concat(),
        _ => [&[0x81, 0xFF], (len as u64).to_be_bytes().as_slice()].concat(),
    };
    frame.extend([0; 4]);
    frame.extend(text.bytes());
    frame
}

impl Line {
    /// A connection whose request is under way; `first` is the number of the first message that is owed.
    pub(crate) fn new(socket: TcpStream, first: u64) -> Self {
        Self::with(socket, Sequence::starting_at(first))
    }

    /// One that goes on from what it has seen before.
    pub(crate) fn with(socket: TcpStream, sequence: Sequence) -> Self {
        Self { socket, sequence, is_open: false, is_greeted: false, cut: Vec::new() }
    }

    /// `found` gets each number and the sequence that it belongs to.
    fn receive(&mut self, bytes: &[u8], found: &mut impl FnMut(u64, &mut Sequence)) -> Result<()> {
        if self.cut.is_empty() {
            let done = self.read(bytes, found)?;
            self.cut.extend_from_slice(&bytes[done..]);
        } else {
            let mut joined = std::mem::take(&mut self.cut);
            joined.extend_from_slice(bytes);
            let done = self.read(&joined, found)?;
            joined.drain(..done);
            self.cut = if joined.is_empty() { Vec::new() } else { joined };
        }
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], found: &mut impl FnMut(u64, &mut Sequence)) -> Result<usize> {
        let mut done = 0;
        if !self.is_open {
            let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
            if !matches!(bytes.get(9..12), Some(b"200" | b"101")) {
                let head = String::from_utf8_lossy(&bytes[..head]);
                bail!("refused: {}", head.lines().next().unwrap_or_default());
            }
            self.is_open = true;
            done = head + 4;
        }
        self.is_greeted |= bytes.len() > done;
        let sequence = &mut self.sequence;
        Ok(done + number::search(&bytes[done..], |number| found(number, sequence)))
    }
}

impl Crowd {
    /// Nobody yet.
    ///
    /// # Errors
    /// When the system gives no epoll.
    pub(crate) fn new(server: SocketAddr) -> Result<Self> {
        let SocketAddr::V4(server) = server else { bail!("only IPv4 addresses are measured") };
        Ok(Self {
            server,
            poll: Poll::new()?,
            lines: Vec::new(),
            ready: Vec::new(),
            buffer: vec![0; 1 << 20],
            only_counts: false,
            timetable: None,
            latency: Histogram::new(),
            delivered: Arc::default(),
            bytes: 0,
            ended: 0,
            why: None,
        })
    }

    /// The source address for connection `n`.
    pub(crate) fn source(n: usize) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 1, 1 + (n / PER_SOURCE) as u8)
    }

    pub(crate) fn server(&self) -> SocketAddrV4 {
        self.server
    }

    /// Opens `count` more, all by one request, owed the messages from number `first` on, and waits until all are
    /// greeted.
    ///
    /// # Errors
    /// When one is refused, ends, or is not answered in time.
    pub(crate) fn open(&mut self, count: usize, request: &str, first: u64) -> Result<()> {
        for n in 0..count {
            let socket = system::connect_from(Self::source(self.lines.len()), self.server)
                .with_context(|| format!("opening connection {} of {count}", n + 1))?;
            socket.set_nodelay(true)?;
            (&socket).write_all(request.as_bytes())?;
            self.adopt(Line::new(socket, first))?;
            // Read on the way, so that no answer waits for the last connection.
            if n % 64 == 63 {
                self.turn(Duration::ZERO)?;
            }
        }
        self.until_greeted()
    }

    /// Takes a connection in as the last one.
    ///
    /// # Errors
    /// When the system refuses to watch it.
    pub(crate) fn adopt(&mut self, line: Line) -> Result<()> {
        self.place(self.lines.len(), line)
    }

    /// Puts a connection at place `n`, where there is none.
    ///
    /// # Errors
    /// As [`Crowd::adopt`].
    pub(crate) fn place(&mut self, n: usize, line: Line) -> Result<()> {
        line.socket.set_nonblocking(true)?;
        self.poll.add(&line.socket, n as u64)?;
        if self.lines.len() <= n {
            self.lines.resize_with(n + 1, || None);
        }
        self.lines[n] = Some(line);
        Ok(())
    }

    /// Reads until every connection is greeted.
    ///
    /// # Errors
    /// When one ended, or it takes too long.
    pub(crate) fn until_greeted(&mut self) -> Result<()> {
        let deadline = Instant::now() + ANSWERED_MAX;
        while self.ended == 0 && self.lines().any(|line| !line.is_greeted) {
            self.turn(Duration::from_millis(50))?;
            if Instant::now() > deadline {
                bail!("some connections were not answered");
            }
        }
        self.all_stay()
    }

    /// # Errors
    /// When a connection ended that nobody let go: why the first one did.
    pub(crate) fn all_stay(&self) -> Result<()> {
        match &self.why {
            Some(why) => bail!("{} connections ended: {why}", self.ended),
            None => Ok(()),
        }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().flatten()
    }

    pub(crate) fn line(&self, n: usize) -> Option<&Line> {
        self.lines.get(n).and_then(Option::as_ref)
    }

    /// Takes every connection out; each keeps its place's number.
    pub(crate) fn take_all(&mut self) -> Vec<(usize, Line)> {
        self.lines.iter_mut().enumerate().filter_map(|(n, line)| Some((n, line.take()?))).collect()
    }

    /// Reads what is there; waits at most `most` for something to come.
    ///
    /// # Errors
    /// When the system's epoll fails. A connection that ends is counted instead.
    pub(crate) fn turn(&mut self, most: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(most, &mut ready)?;
        for token in &ready {
            if let Err(error) = self.receive(*token as usize) {
                self.lines[*token as usize] = None;
                self.ended += 1;
                self.why.get_or_insert(format!("{error:#}"));
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn receive(&mut self, n: usize) -> Result<()> {
        let Some(line) = self.lines.get_mut(n).and_then(Option::as_mut) else { return Ok(()) };
        let len = match line.socket.read(&mut self.buffer) {
            Ok(0) => bail!("the server ended a connection"),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("reading"),
        };
        self.bytes += len as u64;
        let (latency, timetable, mut count) = (&mut self.latency, self.timetable.as_ref(), 0);
        let (now, is_checked) = (Instant::now(), !self.only_counts);
        line.receive(&self.buffer[..len], &mut |number, sequence| {
            count += 1;
            if is_checked {
                sequence.receive(number);
            }
            if let Some(timetable) = timetable {
                latency.add(now.saturating_duration_since(timetable.due(number)).as_micros() as u64);
            }
        })?;
        self.delivered.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Reads for a while.
    ///
    /// # Errors
    /// As [`Crowd::turn`].
    pub(crate) fn watch(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// Reads until every connection has seen the numbers up to `end` (exclusive), or `most` is over.
    ///
    /// # Errors
    /// As [`Crowd::turn`].
    pub(crate) fn read_up_to(&mut self, end: u64, most: Duration) -> Result<()> {
        self.read_until(most, |crowd| crowd.lines().all(|line| line.sequence.next() >= end))?;
        Ok(())
    }

    /// Reads until `is_done` or `most` is over; returns whether it was done.
    ///
    /// # Errors
    /// As [`Crowd::turn`].
    pub(crate) fn read_until(&mut self, most: Duration, is_done: impl Fn(&Self) -> bool) -> Result<bool> {
        let deadline = Instant::now() + most;
        while !is_done(self) {
            if Instant::now() > deadline {
                return Ok(false);
            }
            self.turn(Duration::from_millis(5))?;
        }
        Ok(true)
    }

    /// What went wrong if the numbers up to `end` (exclusive) were published.
    pub(crate) fn faults(&self, end: u64) -> Faults {
        self.lines().fold(Faults::default(), |sum, line| {
            let faults = line.sequence.faults(end);
            Faults {
                lost: sum.lost + faults.lost,
                duplicated: sum.duplicated + faults.duplicated,
                reordered: sum.reordered + faults.reordered,
            }
        })
    }

    /// # Errors
    /// When something was lost, came twice or out of order, or a connection ended.
    pub(crate) fn check(&self, end: u64) -> Result<()> {
        self.all_stay()?;
        let faults = self.faults(end);
        if !faults.is_none() {
            bail!("lost / duplicated / reordered: {faults}");
        }
        Ok(())
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_stream_is_read_however_it_is_cut() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\n\r\n9\r\nid: E-1\n\n\r\n{}\r\n{}",
            number::payload(1, 20),
            number::payload(2, 30)
        );
        for piece in 1..answer.len() {
            let mut line = Line::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap(), 1);
            let mut seen = Vec::new();
            for piece in answer.as_bytes().chunks(piece) {
                line.receive(piece, &mut |number, _| seen.push(number)).unwrap();
            }
            assert_eq!(seen, [1, 2]);
            assert!(line.is_greeted);
        }
    }

    #[test]
    fn a_refusal_is_no_stream() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut line = Line::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap(), 1);
        let refusal = line.receive(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", &mut |_, _| {});
        assert_eq!(refusal.unwrap_err().to_string(), "refused: HTTP/1.1 503 Service Unavailable");
    }

    #[test]
    fn frames_have_a_length_of_every_kind() {
        assert_eq!(frame("ab"), *b"\x81\x82\0\0\0\0ab");
        assert_eq!(frame(&"x".repeat(300))[..8], [0x81, 0xFE, 1, 44, 0, 0, 0, 0]);
        assert_eq!(frame(&"x".repeat(70_000))[..14], [0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 0, 0, 0, 0]);
    }
}
