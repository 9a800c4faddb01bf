//! `cargo xtask proxies`: the matrix behind nginx, HAProxy and Caddy, each set up as its paper in docs/operating prints it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::Verdict;
use crate::child::{self, cargo};
use crate::install::{self, is_present};
use crate::tally::Tally;

const PROGRAMS: &[&str] = &["nginx", "nginx-tls", "haproxy", "haproxy-v2", "haproxy-tls", "caddy"];

/// What the stage runs: everything that goes over the wire in each transport's own way, and what only a proxy can spoil. All
/// else of the matrix is for `cargo xtask proxies`.
const TOPICS: &[&str] = &[
    "front::",
    "live::",
    "gap::",
    "payload::",
    "poll::",
    "publish::",
    "presence::leaves",
    "socket::",
    "websocket::",
    "life::rotation",
];
/// The same for those that differ by their first lines only.
const TOPICS_OF_VARIANTS: &[&str] = &["front::", "live::", "presence::leaves"];
/// Most cells wait most of the time.
const THREADS: &str = "--test-threads=12";

/// `cargo xtask proxies [PROGRAM…] [FILTER…]`: the whole matrix, or what the filters choose of it.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    install::run()?;
    let (programs, filters): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|word| PROGRAMS.contains(word));
    let programs = if programs.is_empty() { PROGRAMS } else { &programs };
    let (tally, notes) = behind(programs, &filters)?;
    notes.iter().for_each(|note| println!("{note}"));
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(if tally.failed == 0 { Verdict::Held } else { Verdict::Failed })
}

/// The stage's selection behind every program that is installed.
///
/// # Errors
/// When cargo cannot be started.
pub(crate) fn quick() -> Result<(Tally, Vec<String>)> {
    let (mut tally, mut notes) = (Tally::default(), Vec::new());
    for program in PROGRAMS {
        let topics = if program.contains('-') { TOPICS_OF_VARIANTS } else { TOPICS };
        let (counted, said) = behind(&[program], topics)?;
        tally += counted;
        notes.extend(said);
    }
    Ok((tally, notes))
}

fn behind(programs: &[&str], filters: &[&str]) -> Result<(Tally, Vec<String>)> {
    let (mut tally, mut notes) = (Tally::default(), Vec::new());
    let matrix = matrix()?;
    for program in programs {
        let name = program.split('-').next().unwrap_or(program);
        if !is_present(name) {
            tally.skipped += 1;
            notes.push(format!("not run: the matrix behind {program}: {name} is not installed"));
            continue;
        }
        let mut command = Command::new(&matrix);
        let outcome = child::run(command.arg(THREADS).args(filters).env("MATRIX_FRONT", program))?;
        let counted = outcome.tally;
        notes.push(format!("behind {program}: {counted}"));
        tally += counted;
        if counted.passed == 0 || (!outcome.success && counted.failed == 0) {
            tally.failed += 1;
        }
    }
    Ok((tally, notes))
}

/// The matrix as cargo builds it. Others have a test of this name, too, which cargo would run beside it.
fn matrix() -> Result<PathBuf> {
    let words = ["test", "--workspace", "--no-run", "--test", "it", "--message-format", "json"];
    let said = child::read(&mut cargo(&words))?;
    let artifacts = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = artifacts.filter(|artifact| {
        let file = artifact["target"]["src_path"].as_str().unwrap_or_default();
        file.ends_with("crates/efir-testkit/tests/it/main.rs") && artifact["executable"].is_string()
    });
    let artifact = found.next().context("cargo builds no matrix")?;
    Ok(artifact["executable"].as_str().unwrap_or_default().into())
}
