//! The systemd unit of `packaging/`: how much it leaves open, by systemd's own score, and whether efir gets along with the system calls
//! that it lets through.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use efir_bench::http::get;

use crate::child;
use crate::install::is_present;
use crate::root::{debug_efir, root, target};
use crate::server::{Server, free_port};
use crate::tally::Tally;

const UNIT: &str = "packaging/efir.service";
/// What lets the unit listen below 1024.
const LOW_PORTS: &str = "packaging/efir-low-ports.conf";
/// The most that either may score; 0 is nothing to attack, 10 no protection at all.
const EXPOSURE_MAX: f64 = 1.5;

/// Scores the unit with and without its addition, and runs a server that is built already under strace.
///
/// # Errors
/// When the unit cannot be read or a program says something unheard of.
pub(crate) fn report() -> Result<(Tally, Vec<String>)> {
    let (mut tally, mut notes) = (Tally::default(), Vec::new());
    if !is_present("systemd-analyze") {
        notes.push("not run: systemd-analyze is not installed".to_owned());
        tally.skipped += 1;
        return Ok((tally, notes));
    }
    let unit = std::fs::read_to_string(root().join(UNIT)).context(UNIT)?;
    let addition = std::fs::read_to_string(root().join(LOW_PORTS)).context(LOW_PORTS)?;
    for (name, text) in
        [("efir.service", unit.clone()), ("with efir-low-ports.conf", format!("{unit}\n{addition}"))]
    {
        let exposure = exposure(&text)?;
        notes.push(format!("systemd's exposure level of {name}: {exposure}, at most {EXPOSURE_MAX}"));
        tally += Tally::one(exposure <= EXPOSURE_MAX);
    }
    if is_present("strace") {
        let used = calls_of(&debug_efir())?;
        let allowed = allowed(&unit)?;
        let refused: Vec<&String> = used.difference(&allowed).collect();
        notes.push(format!("system calls: {} used, refused by the unit: {refused:?}", used.len()));
        tally += Tally::one(refused.is_empty() && !used.is_empty());
    } else {
        notes.push("not run: strace is not installed".to_owned());
        tally.skipped += 1;
    }
    Ok((tally, notes))
}

fn exposure(text: &str) -> Result<f64> {
    let folder = target().join("hardening");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("efir.service");
    std::fs::write(&file, text)?;
    let mut command = Command::new("systemd-analyze");
    let said = child::read(command.args(["security", "--offline=true", "--no-pager"]).arg(&file))?;
    level(&said).with_context(|| format!("no exposure level in {said:?}"))
}

/// The number in `→ Overall exposure level for efir.service: 1.1 OK`.
fn level(said: &str) -> Option<f64> {
    let (_, rest) = said.rsplit_once("Overall exposure level for ")?;
    rest.split_once(": ")?.1.split_whitespace().next()?.parse().ok()
}

/// The system calls that the unit lets through.
fn allowed(unit: &str) -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (is_denied, words) = line.strip_prefix('~').map_or((false, line), |words| (true, words));
        for word in words.split_whitespace() {
            let calls = group(word)?;
            if is_denied {
                allowed.retain(|call| !calls.contains(call));
            } else {
                allowed.extend(calls);
            }
        }
    }
    ensure!(!allowed.is_empty(), "{UNIT} has no SystemCallFilter");
    Ok(allowed)
}

/// The calls of a group such as `@system-service`; a call is its own group.
fn group(name: &str) -> Result<BTreeSet<String>> {
    if !name.starts_with('@') {
        return Ok([name.to_owned()].into());
    }
    let said = child::read(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]))?;
    let mut calls = BTreeSet::new();
    for word in said.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        calls.extend(group(word)?);
    }
    Ok(calls)
}

/// The system calls of a server that starts, answers, publishes, and ends in good order.
fn calls_of(binary: &Path) -> Result<BTreeSet<String>> {
    let trace = target().join("hardening/trace");
    let mut command = Command::new("strace");
    command.args(["--daemonize", "--follow-forks", "--signal=none", "--output"]).arg(&trace).arg(binary);
    let server = Server::start_by(command, &[], free_port()?)?;
    let url = server.url();
    for path in ["/", "/channels/trace?after=start", "/channels/trace?wait=1"] {
        drop(get(server.address(), path));
    }
    let publish = |command: &mut Command| command.args(["publish", "--url", &url, "trace", "text"]).output();
    ensure!(publish(&mut Command::new(binary))?.status.success(), "publishing failed");
    server.terminate()?;
    // The tracer writes on for a moment.
    let mut text = String::new();
    for _ in 0..200 {
        text = std::fs::read_to_string(&trace)?;
        if text.contains("exit_group(") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    ensure!(text.contains("exit_group("), "strace did not see the end of the server");
    Ok(text.lines().filter_map(call).map(str::to_owned).collect())
}

/// The name in a line of strace: `4711 openat(AT_FDCWD, …`.
fn call(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches(|digit: char| digit.is_ascii_digit() || digit == ' ');
    let (name, _) = rest.split_once('(')?;
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_read() {
        assert_eq!(level("✗ NAME\n\n→ Overall exposure level for efir.service: 1.6 OK 🙂\n"), Some(1.6));
        assert_eq!(level("nothing"), None);
    }

    #[test]
    fn calls_are_read() {
        assert_eq!(call("4711 openat(AT_FDCWD, \"x\") = 3"), Some("openat"));
        assert_eq!(call("4711 +++ exited with 0 +++"), None);
        assert_eq!(call("4711 <... read resumed>) = 1"), None);
    }
}
