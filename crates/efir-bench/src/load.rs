//! What is put on a server: how many subscribers, how many messages, for how long.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::dialect::{Publish, Subscribe};
use crate::encryption::Destination;

/// How fast messages are published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second on all channels together, each at its planned time, however late the one before was.
    PerSecond(f64),
    /// As fast as they are delivered.
    FlatOut {
        /// Messages a channel that may be on their way to subscribers, on average.
        ahead: u64,
        /// Messages by which the slowest subscriber may lag; less than a channel keeps, or it loses some.
        lag: u64,
    },
}

impl Pace {
    /// Flat out, but with no more on its way than every server keeps for a channel.
    #[must_use]
    pub fn flat_out(payload_bytes: usize) -> Self {
        let room = LAG_BYTES / payload_bytes.max(1) as u64;
        Self::FlatOut { ahead: room.clamp(2, AHEAD_MAX), lag: room.clamp(2, LAG_MAX) }
    }
}

const AHEAD_MAX: u64 = 500;
const LAG_MAX: u64 = 5_000;
const LAG_BYTES: u64 = 4 << 20;

/// The load. [`Load::default`] is a second of warming up and five of measuring: 1 channel, 100 subscribers, 100
/// messages a second of 100 bytes.
#[derive(Clone, Debug)]
pub struct Load {
    /// The names of the channels begin with this.
    pub prefix: String,
    /// How many channels.
    pub channels: usize,
    /// Subscribers a channel; 0 measures publishing alone.
    pub subscribers: usize,
    /// Channels that one connection reads. Above 1 there are so many fewer connections.
    pub channels_a_connection: usize,
    /// Connections that publish.
    pub publishers: usize,
    /// How fast they do.
    pub pace: Pace,
    /// Bytes a payload has; at least [`crate::mark::MARK_LEN`].
    pub payload_bytes: usize,
    /// How many messages a publisher sends before the first is answered.
    pub pipeline: usize,
    /// Threads that read.
    pub threads: usize,
    /// How long connections rest before their memory is looked at; zero: it is not.
    pub rest: Duration,
    /// How long messages are published before anything counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub measured: Duration,
    /// Once this is set, the run ends with what it has measured until then.
    pub stop: Arc<AtomicBool>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            prefix: "bench".into(),
            channels: 1,
            subscribers: 100,
            channels_a_connection: 1,
            publishers: 1,
            pace: Pace::PerSecond(100.0),
            payload_bytes: 100,
            pipeline: 64,
            threads: 1,
            rest: Duration::ZERO,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(5),
            stop: Arc::default(),
        }
    }
}

impl Load {
    /// How many connections subscribe. Where channels do not divide evenly, some have one subscriber more.
    #[must_use]
    pub fn connections(&self) -> usize {
        (self.channels * self.subscribers).div_ceil(self.channels_a_connection.max(1))
    }
}

/// Where it is put, and how that server is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub destination: Destination,
    /// How subscribers speak.
    pub subscribe: Arc<dyn Subscribe>,
    /// How publishers speak.
    pub publish: Arc<dyn Publish>,
    /// The server's processes, where they are on this machine and ours to look at.
    pub processes: Vec<u32>,
}
