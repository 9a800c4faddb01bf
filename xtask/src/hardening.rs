//! What `packaging/` ships. The systemd unit: how much it leaves open, by systemd's own score, and whether efir gets along with the
//! system calls that it lets through. The container: that nobody runs it as root.

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
const CONTAINER: &str = "packaging/Containerfile";
/// The most that either may score; 0 is nothing to attack, 10 no protection at all.
const EXPOSURE_MAX: f64 = 1.5;

/// Scores the unit with and without its addition, and runs a server that is built already under strace.
///
/// # Errors
/// When the unit cannot be read or a program says something unheard of.
pub(crate) fn report() -> Result<(Tally, Vec<String>)> {
    let (mut tally, mut notes) = (Tally::default(), Vec::new());
    let container = std::fs::read_to_string(root().join(CONTAINER)).context(CONTAINER)?;
    let faults = faults_of(&container);
    notes.extend(faults.iter().map(|fault| format!("{CONTAINER}: {fault}")));
    tally += Tally::one(faults.is_empty());
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

/// What a reader of container files would object to. Building it needs images of other people, and is not done here.
fn faults_of(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut faults, mut user, mut stages) = (Vec::new(), None, Vec::new());
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "FROM" => {
                let image = rest.split(' ').next().unwrap_or_default();
                let name = image.rsplit('/').next().unwrap_or_default();
                let is_stage = stages.iter().any(|stage| stage == image);
                if !is_stage && (!image.contains('/') || !name.contains(':') || name.ends_with(":latest")) {
                    faults.push(format!("{image} is no image of a named place and version"));
                }
                stages.extend(rest.split_once(" AS ").map(|(_, stage)| stage.to_owned()));
                user = None;
            }
            "USER" => user = Some(rest.to_owned()),
            "ADD" => faults.push("ADD fetches and unpacks; COPY does neither".into()),
            "ENTRYPOINT" | "CMD" if !rest.starts_with('[') => faults.push(format!("{word} runs a shell")),
            _ => {}
        }
    }
    let is_nobody =
        user.as_deref().and_then(|user| user.split(':').next()?.parse().ok()).is_some_and(|id: u32| id > 0);
    if !is_nobody {
        faults.push("USER has to be a number other than 0, which an orchestrator can check".into());
    }
    faults
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
    fn a_careless_container_is_found() {
        let good = "FROM a.io/b:1 AS build\nUSER root\nFROM build AS c\nUSER 65532:65532\nCMD [\"x\"]\n";
        assert!(faults_of(good).is_empty(), "{:?}", faults_of(good));
        for (bad, count) in [
            ("FROM debian:12\nUSER 1\n", 1),
            ("FROM a.io/b:latest\nUSER 1\n", 1),
            ("FROM a.io/b\nUSER 1\n", 1),
            ("FROM a.io/b:1\n", 1),
            ("FROM a.io/b:1\nUSER 0\n", 1),
            ("FROM a.io/b:1\nUSER root\n", 1),
            ("FROM a.io/b:1\nUSER 1\nFROM a.io/c:1\n", 1),
            ("FROM a.io/b:1\nADD x /\nUSER 1\nENTRYPOINT x\n", 2),
        ] {
            assert_eq!(faults_of(bad).len(), count, "{bad}: {:?}", faults_of(bad));
        }
    }

    #[test]
    fn calls_are_read() {
        assert_eq!(call("4711 openat(AT_FDCWD, \"x\") = 3"), Some("openat"));
        assert_eq!(call("4711 +++ exited with 0 +++"), None);
        assert_eq!(call("4711 <... read resumed>) = 1"), None);
    }
}
