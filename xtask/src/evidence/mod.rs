//! `cargo xtask evidence [ROW…]`: runs that take too long for each change, or need thousands of connections, each one row of
//! docs/reliability.md. A small one of each is a stage of the tests.

mod audience;
mod constant_time;
mod floods;
mod namespace;
mod schedules;
mod slowloris;
mod vanish;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use efir_bench::system;

use crate::{Verdict, bench, machine, paper, root};

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// As it is written down.
    Full,
    /// For every test run.
    Quick,
}

/// What a run came to.
struct Outcome {
    /// For docs/reliability.md.
    text: String,
    /// What did not hold.
    broken: Vec<String>,
}

/// One run: its name on the command line and between the marks of the paper, and what it does.
struct Row {
    name: &'static str,
    about: &'static str,
    /// Whether a small version is part of `cargo xtask test`.
    is_tested: bool,
    attempt: fn(Size, &Path) -> Result<Outcome>,
}

const ROWS: &[Row] = &[
    Row {
        name: "vanish",
        about: "10,000 connections open, half of them vanish without a word",
        is_tested: true,
        attempt: vanish::attempt,
    },
    Row {
        name: "slowloris",
        about: "5,000 clients that say nothing, or next to it, or read nothing, beside readers that notice nothing",
        is_tested: true,
        attempt: slowloris::attempt,
    },
    Row {
        name: "constant-time",
        about: "how long it takes to look for a server key, whichever is shown (Welch's t, after dudect)",
        is_tested: false,
        attempt: constant_time::attempt,
    },
    Row {
        name: "floods",
        about: "HTTP/2 clients that send frames without end, a minute each kind, beside readers that notice nothing",
        is_tested: true,
        attempt: floods::attempt,
    },
    Row {
        name: "schedules",
        about: "publishers, readers that join and leave, and a sweep, in a million orders (shuttle)",
        is_tested: true,
        attempt: schedules::attempt,
    },
];

const PAPER: &str = "docs/reliability.md";

/// `[ROW…] [--quick] [--again]`; without a row, all of them that this commit has not run yet.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let (flags, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    let is_known = |name: &&str| ROWS.iter().any(|row| row.name == *name);
    if names.iter().any(|name| !is_known(name))
        || flags.iter().any(|flag| !["--quick", "--again"].contains(flag))
    {
        for row in ROWS {
            println!("  cargo xtask evidence {:<14} {}", row.name, row.about);
        }
        bail!(
            "name rows of these, or none for all; `--quick` makes them small and writes nothing down, `--again` \
             runs also what this commit has run"
        );
    }
    let size = if flags.contains(&"--quick") { Size::Quick } else { Size::Full };
    bench::in_release(&["evidence"], arguments)?;
    let is_again = flags.contains(&"--again") || !names.is_empty() || size == Size::Quick;
    let done = Done::read()?;
    let mut verdict = Verdict::Held;
    for row in ROWS.iter().filter(|row| names.is_empty() || names.contains(&row.name)) {
        if !is_again && done.has(row.name) {
            println!("{}: this commit has run it ({})", row.name, done.path.display());
            continue;
        }
        println!("=== {}", row.name);
        let outcome = row.attempt_with(size, &root::target().join("release/efir"))?;
        if size == Size::Full {
            paper::write(PAPER, row.name, &outcome.text)?;
            done.note(row.name, &outcome)?;
        }
        if !outcome.broken.is_empty() {
            verdict = Verdict::Failed;
        }
    }
    Ok(verdict)
}

/// Small runs of all rows that have one in the tests; calls `seen` with the name of each and what did not hold.
pub(crate) fn quick(binary: &Path, mut seen: impl FnMut(&str, Vec<String>)) {
    for row in ROWS.iter().filter(|row| row.is_tested) {
        println!("--- {}", row.name);
        let broken = match row.attempt_with(Size::Quick, binary) {
            Ok(outcome) => outcome.broken,
            Err(error) => vec![format!("{error:#}")],
        };
        seen(row.name, broken);
    }
}

impl Row {
    fn attempt_with(&self, size: Size, binary: &Path) -> Result<Outcome> {
        system::raise_files()?;
        let outcome = (self.attempt)(size, binary)?;
        println!("{}", outcome.text);
        Ok(outcome)
    }
}

/// Rows that were run at this commit, so that a list of long runs goes on where it was interrupted.
struct Done {
    path: PathBuf,
    commit: String,
    lines: String,
}

impl Done {
    fn read() -> Result<Self> {
        let path = root::target().join("evidence.txt");
        let lines = if path.exists() { std::fs::read_to_string(&path)? } else { String::new() };
        Ok(Self { path, commit: machine::commit(), lines })
    }

    /// Whether the row was run at this commit, and held.
    fn has(&self, row: &str) -> bool {
        let line = format!("{} {row} held", self.commit);
        self.lines.lines().any(|one| one == line)
    }

    fn note(&self, row: &str, outcome: &Outcome) -> Result<()> {
        let verdict = if outcome.broken.is_empty() { "held" } else { "did not hold" };
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        writeln!(file, "{} {row} {verdict}", self.commit)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_done_when_this_commit_has_run_it_and_it_held() {
        let lines = "abc vanish held\nabc floods did not hold\ndef slowloris held\n".to_owned();
        let done = Done { path: PathBuf::new(), commit: "abc".to_owned(), lines };
        assert_eq!(["vanish", "floods", "slowloris"].map(|row| done.has(row)), [true, false, false]);
    }

    #[test]
    fn every_row_has_its_place_in_the_paper() {
        let paper = std::fs::read_to_string(root::root().join(PAPER)).unwrap();
        for row in ROWS {
            assert!(paper.contains(&format!("<!-- {}: begin -->", row.name)), "{}", row.name);
        }
    }
}
