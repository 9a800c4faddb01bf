//! `cargo xtask bench strangers`: what tokens, limits and TLS add to a delivery, to a connection at rest, and to its coming.
//!
//! Such a difference is smaller than the mood of a machine. So a server of each kind ([`kinds`]) stands on the same core with
//! its subscribers, and messages go to one server after the other in short turns, round by round: what is compared is the
//! ratio within a round. [`side`] is one server with its subscribers, [`tables`] what is told of all of them.

mod kinds;
mod side;
mod tables;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::system;

use self::kinds::{Kind, Workshop};
use self::side::Side;
use self::tables::Findings;
use super::scale::stage::Plan;
use crate::{Verdict, paper};

/// However busy the machine is.
const ROUNDS_MIN: usize = 3;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// How often all servers are started afresh: two processes of the same program differ, too.
    sittings: usize,
    /// How long messages go round in a sitting: a busy machine gets fewer rounds.
    time: Duration,
    /// Subscribers of each.
    subscribers: usize,
}

pub(super) fn run(arguments: &[String]) -> Result<Verdict> {
    let (plan, words) = Plan::read(arguments)?;
    if !words.is_empty() {
        bail!("cargo xtask bench strangers [--quick] [--server PATH]");
    }
    super::in_release(&["bench", "strangers"], arguments)?;
    system::raise_files()?;
    system::pin(super::TOOL_CORE)?;
    let extent = plan.pick(
        Extent { sittings: 3, time: Duration::from_secs(45), subscribers: 2_000 },
        Extent { sittings: 1, time: Duration::ZERO, subscribers: 200 },
    );
    let workshop = Workshop::new(extent.subscribers)?;
    let mut findings = Findings::new(extent);
    for sitting in 1..=extent.sittings {
        println!("sitting {sitting} of {}", extent.sittings);
        sit(&plan, extent, &workshop, &mut findings)?;
    }
    let text = findings.text();
    println!("\n{text}");
    if plan.is_kept() {
        paper::write("docs/benchmarks.md", "strangers", &text)?;
    }
    Ok(Verdict::Held)
}

/// All servers once: their subscribers come, rest, and get messages in turns.
fn sit(plan: &Plan, extent: Extent, workshop: &Workshop, findings: &mut Findings) -> Result<()> {
    let mut sides = Vec::with_capacity(Kind::ALL.len());
    for kind in &Kind::ALL {
        let mut side = Side::open(plan, workshop, kind, extent.subscribers)?;
        // Its first turn is slower than the others: nothing is in any cache.
        side.turn()?;
        println!("  {}: {:.0} µs to connect, {:.0} bytes at rest", kind.name, side.connect_us, side.bytes);
        findings.add_rest(kind, &side);
        sides.push(side);
    }
    let (began, mut round) = (Instant::now(), 0);
    while round < ROUNDS_MIN || began.elapsed() < extent.time {
        let mut turns = vec![None; sides.len()];
        for n in 0..sides.len() {
            // Nobody always comes after the same one.
            let n = (n + round) % sides.len();
            turns[n] = Some(sides[n].turn()?);
        }
        findings.add_round(&turns.into_iter().flatten().collect::<Vec<_>>());
        round += 1;
    }
    for side in &sides {
        side.expect_no_faults()?;
    }
    Ok(())
}
