//! When a worker has to look at a connection although nothing happens to it: heartbeats and ends, which the exchange asks for, and the
//! end of those that make no progress.
//!
//! A connection has at most one entry that counts, its earliest. An entry that was overtaken, or whose connection is gone, stays in the heap
//! until its time and is skipped then, or until there are more of those than of others.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::{Worker, connection::Phase};

/// How long the write side may be shut before the client has to be gone.
const LINGER: Duration = Duration::from_secs(2);
/// Entries that may stand in the heap beside two for each connection.
const ENTRIES_SPARE: usize = 1_024;

impl Worker {
    /// The earliest moment at which the connection wants to be looked at.
    pub(super) fn set_timer(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let due = match connection.phase {
            Phase::Open => connection.exchange.due(),
            Phase::Ending(_) => None,
            Phase::Lingering => connection.stalled_since.map(|since| since + LINGER),
        };
        let stall = connection.stall_due(self.stall_max);
        let Some(next) = due.into_iter().chain(stall).min() else { return };
        if connection.timer.is_none_or(|timer| next < timer) {
            connection.timer = Some(next);
            self.timers.push(Reverse((next, key)));
            if self.timers.len() > ENTRIES_SPARE + 2 * self.connections.len() {
                self.forget_overtaken();
            }
        }
    }

    /// Frees what a flood of short connections has left behind: else each is remembered for as long as it might have been idle.
    #[cold]
    fn forget_overtaken(&mut self) {
        let Self { timers, connections, .. } = self;
        timers.retain(|Reverse((at, key))| {
            connections.get(*key as usize).is_some_and(|connection| connection.timer == Some(*at))
        });
        timers.shrink_to(2 * timers.len() + ENTRIES_SPARE);
    }

    /// Looks at the connections whose time has come; true if there were any.
    pub(super) fn run_timers(&mut self, now: Instant) -> bool {
        let mut has_run = false;
        while let Some(Reverse((at, key))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            has_run = true;
            let Some(connection) = self.connections.get_mut(key as usize) else { continue };
            if connection.timer != Some(at) {
                continue;
            }
            connection.timer = None;
            self.at_hand.set(key);
            self.time_out(key, now);
        }
        has_run
    }

    fn time_out(&mut self, key: u32, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let is_over = match connection.phase {
            Phase::Lingering => {
                connection.stalled_since.is_some_and(|since| now.duration_since(since) >= LINGER)
            }
            _ => connection.is_given_up(now, self.stall_max),
        };
        if is_over {
            if connection.phase != Phase::Lingering {
                self.hub.counters().give_up();
            }
            return self.remove(key);
        }
        if connection.phase == Phase::Open {
            connection.bear_silence(now, self.silent_max);
        }
        if connection.phase == Phase::Open && connection.exchange.due().is_some_and(|due| due <= now) {
            self.call(key, now, |connection, out| connection.exchange.tick(now, &mut connection.reader, out));
        }
        self.set_timer(key);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        rc::Rc,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use bytes::{Bytes, BytesMut};
    use efir_core::{Limits, Times, wire::Form};

    use super::*;
    use crate::{
        Exchange, Framing, Hub, Outbox, Reader, Response, Socket, Turn,
        worker::{Adoption, Intake, contain::tests::Nowhere},
    };

    /// Wants to be looked at so many seconds after it began, and counts how often it was.
    struct Waiting {
        begun: Instant,
        due_s: Arc<AtomicU64>,
        ticks: Arc<AtomicU64>,
    }

    impl Exchange for Waiting {
        fn form(&self) -> Form {
            Form::HttpStream
        }
        fn open(&mut self, _: Instant, _: &mut Reader, _: &mut Outbox) -> Turn {
            Turn::Wait
        }
        fn ready(&mut self, _: &mut Reader, _: &mut Outbox) -> Turn {
            Turn::Wait
        }
        fn receive(&mut self, _: &mut BytesMut, _: &mut Reader, _: &mut Outbox) -> Turn {
            Turn::Wait
        }
        fn due(&self) -> Option<Instant> {
            Some(self.begun + Duration::from_secs(self.due_s.load(Ordering::Relaxed)))
        }
        fn tick(&mut self, _: Instant, _: &mut Reader, _: &mut Outbox) -> Turn {
            self.ticks.fetch_add(1, Ordering::Relaxed);
            self.due_s.store(u64::from(u32::MAX), Ordering::Relaxed);
            Turn::Wait
        }
        fn drain(&mut self, _: &mut Reader, _: &mut Outbox) -> Turn {
            Turn::Close
        }
    }

    struct Bench {
        worker: Worker,
        intake: Arc<Intake>,
        listener: TcpListener,
        now: Instant,
    }

    impl Bench {
        fn begin() -> Self {
            let hub = Hub::new(Limits::default(), Times::default());
            let intake = Intake::new(Arc::default());
            let worker = Worker::new(hub, Arc::clone(&intake), Rc::new(Nowhere));
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            Self { worker, intake, listener, now: Instant::now() }
        }

        /// A connection that is due in so many seconds; returns the client's end and how often it was looked at.
        fn adopt(&mut self, due_s: &Arc<AtomicU64>) -> (TcpStream, Arc<AtomicU64>) {
            self.now = Instant::now();
            let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let (server, _) = self.listener.accept().unwrap();
            server.set_nonblocking(true).unwrap();
            let ticks = Arc::default();
            let exchange =
                Box::new(Waiting { begun: self.now, due_s: Arc::clone(due_s), ticks: Arc::clone(&ticks) });
            let response = Response {
                head: Bytes::new(),
                framing: Framing::Plain,
                exchange,
                reader: Reader::new(self.worker.hub.clone()),
                tally: None,
            };
            let socket = Socket::Tcp(tokio::net::TcpStream::from_std(server).unwrap());
            self.intake.adopt(Adoption { guest: None, socket, input: BytesMut::new(), response });
            self.worker.contained_turn(std::task::Waker::noop());
            (client, ticks)
        }

        /// As many entries as the last connection that came found at most.
        fn is_lean(&self) -> bool {
            let entries_max = ENTRIES_SPARE + 2 * (self.worker.connections.len() + 1);
            self.worker.timers.len() <= entries_max && self.worker.timers.capacity() <= 4 * entries_max
        }
    }

    #[test]
    fn connections_that_came_and_went_are_forgotten_and_those_that_stay_are_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let mut bench = Bench::begin();
        // Later than those that go, so that nothing but its own entry brings it up.
        let (_staying, ticks) = bench.adopt(&Arc::new(AtomicU64::new(7_200)));
        let begun = bench.now;
        let hour = Arc::new(AtomicU64::new(3_600));
        for gone in 1..=2 * ENTRIES_SPARE {
            let client = bench.adopt(&hour);
            let key = bench.worker.connections.iter().map(|(key, _)| key as u32).max().unwrap();
            bench.worker.remove(key);
            drop(client);
            assert!(bench.is_lean(), "after {gone}: {} entries", bench.worker.timers.len());
        }
        assert_eq!(bench.worker.connections.len(), 1);
        bench.worker.run_timers(begun + Duration::from_secs(7_199));
        assert_eq!(ticks.load(Ordering::Relaxed), 0, "before its time");
        bench.worker.run_timers(begun + Duration::from_secs(7_200));
        assert_eq!(ticks.load(Ordering::Relaxed), 1, "at its time");
    }

    #[test]
    fn what_was_overtaken_is_forgotten_and_the_earliest_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let mut bench = Bench::begin();
        let due_s = Arc::new(AtomicU64::new(86_400));
        let (_staying, ticks) = bench.adopt(&due_s);
        for earlier in 1..=3 * ENTRIES_SPARE as u64 {
            due_s.store(86_400 - earlier, Ordering::Relaxed);
            bench.worker.set_timer(0);
            assert!(bench.is_lean(), "after {earlier}: {} entries", bench.worker.timers.len());
        }
        bench.worker.run_timers(bench.now + Duration::from_secs(86_400 - 3 * ENTRIES_SPARE as u64));
        assert_eq!(ticks.load(Ordering::Relaxed), 1, "at the earliest of its times");
    }
}
