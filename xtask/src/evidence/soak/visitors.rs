//! Those who come once: each has a channel of its own that nobody knew before, publishes with a key and again, reads, enters two
//! channels and leaves one of them, and is gone. All answers are looked at.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use efir_bench::http;
use serde_json::Value;

/// Between two visits.
const INTERVAL: Duration = Duration::from_millis(200);
/// Streams that are open with a member at the same time: what the last ten seconds left.
const STREAMS: usize = 50;
/// How many mishaps are kept in words.
const WORDS_MAX: usize = 5;

/// A thread of visits.
pub(super) struct Visitors {
    thread: JoinHandle<Visits>,
    should_stop: Arc<AtomicBool>,
}

/// What they saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Visits {
    pub(super) done: u64,
    pub(super) wrong: u64,
    /// The first of what went wrong.
    pub(super) words: Vec<String>,
}

impl Visitors {
    /// Visits begin at once. `lobby` is a channel that others read, too.
    pub(super) fn start(server: SocketAddr, lobby: &str) -> Self {
        let should_stop = Arc::new(AtomicBool::new(false));
        let (stopped, lobby) = (Arc::clone(&should_stop), lobby.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut visits, mut streams) = (Visits::default(), VecDeque::new());
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                visits.count(visit(server, visits.done, &lobby, &mut streams));
                due += INTERVAL;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            visits
        });
        Self { thread, should_stop }
    }

    /// Ends after the visit that is under way.
    ///
    /// # Errors
    /// When the thread panicked.
    pub(super) fn finish(self) -> Result<Visits> {
        self.should_stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(visits) => Ok(visits),
            Err(_) => bail!("the visitors panicked"),
        }
    }
}

impl Visits {
    fn count(&mut self, visit: Result<()>) {
        self.done += 1;
        if let Err(error) = visit {
            self.wrong += 1;
            if self.words.len() < WORDS_MAX {
                self.words.push(format!("visit {}: {error:#}", self.done));
            }
        }
    }
}

fn visit(server: SocketAddr, number: u64, lobby: &str, streams: &mut VecDeque<TcpStream>) -> Result<()> {
    let channel = format!("/channels/soak-visit-{number}");
    let key = format!("Idempotency-Key: visit-{number}\r\n");
    let first = ask(server, ("POST", &channel), &key, "first").context("publishing")?;
    let again = ask(server, ("POST", &channel), &key, "first").context("publishing again")?;
    ensure!(first["duplicate"] == false && again["duplicate"] == true, "a key: {first}, then {again}");
    ensure!(first["position"] == again["position"], "one key, two positions: {first}, then {again}");
    ask(server, ("POST", &channel), "", "second").context("publishing without a key")?;
    let batch = ask(server, ("GET", &format!("{channel}?after=start")), "", "").context("reading")?;
    let texts: Option<Vec<&str>> =
        batch["messages"].as_array().map(|all| all.iter().filter_map(|one| one["data"].as_str()).collect());
    ensure!(texts.as_deref() == Some(&["first", "second"]), "read: {batch}");
    ensure!(batch.get("gap").is_none(), "a gap where everything is kept: {batch}");

    let member = format!("{channel}/presence?member=v{number}");
    let entered = ask(server, ("PUT", &member), "", r#"{"name":"visitor"}"#).context("entering")?;
    ensure!(entered["count"] == 1, "alone in a channel: {entered}");
    let mut stream = TcpStream::connect(server)?;
    let head =
        format!("GET /channels/{lobby}?transport=sse&member=v{number} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    streams.push_back(stream);
    if streams.len() > STREAMS {
        streams.pop_front();
    }
    // Every other one is left to run out.
    if number.is_multiple_of(2) {
        let left = ask(server, ("DELETE", &member), "", "").context("leaving")?;
        ensure!(left["count"] == 0, "nobody in a channel: {left}");
    }
    Ok(())
}

/// One request on a connection of its own.
fn ask(server: SocketAddr, (method, target): (&str, &str), headers: &str, body: &str) -> Result<Value> {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: {server}\r\nContent-Type: text/plain\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    Ok(serde_json::from_str(&http::exchange(&server.into(), &request)?)?)
}
