//! The hand-over from publishers to readers under shuttle: the engine's own code, whose locks ask a scheduler of chance who goes on.
//! What is run stands in crates/efir-engine/src/schedules.rs.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Outcome, Size};
use crate::child::{self, cargo};
use crate::machine;
use crate::paper::grouped;
use crate::root::target;

pub(super) fn attempt(size: Size, _binary: &Path) -> Result<Outcome> {
    let count: u64 = if size == Size::Full { 1_000_000 } else { 10_000 };
    // As all builds of the tests, so that no library is built again.
    let built = child::run(&mut cargo(&["build", "--workspace", "--bin", "schedules"]))?;
    ensure!(built.success, "the program with shuttle could not be built");
    let began = Instant::now();
    let mut command = std::process::Command::new(target().join("debug/schedules"));
    let run = child::run(command.arg(count.to_string()))?;
    let took = began.elapsed().as_secs_f64();
    let broken: Vec<String> =
        if run.success { Vec::new() } else { vec!["a schedule under which something does not hold".into()] };
    let verdict = if run.success { "**holds**" } else { "**broken**" };
    let text = format!(
        "`cargo xtask evidence schedules`, {}, {}: {verdict}.\n\n{} schedules of each of the two in {took:.0} s; violations: {}.\n",
        machine::date(),
        machine::line(),
        grouped(count),
        broken.len(),
    );
    Ok(Outcome { text, broken })
}
