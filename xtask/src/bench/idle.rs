//! What a connection costs that waits: the server's own memory (RssAnon), ten thousand at rest.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use efir_bench::connection::Transport;
use efir_bench::process;
use efir_bench::publisher::{self, Pace, Publishing};
use efir_bench::subscribers::Subscribers;

const CHANNEL: &str = "idle";

/// Bytes a connection of this transport. Short polls are over at once: theirs is a kept-alive connection between two.
pub(super) fn measure(transport: Transport, count: usize) -> Result<u64> {
    let server = super::pinned_server()?;
    let (address, clock) = (server.address(), Instant::now());
    let mut subscribers = Subscribers::new(address, CHANNEL, clock)?;
    let cursor = publisher::cursor(address, CHANNEL)?;
    let before = process::memory(server.process())?;
    subscribers.open(count, transport, (1, &cursor))?;
    // Long enough that the server has nothing left to do, shorter than a heartbeat.
    let rest = Instant::now() + Duration::from_secs(3);
    while Instant::now() < rest {
        subscribers.turn(Duration::from_millis(100))?;
    }
    let after = process::memory(server.process())?;
    if transport != Transport::ShortPoll {
        // One message to all proves that each of them was a subscriber.
        let plan = (Pace::PerSecond(1), Duration::from_millis(100));
        let end = Publishing::start((address, CHANNEL), clock, 1, plan)?;
        while !end.is_finished() {
            subscribers.turn(Duration::from_millis(5))?;
        }
        let end = end.finish()?;
        subscribers.read_up_to(end, Duration::from_secs(20))?;
        let faults = subscribers.faults(end);
        if !faults.is_none() {
            bail!("{count} idle {} connections: lost / duplicated / reordered {faults}", transport.name());
        }
    }
    if subscribers.ended > 0 {
        bail!("{} idle {} connections ended", subscribers.ended, transport.name());
    }
    Ok(after.saturating_sub(before) / count as u64)
}
