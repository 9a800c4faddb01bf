//! `cargo xtask attacks [ROW]`: attacks that take long or need thousands of connections, each one row of docs/reliability.md.
//!
//! Those that take a moment are tests: `cargo test -p efir-testkit --test attacks`.

mod slowloris;

use anyhow::{Result, bail};

use crate::Verdict;

struct Row {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<Verdict>,
}

const ROWS: &[Row] = &[Row {
    name: "slowloris",
    about: "5,000 clients that say nothing, or next to it, or read nothing, beside readers that notice nothing",
    run: slowloris::run,
}];

pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let named = arguments.split_first();
    let row = named.and_then(|(name, rest)| ROWS.iter().find(|row| row.name == name).map(|row| (row, rest)));
    match row {
        Some((row, rest)) => (row.run)(rest),
        None => {
            for row in ROWS {
                println!("  cargo xtask attacks {:<10} {}", row.name, row.about);
            }
            bail!("name one of these rows");
        }
    }
}

pub(crate) use slowloris::quick as quick_slowloris;
