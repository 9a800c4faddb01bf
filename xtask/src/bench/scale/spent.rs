//! What a stretch of time cost: CPU of the server's process, and of this tool, which must not be the bottleneck.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use efir_bench::process::Cpu;

use super::figures::Point;

/// Above this part of its core a process has nothing to spare.
const FULL: f64 = 0.93;

/// What /proc says at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    process: u32,
    at: Instant,
    server: Cpu,
    server_exact: Duration,
    tool: Cpu,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) tool: Duration,
}

impl Moment {
    /// # Errors
    /// When there is no such process.
    pub(crate) fn now(process: u32) -> Result<Self> {
        let server = Cpu::of(process)?;
        Ok(Self {
            process,
            at: Instant::now(),
            server,
            // A kernel without it leaves the coarse sum.
            server_exact: exact(process).unwrap_or(server.total()),
            tool: Cpu::of(std::process::id())?,
        })
    }

    /// What was spent since.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn spent(&self) -> Result<Spent> {
        let now = Self::now(self.process)?;
        let coarse = now.server.since(self.server);
        let total = now.server_exact.saturating_sub(self.server_exact);
        // Ticks tell the parts, the scheduler's own clock the sum, which ticks of 10 ms cannot tell of short runs.
        let part = match coarse.total() {
            Duration::ZERO => 0.0,
            both => coarse.user.as_secs_f64() / both.as_secs_f64(),
        };
        let user = total.mul_f64(part);
        Ok(Spent {
            wall: now.at - self.at,
            user,
            system: total.saturating_sub(user),
            tool: now.tool.since(self.tool).total(),
        })
    }
}

impl Spent {
    /// CPU of the server.
    pub(crate) fn total(&self) -> Duration {
        self.user + self.system
    }

    /// CPU of the server in µs for each of `count` things.
    pub(crate) fn each_us(&self, count: u64) -> f64 {
        self.total().as_secs_f64() * 1e6 / count as f64
    }

    /// The user part of it.
    pub(crate) fn each_user_us(&self, count: u64) -> f64 {
        self.user.as_secs_f64() * 1e6 / count as f64
    }

    pub(crate) fn a_second(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    /// Which part of a core the server took.
    pub(crate) fn server_share(&self) -> f64 {
        self.total().as_secs_f64() / self.wall.as_secs_f64()
    }

    /// Which part of a core this tool took.
    pub(crate) fn tool_share(&self) -> f64 {
        self.tool.as_secs_f64() / self.wall.as_secs_f64()
    }

    /// Puts the tool's share into the point, and a note where the tool had nothing to spare but the server had.
    pub(crate) fn judge(&self, point: &mut Point) {
        point.tool_share = self.tool_share();
        if self.tool_share() > FULL && self.server_share() < FULL {
            let server = self.server_share() * 100.0;
            point.notes.push(format!(
                "the tool was the bottleneck: its core was full and the server's at {server:.0} %, so rates and times are the tool's"
            ));
        }
    }
}

/// CPU time of all threads of a process to the nanosecond (proc_pid_schedstat, first field). Threads that ended are not
/// in it; the server's do not.
fn exact(process: u32) -> Result<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        total += text.split_whitespace().next().context("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_seen() {
        let before = Moment::now(std::process::id()).unwrap();
        let start = Instant::now();
        let mut sum = 0_u64;
        while start.elapsed() < Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let spent = before.spent().unwrap();
        assert!(spent.total() > Duration::ZERO);
        assert!(spent.wall >= Duration::from_millis(30));
    }
}
