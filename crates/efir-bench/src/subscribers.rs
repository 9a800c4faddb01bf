//! Thousands of subscribers, read by one thread.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::connection::Connection;
use crate::dialect::{Heard, Seat, Subscribe};
use crate::encryption::Destination;
use crate::histogram::Histogram;
use crate::sequence::Faults;
use crate::system::{self, Interest, Poll, Ready};

/// How many connections go out from one source address, so that its ports do not run out.
const PER_SOURCE: u32 = 5_000;
/// How many may be opening at once; see [`Subscribers::opening_max`].
const OPENING_MAX: usize = 256;

/// What all connections of a thread have seen together.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// From when a message was due until it was read, of those due from [`Subscribers::measure_from`] on.
    pub latency: Histogram,
    /// Messages read.
    pub delivered: u64,
    /// Reads that brought at least one message: how many messages came in one shows how much was gathered.
    pub reads: u64,
    /// Bytes read from sockets, and written to them.
    pub bytes_in: u64,
    /// See [`Seen::bytes_in`].
    pub bytes_out: u64,
    /// Requests sent, openings included.
    pub requests: u64,
    /// Turns of the loop: how long what was ready took, as the last one of it had to wait so long.
    pub turns: Histogram,
    /// When the last message was read: µs since the clock.
    pub last_us: u64,
    /// Connections that ended though nobody let them go, and why the first one did.
    pub ended: u64,
    /// See [`Seen::ended`].
    pub why: Option<String>,
}

impl Seen {
    /// Takes over what another thread has seen.
    pub fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.turns.merge(&other.turns);
        self.delivered += other.delivered;
        self.reads += other.reads;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.requests += other.requests;
        self.last_us = self.last_us.max(other.last_us);
        self.ended += other.ended;
        if self.why.is_none() {
            self.why.clone_from(&other.why);
        }
    }
}

/// All connections of one thread. [`Subscribers::turn`] is the loop's body.
#[derive(Debug)]
pub struct Subscribers {
    server: Destination,
    poll: Poll,
    /// `None` where a connection was let go or has ended.
    connections: Vec<Option<Connection>>,
    /// Places whose connection is not begun yet.
    planned: VecDeque<Planned>,
    /// Begun, but not joined.
    opening: usize,
    /// How many may be opening at once; 256 at first. A server with a short backlog wants fewer.
    pub opening_max: usize,
    joined: usize,
    alarms: BinaryHeap<Reverse<(Instant, u32)>>,
    ready: Vec<Ready>,
    heard: Heard,
    buffer: Vec<u8>,
    clock: Instant,
    /// Messages due earlier (µs) do not count for the latency.
    pub measure_from: u64,
    /// Where somebody wants to know of them: connections that ended though nobody let them go.
    pub parted: Option<Vec<Connection>>,
    /// What they have seen.
    pub seen: Seen,
    /// [`Seen::delivered`] for other threads, as the publisher's, that look while it goes up.
    pub delivered: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Planned {
    dialect: Arc<dyn Subscribe>,
    seat: Seat,
    first: u64,
}

impl Subscribers {
    /// None yet. Times are counted from `clock`.
    ///
    /// # Errors
    /// When the system gives no epoll.
    pub fn new(server: impl Into<Destination>, clock: Instant) -> Result<Self> {
        Ok(Self {
            server: server.into(),
            poll: Poll::new()?,
            connections: Vec::new(),
            planned: VecDeque::new(),
            opening: 0,
            opening_max: OPENING_MAX,
            joined: 0,
            alarms: BinaryHeap::new(),
            ready: Vec::new(),
            heard: Heard::default(),
            buffer: vec![0; 256 * 1024],
            clock,
            measure_from: 0,
            parted: None,
            seen: Seen::default(),
            delivered: Arc::default(),
        })
    }

    /// Plans one more connection; turns open it. It is owed every message from number `first` on; 0: from whichever comes first.
    /// Returns the place that it will have.
    pub fn plan(&mut self, dialect: &Arc<dyn Subscribe>, seat: Seat, first: u64) -> usize {
        self.planned.push_back(Planned { dialect: Arc::clone(dialect), seat, first });
        self.connections.len() + self.planned.len() - 1
    }

    /// Turns until all that were planned have joined.
    ///
    /// # Errors
    /// When one cannot be opened, is refused, or has not joined within `most`.
    pub fn open(&mut self, most: Duration) -> Result<()> {
        let deadline = Instant::now() + most;
        while self.waiting() > 0 {
            self.turn(Duration::from_millis(50))?;
            if let Some(why) = &self.seen.why {
                bail!("a connection was not opened: {why}");
            }
            if Instant::now() > deadline {
                bail!("{} connections were not answered within {most:?}", self.waiting());
            }
        }
        Ok(())
    }

    /// How many have joined since the beginning.
    #[must_use]
    pub fn joined(&self) -> usize {
        self.joined
    }

    /// How many are planned or opening.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.planned.len() + self.opening
    }

    /// Takes over a connection whose socket somebody else connected, and sends its opening.
    ///
    /// # Errors
    /// When it has ended, or the system refuses to watch it.
    pub fn adopt(&mut self, mut connection: Connection) -> Result<()> {
        self.seen.bytes_out += connection.open()? as u64;
        self.seen.requests += 1;
        let has_joined = connection.is_joined;
        self.place(connection, Interest::Read)?;
        self.count_join(has_joined);
        Ok(())
    }

    fn count_join(&mut self, has_joined: bool) {
        self.opening -= usize::from(has_joined);
        self.joined += usize::from(has_joined);
    }

    fn place(&mut self, connection: Connection, interest: Interest) -> Result<()> {
        self.poll.add_for(connection.socket(), self.connections.len() as u64, interest)?;
        self.connections.push(Some(connection));
        self.opening += 1;
        Ok(())
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        self.server.address
    }

    /// How many were begun until now: the place of the next one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether none was begun yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Those that are there.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().flatten()
    }

    /// Lets connection `n` go: it is read no longer, and its socket is the caller's.
    pub fn release(&mut self, n: usize) -> Option<Connection> {
        self.connections.get_mut(n).and_then(Option::take)
    }

    /// Stops reading connection `n`, which stays open: a slow reader. [`Subscribers::resume`] reads on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&mut self, n: usize) -> Result<()> {
        self.watch(n, Interest::Nothing)
    }

    /// Reads on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&mut self, n: usize) -> Result<()> {
        self.watch(n, Interest::Read)
    }

    fn watch(&self, n: usize, interest: Interest) -> Result<()> {
        if let Some(Some(connection)) = self.connections.get(n) {
            self.poll.change(connection.socket(), n as u64, interest)?;
        }
        Ok(())
    }

    /// Opens what is planned and reads what is there; waits at most `most` for something to come.
    ///
    /// # Errors
    /// When the system has no more sockets or its epoll fails. A connection that ends is counted instead.
    pub fn turn(&mut self, most: Duration) -> Result<()> {
        self.begin_some()?;
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait_for(self.until_alarm(most), &mut ready)?;
        let start = self.now();
        for one in &ready {
            let done = self.serve(*one);
            self.count_end(one.token as usize, done);
        }
        if !ready.is_empty() {
            self.seen.turns.add(self.now() - start);
        }
        self.ready = ready;
        self.ring();
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    fn begin_some(&mut self) -> Result<()> {
        while self.opening < self.opening_max {
            let Some(Planned { dialect, seat, first }) = self.planned.pop_front() else { break };
            let number = seat.number;
            let Destination { address, encryption } = &self.server;
            let socket = system::begin_connecting(source(*address, number), *address)
                .with_context(|| format!("opening connection {}", number + 1))?;
            let socket = (socket, encryption.as_ref());
            self.place(Connection::encrypted(socket, dialect, seat, first)?, Interest::Write)?;
        }
        Ok(())
    }

    fn serve(&mut self, ready: Ready) -> Result<()> {
        let n = ready.token as usize;
        let Some(connection) = self.connections.get_mut(n).and_then(Option::as_mut) else { return Ok(()) };
        if !connection.is_open {
            self.seen.bytes_out += connection.open()? as u64;
            self.seen.requests += 1;
            self.poll.change(connection.socket(), ready.token, interest(connection))?;
            let has_joined = connection.is_joined;
            self.count_join(has_joined);
            return Ok(());
        }
        let was_waiting = connection.is_waiting_to_send();
        if ready.can_write && was_waiting {
            self.seen.bytes_out += connection.flush()? as u64;
        }
        if ready.can_read {
            self.receive(n)?;
        }
        let Some(connection) = self.connections.get(n).and_then(Option::as_ref) else { return Ok(()) };
        if connection.is_waiting_to_send() != was_waiting {
            self.poll.change(connection.socket(), ready.token, interest(connection))?;
        }
        Ok(())
    }

    fn receive(&mut self, n: usize) -> Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(n) else { return Ok(()) };
        let received = connection.receive(&mut self.buffer, &mut self.heard)?;
        self.count_join(received.has_joined);
        self.seen.bytes_in += received.bytes as u64;
        self.seen.bytes_out += received.sent as u64;
        self.seen.requests += self.heard.requests;
        if let Some(time) = self.heard.wake {
            self.alarms.push(Reverse((Instant::now() + time, n as u32)));
        }
        if !self.heard.found.is_empty() {
            let now = self.now();
            for mark in self.heard.found.iter().filter(|mark| mark.due_us >= self.measure_from) {
                self.seen.latency.add(now.saturating_sub(mark.due_us));
            }
            let count = self.heard.found.len() as u64;
            self.seen.last_us = now;
            self.seen.reads += 1;
            self.seen.delivered += count;
            self.delivered.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    }

    fn count_end(&mut self, n: usize, done: Result<()>) {
        let Err(error) = done else { return };
        if let Some(connection) = self.release(n) {
            self.opening -= usize::from(!connection.is_joined);
            if let Some(parted) = &mut self.parted {
                parted.push(connection);
            }
        }
        self.seen.ended += 1;
        self.seen.why.get_or_insert(format!("{error:#}"));
    }

    fn until_alarm(&self, most: Duration) -> Duration {
        let Some(Reverse((at, _))) = self.alarms.peek() else { return most };
        // Rounded up, as the wait is in whole milliseconds.
        most.min(at.saturating_duration_since(Instant::now()) + Duration::from_micros(999))
    }

    fn ring(&mut self) {
        while let Some(Reverse((at, n))) = self.alarms.peek().copied() {
            if at > Instant::now() {
                break;
            }
            self.alarms.pop();
            let Some(Some(connection)) = self.connections.get_mut(n as usize) else { continue };
            let done = connection.wake(&mut self.heard);
            self.seen.bytes_out += done.as_ref().map_or(0, |len| *len as u64);
            self.seen.requests += self.heard.requests;
            self.count_end(n as usize, done.map(drop));
        }
    }

    /// What went wrong if the numbers below `ends` (one a lane of the run) were published.
    #[must_use]
    pub fn faults(&self, ends: &[u64]) -> Faults {
        let mut sum = Faults::default();
        self.connections().for_each(|connection| sum += connection.faults(ends));
        sum
    }

    /// How many messages there are below `ends` for all connections together.
    #[must_use]
    pub fn owed_count(&self, ends: &[u64]) -> u64 {
        self.connections().map(|connection| connection.owed_count(ends)).sum()
    }

    /// Whether each connection has everything below `ends`.
    #[must_use]
    pub fn have_all(&self, ends: &[u64]) -> bool {
        self.connections().all(|connection| connection.has_all(ends))
    }

    /// Reads until every connection has seen the numbers below `ends`, or `most` is over.
    ///
    /// # Errors
    /// As [`Subscribers::turn`].
    pub fn read_up_to(&mut self, ends: &[u64], most: Duration) -> Result<()> {
        let deadline = Instant::now() + most;
        while Instant::now() < deadline && !self.have_all(ends) {
            self.turn(Duration::from_millis(5))?;
        }
        Ok(())
    }
}

fn interest(connection: &Connection) -> Interest {
    if connection.is_waiting_to_send() { Interest::Both } else { Interest::Read }
}

/// The address from which connection `number` goes out, where the server is on loopback.
fn source(server: SocketAddr, number: u32) -> Option<Ipv4Addr> {
    let IpAddr::V4(address) = server.ip() else { return None };
    let block = number / PER_SOURCE;
    address.is_loopback().then(|| Ipv4Addr::new(127, 0, 1 + (block / 250) as u8, 1 + (block % 250) as u8))
}
