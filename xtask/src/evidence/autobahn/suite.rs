//! The suite: the cases of Autobahn's TestSuite as kosoku runs them, in an environment of its own, and what it says of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{child, install, root};

const PACKAGE: &str = "kosoku";
pub(super) const VERSION: &str = "0.1.0";
/// Cases that run at once: most of the time of one is on one core.
const AT_ONCE: &str = "4";
/// How long it may take to write its report down.
const END_MAX: Duration = Duration::from_secs(20);

/// The suite, ready to run.
pub(super) struct Suite {
    program: PathBuf,
}

/// What the suite says of one case: of the messages, and of how the connection ended.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Case {
    behavior: String,
    #[serde(rename = "behaviorClose")]
    behavior_close: String,
    /// The file that says why.
    #[serde(rename = "reportfile")]
    report: String,
}

/// What that file says.
#[derive(Deserialize)]
struct Report {
    result: String,
}

/// So begins what the suite says of a case for which it would not wait any longer.
const LATE: &str = "Case did not finish";

/// All cases of a run by their numbers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    cases: BTreeMap<String, Case>,
    pub(super) took: Duration,
}

impl Suite {
    /// Installs it where it is missing.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub(super) fn find() -> Result<Self> {
        Ok(Self { program: install::from_pypi(PACKAGE, VERSION)?.join(PACKAGE) })
    }

    /// Lets it connect to a server and try these cases.
    ///
    /// # Errors
    /// When it does not run to its end.
    pub(super) fn of_server(&self, address: SocketAddr, cases: &[String]) -> Result<Seen> {
        let began = Instant::now();
        let first = folder("server")?;
        let mut seen = self.tried(address, cases, (&first, AT_ONCE))?;
        let late = seen.late(&first)?;
        if !late.is_empty() {
            println!("tried again, one at a time: {}", late.join(" "));
            seen.cases.extend(self.tried(address, &late, (&folder("server-again")?, "1"))?.cases);
        }
        seen.took = began.elapsed();
        Ok(seen)
    }

    /// `way` is where the report goes, and how many cases run at once.
    fn tried(&self, address: SocketAddr, cases: &[String], way: (&Path, &str)) -> Result<Seen> {
        let mut command = self.command(way.0, cases);
        command.args(["--mode", "fuzzingclient", "--parallelism", way.1, &format!("ws://{address}")]);
        // It ends with a failure where a case failed; which ones, the report says.
        child::run(&mut command)?;
        Seen::read(way.0, Duration::ZERO)
    }

    /// Lets a client connect to it, which tries these cases one after the other.
    ///
    /// # Errors
    /// When it does not run to its end.
    pub(super) fn of_client(&self, client: &Path, cases: &[String]) -> Result<Seen> {
        let folder = folder("client")?;
        let mut command = self.command(&folder, cases);
        command.args(["--mode", "fuzzingserver", "ws://127.0.0.1:0"]);
        let mut listening = Listening::start(&mut command)?;
        let began = Instant::now();
        child::run(Command::new(client).arg(listening.address.to_string()))?;
        let took = began.elapsed();
        listening.until_it_ends()?;
        Seen::read(&folder, took)
    }

    fn command(&self, folder: &Path, cases: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--outdir").arg(folder);
        for case in cases {
            command.args(["--include", case]);
        }
        command
    }
}

/// The suite as a server; ended when it is dropped.
struct Listening {
    child: Child,
    address: SocketAddr,
    /// What it says, so that it is never in want of somebody who listens.
    said: Lines<BufReader<ChildStderr>>,
}

impl Listening {
    /// Starts it and waits for the line that tells where it listens.
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stderr.take().context("the suite is silent")?).lines();
        let line = said.find_map(|line| line.ok().filter(|line| line.contains("ws://"))).unwrap_or_default();
        let address = line.rsplit("ws://").next().and_then(|address| address.trim().parse().ok());
        match address {
            Some(address) => Ok(Self { child, address, said }),
            None => bail!("the suite does not listen: {}", child.wait()?),
        }
    }

    fn until_it_ends(&mut self) -> Result<()> {
        let deadline = Instant::now() + END_MAX;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the suite waits for more cases");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.said.by_ref().map_while(Result::ok).for_each(|line| println!("{line}"));
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An empty folder for a report.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = root::target().join("autobahn").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

impl Seen {
    fn read(folder: &Path, took: Duration) -> Result<Self> {
        let text = std::fs::read_to_string(folder.join("index.json")).context("the suite left no report")?;
        let agents: BTreeMap<String, BTreeMap<String, Case>> = serde_json::from_str(&text)?;
        // One agent is tried at a time; whoever looks whether the suite listens is none.
        let cases = agents.into_values().flatten().collect();
        Ok(Self { cases, took })
    }

    /// How many cases ended so.
    pub(super) fn count(&self, behavior: &str) -> usize {
        self.cases.values().filter(|case| case.behavior == behavior).count()
    }

    pub(super) fn len(&self) -> usize {
        self.cases.len()
    }

    /// The cases that the suite gave up after 25 s of the wall's clock, in which a machine with other work may not get through its largest.
    fn late(&self, folder: &Path) -> Result<Vec<String>> {
        let mut late = Vec::new();
        for (number, case) in self.cases.iter().filter(|(_, case)| !case.is_as_it_should_be()) {
            let report: Report = serde_json::from_slice(&std::fs::read(folder.join(&case.report))?)?;
            if report.result.starts_with(LATE) {
                late.push(number.clone());
            }
        }
        Ok(late)
    }

    /// The cases that are not as they should be, with what the suite says of them.
    pub(super) fn odd(&self) -> Vec<String> {
        let odd = self.cases.iter().filter(|(_, case)| !case.is_as_it_should_be());
        odd.map(|(number, case)| format!("{number} {} / {}", case.behavior, case.behavior_close)).collect()
    }
}

impl Case {
    /// `INFORMATIONAL` are cases for which the standard leaves open what is to happen.
    fn is_as_it_should_be(&self) -> bool {
        [&self.behavior, &self.behavior_close]
            .iter()
            .all(|verdict| ["OK", "INFORMATIONAL"].contains(&verdict.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_strict_or_ends_uncleanly_is_odd() {
        let case = |behavior: &str, behavior_close: &str| Case {
            behavior: behavior.to_owned(),
            behavior_close: behavior_close.to_owned(),
            report: String::new(),
        };
        let cases = [
            ("1.1.1", case("OK", "OK")),
            ("6.4.1", case("NON-STRICT", "OK")),
            ("7.1.6", case("INFORMATIONAL", "INFORMATIONAL")),
            ("7.5.1", case("OK", "WRONG CODE")),
        ];
        let cases = cases.into_iter().map(|(number, case)| (number.to_owned(), case)).collect();
        let seen = Seen { cases, took: Duration::ZERO };
        assert_eq!(seen.odd(), ["6.4.1 NON-STRICT / OK", "7.5.1 OK / WRONG CODE"]);
        assert_eq!((seen.len(), seen.count("OK"), seen.count("FAILED")), (4, 2, 0));
    }
}
