//! `cargo xtask check`: what is quick enough to run before each commit.

use anyhow::Result;

use crate::child::{self, cargo};
use crate::{Verdict, tidy};

pub(crate) fn run(_: &[String]) -> Result<Verdict> {
    let steps: [&[&str]; 3] = [
        &["fmt", "--all", "--", "--check"],
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        &["test", "--workspace", "--lib", "--bins"],
    ];
    let mut verdict = tidy::run(&[])?;
    for step in steps {
        if !child::run(&mut cargo(step))?.success {
            verdict = Verdict::Failed;
        }
    }
    Ok(verdict)
}
