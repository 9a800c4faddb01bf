//! The fault campaign: the Rust client on every transport and carrier behind a bad network ([`crate::proxy`]), with kills of the real
//! server, slow readers and switches of transport; each leg one history, judged by the checker of the matrix.
//!
//! It knows the server by its binary and its URL only. Begin with [`run`]; one leg is in [`leg`].

use std::fmt;

use anyhow::Result;
use efir_client::Transport;
use tokio::task::JoinSet;

use crate::carrier::Carrier;

mod abroad;
mod ledger;
mod leg;
mod publisher;
mod reader;
mod scene;
mod served;
mod table;

pub use abroad::against;
use table::Row;

/// How much, and from which seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Faults that take effect, kills among them.
    pub faults: u64,
    /// Messages that are published.
    pub messages: u64,
    /// A leg publishes about so many: its history is judged as a whole, in memory.
    pub leg_messages_max: u64,
    /// Legs that run at the same time.
    pub at_once: usize,
    /// Only ways whose name has this in it; empty: all.
    pub only: String,
}

/// A transport, or constant switching, over a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// `None`: readers switch all the time.
    pub transport: Option<Transport>,
    /// What carries it.
    pub carrier: Carrier,
}

impl Way {
    /// What its first column says.
    pub fn name(self) -> &'static str {
        self.transport.map_or("switching", Transport::name)
    }

    /// Every transport and switching, over every carrier of efir's own server.
    pub fn all() -> impl Iterator<Item = Self> {
        let transports = Transport::ALL.into_iter().map(Some).chain([None]);
        let carriers = [Carrier::H1, Carrier::H2c, Carrier::TlsH1, Carrier::TlsH2];
        transports.flat_map(move |transport| carriers.map(|carrier| Self { transport, carrier }))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.name(), self.carrier)
    }
}

/// What a campaign came to.
#[derive(Debug)]
pub struct Verdict {
    /// The table and what stands around it, in Markdown.
    pub text: String,
    /// What does not hold.
    pub wrong: Vec<String>,
}

/// Runs all legs. Calls `seen` with a line when one has ended.
///
/// # Errors
/// When a server does not start, or the system refuses something.
pub async fn run(plan: &Plan, mut seen: impl FnMut(String)) -> Result<Verdict> {
    let ways: Vec<Way> = Way::all().filter(|way| way.to_string().contains(&plan.only)).collect();
    let mut rows: Vec<Row> = vec![Row::default(); ways.len()];
    let legs = legs(plan, &ways);
    let count = legs.len();
    let mut running = JoinSet::new();
    for (n, (way, goal)) in legs.into_iter().enumerate() {
        if running.len() >= plan.at_once.max(1)
            && let Some(ended) = running.join_next().await
        {
            take(ended??, &mut rows, &mut seen);
        }
        let place = ways.iter().position(|known| *known == way).unwrap_or_default();
        running.spawn(async move { Ok::<_, anyhow::Error>((place, n, leg::run(way, goal).await?)) });
    }
    while let Some(ended) = running.join_next().await {
        take(ended??, &mut rows, &mut seen);
    }
    let mut together = table::sum(&rows);
    let mut wrong = std::mem::take(&mut together.wrong);
    if together.faults() < plan.faults {
        wrong.push(format!("{} faults took effect instead of {}", together.faults(), plan.faults));
    }
    if together.published < plan.messages {
        wrong.push(format!("{} messages were published instead of {}", together.published, plan.messages));
    }
    let text = format!(
        "Seed {}: {} faults over {} messages in {count} legs.\n\n{}\n\n{}",
        plan.seed,
        table::grouped(together.faults()),
        table::grouped(together.published),
        table::markdown(&rows, table::OF_FAULTS),
        table::kinds(&together)
    );
    Ok(Verdict { text, wrong })
}

fn take((place, number, row): (usize, usize, Row), rows: &mut [Row], seen: &mut impl FnMut(String)) {
    seen(format!(
        "leg {number}: {}: {} faults, {} messages, {:.1} s{}",
        row.way.map(|way| way.to_string()).unwrap_or_default(),
        row.faults(),
        row.published,
        row.seconds,
        if row.wrong.is_empty() { String::new() } else { format!(": {}", row.wrong.join("\n  ")) }
    ));
    if let Some(sum) = rows.get_mut(place) {
        sum.add(row);
    }
}

/// The legs in an order that mixes the ways, each with a seed of its own.
fn legs(plan: &Plan, ways: &[Way]) -> Vec<(Way, leg::Goal)> {
    let rounds = plan.messages.div_ceil(plan.leg_messages_max.max(1) * ways.len().max(1) as u64).max(1);
    let count = rounds * ways.len() as u64;
    let goal = |n: u64| leg::Goal {
        seed: plan.seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        faults: plan.faults.div_ceil(count.max(1)),
        messages: plan.messages.div_ceil(count.max(1)),
        kills: 1,
    };
    (0..count).map(|n| (ways[n as usize % ways.len()], goal(n))).collect()
}
