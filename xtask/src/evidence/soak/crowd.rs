//! Subscribers of a long run: some go and others come all the time, half of them to read on where the one before stood. What the
//! server does meanwhile, nobody here knows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use efir_bench::channels::Channels;
use efir_bench::connection::Connection;
use efir_bench::sequence::Faults;
use efir_bench::subscribers::Subscribers;
use efir_bench::system;
use efir_bench::{Efir, Seat, Subscribe, Transport};

/// How often a short poll asks.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// How long ten thousand may take to open beside whatever else the machine does.
const OPENING_MAX: Duration = Duration::from_secs(180);
/// How long the last messages may take; short polls come for theirs when it is time.
const REST_MAX: Duration = Duration::from_secs(40);

/// Where a crowd reads.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) server: SocketAddr,
    pub(super) clock: Instant,
    pub(super) channels: Arc<Channels>,
}

/// Who the crowd is: its transports, of each as many, and the first of their numbers.
#[derive(Clone, Copy)]
pub(super) struct Cast {
    pub(super) transports: &'static [Transport],
    pub(super) count: usize,
    pub(super) first_number: u32,
}

/// See the module.
pub(super) struct Crowd {
    subscribers: Subscribers,
    dialects: Vec<Arc<dyn Subscribe>>,
    channels: Arc<Channels>,
    /// The epoch of each channel, once something was published there.
    epochs: Vec<String>,
    /// Places of those that are there; those that the server has ended are found out when their turn comes.
    live: Vec<usize>,
    number: u32,
    random: u64,
    told: Told,
}

/// What came and went.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Connections that left and were replaced.
    pub(super) churned: u64,
    /// Of those that came, how many went on from a cursor.
    pub(super) resumed: u64,
    /// Streams that the server ended because their life was over, and that went on from their cursor.
    pub(super) rotated: u64,
    /// Others that the server ended, and why the first of them was.
    pub(super) ended: u64,
    pub(super) why: Option<String>,
    /// Of all, also of those that left.
    pub(super) faults: Faults,
    pub(super) delivered: u64,
}

impl Crowd {
    /// Opens all of them.
    ///
    /// # Errors
    /// When one is not let in.
    pub(super) fn open(place: &Place, cast: Cast) -> Result<Self> {
        let mut subscribers = Subscribers::new(place.server, place.clock)?;
        let host = place.server.to_string();
        let dialect = |transport: &Transport| -> Arc<dyn Subscribe> {
            Arc::new(Efir::new(*transport, &host).every(POLL_INTERVAL))
        };
        let dialects: Vec<_> = cast.transports.iter().map(dialect).collect();
        let mut live = Vec::with_capacity(cast.count);
        for n in 0..cast.count {
            let channel = (n / dialects.len()) as u32 % place.channels.len();
            let seat = Seat::new(Arc::clone(&place.channels), cast.first_number + n as u32, (channel, 1));
            live.push(subscribers.plan(&dialects[n % dialects.len()], seat, 1));
        }
        subscribers.open(OPENING_MAX)?;
        subscribers.parted = Some(Vec::new());
        Ok(Self {
            subscribers,
            dialects,
            channels: Arc::clone(&place.channels),
            epochs: Vec::new(),
            live,
            number: cast.first_number + cast.count as u32,
            random: 0x9E37_79B9_7F4A_7C15 ^ u64::from(cast.first_number),
            told: Told::default(),
        })
    }

    /// From now on cursors can be made.
    pub(super) fn knows(&mut self, epochs: &[String]) {
        self.epochs = epochs.to_vec();
    }

    /// Reads what is there, and brings back whom the server has ended.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn turn(&mut self, most: Duration) -> Result<()> {
        self.subscribers.turn(most)?;
        for connection in self.subscribers.parted.replace(Vec::new()).unwrap_or_default() {
            // Only streams have a life of their own.
            if ["sse", "http-stream"].contains(&connection.dialect().name()) {
                self.told.rotated += 1;
            } else {
                self.told.ended += 1;
                self.told.why = self.told.why.take().or(self.subscribers.seen.why.take());
            }
            self.follow(&connection, true)?;
        }
        Ok(())
    }

    /// Lets go until `due` have left since the beginning; each time another one comes. One in four leaves by a reset, and half
    /// of those that come go on where the one before stood.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn churn(&mut self, due: u64) -> Result<()> {
        while self.told.churned < due && !self.live.is_empty() {
            let one = self.draw() as usize % self.live.len();
            let place = self.live.swap_remove(one);
            let Some(connection) = self.subscribers.release(place) else { continue };
            self.told.churned += 1;
            if self.told.churned.is_multiple_of(4) {
                system::reset_on_close(connection.socket())?;
            }
            self.follow(&connection, self.told.churned.is_multiple_of(2))?;
        }
        Ok(())
    }

    /// Judges what a connection that is gone has seen, and plans the next one on its channel.
    fn follow(&mut self, gone: &Connection, resumes: bool) -> Result<()> {
        let next = gone.next();
        self.told.faults += gone.faults(&vec![next; self.channels.lanes() as usize]);
        let channel = self.channel(gone.seat.channel())?;
        let dialect = self.dialects.iter().find(|dialect| dialect.name() == gone.dialect().name());
        let dialect = Arc::clone(dialect.context("a dialect of somebody else")?);
        let mut seat = Seat::new(Arc::clone(&self.channels), self.number, (channel, 1));
        self.number += 1;
        let mut first = 0;
        // Whoever has seen nothing has no cursor to go on from.
        if let (true, Some(epoch)) = (resumes && next > 0, self.epochs.get(channel as usize)) {
            seat.cursor = Some(format!("{epoch}-{}", next - 1).into());
            first = next;
            self.told.resumed += 1;
        }
        self.live.push(self.subscribers.plan(&dialect, seat, first));
        Ok(())
    }

    fn channel(&self, name: &str) -> Result<u32> {
        (0..self.channels.len())
            .find(|n| self.channels.name(*n) == name)
            .context("a channel of somebody else")
    }

    /// Xorshift: who leaves does not matter, but it should not be the oldest each time.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 8
    }

    /// p99 and longest time from due to read since the last call, in µs.
    pub(super) fn latency(&mut self) -> (u64, u64) {
        let latency = &mut self.subscribers.seen.latency;
        let seen = (latency.quantile(0.99), latency.max());
        latency.clear();
        seen
    }

    /// Messages read until now.
    pub(super) fn delivered(&self) -> u64 {
        self.subscribers.seen.delivered
    }

    /// Reads up to the end, and closes all.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn finish(mut self, ends: &[u64]) -> Result<Told> {
        let deadline = Instant::now() + REST_MAX;
        while Instant::now() < deadline
            && (self.subscribers.waiting() > 0 || !self.subscribers.have_all(ends))
        {
            self.turn(Duration::from_millis(5))?;
        }
        self.told.faults += self.subscribers.faults(ends);
        self.told.delivered = self.delivered();
        Ok(self.told)
    }
}
