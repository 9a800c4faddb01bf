//! One core's connections and the loop that serves them.
//!
//! A worker is one future on a current-thread runtime. It alone owns its connections, in a slab; nothing here is shared or locked
//! but the [`Intake`]. Each turn it takes what came in, moves the fan-outs that are under way ([`walk`]) one step, flushes the connections
//! that have something, and lets the runtime's other tasks (accepting, HTTP heads) run. It never decides what is sent: that is the
//! [`Exchange`](crate::Exchange)'s part.

mod booked;
mod connection;
mod contain;
mod input;
mod intake;
mod patience;
mod portion;
mod ring;
#[cfg(shuttle)]
pub(crate) mod schedules;
mod shed;
mod subscriptions;
mod timers;
mod walk;
mod watched;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use slab::Slab;
use tokio::time::Sleep;

pub use self::intake::{Adoption, Intake};
use self::{
    booked::Booked,
    connection::{Connection, Phase, Written},
    contain::AtHand,
    intake::{Batch, Bell},
    portion::Portion,
    ring::Ring,
    walk::Walk,
    watched::{Subscriber, WatchedChannels},
};
use crate::{
    contained::contained,
    exchange::{Response, Turn},
    guest::Guest,
    hub::Hub,
    outbox::Outbox,
    over::over,
    seam::Seam,
    socket::Socket,
};

/// Turns before the runtime's other tasks get the thread.
const TURNS_PER_POLL: usize = 4;
/// The read buffer that all connections share.
const READ_BYTES: usize = 64 * 1024;

/// A connection that leaves the worker, because its exchange wants it to.
#[derive(Debug)]
pub struct Departure {
    /// Whose connection it is.
    pub guest: Option<Arc<Guest>>,
    /// The socket.
    pub socket: Socket,
    /// Bytes that were read and not consumed.
    pub input: BytesMut,
}

/// What surrounds a worker: what its connections do between two responses, and where they go when they leave.
pub trait Surroundings {
    /// A connection may carry a further request, of which `ahead` bytes are read already: what goes on with it.
    fn between(&self, ahead: usize, guest: Option<&Arc<Guest>>, socket: &Socket) -> Response;

    /// Takes over a connection that leaves.
    fn depart(self: Rc<Self>, departure: Departure);
}

/// The future that serves a core's connections. It never ends by itself: even a node that drains answers what still comes in.
pub struct Worker {
    hub: Hub,
    intake: Arc<Intake>,
    surroundings: Rc<dyn Surroundings>,
    connections: Slab<Connection>,
    watched: WatchedChannels,
    walks: VecDeque<Walk>,
    /// For many sends at once, where the kernel grants it.
    ring: Option<Ring>,
    /// What a step has sealed for TLS connections, one behind the other.
    sealed: Vec<u8>,
    /// Connections that came and were not taken in yet, and those whose bells rang.
    arrived: VecDeque<Adoption>,
    ready: VecDeque<u32>,
    /// Connections to flush: those for which something came, and those that a write did not bring to the end of their channels.
    dirty: VecDeque<u32>,
    behind: VecDeque<u32>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    sleep: Pin<Box<Sleep>>,
    /// Filled and emptied by one connection after the other.
    scratch: Outbox,
    read_buffer: BytesMut,
    batch: Batch,
    booked: Booked,
    at_hand: AtHand,
    is_draining: bool,
    drain_id: usize,
    stall_max: Duration,
    silent_max: Duration,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that reads from `hub` and takes connections from `intake`. Call it inside the runtime that will run it.
    pub fn new(hub: Hub, intake: Arc<Intake>, surroundings: Rc<dyn Surroundings>) -> Self {
        let drain_id = hub.enlist(&intake);
        Self {
            stall_max: Duration::from_millis(hub.times().stall_ms_max),
            silent_max: Duration::from_millis(hub.times().silent_ms_max),
            hub,
            intake,
            surroundings,
            connections: Slab::new(),
            watched: WatchedChannels::default(),
            walks: VecDeque::new(),
            ring: Ring::open(),
            sealed: Vec::new(),
            arrived: VecDeque::new(),
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            behind: VecDeque::new(),
            timers: BinaryHeap::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            scratch: Outbox::new(crate::Framing::Plain),
            read_buffer: BytesMut::new(),
            batch: Batch::default(),
            booked: Booked::default(),
            at_hand: AtHand::default(),
            is_draining: false,
            drain_id,
        }
    }

    fn turn(&mut self, waker: &Waker) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let has_news = self.intake.take(&mut batch, waker);
        let now = Instant::now();
        for slot in batch.notes.drain(..) {
            self.begin_walk(slot);
        }
        self.arrived.extend(batch.adoptions.drain(..));
        self.ready.extend(batch.ready.drain(..));
        let Batch { is_draining, is_shedding, is_rechecking, .. } = batch;
        (batch.is_draining, batch.is_shedding, batch.is_rechecking) = (false, false, false);
        // From here on nothing is lost if the turn ends early: what is left to do stands in the queues.
        self.batch = batch;
        if is_draining {
            self.drain_all(now);
        }
        if is_shedding {
            self.shed(now);
        }
        if is_rechecking {
            self.recheck_all(now);
        }
        let has_timed = self.run_timers(now);
        // Live messages first: thousands who are owed a backlog are served in portions, with a step of each fan-out in between.
        self.step_walks(now);
        self.serve_some(now);
        self.flush_some(now);
        self.booked.hand_over(self.hub.counters());
        has_news || has_timed || self.has_more()
    }

    /// Takes in connections that came, and serves those whose bells rang, as long as a portion lasts.
    fn serve_some(&mut self, now: Instant) {
        let mut portion = Portion::begin();
        while portion.has_room()
            && let Some(adoption) = self.arrived.pop_front()
        {
            self.adopt(adoption, now);
        }
        while portion.has_room()
            && let Some(key) = self.ready.pop_front()
        {
            self.at_hand.set(key);
            self.serve(key, now);
        }
    }

    /// Flushes connections that have something, as long as a portion lasts.
    fn flush_some(&mut self, now: Instant) {
        let mut portion = Portion::begin();
        while portion.has_room()
            && let Some(key) = self.dirty.pop_front()
        {
            self.at_hand.set(key);
            self.flush(key, now);
        }
        // Backlogs wait for what is live, but not for ever: a worker that always has something to do gets on with them, too.
        let is_live_done = self.arrived.is_empty() && self.ready.is_empty() && self.dirty.is_empty();
        let mut portion = if is_live_done { Portion::begin() } else { Portion::small() };
        while portion.has_room()
            && let Some(key) = self.behind.pop_front()
        {
            self.at_hand.set(key);
            self.flush(key, now);
        }
    }

    fn has_more(&self) -> bool {
        let is_served = self.arrived.is_empty() && self.ready.is_empty();
        !is_served || !self.dirty.is_empty() || !self.behind.is_empty() || !self.walks.is_empty()
    }

    fn adopt(&mut self, adoption: Adoption, now: Instant) {
        let key = self.connections.vacant_key() as u32;
        let head = adoption.response.head.clone();
        let bell = Bell::new(key, Arc::clone(&self.intake));
        self.at_hand.set(key);
        let counters = self.hub.counters();
        let connection = contained(counters, "a connection that came", || Connection::new(adoption, bell));
        let Some(connection) = connection else { return self.intake.let_go() };
        self.booked.open(connection.transport());
        self.connections.insert(connection);
        self.begin(key, head, now);
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

    /// Begins a response: its channels are watched before they are read, so that nothing falls between the two.
    fn begin(&mut self, key: u32, head: Bytes, now: Instant) {
        self.at_hand.begin(&head);
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
    }

    /// Calls the exchange, writes what it pushed, and does what it decided.
    fn call(&mut self, key: u32, now: Instant, ask: impl FnOnce(&mut Connection, &mut Outbox) -> Turn) {
        let Some(mut connection) = self.connections.get_mut(key as usize) else { return };
        let mut pending = connection.pending.take();
        self.at_hand.ask(pending.is_none());
        let mut out = pending.as_deref_mut().unwrap_or(&mut self.scratch);
        if out.is_empty() {
            out.reframe(connection.framing);
        }
        if connection.phase == Phase::Open {
            match ask(connection, out) {
                Turn::Wait => {}
                ended => connection.phase = Phase::Ending(ended),
            }
        }
        if connection.reader.has_changes() {
            // Before it is written: whoever is told that it joined is counted among the subscribers from then on.
            let told = std::mem::replace(out, Outbox::new(connection.framing));
            self.follow_changes(key);
            let Some(found) = self.connections.get_mut(key as usize) else { return };
            connection = found;
            out = pending.as_deref_mut().unwrap_or(&mut self.scratch);
            *out = told;
        }
        if let (true, Some(tally)) = (out.take_empty_answer(), &connection.tally) {
            tally.add_empty();
        }
        self.at_hand.write();
        let written = match connection.stalled_since {
            // It told us that it is full; what was pushed now waits, messages wait in the log.
            Some(_) => {
                out.retreat(&mut connection.reader);
                Written::Blocked
            }
            None => connection.write(out, now),
        };
        let (delivered, form) = (out.take_delivered(), connection.form);
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
        self.booked.deliver(form, delivered);
        self.settle(key, now, written);
    }

    /// A failed connection leaves; the scratch outbox may hold what it did not take.
    fn remove_after(&mut self, key: u32) {
        self.scratch = Outbox::new(crate::Framing::Plain);
        self.remove(key);
    }

    /// After a call: the end if everything is written, the next timer, the next flush.
    fn settle(&mut self, key: u32, now: Instant, written: Written) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if let (Written::All, Phase::Ending(turn)) = (written, connection.phase) {
            return self.end(key, turn, now);
        }
        if written == Written::All && connection.phase == Phase::Open {
            if connection.has_ended && connection.input.is_empty() && connection.exchange.is_whole() {
                connection.socket.say_goodbye();
                return self.remove(key);
            }
            if connection.reader.is_behind() && !std::mem::replace(&mut connection.is_dirty, true) {
                // What more it is owed comes after what others wait for.
                self.behind.push_back(key);
            }
        }
        self.set_timer(key);
    }

    /// The response is complete and written.
    fn end(&mut self, key: u32, turn: Turn, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        match turn {
            Turn::Reuse => {
                let ahead = connection.input.len();
                if ahead == 0 && connection.has_ended {
                    connection.socket.say_goodbye();
                    return self.remove(key);
                }
                let response =
                    self.surroundings.between(ahead, connection.guest.as_ref(), &connection.socket);
                self.succeed(key, response, now);
            }
            Turn::Succeed => match connection.exchange.succeed() {
                Some(response) => self.succeed(key, response, now),
                None => self.close(key, now),
            },
            Turn::Leave => {
                if let Some(connection) = self.take_out(key) {
                    let Connection { guest, socket, input, .. } = connection;
                    Rc::clone(&self.surroundings).depart(Departure { guest, socket, input });
                }
            }
            Turn::Close | Turn::Wait => self.close(key, now),
        }
    }

    /// Another response goes on with the connection.
    fn succeed(&mut self, key: u32, response: Response, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let head = response.head.clone();
        if connection.has_ahead || !connection.input.is_empty() {
            // Not from here: a thousand requests that were sent ahead must not become a thousand nested calls.
            connection.has_ahead = true;
            self.intake.ring(key);
        }
        self.booked.close(connection.transport());
        let left = connection.succeed(response);
        self.booked.open(connection.transport());
        self.leave(left);
        self.begin(key, head, now);
        if self.is_draining {
            self.drain_one(key, now);
        }
    }

    /// Nothing more will be written.
    fn close(&mut self, key: u32, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if connection.has_ended {
            return self.remove(key);
        }
        connection.end_stall();
        connection.socket.shut_down_write();
        connection.phase = Phase::Lingering;
        connection.input = BytesMut::new();
        connection.exchange = over(connection.exchange.is_whole());
        connection.stalled_since = Some(now);
        self.book_begun(key);
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

    fn take_out(&mut self, key: u32) -> Option<Connection> {
        self.leave_all(key);
        let mut taken = self.connections.try_remove(key as usize)?;
        self.intake.let_go();
        taken.end_stall();
        self.hub.overload().book_begun(taken.begun_bytes, 0);
        self.booked.close(taken.transport());
        Some(taken)
    }

    fn remove(&mut self, key: u32) {
        drop(self.take_out(key));
    }

    fn drain_all(&mut self, now: Instant) {
        self.is_draining = true;
        self.for_each(|worker, key| worker.drain_one(key, now));
    }

    fn recheck_all(&mut self, now: Instant) {
        self.for_each(|worker, key| {
            worker.call(key, now, |connection, out| connection.exchange.recheck(&mut connection.reader, out));
        });
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
            if worker.contained_turn(cx.waker()) {
                continue;
            }
            let Some(Reverse((at, _))) = worker.timers.peek() else { return Poll::Pending };
            worker.sleep.as_mut().reset((*at).into());
            if worker.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        // Busy: let the sockets be asked, accepting and HTTP heads run, and come back. A plain wake would be answered at once, many
        // times over, before anybody asks the sockets again.
        std::pin::pin!(tokio::task::yield_now()).poll(cx)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.hub.delist(self.drain_id);
        self.for_each(Self::remove);
        self.booked.hand_over(self.hub.counters());
    }
}
