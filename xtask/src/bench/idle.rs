//! What a connection costs that waits: the server's own memory (RssAnon), ten thousand at rest.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use efir_bench::efir::HttpPublisher;
use efir_bench::{Efir, Load, Pace, Target, Transport, run};

/// Bytes a connection of this transport. Short polls are over at once: theirs is a kept-alive connection between two.
pub(super) fn measure(transport: Transport, count: usize) -> Result<u64> {
    let server = super::pinned_server()?;
    let host = server.address().to_string();
    let target = Target {
        destination: server.address().into(),
        // Between two short polls there is a rest, and time for one more before all is over.
        subscribe: Arc::new(Efir::new(transport, &host).every(Duration::from_secs(8))),
        publish: Arc::new(HttpPublisher::new(&host, "")),
        processes: vec![server.process()],
    };
    // A message to all proves that each of them was a subscriber.
    let load = Load {
        subscribers: count,
        pace: Pace::PerSecond(1.0),
        // Long enough that the server has nothing left to do, shorter than a heartbeat.
        rest: Duration::from_secs(3),
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(900),
        ..Load::default()
    };
    let figures = run(&load, &target, &mut |_| ())?;
    let (faults, name) = (figures.faults, transport.name());
    // Short polls that are so far apart have not all come back when the run is over.
    if !faults.is_none() && transport != Transport::ShortPoll {
        bail!("{count} idle {name} connections: lost / duplicated / reordered {faults}");
    }
    if figures.seen.ended > 0 {
        bail!("{} idle {name} connections ended", figures.seen.ended);
    }
    let (before, after) = figures.memory.context("the server's memory could not be seen")?;
    Ok(after.saturating_sub(before) / count as u64)
}
