//! A fifth of the readers take a thousand bytes a second and are owed many times as much. The others must notice nothing, the server
//! stays within its memory, and each slow one gets everything in the end, or exactly one gap.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use efir_bench::channels::Channels;
use efir_bench::efir::HttpPublisher;
use efir_bench::publisher::{Arrivals, Outfit, Publishers};
use efir_bench::sequence::Faults;
use efir_bench::subscribers::Subscribers;
use efir_bench::{Efir, Pace, Publish, Seat, Subscribe, Transport, process};

use super::audience::{mib, ms};
use super::soak::Metrics;
use super::{Outcome, Size};
use crate::bench::slow_readers::slow::{Caught, Slow};
use crate::machine;
use crate::paper::grouped;
use crate::server::{self, Server};

/// How much, and how fast.
#[derive(Clone, Copy, Debug)]
struct Plan {
    readers: usize,
    slow: usize,
    per_second: f64,
    /// How long is published until the first half of the slow ones reads on, and then until the second half does.
    time: Duration,
    longer: Duration,
}

const FULL: Plan = Plan {
    readers: 4_000,
    slow: 1_000,
    per_second: 4.0,
    time: Duration::from_secs(22),
    longer: Duration::from_secs(20),
};
const QUICK: Plan = Plan {
    readers: 240,
    slow: 60,
    per_second: 80.0,
    time: Duration::from_millis(1_100),
    longer: Duration::from_secs(1),
};

/// What a slow one takes in a second.
const SLOW_BYTES: usize = 1_024;
const CHANNEL: &str = "slow-readers";
/// In the first part these are 350 KB for each reader, more than twice what a socket keeps for somebody who does not read.
const PAYLOAD_BYTES: usize = 4_000;
/// The first part is kept whole; the second drives out what the slow ones have not taken.
const KEPT: &str = "95";
const MEMORY_MAX: u64 = 128 << 20;
const TRANSPORTS: [Transport; 4] =
    [Transport::Websocket, Transport::Sse, Transport::HttpStream, Transport::LongPoll];
const OPENING_MAX: Duration = Duration::from_secs(120);
const REST_MAX: Duration = Duration::from_secs(30);
/// Slow ones that have their turn between two looks at the others.
const TURNS_MAX: usize = 50;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What the run showed.
struct Seen {
    published: u64,
    bytes: u64,
    memory_before: u64,
    memory_most: u64,
    /// Readers that the server counted as behind when the first part was over.
    behind: u64,
    /// Of the others: p99 and longest, µs from due to read.
    latency: (u64, u64),
    faults: Faults,
    ended: u64,
    why: Option<String>,
    /// The first half of the slow ones, and the second.
    caught: [Caught; 2],
    /// Slow ones that got something else than everything or one gap.
    wrong: Vec<String>,
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let (run, publishers) = Run::start(plan, binary)?;
    let seen = run.finish(publishers)?;
    let broken = broken(plan, &seen);
    Ok(Outcome { text: text(plan, &seen, &broken), broken })
}

/// The server, those who read, and those who hardly do.
struct Run {
    plan: Plan,
    server: Server,
    admin: SocketAddr,
    readers: Subscribers,
    slow: Vec<Slow>,
    memory_most: u64,
}

impl Run {
    /// All are there, and nothing was published.
    fn start(plan: Plan, binary: &Path) -> Result<(Self, Publishers)> {
        let admin = SocketAddr::from(([127, 0, 0, 1], server::free_port()?));
        let mut command = Command::new(binary);
        command.env("EFIR_RETENTION__MESSAGES", KEPT).env("EFIR_ADMIN__LISTEN", admin.to_string());
        command.env("EFIR_LIMITS__MEMORY_BYTES_MAX", format!("{MEMORY_MAX}B"));
        // The kernel's own patience (TCP_USER_TIMEOUT) follows from it, and ends windows as small as these within the run.
        command.env("EFIR_TIMES__SILENT_MAX", "5m");
        let server = Server::start_by(command, &[], server::free_port()?)?;
        let (address, clock) = (server.address(), Instant::now());
        let mut readers = Subscribers::new(address, clock)?;
        let (channels, host) = (Arc::new(Channels::new(CHANNEL, 1, 1)), address.to_string());
        for number in 0..plan.readers as u32 {
            let transport = TRANSPORTS[number as usize % TRANSPORTS.len()];
            let dialect: Arc<dyn Subscribe> = Arc::new(Efir::new(transport, &host));
            readers.plan(&dialect, Seat::new(Arc::clone(&channels), number, (0, 1)), 1);
        }
        readers.open(OPENING_MAX)?;
        let slow = (0..plan.slow).map(|_| Slow::open(address, CHANNEL)).collect::<Result<_>>()?;
        let publish: Arc<dyn Publish> = Arc::new(HttpPublisher::new(&host, ""));
        let outfit = Outfit { count: 1, pipeline: 64, payload_bytes: PAYLOAD_BYTES };
        let publishers = Publishers::connect(address, &publish, &channels, clock, outfit)?;
        Ok((Self { plan, server, admin, readers, slow, memory_most: 0 }, publishers))
    }

    fn finish(mut self, publishers: Publishers) -> Result<Seen> {
        let memory_before = process::memory(self.server.process())?;
        let publishers = self.publish(publishers, self.plan.time)?;
        let behind = Metrics::read(self.admin)?.value("efir_slow_readers")?;
        let mut wrong = Vec::new();
        let late = self.slow.split_off(self.slow.len() / 2);
        let first = std::mem::replace(&mut self.slow, late);
        let resumed = self.catch_up(first, publishers.published(), &mut wrong)?;
        let publishers = self.publish(publishers, self.plan.longer)?;
        let latency = (self.readers.seen.latency.quantile(0.99), self.readers.seen.latency.max());
        let second = std::mem::take(&mut self.slow);
        let fell_out = self.catch_up(second, publishers.published(), &mut wrong)?;
        let ends = publishers.ends();
        self.readers.read_up_to(ends, REST_MAX)?;
        Ok(Seen {
            published: publishers.published(),
            bytes: self.readers.seen.bytes_in,
            memory_before,
            memory_most: self.memory_most,
            behind,
            latency,
            faults: self.readers.faults(ends),
            ended: self.readers.seen.ended,
            why: self.readers.seen.why.clone(),
            caught: [resumed, fell_out],
            wrong,
        })
    }

    /// Publishes for a time, in which the slow ones take their thousand bytes a second, and all others everything.
    fn publish(&mut self, publishers: Publishers, time: Duration) -> Result<Publishers> {
        let publishing = publishers.start(Pace::PerSecond(self.plan.per_second), time, Arrivals::default());
        let (begun, mut turns, mut looked) = (Instant::now(), 0, Instant::now());
        while !publishing.is_finished() {
            self.readers.turn(Duration::from_millis(5))?;
            let due = (begun.elapsed().as_secs_f64() * self.slow.len() as f64) as usize;
            // Never longer than a moment: the others are read by the same thread.
            let until = due.min(turns + TURNS_MAX);
            while turns < until {
                let count = self.slow.len();
                self.slow[turns % count].read_some(SLOW_BYTES)?;
                turns += 1;
            }
            if looked.elapsed() > LOOK_INTERVAL {
                looked = Instant::now();
                self.memory_most = self.memory_most.max(process::memory(self.server.process())?);
            }
        }
        let (publishers, _) = publishing.finish()?;
        self.readers.read_up_to(publishers.ends(), REST_MAX)?;
        Ok(publishers)
    }

    /// They read what they are owed as fast as they can.
    fn catch_up(&mut self, slow: Vec<Slow>, published: u64, wrong: &mut Vec<String>) -> Result<Caught> {
        let mut caught = Caught::default();
        for reader in slow {
            match reader.read_up_to(published + 1) {
                Ok(one) => caught.add(one),
                Err(error) => wrong.push(format!("{error:#}")),
            }
            self.readers.turn(Duration::ZERO)?;
        }
        Ok(caught)
    }
}

/// What did not hold, if anything. Times are for readers to judge: all share the same cores.
fn broken(plan: Plan, seen: &Seen) -> Vec<String> {
    let mut broken = Vec::new();
    if !seen.faults.is_none() {
        broken.push(format!("the others lost / got twice / out of order: {}", seen.faults));
    }
    if seen.ended > 0 {
        let why = seen.why.as_deref().unwrap_or_default();
        broken.push(format!("{} of the others were ended: {why}", seen.ended));
    }
    if seen.memory_most > MEMORY_MAX {
        broken.push(format!("{:.1} MiB of memory, {:.0} allowed", mib(seen.memory_most), mib(MEMORY_MAX)));
    }
    if seen.behind < plan.slow as u64 * 9 / 10 {
        broken.push(format!("only {} readers were behind: nothing was tried", seen.behind));
    }
    let [first, second] = seen.caught;
    if first.gaps > 0 {
        broken.push(format!("{} got a gap although all was kept", first.gaps));
    }
    if second.gaps < (plan.slow - plan.slow / 2) as u64 {
        broken.push("somebody missed nothing although the oldest are gone: nothing was tried".to_owned());
    }
    if let Some(one) = seen.wrong.first() {
        broken.push(format!("{} slow ones got something else, the first: {one}", seen.wrong.len()));
    }
    broken
}

fn text(plan: Plan, seen: &Seen, broken: &[String]) -> String {
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    format!(
        "`cargo xtask evidence slow-readers`, {}, {}: {verdict}.\n\n| what | seen |\n|---|---|\n\
         | readers on four transports that take what comes; that take {} bytes a second (WebSocket) | {}; {} |\n\
         | messages of {} bytes; to the others in all | {}; {:.0} MB |\n\
         | of the others: lost / duplicated / reordered; ended | {}; {} |\n\
         | p99 / longest time from due to read, of the others | {} |\n\
         | readers that the server saw behind, after {:.0} s | {} |\n\
         | of the first half of the slow ones, read on after {:.0} s: got everything; got one gap | {}; {} |\n\
         | of the second half, {:.0} s later, when the oldest were gone: got everything; got one gap | {}; {} |\n\
         | got something else | {} |\n\
         | memory of the server (RssAnon) before; at its most; allowed (`memory_bytes_max`) | {:.1}; {:.1}; {:.0} MiB |\n",
        machine::date(),
        machine::line(),
        grouped(SLOW_BYTES as u64),
        grouped(plan.readers as u64),
        grouped(plan.slow as u64),
        grouped(PAYLOAD_BYTES as u64),
        seen.published,
        seen.bytes as f64 / 1e6,
        seen.faults,
        seen.ended,
        ms(seen.latency),
        plan.time.as_secs_f64(),
        grouped(seen.behind),
        plan.time.as_secs_f64(),
        seen.caught[0].resumed,
        seen.caught[0].gaps,
        plan.longer.as_secs_f64(),
        seen.caught[1].resumed,
        seen.caught[1].gaps,
        seen.wrong.len(),
        mib(seen.memory_before),
        mib(seen.memory_most),
        mib(MEMORY_MAX),
    )
}
