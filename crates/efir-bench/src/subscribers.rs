//! Thousands of subscribers, read by one thread.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::connection::{Connection, Target, Transport};
use super::histogram::Histogram;
use super::sequence::Faults;
use super::system::{self, Poll};

/// How many connections go out from one source address, so that its ports do not run out.
const PER_SOURCE: usize = 5_000;

/// All connections, and what they have seen together.
#[derive(Debug)]
pub struct Subscribers {
    target: Target,
    server: SocketAddrV4,
    poll: Poll,
    /// `None` where a connection was let go or has ended.
    connections: Vec<Option<Connection>>,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    clock: Instant,
    /// From when a message was due until it was read.
    pub latency: Histogram,
    /// Messages read by all connections together; the publisher looks at it, too.
    pub delivered: std::sync::Arc<AtomicU64>,
    /// Reads that brought at least one message: how many messages came in one shows how much was gathered.
    pub reads: u64,
    /// Connections that ended though nobody let them go, and why the first one did.
    pub ended: u64,
    pub why: Option<String>,
}

impl Subscribers {
    /// None yet. Times are counted from `clock`.
    ///
    /// # Errors
    /// When the system gives no epoll.
    pub fn new(server: SocketAddr, channel: &str, clock: Instant) -> Result<Self> {
        let SocketAddr::V4(server) = server else { bail!("only IPv4 addresses are measured") };
        Ok(Self {
            target: Target { host: server.to_string(), channel: channel.to_owned() },
            server,
            poll: Poll::new()?,
            connections: Vec::new(),
            ready: Vec::new(),
            buffer: vec![0; 256 * 1024],
            clock,
            latency: Histogram::new(),
            delivered: std::sync::Arc::default(),
            reads: 0,
            ended: 0,
            why: None,
        })
    }

    /// Opens `count` more and waits until the server has answered those that it answers at once. They are owed every
    /// message from number `first` on, which the server will put just after `cursor`.
    ///
    /// # Errors
    /// When one cannot be opened, is refused, or is not answered within a minute.
    pub fn open(&mut self, count: usize, transport: Transport, owed: (u64, &str)) -> Result<()> {
        for n in 0..count {
            let source = Ipv4Addr::new(127, 0, 1, 1 + (self.connections.len() / PER_SOURCE) as u8);
            let source = if self.server.ip().is_loopback() { source } else { Ipv4Addr::UNSPECIFIED };
            let socket = system::connect_from(source, self.server)
                .with_context(|| format!("opening connection {} of {count}", n + 1))?;
            self.adopt(Connection::open(socket, transport, &self.target, owed)?)?;
            // Read on the way, so that no answer waits for the last connection.
            if n % 256 == 255 {
                self.turn(Duration::ZERO)?;
            }
        }
        if matches!(transport, Transport::LongPoll | Transport::Raw) {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while self
            .connections()
            .any(|connection| connection.transport == transport && !connection.is_answered)
        {
            self.turn(Duration::from_millis(100))?;
            if let Some(why) = &self.why {
                bail!("{} was not opened: {why}", transport.name());
            }
            if Instant::now() > deadline {
                bail!("some {} connections were not answered", transport.name());
            }
        }
        Ok(())
    }

    /// Takes over a connection that somebody else opened.
    ///
    /// # Errors
    /// When the system refuses to watch it.
    pub fn adopt(&mut self, connection: Connection) -> Result<()> {
        self.poll.add(&connection.socket, self.connections.len() as u64)?;
        self.connections.push(Some(connection));
        Ok(())
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().flatten()
    }

    /// Lets connection `n` go: it is read no longer, and its socket is the caller's.
    pub fn release(&mut self, n: usize) -> Option<Connection> {
        self.connections.get_mut(n).and_then(Option::take)
    }

    /// Reads what is there; waits at most `most` for something to come.
    ///
    /// # Errors
    /// When the system's epoll fails. A connection that ends is counted instead.
    pub fn turn(&mut self, most: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(most, &mut ready)?;
        for token in &ready {
            if let Err(error) = self.receive(*token as usize) {
                self.connections[*token as usize] = None;
                self.ended += 1;
                self.why.get_or_insert(format!("{error:#}"));
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn receive(&mut self, n: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(n).and_then(Option::as_mut) else { return Ok(()) };
        let transport = connection.transport.name();
        let len = connection.socket.read(&mut self.buffer).with_context(|| format!("reading {transport}"))?;
        if len == 0 {
            bail!("the server ended a connection ({transport})");
        }
        let now = self.clock.elapsed().as_micros() as u64;
        let (latency, mut count) = (&mut self.latency, 0);
        connection.receive(&self.buffer[..len], &self.target, |due| {
            latency.add(now.saturating_sub(due));
            count += 1;
        })?;
        if count > 0 {
            self.reads += 1;
            self.delivered.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What went wrong if the numbers up to `end` (exclusive) were published.
    pub fn faults(&self, end: u64) -> Faults {
        self.connections().fold(Faults::default(), |sum, connection| {
            let faults = connection.sequence.faults(end);
            Faults {
                lost: sum.lost + faults.lost,
                duplicated: sum.duplicated + faults.duplicated,
                reordered: sum.reordered + faults.reordered,
            }
        })
    }

    /// Reads until every connection has seen the numbers up to `end` (exclusive), or `most` is over.
    ///
    /// # Errors
    /// As [`Subscribers::turn`].
    pub fn read_up_to(&mut self, end: u64, most: Duration) -> Result<()> {
        let deadline = Instant::now() + most;
        while Instant::now() < deadline
            && self.connections().any(|connection| connection.sequence.next() < end)
        {
            self.turn(Duration::from_millis(5))?;
        }
        Ok(())
    }
}
