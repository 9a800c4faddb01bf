//! The TypeScript client: its own tests, its types, the package as npm would carry it, its size; and README's ways to a chat of one's
//! own, followed word by word.

use std::process::Command;

use anyhow::{Result, bail};

use crate::browsers;
use crate::child::{self, Outcome};
use crate::root::{debug_efir, root};
use crate::tally::Tally;

const PACKAGE: &str = "packages/client";

/// What `npm run` and `npm test` do there, in order; each later one stands on `build`.
const SCRIPTS: &[&str] = &["check", "build", "test", "test:types", "test:pack", "size"];

/// Builds and tests the package, partly against a server that is built already. The lines of `size` are repeated at the
/// end of the run.
///
/// # Errors
/// When its packages cannot be installed.
pub(crate) fn package() -> Result<(Tally, Vec<String>)> {
    install(PACKAGE)?;
    let (mut tally, mut notes) = (Tally::default(), Vec::new());
    for script in SCRIPTS {
        let outcome = child::run_with(
            browsers::npm(PACKAGE).args(["run", script]).env("EFIR_BIN", debug_efir()),
            read_line,
        )?;
        tally += counted(&outcome);
        notes.extend(outcome.notes);
    }
    Ok((tally, notes))
}

/// Follows README and the guide of the client in empty folders, with a server that is built already and a browser; and the hooks.
///
/// # Errors
/// When the packages of `e2e` cannot be installed.
pub(crate) fn paths() -> Result<Tally> {
    install("e2e")?;
    let mut node = Command::new("node");
    node.args([
        "--test",
        "--test-concurrency=1",
        "paths/bare.mjs",
        "paths/hooks.mjs",
        "paths/readme.mjs",
        "paths/guide.mjs",
    ]);
    let outcome = child::run(node.current_dir(root().join("e2e")).env("EFIR_BIN", debug_efir()))?;
    Ok(counted(&outcome))
}

/// Installs the locked packages of a folder unless they are there: whoever works in it beside us keeps them.
fn install(folder: &str) -> Result<()> {
    let modified = |path: &str| std::fs::metadata(root().join(folder).join(path)).ok()?.modified().ok();
    let (lock, installed) = (modified("package-lock.json"), modified("node_modules/.package-lock.json"));
    let is_fresh = installed.is_some() && installed >= lock;
    if !is_fresh && !browsers::npm_ci(folder)?.success {
        bail!("the packages of {folder} could not be installed");
    }
    Ok(())
}

/// The tests that a program counted; one that counts none is one itself.
fn counted(outcome: &Outcome) -> Tally {
    match outcome.tally {
        tally if tally.is_empty() => Tally::one(outcome.success),
        tally if !outcome.success && tally.failed == 0 => Tally { failed: 1, ..tally },
        tally => tally,
    }
}

fn read_line(line: &str, tally: &mut Tally, notes: &mut Vec<String>) {
    tally.read_line(line);
    if line.contains("   gzip ") {
        notes.push(format!("size of {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_size_is_repeated_and_tests_are_counted() {
        let (mut tally, mut notes) = (Tally::default(), Vec::new());
        for line in
            ["ℹ pass 3", "ℹ fail 0", "core   raw  20,000   min  9,000   gzip  4,000 (3.91 KB)", "gzip"]
        {
            read_line(line, &mut tally, &mut notes);
        }
        assert_eq!(tally, Tally { passed: 3, failed: 0, skipped: 0 });
        assert_eq!(notes, ["size of core   raw  20,000   min  9,000   gzip  4,000 (3.91 KB)"]);
    }

    #[test]
    fn a_script_without_tests_is_one_and_a_failure_is_never_lost() {
        let outcome = |success, passed| Outcome {
            success,
            tally: Tally { passed, failed: 0, skipped: 0 },
            notes: Vec::new(),
        };
        assert_eq!(counted(&outcome(true, 0)), Tally::one(true));
        assert_eq!(counted(&outcome(false, 0)), Tally::one(false));
        assert_eq!(counted(&outcome(false, 4)), Tally { passed: 4, failed: 1, skipped: 0 });
    }
}
