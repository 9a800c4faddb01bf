//! One channel, many subscribers: CPU a delivered message, latency, faults.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use efir_bench::efir::HttpPublisher;
use efir_bench::sequence::Faults;
use efir_bench::{Efir, Figures, Pace, Target, Transport, run};

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

impl Measured {
    /// # Errors
    /// When nothing was delivered.
    pub(super) fn of(figures: &Figures) -> Result<Self> {
        let Some((user_us, system_us)) = figures.cpu_us().filter(|_| figures.deliveries() > 0) else {
            bail!("nothing was delivered");
        };
        Ok(Self {
            user_us,
            system_us,
            softirq_us: figures.softirq.as_secs_f64() * 1e6 / figures.deliveries() as f64,
            deliveries_per_second: figures.delivered_per_second(),
            per_read: figures.messages_a_read(),
            p50_us: figures.seen.latency.quantile(0.5),
            p99_us: figures.seen.latency.quantile(0.99),
            faults: figures.faults,
        })
    }
}

const PAYLOAD_BYTES: usize = 100;

/// A fresh server, its subscribers on one transport, a second to warm up, then the run.
pub(super) fn measure(transport: Transport, load: Load) -> Result<Measured> {
    let server = super::pinned_server()?;
    let host = server.address().to_string();
    let target = Target {
        destination: server.address().into(),
        subscribe: Arc::new(Efir::new(transport, &host)),
        publish: Arc::new(HttpPublisher::new(&host, "")),
        processes: vec![server.process()],
    };
    let load = efir_bench::Load {
        subscribers: load.subscribers,
        measured: load.measured,
        pace: load.rate.map_or(Pace::flat_out(PAYLOAD_BYTES), |rate| Pace::PerSecond(rate as f64)),
        payload_bytes: PAYLOAD_BYTES,
        ..efir_bench::Load::default()
    };
    let figures = run(&load, &target, &mut |_| ())?;
    for warning in figures.warnings() {
        println!("    {warning}");
    }
    if figures.seen.ended > 0 {
        bail!("{} {} connections ended", figures.seen.ended, transport.name());
    }
    Measured::of(&figures)
}
