//! `cargo xtask fuzz [TARGET…]`: bytes thrown at every parser by libFuzzer, from the saved inputs on. What a target is stands in
//! fuzz/; here it is built, run beside others, and what it found and took is written down. A moment of each is a stage of the tests.

mod engine;
mod spent;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::paper::grouped;
use crate::root::{root, target};
use crate::tally::Tally;
use crate::{Verdict, install};
use engine::Run;
use spent::Spent;

#[path = "../../../fuzz/src/corpus.rs"]
mod corpus;

/// How long each target is thrown at in the tests.
const QUICK: Duration = Duration::from_secs(15);
const MINUTES: u64 = 10;
/// Of all that is saved; a repository is no place for more.
const CORPUS_BYTES_MAX: u64 = 300 * 1024;

struct Plan {
    targets: Vec<String>,
    time: Duration,
    /// What was found goes into the repository.
    merges: bool,
    /// What was spent goes into the paper.
    counts: bool,
}

/// `[TARGET…] [--minutes N] [--merge]`
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let mut plan =
        Plan { targets: Vec::new(), time: Duration::from_secs(MINUTES * 60), merges: false, counts: true };
    let known = targets()?;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => {
                let minutes: f64 = words.next().context("`--minutes` needs a number")?.parse()?;
                plan.time = Duration::from_secs_f64(minutes * 60.0);
            }
            "--merge" => plan.merges = true,
            name if known.iter().any(|target| target == name) => plan.targets.push(name.to_owned()),
            other => bail!("`{other}` is no target; there are: {}", known.join(" ")),
        }
    }
    if plan.targets.is_empty() {
        plan.targets = known;
    }
    let binary = engine::build()?;
    let runs = all(&plan, &binary)?;
    let held = runs.iter().all(Run::has_held);
    Ok(if held { Verdict::Held } else { Verdict::Failed })
}

/// A moment of each target, one test each.
///
/// # Errors
/// When the program cannot be built.
pub(crate) fn quick() -> Result<(Tally, Vec<String>)> {
    let targets = targets()?;
    if !install::is_present("c++") {
        let skipped = targets.len() as u64;
        let note = "not run: c++ is not installed; libFuzzer could not be built".to_owned();
        return Ok((Tally { skipped, ..Tally::default() }, vec![note]));
    }
    let began = Instant::now();
    let binary = engine::build()?;
    let built = began.elapsed();
    let plan = Plan { targets, time: QUICK, merges: false, counts: false };
    let mut tally = Tally::default();
    let mut notes = Vec::new();
    let runs = all(&plan, &binary)?;
    for run in &runs {
        tally += Tally::one(run.has_held());
        notes.extend(run.crashes.iter().map(|crash| format!("fuzz {}: {}", run.target, crash.display())));
    }
    let executions = grouped(runs.iter().map(|run| run.executions).sum());
    notes.push(format!("fuzz: {executions} inputs; built in {} s", built.as_secs()));
    Ok((tally, notes))
}

/// The targets, by their saved inputs.
fn targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/corpus"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        targets.extend(name.strip_suffix(".txt").map(str::to_owned));
    }
    targets.sort();
    Ok(targets)
}

fn saved(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(format!("{target}.txt"))
}

/// Runs the targets, as many at once as there are cores, and prints what they came to.
fn all(plan: &Plan, binary: &std::path::Path) -> Result<Vec<Run>> {
    let folder = target().join("fuzz-inputs");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runs = Vec::new();
    for beside in plan.targets.chunks(cores) {
        let ended: Vec<Result<Run>> = std::thread::scope(|scope| {
            let begun: Vec<_> = beside
                .iter()
                .map(|name| scope.spawn(|| engine::run(binary, (name, &saved(name)), &folder, plan.time)))
                .collect();
            begun.into_iter().map(|run| run.join().unwrap_or_else(|_| bail!("a run ended badly"))).collect()
        });
        for run in ended {
            let run = run?;
            println!("{run}");
            run.crashes.iter().for_each(|crash| println!("  crash: {}", crash.display()));
            if plan.merges && run.has_held() {
                let bytes = engine::merge(binary, (&run.target, &saved(&run.target)), &folder)?;
                println!("  saved: {bytes} bytes");
            }
            if plan.counts {
                Spent::read()?.with(&run).write()?;
            }
            runs.push(run);
        }
    }
    check_size()?;
    Ok(runs)
}

fn check_size() -> Result<()> {
    let mut bytes = 0;
    for target in targets()? {
        bytes += std::fs::metadata(saved(&target))?.len();
    }
    anyhow::ensure!(bytes <= CORPUS_BYTES_MAX, "saved inputs take {bytes} bytes, at most {CORPUS_BYTES_MAX}");
    Ok(())
}
