//! Thousands of clients that cost themselves nothing and want to cost the server much: silent ones, heads and bodies that come a
//! byte at a time, and answers that nobody reads. Readers beside them must get every message.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Outcome, Size};
use crate::machine;
use crate::paper::grouped;
use crate::server::{self, Server};
use efir_bench::channels::Channels;
use efir_bench::efir::HttpPublisher;
use efir_bench::process;
use efir_bench::publisher::{Arrivals, Outfit, Publishers, Publishing};
use efir_bench::sequence::Faults;
use efir_bench::subscribers::Subscribers;
use efir_bench::system;
use efir_bench::{Efir, Pace, Publish, Seat, Subscribe, Transport};

/// How much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    attackers: usize,
    readers: usize,
    /// How long the readers are watched alone, and under each kind of attack.
    time: Duration,
    messages_per_second: u64,
}

const FULL: Plan =
    Plan { attackers: 5_000, readers: 200, time: Duration::from_secs(9), messages_per_second: 20 };
const QUICK: Plan =
    Plan { attackers: 300, readers: 40, time: Duration::from_secs(1), messages_per_second: 20 };

/// What the attackers may cost together.
const MEMORY_MAX: u64 = 64 << 20;
const CHANNEL: &str = "slowloris";
const PAYLOAD_BYTES: usize = 100;
/// Attackers of one address: below what one may have, for a botnet has many addresses.
const ADDRESS_ATTACKERS: usize = 250;
/// How often each attacker does the little that it does.
const PACE: Duration = Duration::from_secs(1);

/// What one kind of attacker begins with, and goes on with.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    begin: &'static str,
    /// One byte of it at a time, for ever.
    drip: &'static [u8],
}

const KINDS: [Kind; 5] = [
    Kind { name: "silent", begin: "", drip: b"" },
    Kind {
        name: "heads a byte a second",
        begin: "GET /channels/slow HTTP/1.1\r\nHost: localhost\r\n",
        drip: b"X-A: b\r\n",
    },
    Kind {
        name: "bodies a byte a second",
        begin: "POST /channels/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n",
        drip: b"x",
    },
    Kind {
        name: "streams that nobody reads",
        begin: "GET /channels/backlog?after=start&transport=sse HTTP/1.1\r\nHost: localhost\r\n\r\n",
        drip: b"",
    },
    Kind {
        name: "batches of a MiB that nobody reads",
        begin: "GET /channels/backlog?after=start&limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        drip: b"GET /channels/backlog?after=start&limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    },
];

/// What was seen under one kind of attack.
struct Under {
    name: &'static str,
    open: usize,
    begun_again: usize,
    memory: u64,
    /// p99 and longest, µs from due to read.
    latency: (u64, u64),
    /// CPU of the server, and of readers and attackers, in percent of a core.
    busy: (f64, f64),
}

struct Seen {
    memory_before: u64,
    latency_alone: (u64, u64),
    kinds: Vec<Under>,
    messages: u64,
    ended: u64,
    faults: Faults,
}

impl Seen {
    /// What did not hold, if anything. Times are for readers to judge: they depend on what else the machine does.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for under in &self.kinds {
            let grown = under.memory.saturating_sub(self.memory_before);
            if grown > MEMORY_MAX {
                broken.push(format!("{}: {:.1} MiB more memory", under.name, mib(grown)));
            }
        }
        if self.ended > 0 {
            broken.push(format!("{} readers were ended", self.ended));
        }
        if !self.faults.is_none() {
            broken.push(format!("readers lost / got twice / out of order: {}", self.faults));
        }
        broken
    }
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let seen = Run::start(plan, binary)?.finish()?;
    Ok(Outcome { text: text(plan, &seen), broken: seen.broken() })
}

/// The server and its readers.
struct Run {
    plan: Plan,
    server: Server,
    readers: Subscribers,
    publishing: Publishing,
}

impl Run {
    fn start(plan: Plan, binary: &Path) -> Result<Self> {
        let server = Server::start_by(Command::new(binary), &[], server::free_port()?)?;
        fill(server.address())?;
        let (address, clock) = (server.address(), Instant::now());
        let mut readers = Subscribers::new(address, clock)?;
        let channels = Arc::new(Channels::new(CHANNEL, 1, 1));
        let host = address.to_string();
        for number in 0..plan.readers as u32 {
            let transports =
                [Transport::Websocket, Transport::Sse, Transport::HttpStream, Transport::LongPoll];
            let transport = transports[number as usize % transports.len()];
            let dialect: Arc<dyn Subscribe> = Arc::new(Efir::new(transport, &host));
            readers.plan(&dialect, Seat::new(Arc::clone(&channels), number, (0, 1)), 1);
        }
        readers.open(Duration::from_secs(60))?;
        let publish: Arc<dyn Publish> = Arc::new(HttpPublisher::new(&host, ""));
        let outfit = Outfit { count: 1, pipeline: 64, payload_bytes: PAYLOAD_BYTES };
        let publishers = Publishers::connect(address, &publish, &channels, clock, outfit)?;
        let pace = Pace::PerSecond(plan.messages_per_second as f64);
        let publishing = publishers.start(pace, Duration::from_secs(600), Arrivals::default());
        Ok(Self { plan, server, readers, publishing })
    }

    fn finish(mut self) -> Result<Seen> {
        self.watch(Duration::from_secs(1), &mut None)?;
        self.latency();
        self.watch(self.plan.time, &mut None)?;
        let (latency_alone, memory_before) = (self.latency(), process::memory(self.server.process())?);
        let mut kinds = Vec::new();
        for kind in KINDS {
            let mut attackers = Some(Attackers::new(kind, self.server.address(), self.plan.attackers)?);
            // Opening so many at once is not what is measured.
            self.watch(PACE, &mut attackers)?;
            self.latency();
            let before = self.busy()?;
            self.watch(self.plan.time, &mut attackers)?;
            let (latency, after) = (self.latency(), self.busy()?);
            let memory = process::memory(self.server.process())?;
            let Some(attackers) = attackers else { continue };
            let (open, begun_again) = (attackers.sockets.len(), attackers.begun_again);
            let share = |used: Duration| used.as_secs_f64() / self.plan.time.as_secs_f64() * 100.0;
            let busy = (share(after.0.saturating_sub(before.0)), share(after.1.saturating_sub(before.1)));
            kinds.push(Under { name: kind.name, open, begun_again, memory, latency, busy });
        }
        let (publishers, _) = self.publishing.finish()?;
        let ends = publishers.ends();
        self.readers.read_up_to(ends, Duration::from_secs(20))?;
        Ok(Seen {
            memory_before,
            latency_alone,
            kinds,
            messages: publishers.published(),
            ended: self.readers.seen.ended,
            faults: self.readers.faults(ends),
        })
    }

    /// Reads what comes, while the attackers do what they do.
    fn watch(&mut self, time: Duration, attackers: &mut Option<Attackers>) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.readers.turn(Duration::from_millis(10))?;
            if let Some(attackers) = attackers {
                attackers.drip()?;
            }
        }
        Ok(())
    }

    /// CPU time of the server, and of this process, which is attackers, readers and publisher.
    fn busy(&self) -> Result<(Duration, Duration)> {
        let of = |process| process::Cpu::of(process).map(process::Cpu::total);
        Ok((of(self.server.process())?, of(std::process::id())?))
    }

    fn latency(&mut self) -> (u64, u64) {
        let seen = (self.readers.seen.latency.quantile(0.99), self.readers.seen.latency.quantile(1.0));
        self.readers.seen.latency.clear();
        seen
    }
}

/// Puts a MiB into the channel that is asked for by those who do not read.
fn fill(address: SocketAddr) -> Result<()> {
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

/// All of one kind; each goes on every second, and begins again when the server has ended it.
struct Attackers {
    kind: Kind,
    server: SocketAddrV4,
    sockets: Vec<TcpStream>,
    /// Whose turn is next, and which byte of the drip is due.
    next: usize,
    byte: usize,
    begun: Instant,
    done: u64,
    begun_again: usize,
}

impl Attackers {
    fn new(kind: Kind, server: SocketAddr, count: usize) -> Result<Self> {
        let SocketAddr::V4(server) = server else { bail!("the server listens on IPv4") };
        let mut attackers = Self {
            kind,
            server,
            sockets: Vec::with_capacity(count),
            next: 0,
            byte: 0,
            begun: Instant::now(),
            done: 0,
            begun_again: 0,
        };
        for number in 0..count {
            let socket = attackers.open(number)?;
            attackers.sockets.push(socket);
        }
        attackers.begun = Instant::now();
        Ok(attackers)
    }

    /// Opens the attacker with this number, whose address it shares with few.
    fn open(&self, number: usize) -> Result<TcpStream> {
        let address = number / ADDRESS_ATTACKERS;
        let source = Ipv4Addr::new(127, 66, (address / 250) as u8, (address % 250) as u8 + 1);
        let mut socket = system::connect_from(source, self.server)?;
        socket.set_nonblocking(true)?;
        // A server that refuses at once has a right to.
        let _ = socket.write(self.kind.begin.as_bytes());
        Ok(socket)
    }

    /// Lets those go on whose second is over.
    fn drip(&mut self) -> Result<()> {
        let due =
            (self.begun.elapsed().as_secs_f64() / PACE.as_secs_f64() * self.sockets.len() as f64) as u64;
        // Never longer than a moment: somebody reads beside us.
        for _ in 0..due.saturating_sub(self.done).min(200) {
            self.done += 1;
            let number = self.next;
            let is_request = self.kind.drip.len() > 8;
            let piece = match self.kind.drip {
                [] => &[],
                request if is_request => request,
                drip => &drip[self.byte % drip.len()..=self.byte % drip.len()],
            };
            if is_ended(&self.sockets[number], piece) {
                self.sockets[number] = self.open(number)?;
                self.begun_again += 1;
            }
            self.next += 1;
            if self.next == self.sockets.len() {
                (self.next, self.byte) = (0, self.byte + 1);
            }
        }
        Ok(())
    }
}

/// Sends a piece; true if the server has ended the connection. What it has sent stays unread.
fn is_ended(mut socket: &TcpStream, piece: &[u8]) -> bool {
    let would_block = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    if !piece.is_empty() && socket.write(piece).is_err_and(|error| !would_block(&error)) {
        return true;
    }
    match socket.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !would_block(&error),
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn text(plan: Plan, seen: &Seen) -> String {
    let ms = |(p99, most): (u64, u64)| format!("{:.1} / {:.1} ms", p99 as f64 / 1e3, most as f64 / 1e3);
    let broken = seen.broken();
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let mut rows =
        format!("| none | – | – | {:.1} MiB | {} | – |\n", mib(seen.memory_before), ms(seen.latency_alone));
    for under in &seen.kinds {
        rows.push_str(&format!(
            "| {} | {} | {} | +{:.1} MiB | {} | {:.0} / {:.0} % |\n",
            under.name,
            grouped(under.open as u64),
            grouped(under.begun_again as u64),
            mib(under.memory.saturating_sub(seen.memory_before)),
            ms(under.latency),
            under.busy.0,
            under.busy.1,
        ));
    }
    format!(
        "`cargo xtask evidence slowloris`, {}, {}: {verdict}.\n\n\
         | attackers | connections | ended by the server, and begun again | memory of the server (RssAnon) | p99 / longest time from due to read | CPU of the server / of readers and attackers |\n\
         |---|--:|--:|--:|--:|--:|\n{rows}\n\
         {} readers on four transports, {} messages to each; lost / duplicated / reordered: {}; readers ended: {}.\n",
        machine::date(),
        machine::line(),
        plan.readers,
        seen.messages,
        seen.faults,
        seen.ended,
    )
}
