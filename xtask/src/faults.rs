//! `cargo xtask faults`: the TypeScript client behind a bad network, judged by the checker of the matrix.
//!
//! The campaign itself is `packages/client/campaign`; here is what it needs built, and where its figures go.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::child::{self, Outcome, cargo};
use crate::root::{debug_efir, root, target};
use crate::tally::Tally;
use crate::{Verdict, browsers, machine, paper};

const CAMPAIGN: &str = "packages/client/campaign";
const PAPER: &str = "docs/reliability.md";
const SECTION: &str = "faults";

/// `[--faults N] [--seed N] [--only WAY,…] [--keep]`; `--keep` writes the table into docs/reliability.md.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let is_kept = arguments.iter().any(|argument| argument == "--keep");
    let passed_on: Vec<String> = arguments.iter().filter(|argument| *argument != "--keep").cloned().collect();
    build()?;
    let outcome = campaign(&passed_on)?;
    if is_kept {
        paper::write(PAPER, SECTION, &text(&passed_on, &outcome)?)?;
    }
    Ok(if outcome.success { Verdict::Held } else { Verdict::Failed })
}

/// What `cargo xtask test` runs: the scenarios and proxies by name, and a thousand faults.
///
/// # Errors
/// When it could not be tried.
pub(crate) fn quick() -> Result<(Vec<Outcome>, Vec<String>)> {
    build_client()?;
    let mut tests = node();
    // Node 20 may spin for ever while it closes, at its own end, connections that were cut in the middle of a request.
    tests.args(["--test", "--test-reporter=tap", "--test-concurrency=1", "--test-force-exit"]);
    let tests = child::run(&mut tests)?;
    let faults = campaign(&[])?;
    let notes =
        faults.notes.iter().filter(|line| line.starts_with("| together") || line.starts_with("seed "));
    let notes = notes.cloned().collect();
    Ok((vec![tests, faults], notes))
}

fn build() -> Result<()> {
    let built = child::run(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    if !built.success {
        bail!("the server or the judge does not build");
    }
    build_client()
}

fn build_client() -> Result<()> {
    let is_built = browsers::npm_ci("packages/client")?.success
        && child::run(browsers::npm("packages/client").args(["run", "build"]))?.success;
    if !is_built {
        bail!("the client does not build");
    }
    Ok(())
}

/// The campaign; its notes are all lines that it printed for people.
fn campaign(arguments: &[String]) -> Result<Outcome> {
    child::run_with(node().arg("run.mjs").args(arguments), read_line)
}

fn node() -> Command {
    let mut node = Command::new("node");
    node.current_dir(root().join(CAMPAIGN)).env("EFIR_BIN", debug_efir());
    node.env("EFIR_JUDGE", target().join("debug").join("efir-judge"));
    node
}

fn read_line(line: &str, tally: &mut Tally, notes: &mut Vec<String>) {
    tally.read_line(line);
    if ["seed ", "| ", "faults by kind"].iter().any(|begin| line.starts_with(begin)) {
        notes.push(line.to_owned());
    }
}

fn text(arguments: &[String], outcome: &Outcome) -> Result<String> {
    let seed = outcome.notes.first().context("the campaign names no seed")?;
    let seed = seed.split(';').next().unwrap_or_default();
    let verdict = if outcome.success { "**holds**" } else { "**does not hold**" };
    let with = arguments.iter().map(|argument| format!(" {argument}")).collect::<String>();
    let table: Vec<&str> =
        outcome.notes.iter().map(String::as_str).filter(|line| line.starts_with('|')).collect();
    let kinds = outcome.notes.iter().find(|line| line.starts_with("faults by kind"));
    Ok(format!(
        "`cargo xtask faults{with}`, {seed}, {}, {}: {verdict}.\n\n{}\n\n{}.",
        machine::date(),
        machine::line(),
        table.join("\n"),
        kinds.map_or("", |line| line.as_str())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_kept_and_the_legs_are_counted() {
        let (mut tally, mut notes) = (Tally::default(), Vec::new());
        let lines =
            ["seed 7; 1050 faults over 7 ways", "| way | faults |", "debugging", "# pass 6", "# fail 1"];
        for line in lines {
            read_line(line, &mut tally, &mut notes);
        }
        assert_eq!((tally.passed, tally.failed), (6, 1));
        assert_eq!(notes, ["seed 7; 1050 faults over 7 ways", "| way | faults |"]);
        let text = text(&["--seed".into(), "7".into()], &Outcome { success: true, tally, notes }).unwrap();
        assert!(text.contains("faults --seed 7`, seed 7, ") && text.contains("| way |"), "{text}");
    }
}
