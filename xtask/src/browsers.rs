//! `cargo xtask e2e`: the tests in `e2e/` drive real browsers against the server that the tests build.

use std::process::Command;

use anyhow::Result;

use crate::child::{self, Outcome, cargo};
use crate::root::{debug_efir, root};
use crate::{Verdict, install};

pub(crate) fn run(files: &[String]) -> Result<Verdict> {
    install::run()?;
    let built = child::run(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    if !built.success || !npm_ci("e2e")?.success {
        return Ok(Verdict::Failed);
    }
    let outcome = tests(files)?;
    Ok(if outcome.success { Verdict::Held } else { Verdict::Failed })
}

/// Installs the locked packages of a folder, with no network where they are in npm's cache.
pub(crate) fn npm_ci(folder: &str) -> Result<Outcome> {
    child::run(npm(folder).args(["ci", "--prefer-offline", "--no-audit", "--no-fund"]))
}

/// `npm` in a folder of the workspace.
pub(crate) fn npm(folder: &str) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(root().join(folder));
    command
}

/// Files that are run at once: on two cores one of three waits.
const AT_ONCE: &str = "--test-concurrency=3";

/// The browser tests, against a server that is built already.
pub(crate) fn tests(files: &[String]) -> Result<Outcome> {
    let mut node = Command::new("node");
    node.arg("--test").arg(AT_ONCE).args(files).current_dir(root().join("e2e"));
    child::run(node.env("EFIR_BIN", debug_efir()))
}
