//! The publishers of `examples/backends`, each run against a real server by the folder's own `run.sh`.

use std::process::Command;

use anyhow::Result;

use crate::child;
use crate::root::{debug_efir, root};
use crate::server::Server;
use crate::tally::Tally;

/// Runs them all. Those whose interpreter is missing are named and counted as skipped.
pub(crate) fn run() -> Result<(Tally, Vec<String>)> {
    let server = Server::start(&debug_efir())?;
    let script = root().join("examples/backends/run.sh");
    let outcome = child::run_with(Command::new("sh").arg(script).arg(server.url()), read_line)?;
    let mut tally = outcome.tally;
    if !outcome.success && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok((tally, outcome.notes))
}

/// The lines of `run.sh`: `ok NAME POSITION`, `FAILED NAME: WHY`, `not run NAME: WHY`.
fn read_line(line: &str, tally: &mut Tally, notes: &mut Vec<String>) {
    if line.starts_with("ok ") {
        tally.passed += 1;
    } else if line.starts_with("FAILED ") {
        tally.failed += 1;
    } else if line.starts_with("not run ") {
        tally.skipped += 1;
        notes.push(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_publisher_counts_once() {
        let (mut tally, mut notes) = (Tally::default(), Vec::new());
        for line in
            ["ok python E-1", "FAILED node: no position was printed", "not run go: go is not installed", ""]
        {
            read_line(line, &mut tally, &mut notes);
        }
        assert_eq!(tally, Tally { passed: 1, failed: 1, skipped: 1 });
        assert_eq!(notes, ["not run go: go is not installed"]);
    }
}
