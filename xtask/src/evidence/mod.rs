//! `cargo xtask evidence ROW`: runs that take too long for each change, or need thousands of connections, each one row of
//! docs/reliability.md. A small one of each is a stage of the tests.

mod audience;
mod constant_time;
mod floods;
mod namespace;
mod slowloris;
mod vanish;

use std::path::Path;

use anyhow::{Result, bail};
use efir_bench::system;

use crate::{Verdict, bench, paper, root};

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

struct Row {
    name: &'static str,
    about: &'static str,
    attempt: fn(Size, &Path) -> Result<Outcome>,
}

const ROWS: &[Row] = &[
    Row {
        name: "vanish",
        about: "10,000 connections open, half of them vanish without a word",
        attempt: vanish::attempt,
    },
    Row {
        name: "slowloris",
        about: "5,000 clients that say nothing, or next to it, or read nothing, beside readers that notice nothing",
        attempt: slowloris::attempt,
    },
    Row {
        name: "constant-time",
        about: "how long it takes to look for a server key, whichever is shown (Welch's t, after dudect)",
        attempt: constant_time::attempt,
    },
    Row {
        name: "floods",
        about: "HTTP/2 clients that send frames without end, a minute each kind, beside readers that notice nothing",
        attempt: floods::attempt,
    },
];

pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, size) = match words.as_slice() {
        [name] => (*name, Size::Full),
        [name, "--quick"] => (*name, Size::Quick),
        _ => ("", Size::Full),
    };
    let Some(row) = ROWS.iter().find(|row| row.name == name) else {
        for row in ROWS {
            println!("  cargo xtask evidence {:<13} {}", row.name, row.about);
        }
        bail!("name one of these rows; `--quick` behind it makes it small and writes nothing down");
    };
    bench::in_release(&["evidence", name], arguments.get(1..).unwrap_or_default())?;
    let outcome = row.attempt_with(size, &root::target().join("release/efir"))?;
    if size == Size::Full {
        paper::write("docs/reliability.md", row.name, &outcome.text)?;
    }
    Ok(if outcome.broken.is_empty() { Verdict::Held } else { Verdict::Failed })
}

/// A small run of a row. Returns what did not hold.
///
/// # Errors
/// When it could not be tried.
pub(crate) fn quick(name: &str, binary: &Path) -> Result<Vec<String>> {
    let Some(row) = ROWS.iter().find(|row| row.name == name) else { bail!("there is no row {name}") };
    Ok(row.attempt_with(Size::Quick, binary)?.broken)
}

impl Row {
    fn attempt_with(&self, size: Size, binary: &Path) -> Result<Outcome> {
        system::raise_files()?;
        let outcome = (self.attempt)(size, binary)?;
        println!("{}", outcome.text);
        Ok(outcome)
    }
}
