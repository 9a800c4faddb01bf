//! The streams of one HTTP/2 connection whose client does not take what it is owed. The HTTP library waits for such a client as long as the
//! connection answers pings; here a stream ends after `stall_ms_max`, and the connection where nothing on it moves or memory is short.
//! It sees bytes that the library was given and has not sent, and knows nothing of what they are.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    fmt,
    future::{Future, poll_fn},
    io::IoSlice,
    pin::pin,
    rc::{Rc, Weak},
    task::{Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use efir_engine::{Hub, contained_future};
use tokio::sync::Notify;

use crate::ledger::Ledger;

/// How often a connection is looked at within the time that it may take nothing.
const LOOKS: u32 = 4;
/// A connection that holds less is no debtor.
const DEBT_BYTES_MIN: usize = 8 * 1024;

/// Whether what was given to the library moves.
#[derive(Debug, Default)]
struct Motion {
    /// Since the last look.
    has_moved: Cell<bool>,
    /// Looks since it did, while something waited.
    looks: Cell<u32>,
}

impl Motion {
    /// Takes a look; how many in a row have seen nothing move.
    fn look(&self, is_held: bool) -> u32 {
        let has_moved = self.has_moved.replace(false);
        self.looks.set(if is_held && !has_moved { self.looks.get() + 1 } else { 0 });
        self.looks.get()
    }
}

/// How one stream flows.
#[derive(Debug)]
pub(crate) struct Flow {
    streams: Weak<Streams>,
    motion: Motion,
    /// Bytes that the library has of it.
    held_bytes: Cell<usize>,
    is_cut: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Flow {
    fn note_move(&self) {
        self.motion.has_moved.set(true);
        if let Some(streams) = self.streams.upgrade() {
            streams.motion.has_moved.set(true);
        }
    }

    fn cut(&self) {
        self.is_cut.set(true);
        self.task.take().into_iter().for_each(Waker::wake);
    }

    /// Runs the stream until it ends or is cut. The library resets a stream whose future is dropped.
    async fn carry(self: Rc<Self>, stream: impl Future) {
        let mut stream = pin!(stream);
        poll_fn(|cx| {
            if self.is_cut.get() || stream.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut task = self.task.borrow_mut();
            if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// A piece of an answer, as long as the library has it.
pub(crate) struct Piece {
    rest: Bytes,
    flow: Option<Rc<Flow>>,
}

impl Piece {
    pub(crate) fn new(rest: Bytes, flow: Option<&Rc<Flow>>) -> Self {
        let flow = flow.map(Rc::clone);
        if let Some(flow) = &flow {
            flow.held_bytes.set(flow.held_bytes.get() + rest.len());
        }
        Self { rest, flow }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.rest
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        self.rest.chunks_vectored(into)
    }

    fn advance(&mut self, count: usize) {
        self.rest.advance(count);
        if let Some(flow) = &self.flow {
            flow.held_bytes.set(flow.held_bytes.get().saturating_sub(count));
            flow.note_move();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(flow) = &self.flow {
            flow.held_bytes.set(flow.held_bytes.get().saturating_sub(self.rest.len()));
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Piece").field(&self.rest.len()).finish()
    }
}

/// All streams of one connection.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Answers that are not taken.
    pub(crate) answers: Rc<Ledger>,
    /// Bodies of requests that are not whole.
    pub(crate) bodies: Rc<Ledger>,
    flows: RefCell<Vec<Weak<Flow>>>,
    /// That of the request whose stream is run next.
    begun: RefCell<Option<Rc<Flow>>>,
    motion: Motion,
    is_shed: Cell<bool>,
    shed: Notify,
}

impl Streams {
    /// A request has come, whose stream the library will run next.
    pub(crate) fn begin(self: &Rc<Self>) -> Rc<Flow> {
        let flow = Rc::new(Flow {
            streams: Rc::downgrade(self),
            motion: Motion::default(),
            held_bytes: Cell::new(0),
            is_cut: Cell::new(false),
            task: RefCell::default(),
        });
        enter(&self.flows, &flow);
        *self.begun.borrow_mut() = Some(Rc::clone(&flow));
        flow
    }

    /// Waits until the connection has to end; of which limit.
    pub(crate) async fn until_too_much(&self, hub: &Hub) -> &'static str {
        let stall_max = Duration::from_millis(hub.times().stall_ms_max);
        let stalled = async {
            while !self.look(hub) {
                tokio::time::sleep(stall_max / LOOKS).await;
            }
        };
        tokio::select! {
            () = stalled => "stall_ms_max",
            () = self.shed.notified() => "memory_bytes_max",
        }
    }

    /// Ends the streams whose clients take nothing; true if the connection has to end.
    fn look(&self, hub: &Hub) -> bool {
        let flows: Vec<Rc<Flow>> = self.flows.borrow().iter().filter_map(Weak::upgrade).collect();
        let is_held = flows.iter().any(|flow| flow.held_bytes.get() > 0);
        if self.motion.look(is_held) > LOOKS {
            return true;
        }
        for flow in flows {
            let looks = flow.motion.look(flow.held_bytes.get() > 0);
            if looks > LOOKS && flow.is_cut.get() {
                // What it has left behind in the library stays there.
                return true;
            }
            if looks > LOOKS {
                hub.counters().close_for("stall_ms_max");
                flow.motion.looks.set(0);
                flow.cut();
            }
        }
        false
    }

    /// Ends all of them at once, and frees what they hold.
    pub(crate) fn cut(&self) {
        self.flows.borrow().iter().filter_map(Weak::upgrade).for_each(|flow| flow.cut());
    }

    /// Bytes that are held for this connection only.
    fn debt(&self) -> usize {
        let flows = self.flows.borrow();
        let sent: usize = flows.iter().filter_map(Weak::upgrade).map(|flow| flow.held_bytes.get()).sum();
        self.answers.bytes() + self.bodies.bytes() + sent
    }
}

/// Adds one, and forgets those that are over before it takes more room.
fn enter<T>(known: &RefCell<Vec<Weak<T>>>, one: &Rc<T>) {
    let mut known = known.borrow_mut();
    if known.len() == known.capacity() {
        known.retain(|known| known.strong_count() > 0);
    }
    known.push(Rc::downgrade(one));
}

/// Runs streams on the worker's own thread.
#[derive(Debug, Clone)]
pub(crate) struct StreamTasks {
    pub(crate) streams: Rc<Streams>,
    pub(crate) hub: Hub,
}

impl<F> hyper::rt::Executor<F> for StreamTasks
where
    F: Future + 'static,
{
    fn execute(&self, stream: F) {
        let hub = self.hub.clone();
        let begun = self.streams.begun.take();
        tokio::task::spawn_local(async move {
            // Of one that panicked nothing is left but the reset that it becomes.
            let what = "a stream of HTTP/2";
            match begun {
                Some(flow) => _ = contained_future(hub.counters(), what, flow.carry(stream)).await,
                // The way out of a tunnel (RFC 8441), whose other end has a clock of its own.
                None => _ = contained_future(hub.counters(), what, stream).await,
            }
        });
    }
}

/// The HTTP/2 connections of a worker, for want of memory.
#[derive(Debug, Default)]
pub(crate) struct Debtors(RefCell<Vec<Weak<Streams>>>);

impl Debtors {
    /// A connection that may become one.
    pub(crate) fn begin(&self) -> Rc<Streams> {
        let streams = Rc::<Streams>::default();
        enter(&self.0, &streams);
        streams
    }

    /// Ends those that hold the most whenever the process takes more memory than it may.
    pub(crate) async fn shed(&self, hub: &Hub) {
        let shortage = hub.shortage();
        loop {
            shortage.told().await;
            let connections = self.0.borrow().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
            let mut debtors: Vec<_> =
                connections.into_iter().map(|streams| (streams.debt(), streams)).collect();
            debtors.retain(|(bytes, streams)| *bytes >= DEBT_BYTES_MIN && !streams.is_shed.get());
            debtors.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
            for (bytes, streams) in debtors {
                if !hub.claim_debtor(bytes) {
                    break;
                }
                streams.is_shed.set(true);
                streams.shed.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use efir_core::{Limits, Times};

    use super::*;

    fn looks(streams: &Streams, hub: &Hub, count: u32) -> bool {
        (0..count).any(|_| streams.look(hub))
    }

    fn one() -> (Hub, Rc<Streams>, Rc<Flow>, Piece) {
        let hub = Hub::new(Limits::default(), Times::default());
        let streams = Debtors::default().begin();
        let flow = streams.begin();
        let piece = Piece::new(Bytes::from_static(&[b'x'; 100]), Some(&flow));
        (hub, streams, flow, piece)
    }

    #[test]
    fn a_connection_of_which_nothing_is_taken_ends_and_a_slow_one_does_not() {
        let (hub, streams, flow, mut piece) = one();
        assert_eq!(streams.debt(), 100);
        for _ in 0..50 {
            assert!(!looks(&streams, &hub, LOOKS));
            piece.advance(1);
        }
        assert_eq!(streams.debt(), 50);
        assert!(looks(&streams, &hub, LOOKS + 2) && !flow.is_cut.get());
    }

    #[test]
    fn a_connection_that_owes_nothing_stays() {
        let (hub, streams, _quiet, piece) = one();
        drop(piece);
        assert_eq!(streams.debt(), 0);
        assert!(!looks(&streams, &hub, 10 * LOOKS));
    }

    #[test]
    fn a_stream_of_which_nothing_is_taken_is_cut_and_what_it_leaves_behind_ends_the_connection() {
        let (hub, streams, stalled, piece) = one();
        let read = streams.begin();
        let mut turns = 0;
        let mut until = |is_due: &dyn Fn(bool) -> bool| {
            loop {
                let mut taken = Piece::new(Bytes::from_static(b"taken"), Some(&read));
                taken.advance(5);
                turns += 1;
                if is_due(streams.look(&hub)) {
                    return turns;
                }
            }
        };
        assert_eq!(until(&|_| stalled.is_cut.get()), LOOKS + 1);
        assert!(!read.is_cut.get());
        assert_eq!(until(&|is_over| is_over), 2 * LOOKS + 2);
        drop(piece);
        assert!(!looks(&streams, &hub, 10 * LOOKS));
    }
}
