//! Publishes marked messages on several connections, by one thread: at a steady rate, or as fast as they are delivered.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::channels::Channels;
use crate::dialect::{Heard, Message, Publish, Seat};
use crate::encryption::Destination;
use crate::histogram::Histogram;
use crate::line::Line;
use crate::load::Pace;
use crate::mark::{self, Mark};
use crate::outgoing::Outgoing;
use crate::system::{self, Interest, Poll, Ready};

/// Bytes that a connection's socket may be behind before no more is put on it.
const UNSENT_MAX: usize = 256 * 1024;
/// Messages that are written at once where many are due.
const BURST: usize = 32;
/// How long nothing may move before the publisher goes on regardless, or gives up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a publisher that is behind its plan goes on after its time.
const OVERTIME: Duration = Duration::from_secs(1);
const ANSWERS_MAX: Duration = Duration::from_secs(10);

/// How much of what was published has arrived: the counters of the reading threads, and how many subscribers a message
/// has on average.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// [`crate::subscribers::Subscribers::delivered`] of each thread.
    pub delivered: Vec<Arc<AtomicU64>>,
    /// The number that the slowest subscriber of each thread waits for; looked at now and then.
    pub slowest: Vec<Arc<AtomicU64>>,
    /// 0: nobody listens.
    pub fan_out: f64,
}

impl Arrivals {
    /// Messages that have arrived everywhere, on average.
    fn messages(&self) -> Option<f64> {
        let sum: u64 = self.delivered.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        (self.fan_out > 0.0).then(|| sum as f64 / self.fan_out)
    }

    /// Whether somebody waits for a number that is more than `lag` behind `next`.
    fn is_somebody_behind(&self, next: u64, lag: u64) -> bool {
        self.slowest.iter().any(|slowest| slowest.load(Ordering::Relaxed).saturating_add(lag) < next)
    }
}

/// Connections that publish; between two runs they stay open, and numbers go on.
#[derive(Debug)]
pub struct Publishers {
    dialect: Arc<dyn Publish>,
    channels: Arc<Channels>,
    outgoing: Vec<Outgoing>,
    /// The number of the next message, by lane.
    next: Vec<u64>,
    payload: Vec<u8>,
    pipeline: u64,
    poll: Poll,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
    heard: Heard,
    clock: Instant,
    /// How late messages left (µs), where they had a planned time.
    pub late: Histogram,
    /// Messages that came back on publishers' own connections.
    pub echoed: u64,
    /// Bytes sent, and answers received.
    pub bytes_out: u64,
    /// See [`Publishers::bytes_out`].
    pub bytes_in: u64,
}

/// How many connections publish, with how much before the first answer, and how large messages are.
#[derive(Clone, Copy, Debug)]
pub struct Outfit {
    /// Connections; a dialect that binds them to channels has one a lane.
    pub count: usize,
    /// Unanswered messages a connection.
    pub pipeline: usize,
    /// Bytes a payload.
    pub payload_bytes: usize,
}

impl Publishers {
    /// Connects. Numbers begin at 1 in every lane; times are counted from `clock`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn connect(
        server: impl Into<Destination>,
        dialect: &Arc<dyn Publish>,
        channels: &Arc<Channels>,
        clock: Instant,
        outfit: Outfit,
    ) -> Result<Self> {
        let lanes = channels.lanes();
        let count = if dialect.is_bound() { lanes } else { (outfit.count.max(1) as u32).min(lanes) };
        let mut publishers = Self {
            dialect: Arc::clone(dialect),
            channels: Arc::clone(channels),
            outgoing: Vec::with_capacity(count as usize),
            next: vec![1; lanes as usize],
            payload: mark::blank(outfit.payload_bytes),
            pipeline: outfit.pipeline.max(1) as u64,
            poll: Poll::new()?,
            ready: Vec::new(),
            buffer: vec![0; 128 * 1024],
            heard: Heard::default(),
            clock,
            late: Histogram::default(),
            echoed: 0,
            bytes_out: 0,
            bytes_in: 0,
        };
        let server = server.into();
        for n in 0..count {
            publishers.connect_one(&server, n)?;
        }
        let deadline = Instant::now() + ANSWERS_MAX;
        while publishers.outgoing.iter().any(|one| !one.is_open) {
            publishers.read_answers(Duration::from_millis(50))?;
            // Some openings are a dialogue.
            publishers.flush()?;
            if Instant::now() > deadline {
                bail!("the server does not let publishers in");
            }
        }
        Ok(publishers)
    }

    fn connect_one(&mut self, server: &Destination, n: u32) -> Result<()> {
        let Destination { address, encryption } = server;
        let socket = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        let line = Line::new(socket, encryption.as_ref())?;
        self.poll.add_for(&line.socket, u64::from(n), Interest::Read)?;
        let mut seat = Seat::new(Arc::clone(&self.channels), n, (self.channels.of_lane(n), 1));
        let mut unsent = Vec::new();
        self.dialect.open(&mut seat, &mut unsent);
        let opens_by_itself = unsent.is_empty();
        let is_open = opens_by_itself && line.is_agreed();
        let (unanswered, cut) = (0, Vec::new());
        let mut one = Outgoing { line, seat, is_open, opens_by_itself, unanswered, cut, unsent, lane: n };
        self.bytes_out += one.flush()?;
        self.outgoing.push(one);
        Ok(())
    }

    /// The number after the last one published, by lane.
    #[must_use]
    pub fn ends(&self) -> &[u64] {
        &self.next
    }

    /// How many were published so far.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.next.iter().map(|next| next - 1).sum()
    }

    /// Publishes for `most` or until told to stop, in a thread of its own.
    #[must_use]
    pub fn start(self, pace: Pace, most: Duration, arrivals: Arrivals) -> Publishing {
        let (should_stop, published) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let watch =
            Watch { arrivals, should_stop: Arc::clone(&should_stop), published: Arc::clone(&published) };
        let mut publishers = self;
        let thread = std::thread::spawn(move || {
            let before = system::thread_time();
            match pace {
                Pace::PerSecond(rate) => publishers.at_rate(rate, most, &watch)?,
                Pace::FlatOut { ahead, lag } => publishers.flat_out((ahead, lag), most, &watch)?,
            }
            publishers.finish()?;
            Ok((publishers, system::thread_time().saturating_sub(before)))
        });
        Publishing { thread, should_stop, published }
    }

    fn at_rate(&mut self, rate: f64, most: Duration, watch: &Watch) -> Result<()> {
        let (start, mut nth) = (self.clock.elapsed(), 0_u64);
        let (lanes, count) = (u64::from(self.channels.lanes()), self.outgoing.len() as u64);
        loop {
            let due = start + Duration::from_secs_f64(nth as f64 / rate);
            let now = self.clock.elapsed();
            if watch.should_stop() || (due >= start + most && now >= start + most) {
                return Ok(());
            }
            // The plan ends after its whole time, not with its last message: a rate is messages over time.
            let due = due.min(start + most);
            if due > now {
                self.flush()?;
                self.poll.pause((due - now).min(Duration::from_millis(50)));
                self.read_answers(Duration::ZERO)?;
                continue;
            }
            let lane = nth % lanes;
            let n = (lane % count) as usize;
            if self.has_room(n) {
                self.publish(n, lane as u32, due)?;
                self.late.add((self.clock.elapsed() - due).as_micros() as u64);
                watch.published.fetch_add(1, Ordering::Relaxed);
                nth += 1;
                if nth.is_multiple_of(BURST as u64) {
                    self.flush()?;
                    self.read_answers(Duration::ZERO)?;
                }
            } else {
                self.flush()?;
                self.read_answers(Duration::from_millis(1))?;
                // What could not be published by then is missing in the figures.
                if self.clock.elapsed() > start + most + OVERTIME {
                    return Ok(());
                }
            }
        }
    }

    fn flat_out(&mut self, (ahead, lag): (u64, u64), most: Duration, watch: &Watch) -> Result<()> {
        let start = Instant::now();
        let (before, ahead) = (self.published(), ahead as f64 * f64::from(self.channels.len()));
        let arrived = watch.arrivals.messages();
        let (mut count, mut moved) = (0_u64, (0.0, Instant::now()));
        while start.elapsed() < most && !watch.should_stop() {
            let has_come = watch.arrivals.messages().zip(arrived).map(|(now, then)| now - then);
            if has_come.is_some_and(|come| come > moved.0) {
                moved = (has_come.unwrap_or_default(), Instant::now());
            }
            let next = self.next.first().copied().unwrap_or_default();
            let is_far = has_come.is_some_and(|come| count as f64 - come > ahead)
                || watch.arrivals.is_somebody_behind(next, lag);
            if is_far && moved.1.elapsed() < PATIENCE {
                self.poll.pause(Duration::from_micros(100));
                self.read_answers(Duration::ZERO)?;
                continue;
            }
            self.burst()?;
            let published = self.published() - before;
            if published == count {
                // All are full: an answer or room is what comes next.
                self.poll.pause(Duration::from_millis(2));
            }
            watch.published.fetch_add(published - count, Ordering::Relaxed);
            count = published;
            self.flush()?;
            self.read_answers(Duration::ZERO)?;
        }
        Ok(())
    }

    /// A few messages on each connection that has room.
    fn burst(&mut self) -> Result<()> {
        let (lanes, count) = (self.channels.lanes(), self.outgoing.len() as u32);
        for n in 0..self.outgoing.len() {
            for _ in 0..BURST {
                if !self.has_room(n) {
                    break;
                }
                let lane = self.outgoing[n].lane;
                self.publish(n, lane, self.clock.elapsed())?;
                let next = lane + count;
                self.outgoing[n].lane = if next < lanes { next } else { n as u32 };
            }
        }
        Ok(())
    }

    fn has_room(&self, n: usize) -> bool {
        let one = &self.outgoing[n];
        one.unanswered < self.pipeline && one.unsent.len() < UNSENT_MAX
    }

    fn publish(&mut self, n: usize, lane: u32, due: Duration) -> Result<()> {
        let number = &mut self.next[lane as usize];
        mark::stamp(&mut self.payload, &Mark { lane, number: *number, due_us: due.as_micros() as u64 });
        *number += 1;
        let channel = self.channels.name(self.channels.of_lane(lane));
        let one = &mut self.outgoing[n];
        self.dialect.publish(&mut one.seat, Message { channel, payload: &self.payload }, &mut one.unsent);
        one.unanswered += u64::from(self.dialect.is_answered());
        if *number >= mark::NUMBERS_MAX {
            bail!("a run has at most {} messages a channel", mark::NUMBERS_MAX);
        }
        Ok(())
    }

    /// Puts on the sockets what they take.
    fn flush(&mut self) -> Result<()> {
        for one in self.outgoing.iter_mut().filter(|one| !one.has_sent_all()) {
            self.bytes_out += one.flush()?;
        }
        Ok(())
    }

    /// Answers are counted, not matched: the subscribers prove what was accepted. A refusal ends the run, though.
    fn read_answers(&mut self, most: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait_for(most, &mut ready)?;
        for one in &ready {
            let Some(outgoing) = self.outgoing.get_mut(one.token as usize) else { continue };
            self.heard.clear();
            self.bytes_in += outgoing.receive(&*self.dialect, &mut self.buffer, &mut self.heard)? as u64;
            self.echoed += self.heard.found.len() as u64;
        }
        self.ready = ready;
        Ok(())
    }

    /// Waits for the last answers: requests that the server has not read would be lost with the connection.
    fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + ANSWERS_MAX;
        let is_done = |one: &Outgoing| one.unanswered == 0 && one.has_sent_all();
        while !self.outgoing.iter().all(is_done) {
            self.flush()?;
            self.read_answers(Duration::from_millis(1))?;
            if Instant::now() > deadline {
                let unanswered: u64 = self.outgoing.iter().map(|one| one.unanswered).sum();
                bail!("{unanswered} messages were not answered by the server");
            }
        }
        Ok(())
    }
}

/// What a publishing thread looks at.
struct Watch {
    arrivals: Arrivals,
    should_stop: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
}

impl Watch {
    fn should_stop(&self) -> bool {
        self.should_stop.load(Ordering::Relaxed)
    }
}

/// A thread that publishes. Dropping it without [`Publishing::finish`] leaves it to end by itself.
#[derive(Debug)]
pub struct Publishing {
    thread: JoinHandle<Result<(Publishers, Duration)>>,
    should_stop: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
}

impl Publishing {
    /// Whether everything was published.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells it to end soon.
    pub fn stop(&self) {
        self.should_stop.store(true, Ordering::Relaxed);
    }

    /// How many messages this thread has published until now.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Ends it now; returns its connections, and the CPU time that it took.
    ///
    /// # Errors
    /// When the server refused a message or went away.
    pub fn finish(self) -> Result<(Publishers, Duration)> {
        self.stop();
        match self.thread.join() {
            Ok(end) => end,
            Err(_) => bail!("the publishing thread panicked"),
        }
    }
}

/// The cursor at which a channel of efir stands now.
///
/// # Errors
/// When the server does not answer with one.
pub fn cursor(address: SocketAddr, channel: &str) -> Result<String> {
    let batch: serde_json::Value =
        serde_json::from_str(&crate::http::get(address, &format!("/channels/{channel}"))?)?;
    match batch["cursor"].as_str() {
        Some(cursor) => Ok(cursor.to_owned()),
        None => bail!("a short poll without a cursor: {batch}"),
    }
}
