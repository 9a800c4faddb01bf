//! Publishes marked messages: at a steady rate, or as fast as they are delivered.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{http, mark, system};

/// The payload that all measures use.
const PAYLOAD_BYTES: usize = 100;

/// When the next message is due.
#[derive(Clone, Debug)]
pub enum Pace {
    /// So many a second, each at its planned time, however late the one before was.
    PerSecond(u64),
    /// At most `ahead` messages beyond what the subscribers have had on average.
    Ahead { ahead: u64, delivered: Arc<AtomicU64>, subscribers: u64 },
}

/// A thread that publishes. Dropping it without [`Publishing::finish`] leaves it to end by itself.
#[derive(Debug)]
pub struct Publishing {
    thread: JoinHandle<Result<u64>>,
    should_stop: Arc<AtomicBool>,
}

impl Publishing {
    /// Publishes from number `first` on for `most` or until told to stop. Times are counted from `clock`.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn start(to: (SocketAddr, &str), clock: Instant, first: u64, plan: (Pace, Duration)) -> Result<Self> {
        let (address, channel) = to;
        let mut publisher = Publisher::connect(address, channel)?;
        let should_stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&should_stop);
        let thread = std::thread::spawn(move || {
            let (pace, most) = plan;
            let (start, mut number) = (clock.elapsed(), first);
            while clock.elapsed() < start + most && !stopped.load(Ordering::Relaxed) {
                let due = wait(&pace, clock, start, (number - first, number));
                publisher.publish(number, due)?;
                number += 1;
            }
            publisher.finish()?;
            Ok(number)
        });
        Ok(Self { thread, should_stop })
    }

    /// Whether everything was published.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it now; returns the number after the last one published.
    ///
    /// # Errors
    /// When the server refused a message or went away.
    pub fn finish(self) -> Result<u64> {
        self.should_stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(end) => end,
            Err(_) => bail!("the publishing thread panicked"),
        }
    }
}

/// Waits until a message is due; returns that time in µs since `clock`.
fn wait(pace: &Pace, clock: Instant, start: Duration, (nth, number): (u64, u64)) -> u64 {
    match pace {
        Pace::PerSecond(rate) => {
            let due = start + Duration::from_nanos(nth * 1_000_000_000 / rate);
            std::thread::sleep(due.saturating_sub(clock.elapsed()));
            due.as_micros() as u64
        }
        Pace::Ahead { ahead, delivered, subscribers } => {
            let deadline = Instant::now() + Duration::from_secs(2);
            let is_far = || number.saturating_sub(delivered.load(Ordering::Relaxed) / subscribers) > *ahead;
            while is_far() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
            clock.elapsed().as_micros() as u64
        }
    }
}

/// One connection on which messages are published without waiting for each answer.
#[derive(Debug)]
struct Publisher {
    socket: TcpStream,
    head: String,
    answers: Vec<u8>,
    /// Messages whose answer has not come.
    unanswered: u64,
}

impl Publisher {
    fn connect(address: SocketAddr, channel: &str) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let head = format!(
            "POST /channels/{channel} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {PAYLOAD_BYTES}\r\n\r\n"
        );
        Ok(Self { socket, head, answers: vec![0; 64 * 1024], unanswered: 0 })
    }

    fn publish(&mut self, number: u64, due_us: u64) -> Result<()> {
        self.read_answers()?;
        let request = format!("{}{}", self.head, mark::payload(number, due_us, PAYLOAD_BYTES));
        self.socket.write_all(request.as_bytes())?;
        self.unanswered += 1;
        Ok(())
    }

    /// Answers are counted, not matched: the subscribers prove what was accepted. A refusal ends the run, though.
    fn read_answers(&mut self) -> Result<()> {
        while let Some(len) = system::receive_now(&self.socket, &mut self.answers)? {
            let text = String::from_utf8_lossy(&self.answers[..len]);
            if let Some(refusal) = text.lines().find(|line| line.contains("\"action\":")) {
                bail!("a publish was refused: {refusal}");
            }
            if len == 0 {
                bail!("the server ended the publisher's connection");
            }
            // A receipt is one flat object, so each answer has one closing brace.
            let closed = text.bytes().filter(|byte| *byte == b'}').count() as u64;
            self.unanswered = self.unanswered.saturating_sub(closed);
        }
        Ok(())
    }

    /// Waits for the last answers: requests that the server has not read would be lost with the connection.
    fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.unanswered > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
            self.read_answers()?;
        }
        if self.unanswered > 0 {
            bail!("{} publishes were not answered", self.unanswered);
        }
        Ok(())
    }
}

/// The cursor at which a channel stands now.
///
/// # Errors
/// When the server does not answer with one.
pub fn cursor(address: SocketAddr, channel: &str) -> Result<String> {
    let batch: serde_json::Value =
        serde_json::from_str(&http::get(address, &format!("/channels/{channel}"))?)?;
    match batch["cursor"].as_str() {
        Some(cursor) => Ok(cursor.to_owned()),
        None => bail!("a short poll without a cursor: {batch}"),
    }
}
