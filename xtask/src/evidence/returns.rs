//! Everybody comes back at once: all connections are reset, messages go on, and all connect again in the same moment, with their cursors.
//! The storm itself is that of `cargo xtask bench scale storm`; here it is held against a limit.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use efir_bench::Transport;

use super::{Outcome, Size};
use crate::bench::{Point, StormPlan, storm};
use crate::machine;
use crate::paper::grouped;

const FULL: usize = 15_000;
const QUICK: usize = 1_000;
const BACK_S_MAX: f64 = 5.0;
const TRANSPORTS: [Transport; 2] = [Transport::Websocket, Transport::Sse];

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let count = if size == Size::Full { FULL } else { QUICK };
    let mut seen = Vec::new();
    for transport in TRANSPORTS {
        let plan = StormPlan::of(PathBuf::from(binary), size != Size::Full);
        // In a thread of its own, which stays on its core.
        let storm = std::thread::spawn(move || storm(&plan, transport, count));
        // It fails if a message is missing, comes twice or out of order, or a connection is refused.
        seen.push((transport, storm.join().map_err(|_| anyhow!("the storm panicked"))??));
    }
    let late = |(transport, point): &(Transport, Point)| {
        let back = point.value("back_s");
        // How long a small run takes depends on what else the machine does.
        (size == Size::Full && back > BACK_S_MAX)
            .then(|| format!("{}: back after {back:.1} s", transport.name()))
    };
    let broken: Vec<String> = seen.iter().filter_map(late).collect();
    Ok(Outcome { text: text(count, &seen, &broken), broken })
}

fn text(count: usize, seen: &[(Transport, Point)], broken: &[String]) -> String {
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let rows: String = seen
        .iter()
        .map(|(transport, point)| {
            format!(
                "| {} | {} | {} | {:.2} / {:.2} / {:.2} s | {:.0} µs | 0 / 0 / 0 |\n",
                transport.name(),
                grouped(count as u64),
                point.value("missed"),
                point.value("p50_s"),
                point.value("p99_s"),
                point.value("back_s"),
                point.value("cpu_us"),
            )
        })
        .collect();
    format!(
        "`cargo xtask evidence returns`, {}, {}: {verdict}.\n\n\
         | transport | connections reset and back | messages missed meanwhile, each | back with all of them after: half / 99 % / all | CPU of the server a return | lost / duplicated / reordered |\n\
         |---|--:|--:|--:|--:|--:|\n{rows}",
        machine::date(),
        machine::line(),
    )
}
