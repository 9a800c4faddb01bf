//! The reading threads of a run: each has its share of the connections, and does what it is told between two turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::connection::Connection;
use crate::sequence::Faults;
use crate::subscribers::{Seen, Subscribers};
use crate::system;

/// After so long without a message, nothing more is expected. Longer than a short poll waits.
const QUIET: Duration = Duration::from_secs(3);

enum Command {
    /// Begin to count anew, messages due from then (µs) on.
    Count(u64),
    /// Tell what was seen since.
    Tell(Sender<Told>),
    /// Tell once everything below these numbers has come, or nothing more does.
    Await(Arc<[u64]>, Sender<()>),
    /// Tell what went wrong below these numbers, and how many messages there are.
    Judge(Arc<[u64]>, Sender<(Faults, u64)>),
}

/// What a thread tells.
pub(crate) struct Told {
    pub(crate) seen: Seen,
    /// Of the thread, since it began.
    pub(crate) cpu: Duration,
}

/// What can be seen without asking.
#[derive(Debug, Default)]
struct Shown {
    joined: AtomicUsize,
    ended: AtomicU64,
}

struct Reader {
    commands: Sender<Command>,
    thread: JoinHandle<Result<()>>,
    delivered: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
    shown: Arc<Shown>,
}

/// All of them. When dropped, the threads end and close their connections.
pub(crate) struct Readers {
    readers: Vec<Reader>,
}

impl Readers {
    /// A thread for each of these; what they have planned is opened at once.
    pub(crate) fn start(all: Vec<Subscribers>) -> Self {
        let start = |mut subscribers: Subscribers| {
            let (commands, queue) = mpsc::channel();
            let shown = Arc::new(Shown::default());
            let (delivered, seen) = (Arc::clone(&subscribers.delivered), Arc::clone(&shown));
            let slowest = Slowest::new();
            let lowest = Arc::clone(&slowest.number);
            let thread = std::thread::spawn(move || obey(&mut subscribers, &queue, &seen, slowest));
            Reader { commands, thread, delivered, slowest: lowest, shown }
        };
        Self { readers: all.into_iter().map(start).collect() }
    }

    pub(crate) fn delivered(&self) -> Vec<Arc<AtomicU64>> {
        self.readers.iter().map(|reader| Arc::clone(&reader.delivered)).collect()
    }

    pub(crate) fn slowest(&self) -> Vec<Arc<AtomicU64>> {
        self.readers.iter().map(|reader| Arc::clone(&reader.slowest)).collect()
    }

    pub(crate) fn joined(&self) -> usize {
        self.readers.iter().map(|reader| reader.shown.joined.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn ended(&self) -> u64 {
        self.readers.iter().map(|reader| reader.shown.ended.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn count_from(&mut self, due_us: u64) -> Result<()> {
        self.readers
            .iter()
            .try_for_each(|reader| reader.send(Command::Count(due_us)))
            .or_else(|()| self.failed())
    }

    /// What each thread has seen since counting began.
    pub(crate) fn tell(&mut self) -> Result<Vec<Told>> {
        self.ask(Command::Tell)
    }

    /// Waits until everything has come, or nothing more does. `meanwhile` is called several times a second.
    pub(crate) fn wait_for(&mut self, ends: &Arc<[u64]>, mut meanwhile: impl FnMut(&mut Self)) -> Result<()> {
        let (answer, answers) = mpsc::channel();
        for reader in &self.readers {
            if reader.send(Command::Await(Arc::clone(ends), answer.clone())).is_err() {
                return self.failed();
            }
        }
        drop(answer);
        let mut left = self.readers.len();
        while left > 0 {
            match answers.recv_timeout(Duration::from_millis(100)) {
                Ok(()) => left -= 1,
                Err(mpsc::RecvTimeoutError::Timeout) => meanwhile(self),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.failed(),
            }
        }
        Ok(())
    }

    /// What went wrong below these numbers, and how many messages there were for all connections together.
    pub(crate) fn judge(&mut self, ends: &Arc<[u64]>) -> Result<(Faults, u64)> {
        let all = self.ask(|answer| Command::Judge(Arc::clone(ends), answer))?;
        let (mut sum, mut owed) = (Faults::default(), 0);
        for (faults, count) in all {
            sum += faults;
            owed += count;
        }
        Ok((sum, owed))
    }

    fn ask<V>(&mut self, command: impl Fn(Sender<V>) -> Command) -> Result<Vec<V>> {
        let mut answers = Vec::with_capacity(self.readers.len());
        for n in 0..self.readers.len() {
            let (answer, coming) = mpsc::channel();
            let asked = self.readers[n].send(command(answer));
            match asked.ok().and_then(|()| coming.recv().ok()) {
                Some(value) => answers.push(value),
                None => return self.failed(),
            }
        }
        Ok(answers)
    }

    /// A thread has ended, which it only does when something is wrong: says what.
    fn failed<V>(&mut self) -> Result<V> {
        for reader in std::mem::take(&mut self.readers) {
            drop(reader.commands);
            match reader.thread.join() {
                Ok(done) => done?,
                Err(_) => bail!("a reading thread panicked"),
            }
        }
        bail!("a reading thread has ended")
    }
}

impl Reader {
    fn send(&self, command: Command) -> Result<(), ()> {
        self.commands.send(command).map_err(drop)
    }
}

fn obey(
    subscribers: &mut Subscribers,
    queue: &Receiver<Command>,
    shown: &Shown,
    mut slowest: Slowest,
) -> Result<()> {
    let mut awaited: Option<Awaited> = None;
    loop {
        subscribers.turn(Duration::from_millis(5))?;
        slowest.look(subscribers);
        shown.joined.store(subscribers.joined(), Ordering::Relaxed);
        shown.ended.store(subscribers.seen.ended, Ordering::Relaxed);
        if awaited.as_mut().is_some_and(|awaited| awaited.is_over(subscribers)) {
            awaited = None;
        }
        match queue.try_recv() {
            Ok(Command::Count(due_us)) => {
                let (ended, why) = (subscribers.seen.ended, subscribers.seen.why.take());
                subscribers.seen = Seen { ended, why, ..Seen::default() };
                subscribers.measure_from = due_us;
            }
            Ok(Command::Tell(answer)) => {
                let told = Told { seen: subscribers.seen.clone(), cpu: system::thread_time() };
                // Whoever asked may have gone.
                let _ = answer.send(told);
            }
            Ok(Command::Await(ends, answer)) => awaited = Some(Awaited::new(subscribers, ends, answer)),
            Ok(Command::Judge(ends, answer)) => {
                let _ = answer.send((subscribers.faults(&ends), subscribers.owed_count(&ends)));
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

/// Where the slowest subscriber stands. To find it takes a look at each, so it is looked for now and then.
struct Slowest {
    number: Arc<AtomicU64>,
    next: Instant,
}

/// How often, and at most which part of the time is spent on it.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const LOOK_PART: u32 = 50;

impl Slowest {
    fn new() -> Self {
        Self { number: Arc::new(AtomicU64::new(u64::MAX)), next: Instant::now() }
    }

    fn look(&mut self, subscribers: &Subscribers) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let lowest = subscribers.connections().map(Connection::next).min();
        self.number.store(lowest.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.next = now + LOOK_INTERVAL.max(now.elapsed() * LOOK_PART);
    }
}

/// Waiting for the last messages.
struct Awaited {
    ends: Arc<[u64]>,
    /// Gone once told.
    answer: Sender<()>,
    /// Messages delivered when something last came, and when that was.
    last: (u64, Instant),
}

impl Awaited {
    fn new(subscribers: &Subscribers, ends: Arc<[u64]>, answer: Sender<()>) -> Self {
        Self { ends, answer, last: (subscribers.delivered.load(Ordering::Relaxed), Instant::now()) }
    }

    fn is_over(&mut self, subscribers: &Subscribers) -> bool {
        let delivered = subscribers.delivered.load(Ordering::Relaxed);
        let has_moved = delivered != self.last.0;
        let is_quiet = self.last.1.elapsed() > QUIET;
        if has_moved {
            self.last = (delivered, Instant::now());
        }
        // Looking at all connections takes a moment, in which nothing is read: not while messages pour in.
        let is_over = is_quiet || (!has_moved && subscribers.have_all(&self.ends));
        if is_over {
            let _ = self.answer.send(());
        }
        is_over
    }
}
