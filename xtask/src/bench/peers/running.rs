//! A server under measurement: started on the server's core, and ended with all its processes however the run ends.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::install;

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(10);
/// How long a server may take to end by itself.
const END_MAX: Duration = Duration::from_secs(3);

/// A running server; ended when dropped.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Running {
    /// Starts it and waits until it listens on `port`.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen in time.
    pub(super) fn start(command: &Command, port: u16) -> Result<Self> {
        let mut command = tied(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut running = Self { child, address };
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!("it ended at once: {status}");
            }
            if Instant::now() > deadline {
                bail!("it does not listen within {START_MAX:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // What it does after it has begun to listen is not the load's.
        std::thread::sleep(Duration::from_millis(200));
        Ok(running)
    }

    /// All its processes, itself first.
    pub(super) fn processes(&self) -> Vec<u32> {
        descendants(self.child.id(), &parents())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let all = self.processes();
        signal("TERM", &all[..1]);
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        // Whoever outlives its parent is still one of those that we saw under it.
        let parents = parents();
        let left: Vec<u32> = all[1..].iter().copied().filter(|process| has(&parents, *process)).collect();
        signal("KILL", &left);
    }
}

/// The same command, ended by the kernel if this tool is: a tool that is killed drops nothing.
pub(super) fn tied(command: &Command) -> Command {
    let mut tied = if install::is_present("setpriv") {
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program());
        tied
    } else {
        Command::new(command.get_program())
    };
    tied.args(command.get_args());
    tied.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    tied
}

fn signal(name: &str, processes: &[u32]) {
    if !processes.is_empty() {
        let numbers = processes.iter().map(u32::to_string);
        let mut kill = Command::new("kill");
        drop(kill.arg(format!("-{name}")).args(numbers).stderr(Stdio::null()).status());
    }
}

/// Every process of the machine with its parent.
fn parents() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.filter_map(|process| Some((process, parent(process)?))).collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn has(parents: &[(u32, u32)], process: u32) -> bool {
    parents.iter().any(|(one, _)| *one == process)
}

fn descendants(process: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![process];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(one, _)| *one));
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_found_from_its_root() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 2)];
        assert_eq!(descendants(2, &parents), [2, 3, 6, 4]);
    }

    #[test]
    fn our_own_parent_is_known() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn a_server_that_ends_at_once_is_no_server() {
        let error = Running::start(&Command::new("true"), 1).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("ended at once")));
    }

    #[test]
    fn what_a_server_started_ends_with_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & exec sleep 61"]);
        let child = command.spawn().unwrap();
        let running = Running { child, address: SocketAddr::from(([127, 0, 0, 1], 1)) };
        let deadline = Instant::now() + Duration::from_secs(5);
        while running.processes().len() < 2 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        let all = running.processes();
        drop(running);
        // Only its own child is waited for; the others end as soon as the kernel comes to it.
        let has_ended = |process: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
        };
        while !all.iter().all(has_ended) {
            assert!(Instant::now() < deadline, "{all:?} go on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
