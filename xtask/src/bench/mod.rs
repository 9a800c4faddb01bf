//! `cargo xtask bench`: what a delivered message and an idle connection cost, written into docs/benchmarks.md.
//!
//! The server is pinned to core 0, this tool to core 1; CPU and memory are what /proc says of the server's process.
//! `fan_out.rs` measures deliveries, `idle.rs` connections at rest, `floor.rs` is the bare send loop to compare with.

mod deflate;
mod fan_out;
mod floor;
mod idle;
mod peers;
mod plot;
mod scale;
pub(crate) mod slow_readers;
mod strangers;
mod tables;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

/// A storm of returns, for a row of the evidence.
pub(crate) use self::scale::{figures::Point, stage::Plan as StormPlan, storm::once as storm};

use crate::child::{self, cargo};
use crate::server::{self, Server};
use crate::{Verdict, root};
use efir_bench::Transport;
use efir_bench::system;

/// How much is measured. `--quick` is for trying the tool, not for numbers.
#[derive(Clone, Copy, Debug)]
struct Plan {
    subscribers: usize,
    measured: Duration,
    runs: usize,
    idle: usize,
}

const FULL: Plan = Plan { subscribers: 1_000, measured: Duration::from_secs(10), runs: 3, idle: 10_000 };
const QUICK: Plan = Plan { subscribers: 200, measured: Duration::from_secs(2), runs: 1, idle: 1_000 };

const SERVER_CORE: usize = 0;
const TOOL_CORE: usize = 1;

/// What to run: how much, and only the rows whose names contain one of these words (none: all rows).
struct Choice {
    plan: Plan,
    words: Vec<String>,
}

impl Choice {
    fn read(arguments: &[String]) -> Result<Self> {
        let is_quick = arguments.iter().any(|argument| argument == "--quick");
        let words: Vec<String> =
            arguments.iter().filter(|argument| *argument != "--quick").cloned().collect();
        if words.iter().any(|word| word.starts_with('-')) {
            bail!("cargo xtask bench [--quick] [ROW…]");
        }
        Ok(Self { plan: if is_quick { QUICK } else { FULL }, words })
    }

    fn has(&self, row: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| row.contains(word.as_str()))
    }

    /// Only a whole run is worth keeping.
    fn is_kept(&self) -> bool {
        self.words.is_empty() && self.plan.runs == FULL.runs
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["floor", count, rate] = words.as_slice() {
        return floor::send_forever(count.parse()?, rate.parse()?);
    }
    if let Some((word, rest)) = arguments.split_first() {
        match word.as_str() {
            "deflate" => return deflate::run_all(rest),
            "peers" => return peers::run(rest),
            "plots" => return plot::run(rest),
            "scale" => return scale::run(rest),
            "slow-readers" => return slow_readers::run(rest),
            "strangers" => return strangers::run(rest),
            _ => {}
        }
    }
    let choice = Choice::read(arguments)?;
    in_release(&["bench"], arguments)?;
    system::raise_files()?;
    system::pin(TOOL_CORE)?;
    let results = measure(&choice)?;
    let text = results.text(choice.plan);
    println!("\n{text}");
    if choice.is_kept() {
        crate::paper::write("docs/benchmarks.md", "measured", &text)?;
    }
    Ok(if results.is_faultless() { Verdict::Held } else { Verdict::Failed })
}

/// Goes on as the release build of this tool, with a release build of the server beside it.
///
/// # Errors
/// When something does not build. In the release build it returns at once.
pub(crate) fn in_release(command: &[&str], arguments: &[String]) -> Result<()> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    for package in ["efir-server", "xtask"] {
        if !child::run(&mut cargo(&["build", "--release", "--package", package]))?.success {
            bail!("{package} does not build");
        }
    }
    let error = Command::new(root::target().join("release/xtask")).args(command).args(arguments).exec();
    Err(error.into())
}

/// Starts the release build of the server on its core.
fn pinned_server() -> Result<Server> {
    on_server_core(|| Server::start(&root::target().join("release/efir")))
}

/// A process started inside stays on the server's core; this thread comes back to its own.
fn on_server_core<V>(start: impl FnOnce() -> Result<V>) -> Result<V> {
    system::pin(SERVER_CORE)?;
    let started = start();
    system::pin(TOOL_CORE)?;
    started
}

/// The rows under load: name, transport (`None`: the floor), messages a second (`None`: as fast as it goes).
const ROWS: [(&str, Option<Transport>, Option<u64>); 7] = [
    ("floor: bare send loop, 100 messages/s", None, Some(100)),
    ("websocket, 100 messages/s", Some(Transport::Websocket), Some(100)),
    ("sse, 100 messages/s", Some(Transport::Sse), Some(100)),
    ("http-stream, 100 messages/s", Some(Transport::HttpStream), Some(100)),
    ("long-poll, 10 messages/s", Some(Transport::LongPoll), Some(10)),
    ("websocket, as fast as it goes", Some(Transport::Websocket), None),
    ("sse, as fast as it goes", Some(Transport::Sse), None),
];

const IDLE_ROWS: [(&str, Transport); 5] = [
    ("idle websocket", Transport::Websocket),
    ("idle sse", Transport::Sse),
    ("idle http-stream", Transport::HttpStream),
    ("idle long-poll", Transport::LongPoll),
    ("idle short-poll (kept alive between two polls)", Transport::ShortPoll),
];

fn measure(choice: &Choice) -> Result<tables::Results> {
    let plan = choice.plan;
    let mut results = tables::Results::default();
    for run in 1..=plan.runs {
        println!("run {run} of {}", plan.runs);
        for (name, transport, rate) in ROWS.into_iter().filter(|(name, ..)| choice.has(name)) {
            let load = fan_out::Load { subscribers: plan.subscribers, measured: plan.measured, rate };
            let measured = match transport {
                Some(transport) => fan_out::measure(transport, load)?,
                None => floor::measure(Path::new("/proc/self/exe"), load)?,
            };
            results.add(name, measured);
        }
        for (name, transport) in IDLE_ROWS.into_iter().filter(|(name, _)| choice.has(name)) {
            results.add_idle(name, idle::measure(transport, plan.idle)?);
        }
    }
    results.version = version()?;
    Ok(results)
}

fn version() -> Result<String> {
    let server = pinned_server()?;
    let told: serde_json::Value = serde_json::from_str(&server::get(server.address(), "/info")?)?;
    Ok(told["version"].as_str().unwrap_or_default().to_owned())
}
