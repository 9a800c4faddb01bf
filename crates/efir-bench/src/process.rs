//! What /proc tells of a process: its CPU time, its memory, its open files.

use std::time::Duration;

use anyhow::{Context, Result};

use super::system;

/// CPU time of a process since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// In its own code.
    pub user: Duration,
    /// In the kernel, on its behalf.
    pub system: Duration,
}

impl Cpu {
    /// Of one process. The sum is exact (ns, where the kernel keeps schedstat); how it divides into user and system is
    /// known in ticks of usually 10 ms.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(process: u32) -> Result<Self> {
        let ticks = system::ticks_per_second();
        let cpu = parse_stat(&std::fs::read_to_string(format!("/proc/{process}/stat"))?, ticks)?;
        Ok(cpu.scaled_to(scheduled(process), ticks))
    }

    /// The same parts of an exact sum. Threads that have ended are missing in that; then the ticks are better.
    fn scaled_to(self, exact: Duration, ticks_per_second: u64) -> Self {
        let rough = self.total();
        let is_whole = exact + Duration::from_micros(3_000_000 / ticks_per_second) >= rough;
        if !is_whole || rough.is_zero() {
            return if is_whole { Self { user: Duration::ZERO, system: exact } } else { self };
        }
        let user = exact.mul_f64(self.user.as_secs_f64() / rough.as_secs_f64());
        Self { user, system: exact.saturating_sub(user) }
    }

    /// Of several processes together.
    ///
    /// # Errors
    /// When one is not there.
    pub fn of_all(processes: &[u32]) -> Result<Self> {
        processes.iter().try_fold(Self::default(), |sum, process| {
            let cpu = Self::of(*process)?;
            Ok(Self { user: sum.user + cpu.user, system: sum.system + cpu.system })
        })
    }

    /// What was used from `before` until now.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    /// Both.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

/// What the scheduler has given to the threads of a process; zero where it does not tell.
fn scheduled(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let spent = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Fields 14 and 15 (utime, stime); the name in field 2 may hold spaces and brackets.
fn parse_stat(stat: &str, ticks_per_second: u64) -> Result<Cpu> {
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Result<Duration> {
        let ticks: u64 = fields.next().context("stat is short")?.parse()?;
        Ok(Duration::from_micros(ticks * 1_000_000 / ticks_per_second))
    };
    Ok(Cpu { user: ticks()?, system: ticks()? })
}

/// Memory of the process's own making (RssAnon), in bytes.
///
/// # Errors
/// When there is no such process.
pub fn memory(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon in status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// The processes that listen on a TCP port of this machine, as far as we may look into them.
#[must_use]
pub fn listening_on(port: u16) -> Vec<u32> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables.iter().flat_map(|table| listeners(table, port)).collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.filter(|process| has_open(*process, &sockets)).collect()
}

/// Names of the sockets that listen on `port` (state 0A), as /proc/PID/fd shows them.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let end = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| {
        row.get(1).is_some_and(|local| local.ends_with(&end))
            && row.get(3).is_some_and(|state| *state == "0A")
    });
    listening.filter_map(|row| row.get(9).map(|inode| format!("socket:[{inode}]"))).collect()
}

fn has_open(process: u32, sockets: &[String]) -> bool {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let names = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    names
        .into_iter()
        .any(|name| name.to_str().is_some_and(|name| sockets.iter().any(|socket| socket == name)))
}

/// How many files and sockets the process has open.
///
/// # Errors
/// When there is no such process, or it is not ours.
pub fn open_files(process: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{process}/fd"))?.count())
}

/// How many it may have open; `None` where that cannot be seen or has no limit.
#[must_use]
pub fn open_files_max(process: u32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPU time of the kernel's own threads for network packets; time there belongs to nobody's process.
pub fn ksoftirqd() -> Duration {
    let mut total = Duration::ZERO;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        if name.starts_with("ksoftirqd") {
            total += Cpu::of(process).unwrap_or_default().total();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_strange_name() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        let cpu = parse_stat(stat, 100).unwrap();
        assert_eq!((cpu.user, cpu.system), (Duration::from_millis(2500), Duration::from_millis(500)));
    }

    #[test]
    fn an_exact_sum_is_divided_as_the_ticks_are() {
        let ms = Duration::from_millis;
        let rough = Cpu { user: ms(30), system: ms(90) };
        let exact = rough.scaled_to(ms(124), 100);
        assert_eq!((exact.user, exact.total()), (ms(31), ms(124)));
        assert_eq!(rough.scaled_to(ms(20), 100).total(), ms(120));
        assert_eq!(Cpu::default().scaled_to(ms(4), 100).total(), ms(4));
    }

    #[test]
    fn who_listens_is_found() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port), [std::process::id()]);
        drop(listener);
        assert!(listening_on(port).is_empty());
    }

    #[test]
    fn our_own_process_has_memory_and_files() {
        assert!(memory(std::process::id()).unwrap() > 4096);
        assert!(open_files(std::process::id()).unwrap() > 2);
    }
}
