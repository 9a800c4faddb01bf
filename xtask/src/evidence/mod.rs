//! `cargo xtask evidence ROW`: runs that take too long for each change, each one row of docs/reliability.md.

mod namespace;
mod vanish;

use anyhow::{Result, bail};

use crate::Verdict;

struct Row {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<Verdict>,
}

const ROWS: &[Row] = &[Row {
    name: "vanish",
    about: "10,000 connections open, half of them vanish without a word",
    run: vanish::run,
}];

pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let row = arguments
        .split_first()
        .and_then(|(name, rest)| ROWS.iter().find(|row| row.name == name).map(|row| (row, rest)));
    match row {
        Some((row, rest)) => (row.run)(rest),
        None => {
            for row in ROWS {
                println!("  cargo xtask evidence {:<10} {}", row.name, row.about);
            }
            bail!("name one of these rows");
        }
    }
}

pub(crate) use vanish::quick as quick_vanish;
