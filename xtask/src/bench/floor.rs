//! The floor: a loop that sends the same bytes to as many sockets, and does nothing else.
//!
//! Whatever a server costs beyond this is its own doing. It runs as a process of its own, pinned like the server.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::fan_out::{Load, Measured, Moment};
use crate::Verdict;
use efir_bench::connection::Transport;
use efir_bench::mark;
use efir_bench::subscribers::Subscribers;

/// About what a WebSocket frame of a 100-byte payload has: head, channel, position, time, payload.
const FRAME_BYTES: usize = 190;

/// The loop itself: takes `count` connections, then sends to each, `rate` times a second, until it is killed.
pub(super) fn send_forever(count: usize, rate: u64) -> Result<Verdict> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    let clock = Instant::now();
    for number in 1.. {
        let due = Duration::from_nanos(number * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_sub(clock.elapsed()));
        // Its clock is not the reader's; latency is not this row's business.
        let frame = mark::payload(number, 0, FRAME_BYTES);
        for mut socket in &sockets {
            if socket.write_all(frame.as_bytes()).is_err() {
                return Ok(Verdict::Held);
            }
        }
    }
    Ok(Verdict::Held)
}

/// Ends the loop when the measure is over, however it is over.
struct Loop(Child);

impl Drop for Loop {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Measures it as a server is measured.
pub(super) fn measure(tool: &Path, load: Load) -> Result<Measured> {
    let Some(rate) = load.rate else { bail!("the floor has a rate") };
    let count = load.subscribers.to_string();
    let mut command = Command::new(tool);
    command.args(["bench", "floor", &count, &rate.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut sender = super::on_server_core(|| Ok(Loop(command.spawn()?)))?;
    let mut line = String::new();
    BufReader::new(sender.0.stdout.take().context("no output")?).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;

    let mut subscribers = Subscribers::new(address, "", Instant::now())?;
    subscribers.open(load.subscribers, Transport::Raw, (1, ""))?;
    // A second to warm up, as with the server.
    subscribers.read_up_to(rate + 1, Duration::from_secs(10))?;
    let begin = Moment::now(sender.0.id(), &subscribers)?;
    let seconds = Instant::now() + load.measured;
    while Instant::now() < seconds {
        subscribers.turn(Duration::from_millis(5))?;
    }
    let done = Moment::now(sender.0.id(), &subscribers)?;
    let seen = subscribers.connections().map(|connection| connection.sequence.next()).min().unwrap_or(0);
    let mut measured = begin.until(&done, &subscribers, subscribers.faults(seen))?;
    (measured.p50_us, measured.p99_us) = (0, 0);
    Ok(measured)
}
