//! `efir-judge FILE…`: judges histories that other programs wrote, with the checker that judges the matrix.
//!
//! Each file has one JSON object a line ([`efir_testkit::history`]). For each file one JSON object is printed, with the
//! counts by what went wrong; what exactly went wrong goes to standard error. Ends with 1 if anything did.

use std::process::ExitCode;

use anyhow::{Context, Result};
use efir_testkit::{checker, history};

/// Violations of one file that are shown in words; the counts have all.
const SHOWN_MAX: usize = 20;

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() || files.iter().any(|file| file.starts_with('-')) {
        eprintln!("efir-judge FILE…: judges histories, one JSON object a line");
        return ExitCode::from(2);
    }
    let mut is_good = true;
    for file in &files {
        match judge(file) {
            Ok(is_held) => is_good &= is_held,
            Err(error) => {
                eprintln!("error: {error:#}");
                return ExitCode::from(2);
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn judge(file: &str) -> Result<bool> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    let entries = history::from_lines(&text).with_context(|| format!("{file} is no history"))?;
    let found = checker::check(&entries);
    for violation in found.iter().take(SHOWN_MAX) {
        let line = text.lines().filter(|line| !line.is_empty()).nth(violation.line).unwrap_or_default();
        eprintln!("{file}: {violation}\n  {line}");
    }
    println!("{}", checker::Summary::of(&entries, &found).to_json(file));
    Ok(found.is_empty())
}
