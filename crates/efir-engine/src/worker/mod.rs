//! One core's connections and the loop that serves them.
//!
//! A worker is one future on a current-thread runtime. It alone owns its connections, in a slab; nothing here is shared or locked
//! but the [`Intake`]. Each turn it takes what came in, moves the fan-outs that are under way ([`walk`]) one step, flushes the connections
//! that have something, and lets the runtime's other tasks (accepting, HTTP heads) run. It never decides what is sent: that is the
//! [`Exchange`](crate::Exchange)'s part.

mod connection;
mod input;
mod intake;
mod timers;
mod walk;
mod watched;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use slab::Slab;
use tokio::time::Sleep;

pub use self::intake::{Adoption, Intake};
use self::{
    connection::{Connection, Phase, Written},
    intake::{Batch, Bell},
    walk::Walk,
    watched::{Subscriber, WatchedChannels},
};
use crate::{
    exchange::Turn,
    hub::Hub,
    outbox::Outbox,
    reader::{Change, Reader},
    seam::Seam,
    socket::Socket,
};

/// Connections flushed before the worker looks at its intake again.
const FLUSHES_PER_TURN: usize = 256;
/// Turns before the runtime's other tasks get the thread.
const TURNS_PER_POLL: usize = 16;
/// The read buffer that all connections share.
const READ_BYTES: usize = 64 * 1024;

/// A connection whose response is complete and that may carry another request.
#[derive(Debug)]
pub struct Returned {
    /// The socket.
    pub socket: Socket,
    /// Bytes that the client sent ahead.
    pub input: BytesMut,
}

/// Takes connections back for their next request.
pub type OnReturn = Box<dyn Fn(Returned)>;

/// The future that serves a core's connections. It never ends by itself: even a node that drains answers what still comes in.
pub struct Worker {
    hub: Hub,
    intake: Arc<Intake>,
    on_return: OnReturn,
    connections: Slab<Connection>,
    watched: WatchedChannels,
    walks: VecDeque<Walk>,
    dirty: VecDeque<u32>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    sleep: Pin<Box<Sleep>>,
    /// Filled and emptied by one connection after the other.
    scratch: Outbox,
    read_buffer: BytesMut,
    batch: Batch,
    is_draining: bool,
    drain_id: usize,
    stall_max: Duration,
    /// Connections of the whole server; this worker counts its own in and out.
    count: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that reads from `hub` and gives connections with a further request to `on_return`; `count` goes up and down with its
    /// connections. Call it inside the runtime that will run it.
    pub fn new(hub: Hub, count: Arc<AtomicUsize>, on_return: OnReturn) -> Self {
        let intake = Arc::<Intake>::default();
        let drain_id = hub.enlist(&intake);
        Self {
            stall_max: Duration::from_millis(hub.times().stall_ms_max),
            hub,
            intake,
            on_return,
            connections: Slab::new(),
            watched: WatchedChannels::default(),
            walks: VecDeque::new(),
            dirty: VecDeque::new(),
            timers: BinaryHeap::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            scratch: Outbox::new(crate::Framing::Plain),
            read_buffer: BytesMut::new(),
            batch: Batch::default(),
            is_draining: false,
            drain_id,
            count,
        }
    }

    /// Where connections are handed in.
    pub fn intake(&self) -> Arc<Intake> {
        Arc::clone(&self.intake)
    }

    fn turn(&mut self, waker: &Waker) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let has_news = self.intake.take(&mut batch, waker);
        let now = Instant::now();
        for slot in batch.notes.drain(..) {
            self.begin_walk(slot);
        }
        for adoption in batch.adoptions.drain(..) {
            self.adopt(adoption, now);
        }
        for key in batch.ready.drain(..) {
            self.serve(key, now);
        }
        if std::mem::take(&mut batch.is_draining) {
            self.drain_all(now);
        }
        self.batch = batch;
        let has_timed = self.run_timers(now);
        self.step_walks(now);
        for _ in 0..FLUSHES_PER_TURN {
            let Some(key) = self.dirty.pop_front() else { break };
            self.flush(key, now);
        }
        has_news || has_timed || !self.walks.is_empty() || !self.dirty.is_empty()
    }

    fn adopt(&mut self, adoption: Adoption, now: Instant) {
        let key = self.connections.vacant_key() as u32;
        let head = adoption.head.clone();
        let bell = Bell::new(key, Arc::clone(&self.intake));
        self.connections.insert(Connection::new(adoption, bell));
        self.count.fetch_add(1, Ordering::Relaxed);
        self.follow_changes(key);
        self.call(key, now, |connection, out| {
            if !head.is_empty() {
                out.push_raw(head);
            }
            let turn = match connection.exchange.open(now, &mut connection.reader, out) {
                Turn::Wait => connection.exchange.ready(&mut connection.reader, out),
                ended => ended,
            };
            connection.reader.pass_seam(Seam::Read);
            turn
        });
        if let Some(connection) = self.connections.get(key as usize) {
            connection.reader.pass_seam(Seam::Written);
        }
        if self.connections.get(key as usize).is_some_and(|connection| !connection.input.is_empty()) {
            // The client did not wait for the head before it went on.
            self.receive(key, now);
        }
        if self.is_draining {
            self.drain_one(key, now);
        }
        // Registers the bell, and reads what the client sent meanwhile.
        self.serve(key, now);
    }

    /// Calls the exchange, writes what it pushed, and does what it decided.
    fn call(&mut self, key: u32, now: Instant, ask: impl FnOnce(&mut Connection, &mut Outbox) -> Turn) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let mut pending = connection.pending.take();
        let out = pending.as_deref_mut().unwrap_or(&mut self.scratch);
        if out.is_empty() {
            out.reframe(connection.framing);
        }
        if connection.phase == Phase::Open {
            match ask(connection, out) {
                Turn::Wait => {}
                ended => connection.phase = Phase::Ending(ended),
            }
        }
        if let (true, Some(tally)) = (out.take_empty_answer(), &connection.tally) {
            tally.add_empty();
        }
        let written = match connection.stalled_since {
            // It told us that it is full; what was pushed now waits, messages wait in the log.
            Some(_) => {
                out.retreat(&mut connection.reader);
                Written::Blocked
            }
            None => connection.write(out, now),
        };
        match written {
            Written::Failed => return self.remove_after(key),
            Written::Blocked if !out.is_empty() => {
                let kept = pending.unwrap_or_else(|| {
                    let fresh = Outbox::new(connection.framing);
                    Box::new(std::mem::replace(&mut self.scratch, fresh))
                });
                connection.pending = Some(kept);
            }
            Written::Blocked | Written::All => {}
        }
        self.settle(key, now, written);
    }

    /// A failed connection leaves; the scratch outbox may hold what it did not take.
    fn remove_after(&mut self, key: u32) {
        self.scratch = Outbox::new(crate::Framing::Plain);
        self.remove(key);
    }

    /// After a call: joins and leaves, the end if everything is written, the next timer, the next flush.
    fn settle(&mut self, key: u32, now: Instant, written: Written) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if connection.reader.has_changes() {
            self.follow_changes(key);
        }
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if let (Written::All, Phase::Ending(turn)) = (written, connection.phase) {
            return self.end(key, turn, now);
        }
        if written == Written::All && connection.phase == Phase::Open && connection.reader.is_behind() {
            self.mark_dirty(key);
        }
        self.set_timer(key);
    }

    /// The response is complete and written.
    fn end(&mut self, key: u32, turn: Turn, now: Instant) {
        if turn == Turn::Reuse {
            if let Some(connection) = self.take_out(key) {
                (self.on_return)(Returned { socket: connection.socket, input: connection.input });
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        connection.socket.shut_down_write();
        connection.phase = Phase::Lingering;
        connection.input = BytesMut::new();
        connection.stalled_since = Some(now);
        self.leave_all(key);
        self.set_timer(key);
    }

    /// Asks for what the connection's cursors are owed.
    fn flush(&mut self, key: u32, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        connection.is_dirty = false;
        if connection.stalled_since.is_none() {
            self.call(key, now, |connection, out| connection.exchange.ready(&mut connection.reader, out));
        }
    }

    fn mark_dirty(&mut self, key: u32) {
        if let Some(connection) = self.connections.get_mut(key as usize)
            && !connection.is_dirty
        {
            connection.is_dirty = true;
            self.dirty.push_back(key);
        }
    }

    /// Watches what the reader joined and lets go of what it left.
    fn follow_changes(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        for change in connection.reader.take_changes() {
            let Some(connection) = self.connections.get_mut(key as usize) else { return };
            match change {
                Change::Joined { subscription } => {
                    let Some(name) = connection.reader.name(subscription).cloned() else { continue };
                    let subscriber = Subscriber { connection: key, subscription };
                    let (channel, slot, place) = self.watched.add(&self.hub, &self.intake, &name, subscriber);
                    connection.reader.attach(subscription, channel, (slot, place));
                    self.hub.seams().pass(Seam::Watched, &name);
                }
                Change::Left { slot, place } => self.unwatch(slot, place),
            }
        }
    }

    fn unwatch(&mut self, slot: u32, place: u32) {
        let Some(moved) = self.watched.remove(slot, place) else { return };
        if let Some(connection) = self.connections.get_mut(moved.connection as usize) {
            connection.reader.set_place(moved.subscription, place);
        }
    }

    fn leave_all(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let fresh = Reader::new(self.hub.clone());
        let reader = std::mem::replace(&mut connection.reader, fresh);
        for (slot, place) in reader.into_places() {
            self.unwatch(slot, place);
        }
    }

    fn take_out(&mut self, key: u32) -> Option<Connection> {
        self.leave_all(key);
        let taken = self.connections.try_remove(key as usize)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.intake.let_go();
        Some(taken)
    }

    fn remove(&mut self, key: u32) {
        drop(self.take_out(key));
    }

    fn drain_all(&mut self, now: Instant) {
        self.is_draining = true;
        let keys: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        for key in keys {
            self.drain_one(key, now);
        }
    }

    fn drain_one(&mut self, key: u32, now: Instant) {
        self.call(key, now, |connection, out| connection.exchange.drain(&mut connection.reader, out));
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let worker = &mut *self;
        for _ in 0..TURNS_PER_POLL {
            if worker.turn(cx.waker()) {
                continue;
            }
            let Some(Reverse((at, _))) = worker.timers.peek() else { return Poll::Pending };
            worker.sleep.as_mut().reset((*at).into());
            if worker.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        // Busy: let accepting and HTTP heads run, and come back.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.hub.delist(self.drain_id);
        let keys: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        for key in keys {
            self.remove(key);
        }
    }
}
