//! What happens on a node, counted for whoever watches over it. Only sums: nothing here knows a channel, a user or a connection.
//!
//! A counter stands once a shard, and a thread keeps to one shard, so that workers never write to each other's memory. Workers
//! besides sum up what they deliver and book it once a turn.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use efir_core::{Code, GapReason, Problem, wire::Form};
use parking_lot::Mutex;

/// Shards; more threads than that share some.
const SHARDS: usize = 32;

/// By what messages reach their readers. The names are those of the transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Answers that come at once.
    ShortPoll,
    /// Answers that wait for a message.
    LongPoll,
    /// Server-Sent Events.
    Sse,
    /// Lines of JSON.
    HttpStream,
    /// WebSockets, of one channel or many.
    WebSocket,
}

impl Transport {
    /// Every transport, in the order of the docs.
    pub const ALL: [Self; 5] =
        [Self::ShortPoll, Self::LongPoll, Self::Sse, Self::HttpStream, Self::WebSocket];

    /// The name in metrics and in `?transport=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortPoll => "short-poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::HttpStream => "http-stream",
            Self::WebSocket => "websocket",
        }
    }

    /// The transport of a response that lasts; `None` for what only reads the next request.
    pub(crate) fn of(form: Form, is_whole: bool) -> Option<Self> {
        match form {
            Form::Sse | Form::SseShared => Some(Self::Sse),
            Form::HttpStream => Some(Self::HttpStream),
            Form::WebSocket | Form::WebSocketDeflate { .. } => Some(Self::WebSocket),
            Form::Batch if is_whole => None,
            Form::Batch => Some(Self::LongPoll),
        }
    }
}

/// Sums since the start of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses that began, by [`Transport`].
    pub opened: [u64; 5],
    /// Those that ended.
    pub closed: [u64; 5],
    /// Messages that went out, by [`Transport`].
    pub deliveries: [u64; 5],
    /// Gaps that were told, in the order of [`GapReason::ALL`].
    pub gaps: [u64; 7],
    /// Messages that were appended.
    pub publishes: u64,
    /// Bytes of their payloads.
    pub publish_bytes: u64,
    /// Publishes that came a second time and got the first position.
    pub duplicates: u64,
    /// Times that a reader took less than it was owed.
    pub stalls: u64,
    /// Times that such a reader went on, or left.
    pub stalls_ended: u64,
    /// Readers that were given up because they took nothing for too long.
    pub given_up: u64,
    /// Bugs that ended what they came up on: a connection, a request.
    pub panics: u64,
    /// Problems that were told, by code and limit.
    pub refusals: Vec<Refusals>,
    /// Connections that were closed without a word because of a limit.
    pub closures: Vec<(&'static str, u64)>,
}

/// How often something was refused for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    /// The code that was told.
    pub code: Code,
    /// The limit that was named.
    pub limit: Option<&'static str>,
    /// How often.
    pub count: u64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    opened: [AtomicU64; 5],
    closed: [AtomicU64; 5],
    deliveries: [AtomicU64; 5],
    gaps: [AtomicU64; 7],
    publishes: AtomicU64,
    publish_bytes: AtomicU64,
    duplicates: AtomicU64,
    stalls: AtomicU64,
    stalls_ended: AtomicU64,
    given_up: AtomicU64,
    panics: AtomicU64,
    refusals: Mutex<Vec<Refusals>>,
    closures: Mutex<Vec<(&'static str, u64)>>,
}

/// The counters of a node.
#[derive(Debug)]
pub struct Counters(Box<[Shard]>);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The shard of this thread: threads take them in turn.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        shard.get()
    })
}

impl Default for Counters {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

impl Counters {
    fn add(&self, choose: impl Fn(&Shard) -> Option<&AtomicU64>, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(counter) = self.0.get(own_shard()).and_then(choose) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// So many responses of this transport began.
    pub fn open(&self, transport: Transport, responses: u64) {
        self.add(|shard| shard.opened.get(transport as usize), responses);
    }

    /// So many responses of this transport ended.
    pub fn close(&self, transport: Transport, responses: u64) {
        self.add(|shard| shard.closed.get(transport as usize), responses);
    }

    /// So many messages went out.
    pub fn deliver(&self, transport: Transport, messages: u64) {
        self.add(|shard| shard.deliveries.get(transport as usize), messages);
    }

    /// What a worker summed up by itself, by [`Transport`]: responses that began, that ended, and messages that went out.
    pub(crate) fn book(&self, [opened, closed, delivered]: [&[u64; 5]; 3]) {
        let Some(shard) = self.0.get(own_shard()) else { return };
        for (counters, counts) in
            [(&shard.opened, opened), (&shard.closed, closed), (&shard.deliveries, delivered)]
        {
            for (counter, count) in counters.iter().zip(counts).filter(|(_, count)| **count > 0) {
                counter.fetch_add(*count, Ordering::Relaxed);
            }
        }
    }

    /// A reader was told that it missed something.
    pub fn tell_gap(&self, reason: GapReason) {
        let index = GapReason::ALL.iter().position(|known| *known == reason);
        self.add(|shard| shard.gaps.get(index?), 1);
    }

    pub(crate) fn publish(&self, bytes: usize, is_duplicate: bool) {
        let Some(shard) = self.0.get(own_shard()) else { return };
        if is_duplicate {
            shard.duplicates.fetch_add(1, Ordering::Relaxed);
        } else {
            shard.publishes.fetch_add(1, Ordering::Relaxed);
            shard.publish_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// A reader takes less than it is owed.
    pub(crate) fn stall(&self) {
        self.add(|shard| Some(&shard.stalls), 1);
    }

    /// Such a reader goes on, or is gone.
    pub(crate) fn end_stall(&self) {
        self.add(|shard| Some(&shard.stalls_ended), 1);
    }

    /// Such a reader took nothing for too long.
    pub(crate) fn give_up(&self) {
        self.add(|shard| Some(&shard.given_up), 1);
    }

    /// A panic was caught.
    pub(crate) fn note_panic(&self) {
        self.add(|shard| Some(&shard.panics), 1);
    }

    /// Somebody is told this problem.
    pub fn refuse(&self, problem: &Problem) {
        let (code, limit) = (problem.code, problem.limit.map(|(name, _)| name));
        // Not its detail, which repeats what the client wrote.
        let named = limit.unwrap_or_default();
        tracing::debug!(event = "refused", code = code.row().name, limit = named, "a client was refused");
        let Some(shard) = self.0.get(own_shard()) else { return };
        let mut refusals = shard.refusals.lock();
        match refusals.iter_mut().find(|known| known.code == code && known.limit == limit) {
            Some(known) => known.count += 1,
            None => refusals.push(Refusals { code, limit, count: 1 }),
        }
    }

    /// A connection is closed because of this limit, and nobody can be told.
    pub fn close_for(&self, limit: &'static str) {
        let Some(shard) = self.0.get(own_shard()) else { return };
        let mut closures = shard.closures.lock();
        match closures.iter_mut().find(|(known, _)| *known == limit) {
            Some((_, count)) => *count += 1,
            None => closures.push((limit, 1)),
        }
    }

    /// What all threads counted.
    pub fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        for shard in &self.0 {
            add_each(&mut sum.opened, &shard.opened);
            add_each(&mut sum.closed, &shard.closed);
            add_each(&mut sum.deliveries, &shard.deliveries);
            add_each(&mut sum.gaps, &shard.gaps);
            sum.publishes += shard.publishes.load(Ordering::Relaxed);
            sum.publish_bytes += shard.publish_bytes.load(Ordering::Relaxed);
            sum.duplicates += shard.duplicates.load(Ordering::Relaxed);
            sum.stalls += shard.stalls.load(Ordering::Relaxed);
            sum.stalls_ended += shard.stalls_ended.load(Ordering::Relaxed);
            sum.given_up += shard.given_up.load(Ordering::Relaxed);
            sum.panics += shard.panics.load(Ordering::Relaxed);
            for one in shard.refusals.lock().iter() {
                let known = |known: &&mut Refusals| known.code == one.code && known.limit == one.limit;
                match sum.refusals.iter_mut().find(known) {
                    Some(known) => known.count += one.count,
                    None => sum.refusals.push(*one),
                }
            }
            for (limit, count) in shard.closures.lock().iter() {
                match sum.closures.iter_mut().find(|(known, _)| known == limit) {
                    Some((_, known)) => *known += count,
                    None => sum.closures.push((limit, *count)),
                }
            }
        }
        sum
    }
}

fn add_each<const N: usize>(sums: &mut [u64; N], counters: &[AtomicU64; N]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.load(Ordering::Relaxed);
    }
}

impl Counts {
    /// How many responses of a transport are open. A sum is taken while others count, so it is never below zero by force.
    pub fn open(&self, transport: Transport) -> u64 {
        let at = |counts: &[u64; 5]| counts.get(transport as usize).copied().unwrap_or_default();
        at(&self.opened).saturating_sub(at(&self.closed))
    }

    /// How many readers are behind because they take less than they are owed.
    pub fn stalled(&self) -> u64 {
        self.stalls.saturating_sub(self.stalls_ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_is_summed() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    counters.open(Transport::Sse, 1);
                    counters.deliver(Transport::Sse, 3);
                    counters.tell_gap(GapReason::Denied);
                    counters.publish(10, false);
                    counters.publish(10, true);
                    counters.refuse(&Problem::new(Code::NotFound, "a"));
                    counters.refuse(&Problem::new(Code::Overloaded, "b").with_limit("offset_max", 1));
                    counters.close_for("idle_ms_max");
                    counters.stall();
                });
            }
        });
        counters.close(Transport::Sse, 1);
        counters.end_stall();
        let sum = counters.sum();
        assert_eq!((sum.open(Transport::Sse), sum.open(Transport::WebSocket)), (39, 0));
        assert_eq!((sum.deliveries[Transport::Sse as usize], sum.gaps), (120, [0, 0, 0, 0, 0, 0, 40]));
        assert_eq!((sum.publishes, sum.publish_bytes, sum.duplicates), (40, 400, 40));
        assert_eq!((sum.stalls, sum.stalled()), (40, 39));
        assert_eq!(sum.closures, [("idle_ms_max", 40)]);
        assert_eq!(sum.refusals.len(), 2);
        assert!(sum.refusals.iter().all(|refusals| refusals.count == 40));
    }
}
