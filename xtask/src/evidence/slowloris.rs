//! Thousands of clients that cost themselves nothing and want to cost the server much: silent ones, heads and bodies that come a
//! byte at a time, and answers that nobody reads. Readers beside them must get every message.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::audience::{Audience, Kept, Seats, fill, mib, ms};
use super::{Outcome, Size};
use crate::machine;
use crate::paper::grouped;
use efir_bench::process;
use efir_bench::system;

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
/// Attackers of one address: below what one may have, for a botnet has many addresses.
const ADDRESS_ATTACKERS: usize = 250;
/// How often each attacker does the little that it does.
const PACE: Duration = Duration::from_secs(1);

/// Attackers that come between two looks at the readers.
const COMING: usize = 20;
/// CPU of the server in a second in which attackers do no more than they do each second, at most; and how long that is waited for.
const REST: Duration = Duration::from_millis(300);
const REST_MAX: Duration = Duration::from_secs(20);

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
    /// p99 and longest, µs from due to read: while the attackers come and are given what is kept, and afterwards.
    latency_coming: (u64, u64),
    latency: (u64, u64),
    /// CPU of the server, and of readers and attackers, in percent of a core.
    busy: (f64, f64),
}

struct Seen {
    memory_before: u64,
    latency_alone: (u64, u64),
    kinds: Vec<Under>,
    kept: Kept,
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
        broken.extend(self.kept.broken());
        broken
    }
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let seen = run(plan, binary)?;
    Ok(Outcome { text: text(plan, &seen), broken: seen.broken() })
}

fn run(plan: Plan, binary: &Path) -> Result<Seen> {
    let seats =
        Seats { channel: CHANNEL, readers: plan.readers, messages_per_second: plan.messages_per_second };
    let mut audience = Audience::start(seats, binary)?;
    fill(audience.address())?;
    let alone = || Ok(());
    audience.watch(Duration::from_secs(1), alone)?;
    audience.latency();
    audience.watch(plan.time, alone)?;
    let (latency_alone, memory_before) = (audience.latency(), process::memory(audience.process())?);
    let mut kinds = Vec::new();
    for kind in KINDS {
        let mut attackers = Attackers::new(kind, audience.address(), plan.attackers)?;
        until_at_rest(&mut audience, &mut attackers)?;
        let latency_coming = audience.latency();
        let before = busy(&audience)?;
        audience.watch(plan.time, || attackers.drip())?;
        let after = busy(&audience)?;
        let share = |used: Duration| used.as_secs_f64() / plan.time.as_secs_f64() * 100.0;
        kinds.push(Under {
            name: kind.name,
            open: attackers.sockets.len(),
            begun_again: attackers.begun_again,
            memory: process::memory(audience.process())?,
            latency_coming,
            latency: audience.latency(),
            busy: (share(after.0.saturating_sub(before.0)), share(after.1.saturating_sub(before.1))),
        });
    }
    Ok(Seen { memory_before, latency_alone, kinds, kept: audience.finish()? })
}

/// Lets all attackers come, and the server give them what they asked for, until it does no more than the little that they do each second.
fn until_at_rest(audience: &mut Audience, attackers: &mut Attackers) -> Result<()> {
    let begin = Instant::now();
    while attackers.sockets.len() < attackers.count {
        audience.watch(Duration::from_millis(1), || attackers.come())?;
    }
    loop {
        let before = busy(audience)?.0;
        audience.watch(PACE, || attackers.drip())?;
        let used = busy(audience)?.0.saturating_sub(before);
        if used < REST || begin.elapsed() > REST_MAX {
            return Ok(());
        }
    }
}

/// CPU time of the server, and of this process, which is attackers, readers and publisher.
fn busy(audience: &Audience) -> Result<(Duration, Duration)> {
    let of = |process| process::Cpu::of(process).map(process::Cpu::total);
    Ok((of(audience.process())?, of(std::process::id())?))
}

/// All of one kind; each goes on every second, and begins again when the server has ended it.
struct Attackers {
    kind: Kind,
    count: usize,
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
        Ok(Self {
            kind,
            count,
            server,
            sockets: Vec::with_capacity(count),
            next: 0,
            byte: 0,
            begun: Instant::now(),
            done: 0,
            begun_again: 0,
        })
    }

    /// Lets some more of them begin.
    fn come(&mut self) -> Result<()> {
        for number in (self.sockets.len()..self.count).take(COMING) {
            let socket = self.open(number)?;
            self.sockets.push(socket);
        }
        self.begun = Instant::now();
        Ok(())
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

fn text(plan: Plan, seen: &Seen) -> String {
    let broken = seen.broken();
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let mut rows = format!(
        "| none | – | – | {:.1} MiB | – | {} | – |\n",
        mib(seen.memory_before),
        ms(seen.latency_alone)
    );
    for under in &seen.kinds {
        rows.push_str(&format!(
            "| {} | {} | {} | +{:.1} MiB | {} | {} | {:.0} / {:.0} % |\n",
            under.name,
            grouped(under.open as u64),
            grouped(under.begun_again as u64),
            mib(under.memory.saturating_sub(seen.memory_before)),
            ms(under.latency_coming),
            ms(under.latency),
            under.busy.0,
            under.busy.1,
        ));
    }
    format!(
        "`cargo xtask evidence slowloris`, {}, {}: {verdict}.\n\n\
         | attackers | connections | ended by the server, and begun again | memory of the server (RssAnon) | p99 / longest time from due to read, while they come | … under them | CPU of the server / of readers and attackers |\n\
         |---|--:|--:|--:|--:|--:|--:|\n{rows}\n\
         {} readers on four transports, {} messages to each; lost / duplicated / reordered: {}; readers ended: {}.\n",
        machine::date(),
        machine::line(),
        plan.readers,
        seen.kept.messages,
        seen.kept.faults,
        seen.kept.ended,
    )
}
