//! Connections open on every transport; half of them vanish: some by a reset, some in silence, as when a phone loses
//! its network. The server has to give their memory back within a minute, and the others must notice nothing.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::namespace::{self, Namespaces};
use super::{Outcome, Size};
use crate::machine;
use crate::paper::grouped;
use crate::server::{self, Server};
use efir_bench::channels::Channels;
use efir_bench::connection::Connection;
use efir_bench::efir::HttpPublisher;
use efir_bench::process;
use efir_bench::publisher::{Arrivals, Outfit, Publishers, Publishing};
use efir_bench::sequence::Faults;
use efir_bench::subscribers::Subscribers;
use efir_bench::system;
use efir_bench::{Efir, Pace, Publish, Seat, Subscribe, Transport};

/// How much, and how fast the server gives up on silence.
#[derive(Clone, Copy, Debug)]
struct Plan {
    connections: usize,
    /// What the server is told besides its defaults.
    configuration: &'static [(&'static str, &'static str)],
    /// How long all are watched before the others vanish.
    before: Duration,
    /// In how much time the server must have let go.
    given_back_max: Duration,
    messages_per_second: u64,
}

const FULL: Plan = Plan {
    connections: 10_000,
    configuration: &[],
    before: Duration::from_secs(10),
    given_back_max: Duration::from_secs(60),
    messages_per_second: 2,
};

const QUICK: Plan = Plan {
    connections: 400,
    configuration: &[
        ("EFIR_TIMES__SILENT_MAX", "3s"),
        ("EFIR_TIMES__PING", "1s"),
        ("EFIR_TIMES__HEARTBEAT", "500ms"),
    ],
    before: Duration::from_secs(1),
    given_back_max: Duration::from_secs(30),
    messages_per_second: 10,
};

const MIXED: [Transport; 4] =
    [Transport::Websocket, Transport::Sse, Transport::HttpStream, Transport::LongPoll];
const CHANNEL: &str = "vanish";
const PAYLOAD_BYTES: usize = 100;
/// Files that the server may have open for reasons of its own.
const FILES_SLACK: usize = 8;

/// What the run showed.
struct Seen {
    by: &'static str,
    gone: usize,
    staying: usize,
    /// `None`: the server still held some when the time was over.
    given_back: Option<Duration>,
    memory_empty: u64,
    memory_full: u64,
    memory_after: u64,
    memory_refilled: u64,
    /// From due to read, of those that stayed, in µs: p99 and most, before and while the others vanished.
    latency_before: (u64, u64),
    latency_while: (u64, u64),
    messages: u64,
    ended: u64,
    why: Option<String>,
    faults: Faults,
}

impl Seen {
    /// What did not hold, if anything.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.given_back.is_none() {
            broken.push("the server still holds connections that vanished".to_owned());
        }
        // The allocator may keep some pages, but the same number again must not cost more than it did at first.
        if self.memory_refilled > self.memory_full + self.memory_full / 10 {
            broken.push("memory of connections that vanished is not used again".to_owned());
        }
        if self.ended > 0 {
            let why = self.why.as_deref().unwrap_or_default();
            broken.push(format!("{} connections that stayed were ended: {why}", self.ended));
        }
        if !self.faults.is_none() {
            broken.push(format!("those that stayed lost / got twice / out of order: {}", self.faults));
        }
        broken
    }
}

/// Without root only resets are tried, which is not what is written down.
pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let seen = if namespace::are_possible() {
        let made = Namespaces::make()?;
        namespace::inside(&made.server, || Run::start(plan, binary, Some(&made))?.finish())?
    } else if size == Size::Full {
        bail!("silence needs network namespaces: run as root, with iproute2");
    } else {
        println!("no root: nobody vanishes in silence");
        Run::start(plan, binary, None)?.finish()?
    };
    Ok(Outcome { text: text(plan, &seen), broken: seen.broken() })
}

/// The server, all its connections, and what was seen so far.
struct Run<'a> {
    plan: Plan,
    namespaces: Option<&'a Namespaces>,
    server: Server,
    subscribers: Subscribers,
    channels: Arc<Channels>,
    publishing: Publishing,
    memory_empty: u64,
    files_empty: usize,
    /// Those that will fall silent: their places among the subscribers.
    silent: std::ops::Range<usize>,
}

impl<'a> Run<'a> {
    /// Starts the server and opens all connections: first those that will fall silent, then the rest.
    fn start(plan: Plan, binary: &Path, namespaces: Option<&'a Namespaces>) -> Result<Self> {
        let mut command = Command::new(binary);
        command.envs(plan.configuration.iter().copied());
        let others: &[Ipv4Addr] = if namespaces.is_some() { &[namespace::SERVER] } else { &[] };
        let server = Server::start_by(command, others, server::free_port()?)?;
        let (address, clock) = (server.address(), Instant::now());
        let mut subscribers = Subscribers::new(address, clock)?;
        let channels = Arc::new(Channels::new(CHANNEL, 1, 1));
        let (memory_empty, files_empty) =
            (process::memory(server.process())?, process::open_files(server.process())?);

        let each = plan.connections / MIXED.len();
        let mut silent = 0;
        if let Some(namespaces) = namespaces {
            let target = SocketAddrV4::new(namespace::SERVER, address.port());
            silent = open_silent(namespaces, target, &mut subscribers, (each / 4, &channels))?;
        }
        for transport in MIXED {
            open(&mut subscribers, transport, &channels, (each - silent / MIXED.len(), 1))?;
        }
        let publish: Arc<dyn Publish> = Arc::new(HttpPublisher::new(&address.to_string(), ""));
        let outfit = Outfit { count: 1, pipeline: 64, payload_bytes: PAYLOAD_BYTES };
        let publishers = Publishers::connect(address, &publish, &channels, clock, outfit)?;
        let pace = Pace::PerSecond(plan.messages_per_second as f64);
        let publishing = publishers.start(pace, Duration::from_secs(600), Arrivals::default());
        Ok(Self {
            plan,
            namespaces,
            server,
            subscribers,
            channels,
            publishing,
            memory_empty,
            files_empty,
            silent: 0..silent,
        })
    }

    fn watch(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.subscribers.turn(Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn latency(&mut self) -> (u64, u64) {
        let seen =
            (self.subscribers.seen.latency.quantile(0.99), self.subscribers.seen.latency.quantile(1.0));
        self.subscribers.seen.latency.clear();
        seen
    }

    fn finish(mut self) -> Result<Seen> {
        // The first second is that of ten thousand connections opening.
        self.watch(Duration::from_secs(1))?;
        self.latency();
        self.watch(self.plan.before)?;
        let (latency_before, memory_full) = (self.latency(), self.memory()?);

        let (by, silenced, gone) = self.vanish()?;
        let staying = self.subscribers.connections().count();
        let given_back = self.wait_until_given_back(staying)?;
        // The allocator returns pages a moment after the last block in them was freed.
        self.watch(Duration::from_secs(3))?;
        let (latency_while, memory_after) = (self.latency(), self.memory()?);

        let (publishers, _) = self.publishing.finish()?;
        let ends = publishers.ends();
        self.subscribers.read_up_to(ends, Duration::from_secs(20))?;
        let faults = self.subscribers.faults(ends);
        let (ended, why) = (self.subscribers.seen.ended, self.subscribers.seen.why.clone());
        drop(silenced);

        let next = publishers.published() + 1;
        for transport in MIXED {
            open(&mut self.subscribers, transport, &self.channels, (gone / MIXED.len(), next))?;
        }
        let memory_refilled = process::memory(self.server.process())?;
        Ok(Seen {
            by,
            gone,
            staying,
            given_back,
            memory_empty: self.memory_empty,
            memory_full,
            memory_after,
            memory_refilled,
            latency_before,
            latency_while,
            messages: publishers.published(),
            ended,
            why,
            faults,
        })
    }

    fn memory(&self) -> Result<u64> {
        process::memory(self.server.process())
    }

    /// Half of all go: the silent ones, and as many of the rest as are missing, by a reset. The sockets of the silent
    /// ones stay open at their end, which is what a lost network looks like.
    fn vanish(&mut self) -> Result<(&'static str, Vec<Connection>, usize)> {
        let mut by = "nobody in silence";
        if let Some(namespaces) = self.namespaces {
            by = namespaces.silence()?;
        }
        let silenced: Vec<Connection> =
            self.silent.clone().filter_map(|n| self.subscribers.release(n)).collect();
        let resets = self.plan.connections / 2 - silenced.len();
        let rest = self.plan.connections - self.silent.end;
        let mut gone = silenced.len();
        // Evenly over all, so that each transport loses as many.
        for n in (0..resets).map(|n| self.silent.end + n * rest / resets) {
            if let Some(connection) = self.subscribers.release(n) {
                system::reset_on_close(connection.socket())?;
                gone += 1;
            }
        }
        Ok((by, silenced, gone))
    }

    /// Waits until the server holds no more sockets than there are connections that stayed.
    fn wait_until_given_back(&mut self, staying: usize) -> Result<Option<Duration>> {
        let start = Instant::now();
        while start.elapsed() < self.plan.given_back_max {
            self.watch(Duration::from_millis(500))?;
            let files = process::open_files(self.server.process())?;
            if files <= self.files_empty + staying + FILES_SLACK {
                return Ok(Some(start.elapsed()));
            }
        }
        Ok(None)
    }
}

/// Opens so many more, which are owed every message from number `first` on.
fn open(
    subscribers: &mut Subscribers,
    transport: Transport,
    channels: &Arc<Channels>,
    (count, first): (usize, u64),
) -> Result<()> {
    let host = subscribers.server().to_string();
    let dialect: Arc<dyn Subscribe> = Arc::new(Efir::new(transport, &host));
    let begin = subscribers.len() as u32;
    for number in begin..begin + count as u32 {
        subscribers.plan(&dialect, Seat::new(Arc::clone(channels), number, (0, 1)), first);
    }
    subscribers.open(Duration::from_secs(60))
}

/// Opens `each` connections of each transport from the clients' namespace; returns how many that were together.
fn open_silent(
    namespaces: &Namespaces,
    server: SocketAddrV4,
    subscribers: &mut Subscribers,
    (each, channels): (usize, &Arc<Channels>),
) -> Result<usize> {
    let opened = namespace::inside(&namespaces.clients, || {
        let mut opened = Vec::new();
        for transport in MIXED {
            let dialect: Arc<dyn Subscribe> = Arc::new(Efir::new(transport, &server.to_string()));
            for _ in 0..each {
                let socket = system::connect_from(Ipv4Addr::UNSPECIFIED, server)?;
                let seat = Seat::new(Arc::clone(channels), opened.len() as u32, (0, 1));
                opened.push(Connection::new(socket, Arc::clone(&dialect), seat, 1)?);
            }
        }
        Ok(opened)
    })?;
    let count = opened.len();
    for connection in opened {
        subscribers.adopt(connection)?;
    }
    subscribers.open(Duration::from_secs(60))?;
    Ok(count)
}

fn text(plan: Plan, seen: &Seen) -> String {
    let each = |bytes: u64, connections: usize| {
        let grown = bytes.saturating_sub(seen.memory_empty);
        format!(
            "{:.1} MiB ({} bytes a connection)",
            bytes as f64 / 1048576.0,
            grouped(grown / connections as u64)
        )
    };
    let ms = |(p99, most): (u64, u64)| format!("{:.0} / {:.0} ms", p99 as f64 / 1e3, most as f64 / 1e3);
    let given_back =
        seen.given_back.map_or("not".to_owned(), |time| format!("after {:.0} s", time.as_secs_f64()));
    let broken = seen.broken();
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let all = seen.staying + seen.gone;
    format!(
        "`cargo xtask evidence vanish`, {}, {}: {verdict}.\n\n| what | seen |\n|---|---|\n\
         | connections open, a quarter each over websocket, sse, http-stream, long-poll | {} |\n\
         | vanished without a word | {}: half by reset (SO_LINGER 0), half in silence ({}) |\n\
         | the server let the last of them go | {given_back} |\n\
         | memory of the server (RssAnon) with no connection | {:.1} MiB |\n| … with all | {} |\n\
         | … after half of them vanished: pages that those who stayed share remain | {} |\n| … with as many new ones, which take the room of those that vanished | {} |\n\
         | messages to those that stayed; lost / duplicated / reordered | {} each; {} |\n\
         | connections that stayed and were ended | {} |\n\
         | p99 / longest time from due to read, before | {} |\n| … while the others vanished | {} |\n",
        machine::date(),
        machine::line(),
        grouped(plan.connections as u64),
        grouped(seen.gone as u64),
        seen.by,
        seen.memory_empty as f64 / 1048576.0,
        each(seen.memory_full, all),
        each(seen.memory_after, seen.staying),
        each(seen.memory_refilled, all),
        seen.messages,
        seen.faults,
        seen.ended,
        ms(seen.latency_before),
        ms(seen.latency_while),
    )
}
