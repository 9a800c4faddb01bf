//! `cargo xtask bench deflate`: what permessage-deflate saves and costs, written into docs/benchmarks.md. With words (`16384x1000`,
//! `idle`) only the rows that contain one are measured, and nothing is written.
//!
//! Each row is measured with subscribers that offer compression and with ones that do not, one after the other, and both come from the
//! same server and the same payloads (`records.rs`). `reader.rs` is the subscriber.

mod reader;
mod records;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use efir_bench::{Figures, Load, Pace, Target, run, system};

use crate::Verdict;
use crate::paper::grouped;

/// Payload bytes, subscribers, messages a second.
const ROWS: [(usize, usize, u32); 8] = [
    (100, 1_000, 100),
    (500, 1_000, 100),
    (2_048, 1_000, 100),
    (16_384, 1_000, 20),
    (100, 1, 4_000),
    (500, 1, 4_000),
    (2_048, 1, 4_000),
    (16_384, 1, 1_000),
];
const RUNS: usize = 3;
const MEASURED: Duration = Duration::from_secs(5);
/// Connections at rest, and for how long.
const IDLE: (usize, Duration) = (10_000, Duration::from_secs(3));

/// One row, measured once.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    user_us: f64,
    system_us: f64,
    bytes: f64,
    p50_ms: f64,
}

pub(super) fn run_all(arguments: &[String]) -> Result<Verdict> {
    super::in_release(&["bench", "deflate"], arguments)?;
    system::raise_files()?;
    system::pin(super::TOOL_CORE)?;
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let words: Vec<&String> = arguments.iter().filter(|argument| *argument != "--quick").collect();
    let is_wanted = |row: &str| words.is_empty() || words.iter().any(|word| row.contains(word.as_str()));
    let (runs, measured) = if is_quick { (1, MEASURED / 5) } else { (RUNS, MEASURED) };
    let mut text = String::from(
        "| payload, bytes | subscribers × messages/s | bytes on the wire a message, plain → compressed | saved | µs of CPU a \
         delivered message, plain → compressed | user | system | p50 ms |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (bytes, subscribers, rate) in ROWS {
        if !is_wanted(&format!("{bytes}x{subscribers}")) {
            continue;
        }
        let load = Load {
            subscribers,
            payload_bytes: bytes,
            measured,
            pace: Pace::PerSecond(f64::from(rate)),
            ..Load::default()
        };
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            for (costs, is_offering) in costs.iter_mut().zip([false, true]) {
                costs.push(cost(&measure(&load, is_offering)?)?);
            }
        }
        let [plain, deflated] = costs.each_ref().map(|costs| median(costs));
        let line = line((bytes, subscribers, rate), plain, deflated);
        println!("{line}");
        writeln!(text, "{line}")?;
    }
    if is_wanted("idle") {
        text.push_str(&idle(is_quick)?);
    }
    println!("\n{text}");
    if !is_quick && words.is_empty() {
        crate::paper::write("docs/benchmarks.md", "deflate", &text)?;
    }
    Ok(Verdict::Held)
}

fn measure(load: &Load, is_offering: bool) -> Result<Figures> {
    let server = super::pinned_server()?;
    let host = server.address().to_string();
    let target = Target {
        destination: server.address().into(),
        subscribe: Arc::new(reader::Reader::new(&host, is_offering)),
        publish: Arc::new(records::Records::new(&host, load.payload_bytes)),
        processes: vec![server.process()],
    };
    let figures = run(load, &target, &mut |_| ())?;
    for warning in figures.warnings() {
        println!("    {warning}");
    }
    if figures.seen.ended > 0 || !figures.faults.is_none() {
        bail!("{} connections ended; faults: {}", figures.seen.ended, figures.faults);
    }
    Ok(figures)
}

fn cost(figures: &Figures) -> Result<Cost> {
    let Some((user_us, system_us)) = figures.cpu_us().filter(|_| figures.deliveries() > 0) else {
        bail!("nothing was delivered");
    };
    let (bytes, _) = figures.bytes_each();
    let p50_ms = figures.seen.latency.quantile(0.5) as f64 / 1e3;
    Ok(Cost { user_us, system_us, bytes, p50_ms })
}

/// Of each figure on its own.
fn median(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| {
        let mut figures: Vec<f64> = costs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    };
    Cost {
        user_us: of(|cost| cost.user_us),
        system_us: of(|cost| cost.system_us),
        bytes: of(|cost| cost.bytes),
        p50_ms: of(|cost| cost.p50_ms),
    }
}

fn line((bytes, subscribers, rate): (usize, usize, u32), plain: Cost, deflated: Cost) -> String {
    let total = |cost: Cost| cost.user_us + cost.system_us;
    let saved = 100.0 * (1.0 - deflated.bytes / plain.bytes);
    format!(
        "| {} | {} × {} | {:.0} → {:.0} | {saved:.0} % | **{:.2} → {:.2}** | {:.2} → {:.2} | {:.2} → {:.2} | {:.1} → {:.1} |",
        grouped(bytes as u64),
        grouped(subscribers as u64),
        grouped(u64::from(rate)),
        plain.bytes,
        deflated.bytes,
        total(plain),
        total(deflated),
        plain.user_us,
        deflated.user_us,
        plain.system_us,
        deflated.system_us,
        plain.p50_ms,
        deflated.p50_ms,
    )
}

/// Memory of connections that agreed on compression, next to that of others.
fn idle(is_quick: bool) -> Result<String> {
    let (connections, rest) = if is_quick { (1_000, IDLE.1) } else { IDLE };
    let load = Load {
        subscribers: connections,
        rest,
        warm_up: Duration::from_millis(100),
        measured: Duration::from_secs(1),
        pace: Pace::PerSecond(1.0),
        ..Load::default()
    };
    let mut each = Vec::new();
    for is_offering in [false, true] {
        each.push(measure(&load, is_offering)?.memory_each().unwrap_or_default());
    }
    let [plain, deflated] = each[..] else { bail!("two kinds of connections are measured") };
    Ok(format!(
        "\nAn idle WebSocket takes {} bytes without and {} bytes with permessage-deflate agreed ({} connections).\n",
        grouped(plain),
        grouped(deflated),
        grouped(connections as u64)
    ))
}
