//! Subscribers of one channel that are told one by one when to come, go and read, and somebody who publishes to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::channels::Channels;
use efir_bench::efir::HttpPublisher;
use efir_bench::publisher::{Arrivals, Outfit, Publishers, Publishing};
use efir_bench::subscribers::Subscribers;
use efir_bench::{Efir, Pace, Publish, Seat, Subscribe, Transport, system};

use crate::server::Server;

/// The channel.
pub(crate) const CHANNEL: &str = "scale";
/// How long connections may take to be answered.
const ANSWERED_MAX: Duration = Duration::from_secs(60);
/// How long what was published may be on its way.
const ARRIVED_MAX: Duration = Duration::from_secs(10);

/// The subscribers. They are read by whoever calls.
#[derive(Debug)]
pub(crate) struct Crowd {
    address: SocketAddr,
    channels: Arc<Channels>,
    dialect: Arc<dyn Subscribe>,
    pub(crate) clock: Instant,
    pub(crate) subscribers: Subscribers,
}

/// What one had when its connection was cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) number: u32,
    /// The number of the message that it expects next.
    pub(crate) next: u64,
}

impl Crowd {
    /// Nobody yet.
    ///
    /// # Errors
    /// When the system gives no epoll.
    pub(crate) fn new(server: &Server, transport: Transport) -> Result<Self> {
        let (address, clock) = (server.address(), Instant::now());
        Ok(Self {
            address,
            channels: Arc::new(Channels::new(CHANNEL, 1, 1)),
            dialect: Arc::new(Efir::new(transport, &address.to_string())),
            clock,
            subscribers: Subscribers::new(address, clock)?,
        })
    }

    /// Opens so many, who are owed every message from the first on.
    ///
    /// # Errors
    /// When one is refused or not answered in time.
    pub(crate) fn open(&mut self, count: usize) -> Result<()> {
        for number in 0..count as u32 {
            let seat = Seat::new(Arc::clone(&self.channels), number, (0, 1));
            self.subscribers.plan(&self.dialect, seat, 1);
        }
        self.subscribers.open(ANSWERED_MAX)
    }

    /// Cuts all connections by a reset, at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn cut_all(&mut self) -> Result<Vec<Left>> {
        let mut left = Vec::new();
        for n in 0..self.subscribers.len() {
            let Some(connection) = self.subscribers.release(n) else { continue };
            left.push(Left { number: connection.seat.number, next: connection.next() });
            system::reset_on_close(connection.socket())?;
        }
        Ok(left)
    }

    /// Plans the return of all who left, after the positions of `epoch` that they have; the next turn begins them all.
    ///
    /// # Errors
    /// When the system gives no epoll.
    pub(crate) fn plan_return(&mut self, left: &[Left], epoch: &str) -> Result<()> {
        self.subscribers = Subscribers::new(self.address, self.clock)?;
        self.subscribers.opening_max = left.len();
        for Left { number, next } in left {
            let mut seat = Seat::new(Arc::clone(&self.channels), *number, (0, 1));
            seat.cursor = Some(format!("{epoch}-{}", next - 1).into());
            self.subscribers.plan(&self.dialect, seat, *next);
        }
        Ok(())
    }

    /// Somebody who publishes payloads of this size.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(crate) fn publisher(&self, payload_bytes: usize) -> Result<Publishers> {
        let dialect: Arc<dyn Publish> = Arc::new(HttpPublisher::new(&self.address.to_string(), ""));
        let outfit = Outfit { count: 1, pipeline: 1_000, payload_bytes };
        Publishers::connect(self.address, &dialect, &self.channels, self.clock, outfit)
    }

    /// Reads for a while.
    ///
    /// # Errors
    /// When a connection ended.
    pub(crate) fn watch(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.subscribers.turn(Duration::from_millis(5))?;
        }
        self.all_stay()
    }

    /// # Errors
    /// When a connection ended that nobody let go: why the first one did.
    pub(crate) fn all_stay(&self) -> Result<()> {
        match &self.subscribers.seen.why {
            Some(why) => bail!("{} connections ended: {why}", self.subscribers.seen.ended),
            None => Ok(()),
        }
    }

    /// Reads what was published.
    ///
    /// # Errors
    /// When something was lost, came twice or out of order, or a connection ended.
    pub(crate) fn read_all(&mut self, ends: &[u64]) -> Result<()> {
        self.subscribers.read_up_to(ends, ARRIVED_MAX)?;
        self.all_stay()?;
        let faults = self.subscribers.faults(ends);
        if !faults.is_none() {
            bail!("lost / duplicated / reordered: {faults}");
        }
        Ok(())
    }
}

/// Begins to publish so many messages a second.
pub(crate) fn publish(publishers: Publishers, rate: f64, time: Duration) -> Publishing {
    publishers.start(Pace::PerSecond(rate), time, Arrivals::default())
}
