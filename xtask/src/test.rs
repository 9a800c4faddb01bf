//! `cargo xtask test`: everything that continuous integration runs, stage by stage, on two cores in under 25 minutes.
//!
//! A failed stage does not stop the others. The last line is the sum of all: `N passed, N failed`. Runs that take long
//! are rows of `cargo xtask evidence`. Once everything is built, stages that mostly wait run beside those that mostly
//! build ([`BESIDE`]); without `build` among them, named stages run one by one.

mod beside;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::child::{self, cargo};
use crate::root::{debug_efir, root};
use crate::tally::Tally;
use crate::{
    Verdict, backends, browsers, check, client, count, docs, evidence, faults, fuzz, hardening, install,
    proxies, supply, tidy,
};
use beside::{Beside, Ended};

/// One part of the run: its name, and what it does. Lines that the end of the run should repeat go into the report.
struct Stage {
    name: &'static str,
    run: fn(&mut Report) -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage { name: "install", run: |_| install::run() },
    Stage { name: "format", run: |report| report.one(&mut cargo(&["fmt", "--all", "--", "--check"])) },
    Stage { name: "tidy", run: |report| report.count(tidy::report()?) },
    Stage { name: "supply", run: |report| report.noted(supply::report()?) },
    Stage { name: "page", run: page },
    Stage { name: BUILD, run: build },
    Stage { name: "lints", run: lints },
    Stage { name: "fuzz", run: |report| report.noted(fuzz::quick()?) },
    Stage { name: "client", run: package },
    Stage { name: "units", run: units },
    Stage { name: "matrix", run: matrix },
    Stage { name: "proxies", run: |report| report.noted(proxies::quick()?) },
    Stage { name: "hardening", run: |report| report.noted(hardening::report()?) },
    Stage { name: "reference", run: reference },
    Stage { name: COUNT, run: counts },
    Stage { name: "examples", run: examples },
    Stage { name: "paths", run: |report| report.count(client::paths()?) },
    Stage { name: "faults", run: faulty },
    Stage { name: "evidence", run: quick_evidence },
    Stage { name: "autobahn", run: |report| report.noted(evidence::autobahn::quick(&debug_efir())?) },
    Stage { name: "browsers", run: e2e },
];

/// The stage after which others can run beside each other.
const BUILD: &str = "build";

/// What runs beside the stages after the build, in this order: nothing of it builds with cargo what others wait for. The browsers come
/// first, beside builds of low priority, which have no limits of time that a busy machine could break.
const BESIDE: &[&str] = &["browsers", "client", "paths", "examples", "faults"];

/// The stage that needs a release build of its own.
const COUNT: &str = "count";

/// The matrix is the integration test of this crate; every other crate's tests count as units.
const MATRIX: &str = "efir-testkit";

/// The tests of efir-server (`tests/operator/acme.rs`) that need an authority on this machine.
const ACME_TESTS: u64 = 3;

/// What has been seen so far.
#[derive(Default)]
struct Report {
    tally: Tally,
    notes: Vec<String>,
    rows: Vec<Row>,
    /// Whether the hot path will be counted.
    is_counting: bool,
    /// What is built for that meanwhile: stages that wait leave half of the machine to it.
    counter: Option<count::Building>,
}

struct Row {
    name: &'static str,
    took: Duration,
    tally: Tally,
    is_beside: bool,
}

impl Report {
    fn count(&mut self, tally: Tally) -> Result<()> {
        self.tally += tally;
        Ok(())
    }

    fn noted(&mut self, (tally, notes): (Tally, Vec<String>)) -> Result<()> {
        self.notes.extend(notes);
        self.count(tally)
    }

    /// A program that counts no tests of its own: it is one.
    fn one(&mut self, command: &mut Command) -> Result<()> {
        let outcome = child::run(command)?;
        self.count(Tally::one(outcome.success))
    }

    /// A test runner: what it counts, and one failure more if it failed without having counted any.
    fn many(&mut self, command: &mut Command) -> Result<()> {
        let outcome = child::run(command)?;
        self.runner(&outcome)
    }

    fn runner(&mut self, outcome: &child::Outcome) -> Result<()> {
        let mut tally = outcome.tally;
        if !outcome.success && tally.failed == 0 {
            tally.failed = 1;
        }
        if outcome.success && tally.is_empty() {
            self.notes.push("a test runner ran no test".into());
            tally.failed = 1;
        }
        self.count(tally)
    }

    fn stage(&mut self, stage: &Stage) {
        println!("\n=== {}", stage.name);
        let (start, before) = (Instant::now(), self.tally);
        if let Err(error) = (stage.run)(self) {
            println!("{}: {error:#}", stage.name);
            self.notes.push(format!("{}: {error:#}", stage.name));
            self.tally.failed += 1;
        }
        let tally = Tally {
            passed: self.tally.passed - before.passed,
            failed: self.tally.failed - before.failed,
            skipped: self.tally.skipped - before.skipped,
        };
        self.rows.push(Row { name: stage.name, took: start.elapsed(), tally, is_beside: false });
    }

    /// The chosen stages. Once everything is built, those that may run beside the others do.
    fn all(&mut self, is_chosen: impl Fn(&str) -> bool) {
        let are_beside = is_chosen(BUILD);
        let (mut beside, mut own) = (None, Vec::from_iter(STAGES));
        own.retain(|stage| is_chosen(stage.name) && !(are_beside && BESIDE.contains(&stage.name)));
        for stage in own {
            self.stage(stage);
            if stage.name == BUILD {
                beside = self.begin_beside(BESIDE.iter().copied().filter(|name| is_chosen(name)).collect());
            }
            while let Some(ended) = beside.as_ref().and_then(Beside::over) {
                self.take(ended);
            }
        }
        while let Some(ended) = beside.as_ref().and_then(Beside::next) {
            self.take(ended);
        }
    }

    fn begin_beside(&mut self, names: Vec<&'static str>) -> Option<Beside> {
        let shown = names.join(" ");
        println!("\nbeside the stages that follow, and shown when they are over: {shown}");
        let begun = Beside::begin(names);
        if let Err(error) = &begun {
            self.notes.push(format!("not run: {shown}: {error:#}"));
            self.tally.failed += 1;
        }
        begun.ok()
    }

    /// What ran beside the others is shown and counted.
    fn take(&mut self, ended: Ended) {
        print!("{}", ended.output);
        self.tally += ended.tally;
        self.notes.extend(ended.notes);
        self.rows.push(Row { name: ended.name, took: ended.took, tally: ended.tally, is_beside: true });
    }

    fn print(&self, took: Duration) {
        println!("\n{}", beside::SUM);
        for row in &self.rows {
            let place = if row.is_beside { "beside" } else { "" };
            println!("{:<10} {:>6.1} min   {place:<6}   {}", row.name, minutes(row.took), row.tally);
        }
        println!("{:<10} {:>6.1} min", "together", minutes(took));
        for note in &self.notes {
            println!("{}{note}", beside::NOTE);
        }
        println!();
        println!("{}", self.tally);
    }
}

/// Runs all stages, or those that are named.
pub(crate) fn run(names: &[String]) -> Result<Verdict> {
    if let Some(unknown) = names.iter().find(|name| !STAGES.iter().any(|stage| stage.name == **name)) {
        let known: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        bail!("there is no stage `{unknown}`; there are: {}", known.join(" "));
    }
    let start = Instant::now();
    let is_chosen = |stage: &str| names.is_empty() || names.iter().any(|name| name == stage);
    let mut report = Report { is_counting: is_chosen(COUNT), ..Report::default() };
    report.all(is_chosen);
    report.print(start.elapsed());
    Ok(if report.tally.failed == 0 { Verdict::Held } else { Verdict::Failed })
}

fn minutes(duration: Duration) -> f64 {
    duration.as_secs_f64() / 60.0
}

fn lints(report: &mut Report) -> Result<()> {
    report.one(&mut check::lints())
}

fn package(report: &mut Report) -> Result<()> {
    let (tally, notes) = client::package()?;
    report.notes.extend(notes);
    report.count(tally)
}

fn page(report: &mut Report) -> Result<()> {
    if !browsers::npm_ci("packages/ui")?.success {
        bail!("the page's packages could not be installed");
    }
    report.one(browsers::npm("packages/ui").args(["run", "check"]))?;
    report.many(browsers::npm("packages/ui").args(["test"]))?;
    report.one(browsers::npm("packages/ui").args(["run", "build"]))
}

/// Builds all that the stages after it run. Every cargo call here names the whole workspace, because another choice of
/// packages is another choice of features, and would build the libraries once more.
fn build(report: &mut Report) -> Result<()> {
    report.one(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    report.counter = report.is_counting.then(count::Building::begin).flatten();
    Ok(())
}

fn units(report: &mut Report) -> Result<()> {
    let mut arguments = vec!["test", "--workspace", "--no-fail-fast", "--lib", "--bins"];
    let (others, _) = integration_tests()?;
    for name in &others {
        arguments.extend(["--test", name]);
    }
    report.many(&mut cargo(&arguments))?;
    // The tests that need it return at once, so the runner counts them as passed.
    if !install::is_present("pebble") || !install::is_present("pebble-challtestsrv") {
        report.notes.push("not run: pebble is not installed; no certificate was ordered (ACME)".into());
        report.tally.skipped += ACME_TESTS;
        report.tally.passed = report.tally.passed.saturating_sub(ACME_TESTS);
    }
    report.many(&mut cargo(&["test", "--workspace", "--no-fail-fast", "--doc"]))
}

fn matrix(report: &mut Report) -> Result<()> {
    let (_, matrix) = integration_tests()?;
    let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
    for name in &matrix {
        arguments.extend(["--test", name]);
    }
    if matrix.is_empty() {
        bail!("{MATRIX} has no integration test");
    }
    report.many(&mut cargo(&arguments))
}

/// The names of all integration tests: those of the other crates, and those of the matrix.
fn integration_tests() -> Result<(Vec<String>, Vec<String>)> {
    let metadata = child::read(&mut cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let (mut others, mut matrix) = (Vec::new(), Vec::new());
    for package in metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default() {
        for target in package["targets"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let name = target["name"].as_str().unwrap_or_default().to_owned();
            if target["kind"][0] != "test" {
                continue;
            }
            if package["name"] == MATRIX { matrix.push(name) } else { others.push(name) }
        }
    }
    // cargo picks by name alone: a name that both have belongs to the matrix.
    others.retain(|name| !matrix.contains(name));
    Ok((others, matrix))
}

fn reference(report: &mut Report) -> Result<()> {
    let held = docs::write(true)? == Verdict::Held;
    report.count(Tally::one(held))
}

fn examples(report: &mut Report) -> Result<()> {
    let (tally, notes) = backends::run()?;
    report.notes.extend(notes);
    report.count(tally)?;
    if root().join("examples/react/package.json").exists() {
        if !browsers::npm_ci("examples/react")?.success {
            bail!("the packages of examples/react could not be installed");
        }
        report.one(browsers::npm("examples/react").args(["run", "build"]))?;
    }
    Ok(())
}

/// Needs a release build of the rows, about two minutes on two cores, which goes on since everything else is built.
fn counts(report: &mut Report) -> Result<()> {
    if let Some(counter) = report.counter.take() {
        counter.wait();
    }
    let (tally, notes) = count::report()?;
    report.notes.extend(notes);
    report.count(tally)
}

/// A small run of each row of docs/reliability.md.
fn quick_evidence(report: &mut Report) -> Result<()> {
    evidence::quick(&debug_efir(), |row, broken| {
        report.tally += Tally::one(broken.is_empty());
        report.notes.extend(broken.iter().map(|words| format!("{row}: {words}")));
    });
    Ok(())
}

/// The client behind a bad network: scenarios by name, then a thousand faults over all transports.
fn faulty(report: &mut Report) -> Result<()> {
    let (outcomes, notes) = faults::quick()?;
    report.notes.extend(notes);
    outcomes.iter().try_for_each(|outcome| report.runner(outcome))
}

fn e2e(report: &mut Report) -> Result<()> {
    if !browsers::npm_ci("e2e")?.success {
        bail!("the packages of e2e could not be installed");
    }
    let outcome = browsers::tests(&[])?;
    report.runner(&outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_that_fails_or_runs_nothing_counts_as_a_failure() {
        let mut report = Report::default();
        report.many(Command::new("sh").args(["-c", "exit 1"])).unwrap();
        report.many(Command::new("sh").args(["-c", "exit 0"])).unwrap();
        report.many(Command::new("sh").args(["-c", "echo '# pass 3'; echo '# fail 1'; exit 1"])).unwrap();
        assert_eq!(report.tally, Tally { passed: 3, failed: 3, skipped: 0 });
    }

    #[test]
    fn a_stage_that_cannot_run_fails_and_the_next_one_runs() {
        let mut report = Report::default();
        report.stage(&Stage { name: "one", run: |_| bail!("no") });
        report.stage(&Stage { name: "two", run: |report| report.count(Tally::one(true)) });
        assert_eq!(report.tally, Tally { passed: 1, failed: 1, skipped: 0 });
        assert_eq!(report.rows.len(), 2);
    }

    #[test]
    fn what_runs_beside_others_are_stages_after_the_build() {
        let place = |name: &str| STAGES.iter().position(|stage| stage.name == name);
        assert!(BESIDE.iter().all(|name| place(name) > place(BUILD)), "{BESIDE:?}");
    }

    #[test]
    fn what_ran_beside_is_counted_once() {
        let mut report = Report::default();
        let tally = Tally { passed: 3, failed: 1, skipped: 0 };
        let (output, notes) = (String::new(), vec!["why".to_owned()]);
        report.take(Ended { name: "one", output, tally, notes, took: Duration::ZERO });
        assert_eq!((report.tally, report.notes.len(), report.rows.len()), (tally, 1, 1));
    }

    #[test]
    fn an_unknown_stage_is_refused() {
        assert!(run(&["everything".to_owned()]).is_err());
    }
}
