//! Running other programs: their output is shown as it comes, counted, and a stage that hangs is ended.

use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::tally::Tally;

/// How a program ended, the tests that it counted, and the lines worth repeating at the end of the run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) tally: Tally,
    pub(crate) notes: Vec<String>,
}

/// No single program of a test run may take longer; one that does is ended and counts as failed.
const MINUTES_MAX: u64 = 20;

/// `cargo` itself, in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).current_dir(crate::root::root());
    command
}

/// The same at a low priority: what is tested beside it does not wait for it.
pub(crate) fn patient_cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(cargo(&[]).get_program()).args(arguments);
    command.current_dir(crate::root::root());
    command
}

/// Runs the program without standard input, shows its output and counts the tests that it reports.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn run(command: &mut Command) -> Result<Outcome> {
    run_with(command, |line, tally, _| tally.read_line(line))
}

/// The same for a program with lines of its own kind.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_with(
    command: &mut Command,
    read_line: fn(&str, &mut Tally, &mut Vec<String>),
) -> Result<Outcome> {
    println!("$ {}", shown(command));
    // A group of its own, so that its end takes its children along; with a terminal, Ctrl-C has to reach it instead.
    if !std::io::stdin().is_terminal() {
        command.process_group(0);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    let (done, ended) = mpsc::channel::<()>();
    let group = child.id();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(MINUTES_MAX * 60)) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("ended: more than {MINUTES_MAX} minutes");
            drop(Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status());
        }
    });
    let (mut tally, mut notes) = (Tally::default(), Vec::new());
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            read_line(&line, &mut tally, &mut notes);
        }
    }
    let success = child.wait()?.success();
    drop(done);
    drop(watch.join());
    Ok(Outcome { success, tally, notes })
}

/// Runs the program and returns what it prints, without showing it.
///
/// # Errors
/// When it cannot be started, fails, or prints what is not UTF-8.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("starting {}", shown(command)))?;
    anyhow::ensure!(output.status.success(), "{} ended with {}", shown(command), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_counted_and_failure_seen() {
        let outcome = run(Command::new("sh").args(["-c", "echo '# pass 7'; exit 3"])).unwrap();
        assert!(!outcome.success);
        assert_eq!(outcome.tally.passed, 7);
    }

    #[test]
    fn a_failing_program_has_no_text() {
        assert!(read(Command::new("sh").args(["-c", "echo text; exit 1"])).is_err());
        assert_eq!(read(Command::new("sh").args(["-c", "printf text"])).unwrap(), "text");
    }
}
