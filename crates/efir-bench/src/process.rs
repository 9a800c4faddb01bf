//! What /proc tells of a process: its CPU time, its memory, its open files.

use std::time::Duration;

use anyhow::{Context, Result};

use super::system;

/// CPU time of a process since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: Duration,
    pub system: Duration,
}

impl Cpu {
    /// # Errors
    /// When there is no such process.
    pub fn of(process: u32) -> Result<Self> {
        parse_stat(&std::fs::read_to_string(format!("/proc/{process}/stat"))?, system::ticks_per_second())
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub fn total(self) -> Duration {
        self.user + self.system
    }
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

/// How many files and sockets the process has open.
///
/// # Errors
/// When there is no such process, or it is not ours.
pub fn open_files(process: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{process}/fd"))?.count())
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
    fn our_own_process_has_memory_and_files() {
        assert!(memory(std::process::id()).unwrap() > 4096);
        assert!(open_files(std::process::id()).unwrap() > 2);
    }
}
