//! What a run has shown, and what is to be said of how far it can be trusted.

use std::time::Duration;

use crate::process::Cpu;
use crate::sequence::Faults;
use crate::subscribers::Seen;

/// The figures of one run. All but those of the opening are of the measured time alone.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Connections that subscribed.
    pub connections: usize,
    /// How long it took until all had joined.
    pub joined_in: Duration,
    /// Messages that were planned, and those that were published.
    pub planned: Option<u64>,
    /// See [`Figures::planned`].
    pub published: u64,
    /// How many deliveries that makes to those subscribers that stayed.
    pub expected: u64,
    /// How long was measured, up to the last message that came.
    pub measured: Duration,
    /// What subscribers saw: deliveries, latency, bytes, requests.
    pub seen: Seen,
    /// Messages that came back on publishers' own connections; the server had that work, too.
    pub echoed: u64,
    /// Lost, double, out of order, from the very first message on.
    pub faults: Faults,
    /// CPU time of the server; `None` where it cannot be seen.
    pub cpu: Option<Cpu>,
    /// CPU time of the server for taking all connections in.
    pub opening_cpu: Option<Cpu>,
    /// Memory of the server's own making before the first connection and after all had rested, in bytes.
    pub memory: Option<(u64, u64)>,
    /// The kernel's packet threads (ksoftirqd), on all cores, for whatever they did.
    pub softirq: Duration,
    /// How late messages left (µs), compared with their planned time.
    pub late: crate::histogram::Histogram,
    /// CPU time of this tool's busiest reading thread, and of the publishing one.
    pub reading: Duration,
    /// See [`Figures::reading`].
    pub publishing: Duration,
}

/// Fewer connections say little of memory: it comes in pages, and much of a server's is not theirs.
pub const MEMORY_CONNECTIONS_MIN: usize = 500;
/// The share of a core from which a thread of the tool is called busy.
const BUSY: f64 = 0.9;

impl Figures {
    /// Deliveries, those to publishers included.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.seen.delivered + self.echoed
    }

    /// Messages delivered to subscribers a second.
    #[must_use]
    pub fn delivered_per_second(&self) -> f64 {
        per(self.seen.delivered as f64, self.measured.as_secs_f64())
    }

    /// Messages published a second.
    #[must_use]
    pub fn published_per_second(&self) -> f64 {
        per(self.published as f64, self.measured.as_secs_f64())
    }

    /// CPU of the server in µs a delivered message (a published one where nobody subscribes): user, system.
    #[must_use]
    pub fn cpu_us(&self) -> Option<(f64, f64)> {
        let count = if self.deliveries() > 0 { self.deliveries() } else { self.published };
        let each = |time: Duration| per(time.as_secs_f64() * 1e6, count as f64);
        self.cpu.map(|cpu| (each(cpu.user), each(cpu.system)))
    }

    /// How much of a core the server used; 2.0 are two cores.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        self.cpu.map(|cpu| per(cpu.total().as_secs_f64(), self.measured.as_secs_f64()))
    }

    /// CPU of the server in µs for connecting and subscribing, a connection.
    #[must_use]
    pub fn opening_us(&self) -> Option<f64> {
        let cpu = self.opening_cpu.filter(|_| self.connections > 0)?;
        Some(per(cpu.total().as_secs_f64() * 1e6, self.connections as f64))
    }

    /// Memory of the server in bytes an idle connection; `None` where there are too few to tell.
    #[must_use]
    pub fn memory_each(&self) -> Option<u64> {
        let (before, after) = self.memory.filter(|_| self.connections >= MEMORY_CONNECTIONS_MIN)?;
        after.saturating_sub(before).checked_div(self.connections as u64)
    }

    /// Bytes that a delivered message took on the sockets of subscribers: in, out.
    #[must_use]
    pub fn bytes_each(&self) -> (f64, f64) {
        let count = self.seen.delivered as f64;
        (per(self.seen.bytes_in as f64, count), per(self.seen.bytes_out as f64, count))
    }

    /// Requests that subscribers sent, a delivered message.
    #[must_use]
    pub fn requests_each(&self) -> f64 {
        per(self.seen.requests as f64, self.seen.delivered as f64)
    }

    /// How many messages one read brought, on average: above 1 where the server gathers.
    #[must_use]
    pub fn messages_a_read(&self) -> f64 {
        per(self.seen.delivered as f64, self.seen.reads as f64)
    }

    /// How far the figures can be trusted: what was not as it should be, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let share = |time: Duration| per(time.as_secs_f64(), self.measured.as_secs_f64());
        if share(self.reading) > BUSY {
            warnings.push(format!(
                "A reading thread of this tool was busy {:.0} % of the time: it may have been the limit, not the server. \
                 More threads help where there are cores.",
                share(self.reading) * 100.0
            ));
        }
        if share(self.publishing) > BUSY {
            warnings.push(format!(
                "The publishing thread of this tool was busy {:.0} % of the time: it may have been the limit, not the \
                 server.",
                share(self.publishing) * 100.0
            ));
        }
        let (p50, p99) = (self.seen.latency.quantile(0.5), self.seen.latency.quantile(0.99));
        let late = self.late.quantile(0.99);
        if late > 1_000 && late > p99 / 4 {
            warnings.push(format!(
                "The publisher was behind its plan: 1 % of the messages left more than {} late. Latency counts from \
                 the plan, so that time is in it.",
                shown(late)
            ));
        }
        let turn = self.seen.turns.quantile(0.99);
        if turn > 20_000 && turn > p50 {
            warnings.push(format!(
                "What had arrived waited up to {} until this tool had read what lay before it; latency holds that \
                 time.",
                shown(turn)
            ));
        }
        if let Some(planned) = self.planned.filter(|planned| self.published * 100 < planned * 99) {
            let published = self.published;
            warnings
                .push(format!("Only {published} of {planned} planned messages could be published in time."));
        }
        if self.seen.ended > 0 {
            let why = self.seen.why.as_deref().unwrap_or_default();
            warnings.push(format!("{} connections ended: {why}", self.seen.ended));
        }
        warnings
    }
}

/// A time in words: from µs.
fn shown(us: u64) -> String {
    match us {
        0..100_000 => format!("{:.1} ms", us as f64 / 1e3),
        100_000..1_000_000 => format!("{} ms", us / 1000),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn per(value: f64, count: f64) -> f64 {
    if count > 0.0 { value / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_tool_and_a_late_publisher_are_told() {
        let mut figures = Figures { measured: Duration::from_secs(10), published: 100, ..Figures::default() };
        assert!(figures.warnings().is_empty());
        figures.reading = Duration::from_millis(9_500);
        (0..100).for_each(|_| figures.late.add(5_000));
        (0..100).for_each(|_| figures.seen.latency.add(8_000));
        figures.planned = Some(1000);
        let warnings = figures.warnings().join("\n");
        assert!(warnings.contains("busy 95 %") && warnings.contains("5.0 ms late"), "{warnings}");
        assert!(warnings.contains("Only 100 of 1000"), "{warnings}");
    }

    #[test]
    fn without_subscribers_a_published_message_is_what_costs() {
        let cpu = Cpu { user: Duration::from_millis(2), system: Duration::from_millis(6) };
        let figures = Figures { published: 1000, cpu: Some(cpu), ..Figures::default() };
        assert_eq!(figures.cpu_us(), Some((2.0, 6.0)));
    }
}
