//! Publishes numbered messages at planned times, from a thread of its own and over one kept-alive connection.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::system;

use super::number;

/// When which number is due: `rate` a second from `start` on, beginning with `first`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timetable {
    pub(crate) start: Instant,
    pub(crate) first: u64,
    pub(crate) rate: u64,
}

impl Timetable {
    pub(crate) fn due(&self, number: u64) -> Instant {
        let nth = number.saturating_sub(self.first);
        self.start + Duration::from_nanos(nth * 1_000_000_000 / self.rate)
    }
}

/// When the next message leaves.
#[derive(Clone, Debug)]
pub(crate) enum Pace {
    /// At its planned time, however late the one before was.
    Planned(Timetable),
    /// As soon as at most `ahead` messages are on their way to `readers` that count what they `delivered`.
    Ahead { ahead: u64, readers: u64, delivered: Arc<AtomicU64> },
}

/// What is published where.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    pub(crate) address: SocketAddr,
    /// The channel of message n is number n modulo their count.
    pub(crate) channels: Vec<String>,
    pub(crate) payload_bytes: usize,
}

/// The thread. It ends by itself when its time is over.
#[derive(Debug)]
pub(crate) struct Speaker {
    thread: JoinHandle<Result<u64>>,
    should_stop: Arc<AtomicBool>,
}

impl Speaker {
    /// Publishes the numbers from `first` on for at most `most`.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(crate) fn start(speech: &Speech, first: u64, pace: Pace, most: Duration) -> Result<Self> {
        let mut voice = Voice::connect(speech)?;
        let should_stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&should_stop);
        let thread = std::thread::spawn(move || {
            let (end, mut number) = (Instant::now() + most, first);
            while wait(&pace, number, end, &stopped) {
                voice.say(number)?;
                number += 1;
            }
            voice.finish()?;
            Ok(number)
        });
        Ok(Self { thread, should_stop })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it now; returns the number after the last one, all of them accepted by the server.
    ///
    /// # Errors
    /// When the server refused a message or went away.
    pub(crate) fn finish(self) -> Result<u64> {
        self.should_stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(end) => end,
            Err(_) => bail!("the publishing thread panicked"),
        }
    }
}

/// Waits until the number is due; `false` when there is nothing more to say.
fn wait(pace: &Pace, number: u64, end: Instant, stopped: &AtomicBool) -> bool {
    let is_over = || Instant::now() >= end || stopped.load(Ordering::Relaxed);
    match pace {
        Pace::Planned(timetable) => {
            let due = timetable.due(number);
            // In small pieces, so that a slow plan hears that it should stop.
            while due > Instant::now() && !is_over() {
                let left = due.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(Duration::from_millis(50)));
            }
            due < end && !stopped.load(Ordering::Relaxed)
        }
        Pace::Ahead { ahead, readers, delivered } => {
            while number.saturating_sub(delivered.load(Ordering::Relaxed) / readers) > *ahead && !is_over() {
                std::thread::sleep(Duration::from_micros(200));
            }
            !is_over()
        }
    }
}

/// One connection on which messages are published without waiting for each answer.
#[derive(Debug)]
struct Voice {
    socket: TcpStream,
    heads: Vec<String>,
    payload_bytes: usize,
    answers: Vec<u8>,
    unanswered: u64,
}

impl Voice {
    fn connect(speech: &Speech) -> Result<Self> {
        let socket = TcpStream::connect(speech.address)?;
        socket.set_nodelay(true)?;
        let len = speech.payload_bytes;
        let head = |channel: &String| {
            format!(
                "POST /channels/{channel} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n"
            )
        };
        let heads = speech.channels.iter().map(head).collect();
        Ok(Self { socket, heads, payload_bytes: len, answers: vec![0; 64 * 1024], unanswered: 0 })
    }

    fn say(&mut self, number: u64) -> Result<()> {
        self.hear()?;
        let head = &self.heads[number as usize % self.heads.len()];
        let request = format!("{head}{}", number::payload(number, self.payload_bytes));
        self.socket.write_all(request.as_bytes())?;
        self.unanswered += 1;
        Ok(())
    }

    /// Answers are counted, not matched: the readers prove what was accepted. A refusal ends the run, though.
    fn hear(&mut self) -> Result<()> {
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

    fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.unanswered > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
            self.hear()?;
        }
        if self.unanswered > 0 {
            bail!("{} publishes were not answered", self.unanswered);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_due_by_the_timetable() {
        let start = Instant::now();
        let timetable = Timetable { start, first: 11, rate: 4 };
        assert_eq!(timetable.due(11), start);
        assert_eq!(timetable.due(14), start + Duration::from_millis(750));
    }
}
