//! Builds the program with the rows, and runs it under callgrind: one profile a row, whose sum is divided by the units of the row.

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::baseline::Row;
use crate::child::{self, cargo};
use crate::root;

/// It is built as a release is built.
const BUILD: [&str; 6] = ["build", "--release", "--package", "efir-transports", "--bench", "instructions"];

/// Begins to build it, at the lowest priority and without a word: what is wrong, [`build`] will say.
///
/// # Errors
/// When cargo cannot be started.
pub(super) fn begin_build() -> Result<Child> {
    let cargo = cargo(&BUILD);
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(cargo.get_program()).args(cargo.get_args()).current_dir(root::root());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().context("starting nice")
}

/// Builds it; returns where it is.
pub(super) fn build() -> Result<PathBuf> {
    let mut command = cargo(&BUILD);
    let messages = child::read(command.arg("--message-format=json-render-diagnostics"))?;
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "instructions")
            .then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executable.context("cargo did not say where it built the rows")
}

/// A folder of our own for what profilers write, empty.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = root::target().join("count");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Instructions of one unit of each row.
pub(super) fn instructions(program: &Path) -> Result<Vec<Row>> {
    profiled(program).map(|rows| rows.into_iter().map(|(row, _)| row).collect())
}

/// In which functions the instructions of the rows are whose names contain `words`; inlined ones are part of those they are in.
pub(super) fn explain(program: &Path, words: &str) -> Result<String> {
    let mut text = String::new();
    for (row, profile) in profiled(program)?.iter().filter(|(row, _)| row.name.contains(words)) {
        let functions = functions(&std::fs::read_to_string(profile)?);
        let sum: f64 = functions.iter().map(|(_, count)| count).sum();
        text += &format!("{:>9.0}  {}\n", row.value, row.name);
        for (function, count) in functions.iter().take_while(|(_, count)| *count > sum / 200.0) {
            text += &format!("{:>9.0}    {function}\n", count / sum * row.value);
        }
    }
    ensure!(!text.is_empty(), "no row is called {words:?}");
    Ok(text)
}

/// The functions of a profile and the instructions in each, the dearest first.
fn functions(profile: &str) -> Vec<(String, f64)> {
    let mut counts: HashMap<&str, f64> = HashMap::new();
    let (mut function, mut is_call) = ("", false);
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            // The line after it has what the called function took, which counts there.
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let count = line.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0.0);
            *counts.entry(function).or_default() += if is_call { 0.0 } else { count };
            is_call = false;
        }
    }
    let mut functions: Vec<(String, f64)> =
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    functions.sort_by(|one, other| other.1.total_cmp(&one.1));
    functions
}

/// Each row with its profile.
fn profiled(program: &Path) -> Result<Vec<(Row, PathBuf)>> {
    let profile = folder()?.join("profile");
    // The two functions of `meter.rs`: what is collected, and where a row ends.
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--collect-atstart=no", "--compress-strings=no"]);
    command.args(["--toggle-collect=*counted_section*", "--dump-before=*row_ends*"]);
    command.arg(format!("--callgrind-out-file={}", profile.display())).arg(program);
    let names = child::read(&mut command)?;
    let rows: Result<Vec<(Row, PathBuf)>> =
        names.lines().enumerate().map(|(number, line)| row(&profile, number + 1, line)).collect();
    rows.and_then(|rows| {
        ensure!(!rows.is_empty(), "no row was counted");
        Ok(rows)
    })
}

fn row(profile: &Path, number: usize, line: &str) -> Result<(Row, PathBuf)> {
    let (name, units) = line.split_once('\t').with_context(|| format!("no row: {line}"))?;
    let profile = profile.with_extension(number.to_string());
    let text = std::fs::read_to_string(&profile).with_context(|| format!("the profile of {name}"))?;
    let sum = sum(&text).with_context(|| format!("the profile of {name} has no sum"))?;
    Ok((Row { name: name.to_owned(), value: sum / units.parse::<f64>()? }, profile))
}

/// The instructions that a profile counted; none is a broken row, not a cheap one.
fn sum(profile: &str) -> Option<f64> {
    let line = profile.lines().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok().filter(|sum| *sum > 0.0)
}

/// Compiler and C library.
pub(super) fn made_with() -> Result<String> {
    let compiler = child::read(Command::new("rustc").arg("--version").current_dir(root::root()))?;
    let compiler = compiler.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let library = child::read(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_default();
    let library = library.trim();
    Ok(format!("{compiler}, {}", if library.is_empty() { "another C library" } else { library }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_calls_is_not_its_own() {
        let profile = "events: Ir\n\nfl=a.rs\nfn=outer\n16 400\ncfn=inner\ncalls=2 8\n+1 900\n+2 30\n\nfn=inner\n8 900\n\nfn=outer\n* 5\n";
        assert_eq!(functions(profile), [("inner".to_owned(), 900.0), ("outer".to_owned(), 435.0)]);
    }

    #[test]
    fn a_profile_has_a_sum() {
        let profile =
            "# callgrind format\nevents: Ir\nsummary: 258308\n\nfn=(1) main\n16 400\n\ntotals: 258308\n";
        assert_eq!(sum(profile), Some(258_308.0));
        assert_eq!(sum("events: Ir\ntotals: 0\n"), None);
        assert_eq!(sum("events: Ir\n"), None);
    }
}
