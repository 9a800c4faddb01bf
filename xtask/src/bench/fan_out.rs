//! One channel, many subscribers: CPU a delivered message, latency, faults.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use efir_bench::connection::Transport;
use efir_bench::process::{self, Cpu};
use efir_bench::publisher::{self, Pace, Publishing};
use efir_bench::sequence::Faults;
use efir_bench::subscribers::Subscribers;

/// What is put on the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) subscribers: usize,
    pub(super) measured: Duration,
    /// Messages a second; `None`: as fast as they are delivered.
    pub(super) rate: Option<u64>,
}

/// What one run showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) user_us: f64,
    pub(super) system_us: f64,
    /// Of the kernel's own packet threads, on all cores.
    pub(super) softirq_us: f64,
    pub(super) deliveries_per_second: f64,
    /// How many messages came in one read, on average: above 1 where the server gathers.
    pub(super) per_read: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) faults: Faults,
}

/// What /proc and the subscribers show at one moment.
pub(super) struct Moment {
    cpu: Cpu,
    softirq: Duration,
    delivered: u64,
    reads: u64,
    at: Instant,
}

impl Moment {
    pub(super) fn now(process: u32, subscribers: &Subscribers) -> Result<Self> {
        Ok(Self {
            cpu: Cpu::of(process)?,
            softirq: process::ksoftirqd(),
            delivered: subscribers.delivered.load(Ordering::Relaxed),
            reads: subscribers.reads,
            at: Instant::now(),
        })
    }

    /// What happened from `self` until `end`.
    pub(super) fn until(&self, end: &Self, subscribers: &Subscribers, faults: Faults) -> Result<Measured> {
        let delivered = (end.delivered - self.delivered) as f64;
        if delivered == 0.0 {
            bail!("nothing was delivered");
        }
        let each = |time: Duration| time.as_secs_f64() * 1e6 / delivered;
        let cpu = end.cpu.since(self.cpu);
        Ok(Measured {
            user_us: each(cpu.user),
            system_us: each(cpu.system),
            softirq_us: each(end.softirq.saturating_sub(self.softirq)),
            deliveries_per_second: delivered / (end.at - self.at).as_secs_f64(),
            per_read: delivered / (end.reads - self.reads) as f64,
            p50_us: subscribers.latency.quantile(0.5),
            p99_us: subscribers.latency.quantile(0.99),
            faults,
        })
    }
}

const CHANNEL: &str = "bench";
const WARM_UP: Duration = Duration::from_secs(1);
/// Messages that may be on their way when it goes as fast as it goes; far below what a channel keeps.
const AHEAD_MAX: u64 = 500;

/// A fresh server, its subscribers on one transport, a second to warm up, then the run.
pub(super) fn measure(transport: Transport, load: Load) -> Result<Measured> {
    let server = super::pinned_server()?;
    let (address, clock) = (server.address(), Instant::now());
    let mut subscribers = Subscribers::new(address, CHANNEL, clock)?;
    let cursor = publisher::cursor(address, CHANNEL)?;
    subscribers.open(load.subscribers, transport, (1, &cursor))?;

    let pace = match load.rate {
        Some(rate) => Pace::PerSecond(rate),
        None => Pace::Ahead {
            ahead: AHEAD_MAX,
            delivered: Arc::clone(&subscribers.delivered),
            subscribers: load.subscribers as u64,
        },
    };
    let warm = publish(&mut subscribers, (address, clock), 1, (pace.clone(), WARM_UP))?;
    subscribers.latency.clear();
    let begin = Moment::now(server.process(), &subscribers)?;
    let end = publish(&mut subscribers, (address, clock), warm, (pace, load.measured))?;
    let done = Moment::now(server.process(), &subscribers)?;
    if subscribers.ended > 0 {
        let why = subscribers.why.as_deref().unwrap_or_default();
        bail!("{} {} connections ended: {why}", subscribers.ended, transport.name());
    }
    begin.until(&done, &subscribers, subscribers.faults(end))
}

/// Publishes and reads until all has arrived; returns the number after the last one.
fn publish(
    subscribers: &mut Subscribers,
    (address, clock): (SocketAddr, Instant),
    first: u64,
    plan: (Pace, Duration),
) -> Result<u64> {
    let publishing = Publishing::start((address, CHANNEL), clock, first, plan)?;
    while !publishing.is_finished() {
        subscribers.turn(Duration::from_millis(5))?;
    }
    let end = publishing.finish()?;
    subscribers.read_up_to(end, Duration::from_secs(10))?;
    Ok(end)
}
