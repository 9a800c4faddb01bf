//! The floor: a loop that sends the same bytes to as many sockets, and does nothing else.
//!
//! Whatever a server costs beyond this is its own doing. It runs as a process of its own, pinned like the server.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use efir_bench::channels::Channels;
use efir_bench::connection::Connection;
use efir_bench::mark::{self, Mark};
use efir_bench::process::{self, Cpu};
use efir_bench::subscribers::{Seen, Subscribers};
use efir_bench::{Figures, Heard, Seat, Subscribe};

use super::fan_out::{Load, Measured};
use crate::Verdict;

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
    let mut frame = mark::blank(FRAME_BYTES);
    for number in 1.. {
        let due = Duration::from_nanos(number * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_sub(clock.elapsed()));
        // Its clock is not the reader's; latency is not this row's business.
        mark::stamp(&mut frame, &Mark { lane: 0, number, due_us: 0 });
        for mut socket in &sockets {
            if socket.write_all(&frame).is_err() {
                return Ok(Verdict::Held);
            }
        }
    }
    Ok(Verdict::Held)
}

/// No server at all: bare bytes from the loop.
#[derive(Debug)]
struct Bare;

impl Subscribe for Bare {
    fn name(&self) -> &str {
        "bare"
    }

    fn open(&self, _: &mut Seat, _: &mut Vec<u8>) {}

    fn receive(&self, _: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        Ok(heard.search(bytes))
    }

    fn joins_at_once(&self, _: &Seat) -> bool {
        true
    }
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

    let (channels, bare): (_, Arc<dyn Subscribe>) = (Arc::new(Channels::new("", 1, 1)), Arc::new(Bare));
    let mut subscribers = Subscribers::new(address, Instant::now())?;
    for number in 0..load.subscribers as u32 {
        subscribers.plan(&bare, Seat::new(Arc::clone(&channels), number, (0, 1)), 1);
    }
    subscribers.open(Duration::from_secs(20))?;
    // A second to warm up, as with the server.
    subscribers.read_up_to(&[rate + 1], Duration::from_secs(10))?;
    subscribers.seen = Seen::default();
    let (cpu, softirq, began) = (Cpu::of(sender.0.id())?, process::ksoftirqd(), Instant::now());
    while began.elapsed() < load.measured {
        subscribers.turn(Duration::from_millis(5))?;
    }
    let seen = subscribers.connections().map(Connection::next).min().unwrap_or(0);
    let mut measured = Measured::of(&Figures {
        cpu: Some(Cpu::of(sender.0.id())?.since(cpu)),
        softirq: process::ksoftirqd().saturating_sub(softirq),
        measured: began.elapsed(),
        seen: subscribers.seen.clone(),
        faults: subscribers.faults(&[seen]),
        ..Figures::default()
    })?;
    (measured.p50_us, measured.p99_us) = (0, 0);
    Ok(measured)
}
