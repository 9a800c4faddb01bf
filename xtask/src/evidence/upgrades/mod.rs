//! One upgrade after the other (SIGUSR2), while thousands come and go and readers on several transports read on. Nobody who connects may
//! be refused, and every reader gets everything of a server, or is told by exactly one gap that another one is there.

mod comers;
mod line;
mod publisher;
mod readers;
mod reading;

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::comers::{Comers, Visits};
use self::line::Line;
use self::publisher::{Published, Publisher};
use self::readers::{Readers, Seen};
use super::{Outcome, Size};
use crate::machine;
use crate::paper::grouped;
use crate::server::{self, Server};

/// How much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    upgrades: u32,
    visits_per_second: u32,
    /// On each transport.
    readers: u32,
    messages_per_second: u32,
    /// Settings besides the defaults.
    settings: &'static [(&'static str, &'static str)],
}

const FULL: Plan =
    Plan { upgrades: 20, visits_per_second: 2_000, readers: 40, messages_per_second: 50, settings: &[] };
/// Readers come back sooner, so that it takes no longer than it must.
const QUICK: Plan = Plan {
    upgrades: 2,
    visits_per_second: 200,
    readers: 4,
    messages_per_second: 50,
    settings: &[("EFIR_TIMES__RETRY_MIN", "100ms"), ("EFIR_TIMES__RETRY_MAX", "1s")],
};

const CHANNEL: &str = "/channels/upgrades";
/// How long all readers may take to come back, and the server before to end.
const BACK_MAX: Duration = Duration::from_secs(40);
/// How long everybody is left alone between two upgrades.
const CALM: Duration = Duration::from_millis(500);

/// What was seen.
struct Sum {
    visits: Visits,
    published: Published,
    readers: Vec<Seen>,
    /// How long an upgrade took, from the signal to the moment when all readers were back.
    back: Vec<Duration>,
    seconds: f64,
}

impl Sum {
    fn broken(&self, plan: Plan) -> Vec<String> {
        let mut broken = Vec::new();
        let visits = &self.visits;
        if visits.refused + visits.unanswered + self.published.refused > 0 {
            let why = visits.why.as_ref().or(self.published.why.as_ref());
            broken.push(format!(
                "{} connects refused, {} requests not answered, {} connects of the publisher refused: {}",
                visits.refused,
                visits.unanswered,
                self.published.refused,
                why.map_or("", |why| why)
            ));
        }
        for seen in &self.readers {
            if seen.gaps != u64::from(plan.upgrades) {
                broken.push(format!("{}: {} gaps at {} upgrades", seen.name, seen.gaps, plan.upgrades));
            }
            broken.extend(seen.faults.first().map(|fault| format!("{}: {fault}", seen.name)));
        }
        broken
    }
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let sum = run(plan, binary)?;
    let broken = sum.broken(plan);
    Ok(Outcome { text: text(plan, &sum, &broken), broken })
}

fn run(plan: Plan, binary: &Path) -> Result<Sum> {
    let mut command = Command::new(binary);
    command.envs(plan.settings.iter().copied());
    let server = Server::start_by(command, &[], server::free_port()?)?;
    let SocketAddr::V4(address) = server.address() else { bail!("the server listens on IPv4") };
    let begun = Instant::now();
    let mut line = Line::begin(server);
    let publisher = Publisher::begin(address.into(), CHANNEL, plan.messages_per_second);
    let readers = Readers::begin(address.into(), CHANNEL, plan.readers);
    let comers = Comers::begin(address, plan.visits_per_second);
    let told = story(plan, address, (&mut line, &readers));
    // Whatever came of it, everybody goes home.
    let published = publisher.end()?;
    let told = told.and_then(|back| readers.until_at(&published.last, BACK_MAX).map(|()| back));
    let visits = comers.end()?;
    readers.will_end();
    line.end()?;
    let readers = readers.end()?;
    Ok(Sum { visits, published, readers, back: told?, seconds: begun.elapsed().as_secs_f64() })
}

/// All upgrades, each when everybody is back from the one before.
fn story(plan: Plan, address: SocketAddrV4, (line, readers): (&mut Line, &Readers)) -> Result<Vec<Duration>> {
    let mut back = Vec::new();
    for _ in 0..plan.upgrades {
        std::thread::sleep(CALM);
        let epoch = efir_bench::publisher::cursor(address.into(), "upgrades")?;
        readers.until_in(&epoch, BACK_MAX)?;
        let begun = Instant::now();
        line.upgrade(BACK_MAX)?;
        let epoch = efir_bench::publisher::cursor(address.into(), "upgrades")?;
        readers.until_in(&epoch, BACK_MAX)?;
        back.push(begun.elapsed());
    }
    Ok(back)
}

fn text(plan: Plan, sum: &Sum, broken: &[String]) -> String {
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let messages: u64 = sum.readers.iter().map(|seen| seen.messages).sum();
    let gaps: u64 = sum.readers.iter().map(|seen| seen.gaps).sum();
    let away = sum.readers.iter().map(|seen| seen.away).max().unwrap_or_default();
    let longest = sum.back.iter().max().copied().unwrap_or_default();
    format!(
        "`cargo xtask evidence upgrades`, {}, {}: {verdict}.\n\n\
         | what | seen |\n|---|---|\n\
         | upgrades one after the other (SIGUSR2) | {} in {:.0} s |\n\
         | visits (connect, ask, read the answer, leave) | {} ({:.0} a second) |\n\
         | … whose connect was refused or reset / that were not answered | {} / {} |\n\
         | the longest visit | {} ms |\n\
         | published, each acknowledged; sent once more because the answer was cut off | {}; {} |\n\
         | readers, in equal parts over {} | {} |\n\
         | messages read; lost, duplicated or reordered without a gap | {}; {} |\n\
         | gaps told: one a reader and upgrade are due | {} of {} |\n\
         | a reader was away at most (the server asks for {}) | {:.1} s |\n\
         | from the signal until all readers were back, at most | {:.1} s |\n",
        machine::date(),
        machine::line(),
        plan.upgrades,
        sum.seconds,
        grouped(sum.visits.answered),
        sum.visits.answered as f64 / sum.seconds,
        sum.visits.refused,
        sum.visits.unanswered,
        sum.visits.longest.as_millis(),
        grouped(sum.published.acknowledged),
        sum.published.again,
        readers::names(),
        sum.readers.len(),
        grouped(messages),
        sum.readers.iter().map(|seen| seen.faults.len()).sum::<usize>(),
        grouped(gaps),
        grouped(u64::from(plan.upgrades) * sum.readers.len() as u64),
        if plan.settings.is_empty() { "1 to 5 s" } else { "0.1 to 1 s" },
        away.as_secs_f64(),
        longest.as_secs_f64(),
    )
}
