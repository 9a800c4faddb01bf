//! `cargo xtask bench`: what a delivered message and an idle connection cost, written into docs/benchmarks.md.
//!
//! The server is pinned to core 0, this tool to core 1; CPU and memory are what /proc says of the server's process.
//! `fan_out.rs` measures deliveries, `idle.rs` connections at rest, `floor.rs` is the bare send loop to compare with.

mod fan_out;
mod floor;
mod idle;
mod tables;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::child::{self, cargo};
use crate::load::connection::Transport;
use crate::load::system;
use crate::server::{self, Server};
use crate::{Verdict, root};

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

pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (plan, is_kept) = match words.as_slice() {
        ["floor", count, bytes] => return floor::send_forever(count.parse()?, bytes.parse()?),
        [] => (FULL, true),
        ["--quick"] => (QUICK, false),
        _ => bail!("cargo xtask bench [--quick]"),
    };
    in_release(&["bench"], arguments)?;
    system::raise_files()?;
    system::pin(TOOL_CORE)?;
    let results = measure(plan)?;
    let text = results.text(plan);
    println!("\n{text}");
    if is_kept {
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

fn measure(plan: Plan) -> Result<tables::Results> {
    let mut results = tables::Results::default();
    let paced = |rate| fan_out::Load { subscribers: plan.subscribers, measured: plan.measured, rate };
    for run in 1..=plan.runs {
        println!("run {run} of {}", plan.runs);
        results.add(
            "floor: bare send loop, 100 messages/s",
            floor::measure(Path::new("/proc/self/exe"), paced(Some(100)))?,
        );
        for transport in [Transport::Websocket, Transport::Sse, Transport::HttpStream] {
            let name = format!("{}, 100 messages/s", transport.name());
            results.add(&name, fan_out::measure(transport, paced(Some(100)))?);
        }
        results.add("long-poll, 10 messages/s", fan_out::measure(Transport::LongPoll, paced(Some(10)))?);
        for transport in [Transport::Websocket, Transport::Sse] {
            let name = format!("{}, as fast as it goes", transport.name());
            results.add(&name, fan_out::measure(transport, paced(None))?);
        }
        for transport in [
            Transport::Websocket,
            Transport::Sse,
            Transport::HttpStream,
            Transport::LongPoll,
            Transport::ShortPoll,
        ] {
            results.add_idle(transport.name(), idle::measure(transport, plan.idle)?);
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
