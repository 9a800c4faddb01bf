//! `cargo xtask check`: what is quick enough to run before each commit.

use std::process::Command;

use anyhow::Result;

use crate::child::{self, cargo, patient_cargo};
use crate::{Verdict, tidy};

/// Clippy, over everything. It says nothing about pages, so none are built for it.
pub(crate) fn lints() -> Command {
    let mut command = patient_cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    command.env("EFIR_PAGE", "plain");
    command
}

pub(crate) fn run(_: &[String]) -> Result<Verdict> {
    let steps = [
        cargo(&["fmt", "--all", "--", "--check"]),
        lints(),
        cargo(&["test", "--workspace", "--lib", "--bins"]),
    ];
    let mut verdict = tidy::run(&[])?;
    for mut step in steps {
        if !child::run(&mut step)?.success {
            verdict = Verdict::Failed;
        }
    }
    Ok(verdict)
}
