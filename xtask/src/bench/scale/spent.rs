//! What a stretch of time cost: CPU of the server's process, and of this tool, which must not be the bottleneck.

use std::time::{Duration, Instant};

use anyhow::Result;
use efir_bench::process::Cpu;

use super::figures::Point;

/// Above this part of its core a process has nothing to spare.
const FULL: f64 = 0.93;

/// Less CPU than this cannot be divided into user and system, which the kernel tells in ticks of usually 10 ms.
const DIVISIBLE: Duration = Duration::from_millis(150);

/// Whether the parts of this CPU time mean anything; its sum always does.
pub(crate) fn divides(cpu: Cpu) -> bool {
    cpu.total() >= DIVISIBLE
}

/// What /proc says at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    process: u32,
    at: Instant,
    server: Cpu,
    tool: Cpu,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    wall: Duration,
    server: Cpu,
    tool: Duration,
}

impl Moment {
    /// # Errors
    /// When there is no such process.
    pub(crate) fn now(process: u32) -> Result<Self> {
        let (server, tool) = (Cpu::of(process)?, Cpu::of(std::process::id())?);
        Ok(Self { process, at: Instant::now(), server, tool })
    }

    /// What was spent since.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn spent(&self) -> Result<Spent> {
        let now = Self::now(self.process)?;
        let (server, tool) = (now.server.since(self.server), now.tool.since(self.tool).total());
        Ok(Spent { wall: now.at - self.at, server, tool })
    }
}

impl Spent {
    /// CPU of the server in µs for each of `count` things.
    pub(crate) fn each_us(&self, count: u64) -> f64 {
        self.server.total().as_secs_f64() * 1e6 / count as f64
    }

    /// The user part of it, where it can be told.
    pub(crate) fn each_user_us(&self, count: u64) -> Option<f64> {
        divides(self.server).then(|| self.server.user.as_secs_f64() * 1e6 / count as f64)
    }

    pub(crate) fn a_second(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    /// Which part of a core the server took.
    pub(crate) fn server_share(&self) -> f64 {
        self.server.total().as_secs_f64() / self.wall.as_secs_f64()
    }

    /// Puts the tool's share into the point, and a note where the tool had nothing to spare but the server had.
    pub(crate) fn judge(&self, point: &mut Point) {
        point.tool_share = self.tool.as_secs_f64() / self.wall.as_secs_f64();
        if point.tool_share > FULL && self.server_share() < FULL {
            let server = self.server_share() * 100.0;
            point.notes.push(format!(
                "The tool was the bottleneck: its core was full and the server's at {server:.0} %, so rates and times are the tool's."
            ));
        }
    }
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
        assert!(spent.each_us(1) > 0.0 && spent.server_share() > 0.0);
        assert!(spent.a_second(30) <= 1_000.0);
    }

    #[test]
    fn a_tool_without_rest_beside_a_server_with_some_is_told() {
        let (wall, tool) = (Duration::from_secs(1), Duration::from_millis(950));
        let server = Cpu { user: Duration::ZERO, system: Duration::from_millis(500) };
        let mut point = Point::at(1);
        Spent { wall, server, tool }.judge(&mut point);
        assert!(point.notes[0].contains("the server's at 50 %"), "{:?}", point.notes);
        let mut point = Point::at(1);
        Spent { wall, server, tool: Duration::from_millis(500) }.judge(&mut point);
        assert!(point.notes.is_empty());
    }
}
