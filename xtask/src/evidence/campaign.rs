//! The fault campaign of the Rust client over all transports and carriers. The campaign itself is the program `efir-campaign`
//! (crates/efir-testkit/src/campaign); here is how large it is, and where its table goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Outcome, Size};
use crate::child::{self, cargo};
use crate::machine;

/// What the row of docs/reliability.md has to reach; the campaign says so itself where it does not.
const FULL: &[&str] =
    &["--faults", "10000", "--messages", "1000000", "--leg-messages", "21000", "--at-once", "4"];
const QUICK: &[&str] = &["--faults", "312", "--messages", "3000", "--leg-messages", "1000", "--at-once", "6"];

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let arguments = if size == Size::Full { FULL } else { QUICK };
    let mut command = Command::new(program(size, binary)?);
    let output =
        command.args(arguments).env("EFIR_BIN", binary).stdin(Stdio::null()).stderr(Stdio::inherit());
    outcome("campaign", &output.output().context("starting the campaign")?)
}

/// The program, built for a full run; for a small one it lies beside the server.
///
/// # Errors
/// When it does not build.
pub(super) fn program(size: Size, binary: &Path) -> Result<PathBuf> {
    if size == Size::Full {
        let arguments = ["build", "--release", "--package", "efir-testkit", "--bin", "efir-campaign"];
        ensure!(child::run(&mut cargo(&arguments))?.success, "the campaign does not build");
    }
    let path = binary.with_file_name("efir-campaign");
    ensure!(path.is_file(), "{} is missing: cargo build -p efir-testkit", path.display());
    Ok(path)
}

/// What the program printed, as a row of the paper.
///
/// # Errors
/// When it could not run to its end.
pub(super) fn outcome(row: &str, output: &Output) -> Result<Outcome> {
    let printed = String::from_utf8_lossy(&output.stdout);
    let (wrong, text): (Vec<&str>, Vec<&str>) = printed.lines().partition(|line| line.starts_with("wrong: "));
    ensure!(text.iter().any(|line| line.starts_with("Seed ")), "{row} ended with {}", output.status);
    let mut broken: Vec<String> = wrong.iter().map(|line| line.replacen("wrong: ", "", 1)).collect();
    if !output.status.success() && broken.is_empty() {
        broken.push(format!("{row} ended with {}", output.status));
    }
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let text = format!(
        "`cargo xtask evidence {row}`, {}, {}: {verdict}.\n\n{}",
        machine::date(),
        machine::line(),
        text.join("\n").trim()
    );
    Ok(Outcome { text, broken })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_apart_from_the_table() {
        let output = |code: i32, stdout: &str| Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: Vec::new(),
        };
        let good = outcome("campaign", &output(0, "Seed 7: 1 fault.\n\n| a |\n")).unwrap();
        assert!(good.broken.is_empty() && good.text.contains("**holds**") && good.text.ends_with("| a |"));
        let bad = outcome("campaign", &output(1, "Seed 7: 1 fault.\nwrong: one lost\n")).unwrap();
        assert_eq!(bad.broken, ["one lost"]);
        assert!(outcome("campaign", &output(2, "")).is_err());
        assert_eq!(outcome("campaign", &output(1, "Seed 7\n")).unwrap().broken.len(), 1);
    }
}
