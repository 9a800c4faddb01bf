//! Servers in a line, each the successor of the one before. Only the first is a child of this process; the others are found by who
//! started them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::server::Server;

const LOOK: Duration = Duration::from_millis(2);

/// The line; whoever stands at its end is killed when it is dropped.
pub(super) struct Line {
    first: Option<Server>,
    /// The one that serves.
    last: u32,
}

impl Line {
    pub(super) fn begin(first: Server) -> Self {
        Self { last: first.process(), first: Some(first) }
    }

    /// Upgrades, and waits until the server before has ended.
    ///
    /// # Errors
    /// There is no successor, or the one before does not end.
    pub(super) fn upgrade(&mut self, most: Duration) -> Result<()> {
        let before = self.last;
        signal(before, "USR2")?;
        let deadline = Instant::now() + most;
        while self.last == before {
            self.last = successor(before)?.unwrap_or(before);
            ensure!(Instant::now() < deadline, "the server has no successor after {most:?}");
            std::thread::sleep(LOOK);
        }
        while is_there(before) {
            ensure!(Instant::now() < deadline, "the server before does not end within {most:?}");
            ensure!(is_there(self.last), "the successor has ended");
            std::thread::sleep(LOOK);
        }
        if let Some(first) = self.first.take() {
            first.ended()?;
        }
        Ok(())
    }

    /// Ends the last one.
    ///
    /// # Errors
    /// It does not end.
    pub(super) fn end(mut self) -> Result<()> {
        if let Some(first) = self.first.take() {
            return first.terminate();
        }
        signal(self.last, "TERM")?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_there(self.last) {
            if Instant::now() > deadline {
                bail!("the last server does not end");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.first.is_none() && is_there(self.last) {
            drop(signal(self.last, "KILL"));
        }
    }
}

fn signal(process: u32, name: &str) -> Result<()> {
    let told = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status()?;
    ensure!(told.success(), "process {process} is not there");
    Ok(())
}

/// State and parent of a process; `None` where there is none.
fn standing(process: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether it runs: one that has ended may wait for somebody who asks how.
fn is_there(process: u32) -> bool {
    standing(process).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

fn successor(of: u32) -> Result<Option<u32>> {
    for entry in std::fs::read_dir("/proc").context("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if standing(process).is_some_and(|(state, parent)| parent == of && state != 'Z') {
            return Ok(Some(process));
        }
    }
    Ok(None)
}
