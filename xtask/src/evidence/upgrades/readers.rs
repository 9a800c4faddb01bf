//! Readers that come back whenever a response ends, with their cursor, when the server asked them to; and what they hold against it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use efir_bench::Transport;
use serde_json::Value;

use super::reading::{self, Came};

const TRANSPORTS: [Transport; 5] =
    [Transport::Websocket, Transport::Sse, Transport::HttpStream, Transport::LongPoll, Transport::ShortPoll];
const LOOK: Duration = Duration::from_millis(10);

/// For the paper.
pub(super) fn names() -> String {
    TRANSPORTS.map(Transport::name).join(", ")
}

/// What one has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) messages: u64,
    pub(super) gaps: u64,
    /// The longest time between the end of a response and the moment when the next one had begun.
    pub(super) away: Duration,
    /// What should not have been.
    pub(super) faults: Vec<String>,
    /// Epoch and offset.
    cursor: Option<(String, u64)>,
    /// Epochs that were left by a gap.
    left: HashSet<String>,
}

/// All of them.
pub(super) struct Readers {
    threads: Vec<JoinHandle<()>>,
    seen: Vec<Arc<Mutex<Seen>>>,
    will_end: Arc<AtomicBool>,
}

impl Readers {
    /// So many on each transport.
    pub(super) fn begin(server: SocketAddr, path: &'static str, each: u32) -> Self {
        let will_end = Arc::<AtomicBool>::default();
        let (mut threads, mut all) = (Vec::new(), Vec::new());
        for number in 0..each {
            for transport in TRANSPORTS {
                let name = format!("{} {}", transport.name(), number + 1);
                let seen = Arc::new(Mutex::new(Seen { name, ..Seen::default() }));
                all.push(Arc::clone(&seen));
                let will_end = Arc::clone(&will_end);
                threads.push(std::thread::spawn(move || follow(server, (transport, path), &seen, &will_end)));
            }
        }
        Self { threads, seen: all, will_end }
    }

    /// Waits until all stand in the epoch of this position.
    ///
    /// # Errors
    /// One does not come.
    pub(super) fn until_in(&self, position: &str, most: Duration) -> Result<()> {
        let (epoch, _) = split(position).context("no position")?;
        self.until(most, |seen| seen.cursor.as_ref().is_some_and(|(own, _)| *own == epoch))
    }

    /// Waits until all stand there.
    ///
    /// # Errors
    /// One does not come.
    pub(super) fn until_at(&self, position: &str, most: Duration) -> Result<()> {
        let position = split(position).context("no position")?;
        self.until(most, |seen| seen.cursor.as_ref() == Some(&position))
    }

    fn until(&self, most: Duration, is_there: impl Fn(&Seen) -> bool) -> Result<()> {
        let deadline = Instant::now() + most;
        for seen in &self.seen {
            while !is_there(&lock(seen)) {
                ensure!(Instant::now() < deadline, "a reader is not back after {most:?}: {:?}", lock(seen));
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// From now on a server that is gone is no fault.
    pub(super) fn will_end(&self) {
        self.will_end.store(true, Ordering::Relaxed);
    }

    /// Waits for all, after the server has ended.
    ///
    /// # Errors
    /// One of them panicked.
    pub(super) fn end(self) -> Result<Vec<Seen>> {
        self.will_end();
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a reader's thread panicked"))?;
        }
        Ok(self.seen.iter().map(|seen| lock(seen).clone()).collect())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(server: SocketAddr, place: (Transport, &str), seen: &Mutex<Seen>, will_end: &AtomicBool) {
    let mut left_at: Option<Instant> = None;
    while !will_end.load(Ordering::Relaxed) {
        let cursor = lock(seen).cursor.clone().map(|(epoch, offset)| format!("{epoch}-{offset}"));
        let mut is_connected = false;
        let mut each = |came: Came| {
            let mut seen = lock(seen);
            if let Some(left_at) = left_at.take() {
                seen.away = seen.away.max(left_at.elapsed());
            }
            seen.take(came);
            Ok(())
        };
        let ended = reading::read(server, place, cursor.as_deref(), &mut is_connected, &mut each);
        left_at.get_or_insert(Instant::now());
        let back = match ended {
            Ok(back) => back,
            Err(_) if will_end.load(Ordering::Relaxed) => return,
            Err(error) => {
                let what = if is_connected { "a response broke" } else { "a connect was refused" };
                lock(seen).faults.push(format!("{what}: {error:#}"));
                Duration::from_millis(100)
            }
        };
        let due = Instant::now() + back;
        while Instant::now() < due && !will_end.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK.min(due.saturating_duration_since(Instant::now())));
        }
    }
}

/// Epoch and offset.
fn split(position: &str) -> Option<(String, u64)> {
    let (epoch, offset) = position.rsplit_once('-')?;
    Some((epoch.to_owned(), offset.parse().ok()?))
}

impl Seen {
    fn take(&mut self, came: Came) {
        match came {
            Came::Joined(cursor) if self.cursor.is_none() => self.cursor = split(&cursor),
            Came::Joined(_) => {}
            Came::Message(message) => self.take_message(&message),
            Came::Gap(gap) => self.take_gap(&gap),
            // A poll without a cursor is told where it stands.
            Came::Cursor(cursor) if self.cursor.is_none() => self.cursor = split(&cursor),
            Came::Cursor(cursor) => {
                if self.cursor != split(&cursor) {
                    self.faults.push(format!("a batch leads to {cursor} from {:?}", self.cursor));
                }
            }
        }
    }

    fn take_message(&mut self, message: &Value) {
        self.messages += 1;
        let position = message["position"].as_str().and_then(split);
        let is_next = match (&self.cursor, &position) {
            (Some((epoch, offset)), Some((its, next))) => epoch == its && offset + 1 == *next,
            // The first answer of a poll without a cursor.
            (None, Some(_)) => true,
            _ => false,
        };
        if !is_next {
            self.faults.push(format!("{position:?} came after {:?}", self.cursor));
        }
        self.cursor = position;
    }

    fn take_gap(&mut self, gap: &Value) {
        self.gaps += 1;
        let (after, resume) =
            (gap["after"].as_str().and_then(split), gap["resume_from"].as_str().and_then(split));
        let left = self.cursor.take();
        let is_right = gap["reason"] == "epoch_changed"
            && after.is_some()
            && after == left
            && resume.as_ref().is_some_and(|(epoch, offset)| *offset == 0 && !self.left.contains(epoch));
        if !is_right {
            self.faults.push(format!("a gap {gap} at {left:?}"));
        }
        self.left.extend(left.map(|(epoch, _)| epoch));
        self.cursor = resume;
    }
}
