//! The program with libFuzzer in it: how it is built, run and asked to choose what is worth keeping. Knows no paper.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use efir_bench::process::Cpu;

use super::corpus;
use crate::child::{self, patient_cargo};
use crate::paper::grouped;
use crate::root::{root, target};

/// Longer inputs find nothing that shorter ones do not, and take longer.
const INPUT_BYTES_MAX: usize = 4096;
/// No input may take so long, or so much memory.
const INPUT_SECONDS_MAX: u64 = 10;
const MEMORY_MIB_MAX: u64 = 1024;
/// An input that is larger is not saved: some of them would fill the room of all.
const SAVED_BYTES_MAX: usize = 1024;
/// So much room has a target in the repository, as text; the smallest inputs get it.
const SAVED_TEXT_MAX: usize = 28 * 1024;

/// What a run came to.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) target: String,
    pub(super) executions: u64,
    pub(super) cpu: Duration,
    pub(super) took: Duration,
    /// Branches and comparisons that were seen, as libFuzzer counts them.
    pub(super) features: u64,
    /// Inputs under which something did not hold.
    pub(super) crashes: Vec<PathBuf>,
    success: bool,
}

impl Run {
    pub(super) fn has_held(&self) -> bool {
        self.success && self.crashes.is_empty() && self.executions > 0
    }

    #[cfg(test)]
    pub(super) fn held(target: &str, executions: u64, cpu: Duration) -> Self {
        let (target, crashes) = (target.to_owned(), Vec::new());
        Self { target, executions, cpu, took: cpu, features: 0, crashes, success: true }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, executions, cpu, took, features, .. } = self;
        let per_second = *executions as f64 / took.as_secs_f64().max(0.001);
        let verdict = if self.has_held() { "ok" } else { "FAILED" };
        write!(
            f,
            "{target:<10} {verdict:<7} {:>12} inputs, {per_second:>7.0} a second, {:>6.1} s of CPU, {features} features",
            grouped(*executions),
            cpu.as_secs_f64()
        )
    }
}

/// Builds the program. Only our own crates are built for it, and no pages: everything else is what the other tests
/// have.
///
/// # Errors
/// When that does not work.
pub(super) fn build() -> Result<PathBuf> {
    let words = ["build", "--workspace", "--bin", "fuzz", "--features", "efir-fuzz/engine"];
    let mut command = patient_cargo(&words);
    command.env("RUSTC_WORKSPACE_WRAPPER", root().join("fuzz/coverage.sh")).env("EFIR_PAGE", "plain");
    if !child::run(&mut command)?.success {
        bail!("the program with libFuzzer could not be built");
    }
    Ok(target().join("debug/fuzz"))
}

/// Throws what is saved and what can be made of it at a target for a time.
///
/// # Errors
/// When it cannot be started, or inputs cannot be read.
pub(super) fn run(binary: &Path, (name, saved): (&str, &Path), folder: &Path, time: Duration) -> Result<Run> {
    let (inputs, crashes) = (folder.join(name), folder.join(format!("{name}-crashes")));
    fs::create_dir_all(&inputs)?;
    fs::create_dir_all(&crashes)?;
    unpack(saved, &inputs)?;
    let known = listed(&crashes)?;
    let mut command = engine(binary, name);
    command.arg(&inputs).args([
        format!("-max_total_time={}", time.as_secs().max(1)),
        format!("-artifact_prefix={}/", crashes.display()),
        "-print_final_stats=1".to_owned(),
        "-use_value_profile=1".to_owned(),
    ]);
    let began = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn().context("starting libFuzzer")?;
    let said = child.stderr.take().map(|said| std::thread::spawn(|| listen(said)));
    let (success, cpu) = wait(&mut child)?;
    let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
    let crashes: Vec<_> = listed(&crashes)?.into_iter().filter(|crash| !known.contains(crash)).collect();
    if !success {
        said.tail.iter().for_each(|line| println!("{name}: {line}"));
    }
    Ok(Run {
        target: name.to_owned(),
        executions: said.executions,
        cpu,
        took: began.elapsed(),
        features: said.features,
        crashes,
        success,
    })
}

/// Keeps of all inputs those that show something that no smaller one does; returns how many bytes are saved then.
///
/// # Errors
/// When libFuzzer fails, or files cannot be written.
pub(super) fn merge(binary: &Path, (name, saved): (&str, &Path), folder: &Path) -> Result<u64> {
    let (inputs, chosen) = (folder.join(name), folder.join(format!("{name}-chosen")));
    if chosen.exists() {
        fs::remove_dir_all(&chosen)?;
    }
    fs::create_dir_all(&chosen)?;
    let mut command = engine(binary, name);
    command.args(["-merge=1", "-use_value_profile=0"]).arg(&chosen).arg(&inputs);
    let output = command.stderr(Stdio::piped()).output().context("starting libFuzzer")?;
    if !output.status.success() {
        bail!("merging {name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let mut kept = Vec::new();
    for file in listed(&chosen)? {
        kept.push(fs::read(file)?);
    }
    kept.sort_by_key(Vec::len);
    let mut room = SAVED_TEXT_MAX;
    kept.retain(|input| {
        let line = input.escape_ascii().count() + 1;
        let is_kept = input.len() <= SAVED_BYTES_MAX && line <= room;
        room -= if is_kept { line } else { 0 };
        is_kept
    });
    corpus::write(saved, &kept)?;
    Ok(fs::metadata(saved)?.len())
}

fn engine(binary: &Path, name: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "15"]).arg(binary).env("EFIR_FUZZ", name).args([
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
    ]);
    command.current_dir(target()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn unpack(saved: &Path, into: &Path) -> Result<()> {
    for (number, input) in corpus::read(saved)?.iter().enumerate() {
        fs::write(into.join(format!("saved-{number}")), input)?;
    }
    Ok(())
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Waits for the end, and looks meanwhile what it takes: afterwards nobody knows.
fn wait(child: &mut Child) -> Result<(bool, Duration)> {
    let mut cpu = Duration::ZERO;
    loop {
        if let Ok(spent) = Cpu::of(child.id()) {
            cpu = cpu.max(spent.total());
        }
        if let Some(status) = child.try_wait()? {
            return Ok((status.success(), cpu));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What libFuzzer says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    executions: u64,
    features: u64,
    /// The last lines.
    tail: Vec<String>,
}

fn listen(said: impl std::io::Read) -> Said {
    let mut heard = Said::default();
    for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
        heard.hear(&String::from_utf8_lossy(&line));
    }
    heard
}

impl Said {
    fn hear(&mut self, line: &str) {
        let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse().ok());
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = number(count).unwrap_or(self.executions);
        } else if let Some((count, rest)) = line.strip_prefix('#').and_then(|line| line.split_once('\t')) {
            // Each line counts, because one that crashes has no sum.
            self.executions = number(count).unwrap_or(self.executions);
            let features = rest.split_once("ft: ").and_then(|(_, rest)| number(rest));
            self.features = features.unwrap_or(self.features);
        }
        if self.tail.len() > 60 {
            self.tail.remove(0);
        }
        self.tail.push(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let text = "INFO: Seed: 7\n#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                    #4096\tpulse  cov: 50 ft: 61 corp: 9/99b lim: 4 exec/s: 2048 rss: 31Mb\n\
                    stat::number_of_executed_units: 5000\nstat::average_exec_per_sec:     1\n";
        let said = listen(text.as_bytes());
        assert_eq!((said.executions, said.features, said.tail.len()), (5000, 61, 5));
        assert_eq!(
            listen(&b"#17\tREDUCE cov: 1 ft: 2\n==1== ERROR: libFuzzer: deadly signal"[..]).executions,
            17
        );
    }
}
