//! Who reads and publishes beside an overload: readers of one channel that check each number, and a publisher that repeats what was refused.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const READERS: usize = 20;
const CHANNEL: &str = "beside";
/// Between two messages.
const PACE: Duration = Duration::from_millis(50);
/// How long the last message may take to the readers.
const REST_MAX: Duration = Duration::from_secs(20);
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What the readers saw.
#[derive(Debug, Default)]
struct Seen {
    messages: AtomicU64,
    /// Told gaps; and numbers that were missing or wrong without one.
    gaps: AtomicU64,
    wrong: AtomicU64,
    ended: AtomicU64,
}

/// All of them.
pub(super) struct Beside {
    seen: Arc<Seen>,
    is_over: Arc<AtomicBool>,
    publisher: JoinHandle<Result<Published>>,
    address: SocketAddr,
    /// Closed from here in the end.
    sockets: Vec<TcpStream>,
    readers: Vec<JoinHandle<()>>,
}

/// What the publisher was told.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) accepted: u64,
    /// With 503 and the name of the limit.
    pub(super) refused: u64,
    /// In any other way.
    pub(super) otherwise: Vec<String>,
}

/// What came of it in the end.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) published: Published,
    pub(super) messages: u64,
    pub(super) gaps: u64,
    pub(super) wrong: u64,
    pub(super) ended: u64,
}

impl Kept {
    pub(super) const READERS: usize = READERS;
}

impl Beside {
    /// Lets all join, and begins to publish.
    ///
    /// # Errors
    /// When somebody cannot join.
    pub(super) fn begin(address: SocketAddr) -> Result<Self> {
        let (seen, is_over) = (Arc::<Seen>::default(), Arc::<AtomicBool>::default());
        let (mut sockets, mut readers) = (Vec::new(), Vec::new());
        for _ in 0..READERS {
            let mut socket = TcpStream::connect(address)?;
            write!(
                socket,
                "GET /channels/{CHANNEL} HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n"
            )?;
            sockets.push(socket.try_clone()?);
            let mut lines = BufReader::new(socket);
            until_hello(&mut lines)?;
            let (seen, is_over) = (Arc::clone(&seen), Arc::clone(&is_over));
            readers.push(std::thread::spawn(move || read(lines, &seen, &is_over)));
        }
        let over = Arc::clone(&is_over);
        let publisher = std::thread::spawn(move || publish(address, &over));
        Ok(Self { seen, is_over, publisher, address, sockets, readers })
    }

    /// Ends the publishing, and lets everybody read to the end.
    ///
    /// # Errors
    /// When the publisher lost its server.
    pub(super) fn finish(self) -> Result<Kept> {
        self.is_over.store(true, Ordering::SeqCst);
        let published = match self.publisher.join() {
            Ok(published) => published.with_context(|| format!("publishing to {}", self.address))?,
            Err(_) => bail!("the publisher itself panicked"),
        };
        let wanted = published.accepted * READERS as u64;
        let due = Instant::now() + REST_MAX;
        while self.seen.messages.load(Ordering::SeqCst) < wanted && Instant::now() < due {
            std::thread::sleep(Duration::from_millis(10));
        }
        let ended = self.seen.ended.load(Ordering::SeqCst);
        for socket in &self.sockets {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        self.readers.into_iter().for_each(|reader| drop(reader.join()));
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let seen = &self.seen;
        Ok(Kept {
            published,
            messages: read(&seen.messages),
            gaps: read(&seen.gaps),
            wrong: read(&seen.wrong),
            ended,
        })
    }
}

fn until_hello(lines: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    while !line.starts_with("{\"hello\"") {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            bail!("a reader could not join");
        }
    }
    Ok(())
}

/// Reads `n-1`, `n-2` … one behind the other.
fn read(mut lines: BufReader<TcpStream>, seen: &Seen, is_over: &AtomicBool) {
    let (mut line, mut last) = (String::new(), 0);
    loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(1..) => {}
            _ => {
                if !is_over.load(Ordering::SeqCst) {
                    seen.ended.fetch_add(1, Ordering::SeqCst);
                }
                return;
            }
        }
        if line.starts_with("{\"gap\"") {
            seen.gaps.fetch_add(1, Ordering::SeqCst);
            last = 0;
        }
        let Some(number) = line.split_once("\"n-").and_then(|(_, rest)| rest.split('"').next()) else {
            continue;
        };
        let number: u64 = number.parse().unwrap_or_default();
        if last > 0 && number != last + 1 || number == 0 {
            seen.wrong.fetch_add(1, Ordering::SeqCst);
        }
        last = number;
        seen.messages.fetch_add(1, Ordering::SeqCst);
    }
}

fn publish(address: SocketAddr, is_over: &AtomicBool) -> Result<Published> {
    let mut published = Published::default();
    while !is_over.load(Ordering::SeqCst) {
        let body = format!("n-{}", published.accepted + 1);
        match post(address, CHANNEL, body.as_bytes())? {
            (200, _) => published.accepted += 1,
            // Nothing was appended: the same number comes again.
            (503, answer) if answer.contains("\"limit\":\"memory_bytes_max\"") => published.refused += 1,
            (status, answer) => published.otherwise.push(format!("{status}: {answer}")),
        }
        std::thread::sleep(PACE);
    }
    Ok(published)
}

/// Publishes text on a connection of its own; gives status and body.
///
/// # Errors
/// When there is no answer.
pub(super) fn post(address: SocketAddr, channel: &str, body: &[u8]) -> Result<(u16, String)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    let head = format!(
        "POST /channels/{channel} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no status in {answer:?}"))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.replace("\": ", "\":")))
}
