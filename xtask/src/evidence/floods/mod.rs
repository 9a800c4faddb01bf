//! HTTP/2 clients that send frames without end (RFC 9113 §10.5), one kind after the other, from several connections that begin again when
//! they are ended. Beside them are readers, who must get every message, and somebody with a request over HTTP/2 now and then.

mod attack;
mod frames;
mod kinds;
mod visitor;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use efir_bench::process::{self, Cpu};
use efir_bench::sequence::Faults;

use self::attack::{Attack, Done};
use self::kinds::{KINDS, Kind};
use self::visitor::{Visitor, Visits};
use super::audience::{Audience, Kept, Seats, fill, mib, ms};
use super::{Outcome, Size};
use crate::machine;
use crate::paper::grouped;

/// How much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Connections of the attackers.
    attackers: usize,
    seats: Seats,
    /// How long the readers are watched alone.
    alone: Duration,
    /// How long each kind goes on.
    time: Duration,
}

const FULL: Plan = Plan {
    attackers: 8,
    seats: Seats { channel: "floods", readers: 200, messages_per_second: 20 },
    alone: Duration::from_secs(3),
    time: Duration::from_secs(60),
};
const QUICK: Plan = Plan {
    attackers: 8,
    seats: Seats { channel: "floods", readers: 40, messages_per_second: 20 },
    alone: Duration::from_millis(200),
    time: Duration::from_millis(800),
};

/// What a flood may cost at its worst moment.
const MEMORY_MAX: u64 = 32 << 20;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// What was seen of one kind.
struct Under {
    kind: Kind,
    done: Done,
    /// Before it began, and at its worst.
    memory: (u64, u64),
    latency_alone: (u64, u64),
    /// Cores that the server kept busy.
    cores: f64,
    latency: (u64, u64),
    visits: Visits,
    kept: Kept,
}

impl Under {
    /// What it cost at its worst.
    fn grown(&self) -> u64 {
        self.memory.1.saturating_sub(self.memory.0)
    }
}

struct Seen {
    under: Vec<Under>,
}

impl Seen {
    /// What did not hold, if anything. Times are for readers to judge.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for under in &self.under {
            let (name, grown) = (under.kind.name, under.grown());
            if grown > MEMORY_MAX {
                broken.push(format!("{name}: {:.1} MiB more memory", mib(grown)));
            }
            if under.kind.must_end && under.done.ended == 0 {
                broken.push(format!("{name}: the server ended none of them"));
            }
            if let Some(why) = &under.visits.failed {
                broken.push(format!("{name}: somebody else's request over HTTP/2: {why}"));
            }
            broken.extend(under.kept.broken().into_iter().map(|fault| format!("{name}: {fault}")));
        }
        broken
    }
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let seen = run(plan, binary)?;
    Ok(Outcome { text: text(plan, &seen), broken: seen.broken() })
}

fn run(plan: Plan, binary: &Path) -> Result<Seen> {
    let under: Result<_> = KINDS.into_iter().map(|kind| endure(kind, plan, binary)).collect();
    Ok(Seen { under: under? })
}

/// One kind, against a server of its own: what is measured is no other's, and no stream gets so old that it ends by itself.
fn endure(kind: Kind, plan: Plan, binary: &Path) -> Result<Under> {
    let mut audience = Audience::start(plan.seats, binary)?;
    let (process, address) = (audience.process(), audience.address());
    fill(address)?;
    audience.watch(plan.alone / 4, || Ok(()))?;
    audience.latency();
    audience.watch(plan.alone, || Ok(()))?;
    let (latency_alone, memory_before) = (audience.latency(), process::memory(process)?);
    let (before, begun) = (Cpu::of(process)?, Instant::now());
    let (attack, visitor) = (Attack::begin(kind, address, plan.attackers)?, Visitor::begin(address));
    let (mut most, mut looked) = (0, Instant::now());
    audience.watch(plan.time, || {
        if looked.elapsed() >= LOOK {
            most = most.max(process::memory(process)?);
            looked = Instant::now();
        }
        Ok(())
    })?;
    let busy = Cpu::of(process)?.total().saturating_sub(before.total());
    let cores = busy.as_secs_f64() / begun.elapsed().as_secs_f64();
    let latency = audience.latency();
    let (done, visits) = (attack.end()?, visitor.end()?);
    let (memory, kept) = ((memory_before, most), audience.finish()?);
    Ok(Under { kind, done, memory, latency_alone, cores, latency, visits, kept })
}

fn text(plan: Plan, seen: &Seen) -> String {
    let broken = seen.broken();
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let mut rows = String::new();
    for under in &seen.under {
        let Under { kind, done, visits, .. } = under;
        let known_as = if kind.known_as.is_empty() { String::new() } else { format!(" ({})", kind.known_as) };
        rows.push_str(&format!(
            "| {}{known_as} | {:.1} MiB | {} | {} | {:.1} +{:.1} MiB | {} | {} | {:.2} | {}, {} ms |\n",
            kind.name,
            mib(done.sent),
            grouped(done.ended),
            grouped(done.goaways),
            mib(under.memory.0),
            mib(under.grown()),
            ms(under.latency_alone),
            ms(under.latency),
            under.cores,
            grouped(visits.answered),
            visits.longest.as_millis(),
        ));
    }
    let ended: u64 = seen.under.iter().map(|under| under.kept.ended).sum();
    let mut faults = Faults::default();
    seen.under.iter().for_each(|under| faults += under.kept.faults);
    format!(
        "`cargo xtask evidence floods`, {} connections, {} s each kind, {}, {}: {verdict}.\n\n\
         | flood | sent | connections ended by the server, and begun again | GOAWAY frames read | memory of the server (RssAnon) before, and more at its worst | p99 / longest time from due to read, alone | … under it | cores of the server | requests of somebody else over HTTP/2, the slowest |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n{rows}\n\
         {} readers on four transports, {} messages to each in all; lost / duplicated / reordered: {faults}; readers ended: {ended}.\n",
        plan.attackers,
        plan.time.as_secs(),
        machine::date(),
        machine::line(),
        plan.seats.readers,
        grouped(seen.under.iter().map(|under| under.kept.messages).sum()),
    )
}
