//! Stages that run beside the others, one after the other: each is a run of this program for that stage alone, whose output is
//! kept and shown whole when the stage is over. Knows nothing of what stages do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::root::target;
use crate::tally::Tally;

/// The title under which a run sums up; what stands before it is the output of the stage.
pub(super) const SUM: &str = "=== stages";
/// What precedes a line that the end of a run repeats.
pub(super) const NOTE: &str = "note: ";

/// Stages on their way.
pub(super) struct Beside {
    ended: Receiver<Ended>,
}

/// A stage that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: &'static str,
    pub(super) output: String,
    pub(super) tally: Tally,
    pub(super) notes: Vec<String>,
    pub(super) took: Duration,
}

impl Beside {
    /// Begins with the first of them.
    ///
    /// # Errors
    /// When there is no room for what they say.
    pub(super) fn begin(names: Vec<&'static str>) -> Result<Self> {
        let folder = target().join("beside");
        fs::create_dir_all(&folder)?;
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || run(&names, &folder, &sender));
        Ok(Self { ended })
    }

    /// The next one that is over already.
    pub(super) fn over(&self) -> Option<Ended> {
        self.ended.try_recv().ok()
    }

    /// The next one, whenever it is over; none is left after the last.
    pub(super) fn next(&self) -> Option<Ended> {
        self.ended.recv().ok()
    }
}

fn run(names: &[&'static str], folder: &Path, ended: &Sender<Ended>) {
    for name in names {
        let start = Instant::now();
        let one = match one(name, folder) {
            Ok((status, output)) => Ended::read(name, output, status),
            Err(error) => Ended::without_sum(name, String::new(), &format!("{error:#}")),
        };
        if ended.send(Ended { took: start.elapsed(), ..one }).is_err() {
            return;
        }
    }
}

/// The file of this program may have been built anew meanwhile; the kernel still has the one that runs.
const OURSELVES: &str = "/proc/self/exe";

fn one(name: &str, folder: &Path) -> Result<(ExitStatus, String)> {
    let file: PathBuf = folder.join(format!("{name}.txt"));
    let output = File::create(&file).with_context(|| file.display().to_string())?;
    let mut command = Command::new(OURSELVES);
    command.args(["test", name]).stdout(output.try_clone()?).stderr(output);
    let status = command.status().context("starting this program once more")?;
    Ok((status, String::from_utf8_lossy(&fs::read(&file)?).into_owned()))
}

impl Ended {
    /// Takes apart what a run for one stage printed.
    fn read(name: &'static str, output: String, status: ExitStatus) -> Self {
        let sum = output.rsplit_once(SUM).and_then(|(before, sum)| Some((before, sum, Tally::closing(sum)?)));
        let Some((before, sum, mut tally)) = sum else {
            return Self::without_sum(name, output, &format!("ended with {status} and no sum"));
        };
        let mut notes: Vec<String> =
            sum.lines().filter_map(|line| line.strip_prefix(NOTE)).map(str::to_owned).collect();
        if !status.success() && tally.failed == 0 {
            notes.push(format!("{name}: ended with {status}"));
            tally.failed = 1;
        }
        Self { name, output: before.to_owned(), tally, notes, took: Duration::ZERO }
    }

    fn without_sum(name: &'static str, output: String, why: &str) -> Self {
        let notes = vec![format!("{name}: {why}")];
        Self { name, output, tally: Tally::one(false), notes, took: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn read(output: &str, code: i32) -> Ended {
        Ended::read("one", output.to_owned(), ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn output_and_sum_are_told_apart() {
        let text = "\n=== one\nnote: of the stage\n\n=== stages\none 0.1 min   2 passed, 1 failed\nnote: kept\n\n\
                    2 passed, 1 failed, 3 skipped\n";
        let ended = read(text, 1);
        assert_eq!(ended.tally, Tally { passed: 2, failed: 1, skipped: 3 });
        assert_eq!(ended.notes, ["kept"]);
        assert_eq!(ended.output, "\n=== one\nnote: of the stage\n\n");
    }

    #[test]
    fn a_run_without_a_sum_has_failed() {
        for (text, code) in [("=== one\nkilled", 9), ("", 0), ("=== stages\nnothing\n", 0)] {
            let ended = read(text, code);
            assert_eq!((ended.tally, ended.output.as_str()), (Tally::one(false), text));
            assert_eq!(ended.notes.len(), 1, "{text}");
        }
    }

    #[test]
    fn a_run_that_fails_and_counts_no_failure_has_one() {
        assert_eq!(read("=== stages\n\n2 passed, 0 failed\n", 0).tally.failed, 0);
        let ended = read("=== stages\n\n2 passed, 0 failed\n", 1);
        assert_eq!((ended.tally.passed, ended.tally.failed, ended.notes.len()), (2, 1, 1));
    }
}
