//! `cargo xtask count`: instructions of the hot path and bytes of what is held at rest, against what is written down.
//!
//! A clock on a shared machine cannot tell 5 % from noise; counted instructions can, also in continuous integration. The rows are a
//! program of `efir-transports` (`benches/instructions`); valgrind counts. `profile.rs` runs it, `held.rs` reads what is held,
//! `baseline.rs` is the paper to compare with.

mod baseline;
mod held;
mod profile;

use std::fmt::Write;
use std::process::{Child, Command};

use anyhow::{Result, bail};

use crate::Verdict;
use crate::paper::{self, grouped};
use crate::tally::Tally;
use baseline::{Baseline, Row};

/// More than this above the baseline is a regression: instructions vary with addresses and seeds by less than 2 %.
const INSTRUCTIONS_PERCENT_MAX: f64 = 5.0;
/// Allocations do not vary; what remains is the growth of shared tables.
const BYTES_PERCENT_MAX: f64 = 2.0;

/// What was counted now.
struct Counted {
    instructions: Vec<Row>,
    held: Vec<held::Held>,
    made_with: String,
}

impl Counted {
    fn bytes(&self) -> Vec<Row> {
        self.held.iter().map(|held| Row { name: held.name.clone(), value: held.bytes() }).collect()
    }
}

/// Compares; with `--accept` writes down; with the name of a row (or a part of it) tells in which functions its instructions are.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let (tally, notes) = report()?;
            notes.iter().for_each(|note| println!("{note}"));
            Ok(if tally.failed == 0 { Verdict::Held } else { Verdict::Failed })
        }
        ["--accept"] => accept().map(|()| Verdict::Held),
        [words] if !words.starts_with('-') => {
            print!("{}", profile::explain(&profile::build()?, words)?);
            Ok(Verdict::Held)
        }
        _ => bail!("cargo xtask count [--accept | ROW]"),
    }
}

/// The program with the rows, while it is built beside something else. Ended when it is dropped.
pub(crate) struct Building(Child);

impl Building {
    /// Begins; `None` where nothing is counted or nothing can be begun.
    pub(crate) fn begin() -> Option<Self> {
        if !crate::install::is_present("valgrind") {
            return None;
        }
        profile::begin_build().ok().map(Self)
    }

    /// Waits for its end. Whether it is built well shows when it is wanted.
    pub(crate) fn wait(mut self) {
        drop(self.0.wait());
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // A group of its own: cargo's children go with it.
            drop(Command::new("kill").args(["-TERM", "--", &format!("-{}", self.0.id())]).status());
            drop(self.0.wait());
        }
    }
}

/// Counts and compares: one test a row, and what the end of a run should repeat.
///
/// # Errors
/// When the program does not build or the profiler does not run.
pub(crate) fn report() -> Result<(Tally, Vec<String>)> {
    if !crate::install::is_present("valgrind") {
        let skipped = Tally { skipped: 1, ..Tally::default() };
        return Ok((skipped, vec!["not counted: valgrind is not installed".into()]));
    }
    let (counted, known) = (count()?, Baseline::read()?);
    let mut report = Comparison { is_binding: counted.made_with == known.made_with, ..Comparison::default() };
    report.compare("instructions", (&known.instructions, &counted.instructions), INSTRUCTIONS_PERCENT_MAX);
    report.compare("bytes held at rest", (&known.bytes, &counted.bytes()), BYTES_PERCENT_MAX);
    print!("{}", report.table);
    if !report.is_binding {
        let (now, then) = (counted.made_with, known.made_with);
        report.notes.push(format!("counted with {now}, the baseline with {then}: only told, not judged"));
    }
    Ok((report.tally, report.notes))
}

fn accept() -> Result<()> {
    if !crate::install::is_present("valgrind") {
        bail!("valgrind is not installed");
    }
    let counted = count()?;
    let text = held::paper(&counted.held);
    let (bytes, Counted { instructions, made_with, .. }) = (counted.bytes(), counted);
    Baseline { made_with, instructions, bytes }.write()?;
    paper::write("docs/benchmarks.md", "memory", &text)
}

fn count() -> Result<Counted> {
    let program = profile::build()?;
    Ok(Counted {
        instructions: profile::instructions(&program)?,
        held: held::count(&program)?,
        made_with: profile::made_with()?,
    })
}

/// What a comparison came to.
#[derive(Default)]
struct Comparison {
    /// Made with the same compiler as the baseline; else a difference says nothing about our code.
    is_binding: bool,
    table: String,
    tally: Tally,
    notes: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, title: &str, (known, counted): (&[Row], &[Row]), percent_max: f64) {
        self.line(&format!("{:<56} {:>9} {:>9}", title, "baseline", "now"));
        for row in counted {
            match known.iter().find(|one| one.name == row.name) {
                Some(one) => self.judge(title, (one, row), percent_max),
                None => self.fail(
                    row,
                    "–",
                    format!("{}: not in the baseline; `cargo xtask count --accept`", row.name),
                ),
            }
        }
        for gone in known.iter().filter(|one| !counted.iter().any(|row| row.name == one.name)) {
            self.fail(gone, "gone", format!("{}: in the baseline, but counted no more", gone.name));
        }
    }

    fn judge(&mut self, title: &str, (known, now): (&Row, &Row), percent_max: f64) {
        let percent = (now.value - known.value) / known.value.max(1.0) * 100.0;
        let (before, after) = (grouped(known.value as u64), grouped(now.value as u64));
        let is_over = percent > percent_max;
        let mark = match percent {
            _ if is_over => "  OVER",
            _ if percent < -percent_max => "  better: accept it",
            _ => "",
        };
        self.line(&format!("  {:<54} {before:>9} {after:>9} {percent:>+7.1} %{mark}", now.name));
        if is_over && self.is_binding {
            let most = format!("more than {percent_max} %");
            self.notes.push(format!(
                "{}: {after} {title} instead of {before}, {percent:+.1} % ({most}); make it cheaper, or say why it \
                 has to be so and run `cargo xtask count --accept`",
                now.name
            ));
        }
        self.tally += Tally::one(!(is_over && self.is_binding));
    }

    fn fail(&mut self, row: &Row, mark: &str, note: String) {
        self.line(&format!("  {:<54} {:>9} {mark:>9}", row.name, grouped(row.value as u64)));
        self.notes.push(note);
        self.tally += Tally::one(false);
    }

    fn line(&mut self, line: &str) {
        writeln!(self.table, "{line}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    fn rows(rows: &[(&str, f64)]) -> Vec<Row> {
        rows.iter().map(|(name, value)| Row { name: (*name).to_owned(), value: *value }).collect()
    }

    fn compared(is_binding: bool, known: &[(&str, f64)], now: &[(&str, f64)]) -> Comparison {
        let mut comparison = Comparison { is_binding, ..Comparison::default() };
        comparison.compare("instructions", (&rows(known), &rows(now)), 5.0);
        comparison
    }

    #[test]
    fn within_the_tolerance_all_is_well() {
        let known = [("publish", 1000.0), ("deliver", 100.0)];
        let held = compared(true, &known, &[("publish", 1049.0), ("deliver", 20.0)]);
        assert_eq!(held.tally, Tally { passed: 2, failed: 0, skipped: 0 });
        assert!(held.notes.is_empty() && held.table.contains("-80.0 %  better"), "{}", held.table);
    }

    #[test]
    fn a_regression_fails_by_name() {
        let over = compared(true, &[("publish", 1000.0)], &[("publish", 1051.0)]);
        assert_eq!(over.tally.failed, 1);
        assert!(
            over.notes[0].starts_with("publish: 1,051 instructions instead of 1,000, +5.1 %"),
            "{:?}",
            over.notes
        );
    }

    #[test]
    fn another_compiler_is_told_and_not_judged() {
        let told = compared(false, &[("publish", 1000.0)], &[("publish", 2000.0)]);
        assert_eq!(told.tally, Tally { passed: 1, failed: 0, skipped: 0 });
        assert!(told.table.contains("+100.0 %"));
    }

    #[test]
    fn what_is_built_beside_something_else_ends_with_it() {
        let mut sleep = Command::new("nice");
        sleep.args(["-n", "19", "sleep", "600"]).process_group(0);
        let building = Building(sleep.spawn().unwrap());
        let id = building.0.id();
        drop(building);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
        Building(Command::new("true").spawn().unwrap()).wait();
    }

    #[test]
    fn a_row_that_came_or_went_has_to_be_accepted() {
        let changed = compared(true, &[("old", 1.0)], &[("new", 1.0)]);
        assert_eq!((changed.tally.failed, changed.notes.len()), (2, 2));
    }
}
