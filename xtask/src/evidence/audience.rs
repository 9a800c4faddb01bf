//! Readers beside whom something bad happens to their server: on four transports, with every message checked. What happens there, and
//! to whom, they do not know.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::server::{self, Server};
use efir_bench::channels::Channels;
use efir_bench::efir::HttpPublisher;
use efir_bench::publisher::{Arrivals, Outfit, Publishers, Publishing};
use efir_bench::sequence::Faults;
use efir_bench::subscribers::Subscribers;
use efir_bench::{Efir, Pace, Publish, Seat, Subscribe, Transport};

const PAYLOAD_BYTES: usize = 100;
/// Longer than any row takes.
const PUBLISHING_MAX: Duration = Duration::from_secs(3_600);
const OPENING_MAX: Duration = Duration::from_secs(60);
/// How long the last messages may take.
const REST_MAX: Duration = Duration::from_secs(20);

/// A server with its default configuration, its readers, and who publishes to them.
pub(super) struct Audience {
    server: Server,
    readers: Subscribers,
    publishing: Publishing,
}

/// How large an audience is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seats {
    pub(super) channel: &'static str,
    pub(super) readers: usize,
    pub(super) messages_per_second: u64,
}

/// What they have seen in the end.
pub(super) struct Kept {
    /// Published to each.
    pub(super) messages: u64,
    /// Readers that the server ended.
    pub(super) ended: u64,
    pub(super) faults: Faults,
}

impl Kept {
    /// What did not hold, if anything.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.ended > 0 {
            broken.push(format!("{} readers were ended", self.ended));
        }
        if !self.faults.is_none() {
            broken.push(format!("readers lost / got twice / out of order: {}", self.faults));
        }
        broken
    }
}

impl Audience {
    /// Starts the server, lets all join, and begins to publish.
    ///
    /// # Errors
    /// When the server does not start, or somebody cannot join.
    pub(super) fn start(seats: Seats, binary: &Path) -> Result<Self> {
        Self::start_by(seats, Command::new(binary), &[])
    }

    /// The same with a server by a command to which `serve` and `more` are added.
    ///
    /// # Errors
    /// As [`Audience::start`].
    pub(super) fn start_by(seats: Seats, command: Command, more: &[String]) -> Result<Self> {
        let server = Server::start_with(command, more, server::free_port()?)?;
        let (address, clock) = (server.address(), Instant::now());
        let mut readers = Subscribers::new(address, clock)?;
        let channels = Arc::new(Channels::new(seats.channel, 1, 1));
        let host = address.to_string();
        for number in 0..seats.readers as u32 {
            let transports =
                [Transport::Websocket, Transport::Sse, Transport::HttpStream, Transport::LongPoll];
            let transport = transports[number as usize % transports.len()];
            let dialect: Arc<dyn Subscribe> = Arc::new(Efir::new(transport, &host));
            readers.plan(&dialect, Seat::new(Arc::clone(&channels), number, (0, 1)), 1);
        }
        readers.open(OPENING_MAX)?;
        let publish: Arc<dyn Publish> = Arc::new(HttpPublisher::new(&host, ""));
        let outfit = Outfit { count: 1, pipeline: 64, payload_bytes: PAYLOAD_BYTES };
        let publishers = Publishers::connect(address, &publish, &channels, clock, outfit)?;
        let pace = Pace::PerSecond(seats.messages_per_second as f64);
        let publishing = publishers.start(pace, PUBLISHING_MAX, Arrivals::default());
        Ok(Self { server, readers, publishing })
    }

    /// Where the server listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The server's process.
    pub(super) fn process(&self) -> u32 {
        self.server.process()
    }

    /// Reads what comes for so long; between two looks the caller has a moment for something of its own.
    ///
    /// # Errors
    /// The system's, and the caller's.
    pub(super) fn watch(&mut self, time: Duration, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.readers.turn(Duration::from_millis(10))?;
            meanwhile()?;
        }
        Ok(())
    }

    /// p99 and longest time from due to read since the last call, in µs.
    pub(super) fn latency(&mut self) -> (u64, u64) {
        let seen = (self.readers.seen.latency.quantile(0.99), self.readers.seen.latency.quantile(1.0));
        self.readers.seen.latency.clear();
        seen
    }

    /// Ends the publishing, and reads to its end.
    ///
    /// # Errors
    /// When the server refused a message or went away.
    pub(super) fn finish(mut self) -> Result<Kept> {
        let (publishers, _) = self.publishing.finish()?;
        let ends = publishers.ends();
        self.readers.read_up_to(ends, REST_MAX)?;
        Ok(Kept {
            messages: publishers.published(),
            ended: self.readers.seen.ended,
            faults: self.readers.faults(ends),
        })
    }
}

/// Puts a MiB into `backlog`, the channel that is asked for by those who do not read.
///
/// # Errors
/// When the server cannot be reached.
pub(super) fn fill(address: SocketAddr) -> Result<()> {
    let payload = "x".repeat(60_000);
    let mut socket = TcpStream::connect(address)?;
    let request = format!(
        "POST /channels/backlog HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{payload}",
        payload.len()
    );
    for _ in 0..16 {
        socket.write_all(request.as_bytes())?;
    }
    while !server::get(address, "/channels/backlog?last=1")?.contains("-16\"") {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// As it is written down: p99 and longest.
pub(super) fn ms((p99, longest): (u64, u64)) -> String {
    format!("{:.1} / {:.1} ms", p99 as f64 / 1e3, longest as f64 / 1e3)
}

/// Bytes in MiB.
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
