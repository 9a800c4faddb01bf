//! What a panic ends: the connection at hand, and nothing else (decision 0023).
//!
//! There is one catch around a turn, not one around each connection, so that it costs nothing to speak of. What is left to do stands in
//! queues of the worker, from which each thing is taken before it is done: the next turn goes on behind the one that panicked. Where a
//! loop keeps its list to itself it has a catch of its own ([`Worker::contain`]).

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::Waker,
    time::Instant,
};

use bytes::Bytes;

use super::{
    Worker,
    connection::{Phase, Written},
};
use crate::{
    Framing, Turn,
    contained::{contained, internal_problem, note},
    outbox::Outbox,
    reader::Reader,
};

/// Panics in a row with no connection at hand, after which the worker itself is given up: it would never do anything else.
const OWN_PANICS_MAX: u32 = 16;

/// For whom the worker does something right now.
#[derive(Debug, Default)]
pub(super) struct AtHand {
    connection: Option<u32>,
    /// Its exchange is asked: nothing of what it said is on its way to the socket yet.
    is_asked: bool,
    /// The head of its response, where that was not written.
    head: Bytes,
    /// Panics in a row that were nobody's.
    own_panics: u32,
}

impl AtHand {
    /// From now on it is this connection's turn.
    pub(super) fn set(&mut self, connection: u32) {
        self.connection = Some(connection);
        self.is_asked = false;
    }

    /// From now on it is nobody's.
    pub(super) fn clear(&mut self) {
        self.connection = None;
        self.is_asked = false;
    }

    /// A response begins.
    pub(super) fn begin(&mut self, head: &Bytes) {
        self.head.clone_from(head);
        self.is_asked = true;
    }

    /// Its exchange is asked, and nothing else waits to be written or something does.
    pub(super) fn ask(&mut self, is_all_written: bool) {
        self.is_asked = is_all_written;
    }

    /// What it said is about to be written.
    pub(super) fn write(&mut self) {
        self.is_asked = false;
        if !self.head.is_empty() {
            self.head = Bytes::new();
        }
    }
}

impl Worker {
    /// A turn; when it panics, the connection at hand ends, and the next turn goes on.
    pub(super) fn contained_turn(&mut self, waker: &Waker) -> bool {
        self.at_hand.clear();
        match catch_unwind(AssertUnwindSafe(|| self.turn(waker))) {
            Ok(is_busy) => {
                self.at_hand.own_panics = 0;
                is_busy
            }
            Err(_) if self.at_hand.own_panics < OWN_PANICS_MAX => {
                self.end_at_hand();
                true
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Runs `work` until it comes to its end: when it panics, the connection at hand ends and it is run again. So it has to go on where
    /// it was.
    pub(super) fn contain(&mut self, mut work: impl FnMut(&mut Self)) {
        while catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.end_at_hand();
        }
    }

    /// Does this for every connection.
    pub(super) fn for_each(&mut self, visit: impl Fn(&mut Self, u32)) {
        let keys: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        let mut left = keys.into_iter();
        self.contain(|worker| {
            for key in left.by_ref() {
                worker.at_hand.set(key);
                visit(worker, key);
            }
        });
    }

    /// What was done for the connection at hand panicked: it ends. True if there was one.
    #[cold]
    pub(super) fn end_at_hand(&mut self) -> bool {
        // What its exchange had pushed stands there, in whole or in part.
        self.scratch = Outbox::new(Framing::Plain);
        let head = std::mem::take(&mut self.at_hand.head);
        let Some(key) = self.at_hand.connection.take() else {
            self.at_hand.own_panics += 1;
            note(self.hub.counters(), "a turn of a worker");
            return false;
        };
        note(self.hub.counters(), "a connection");
        let words = std::mem::take(&mut self.at_hand.is_asked).then_some(head);
        if catch_unwind(AssertUnwindSafe(|| self.end_broken(key, words))).is_err() {
            note(self.hub.counters(), "the end of a connection");
            self.connections.try_remove(key as usize).into_iter().for_each(|broken| {
                self.intake.let_go();
                contained(self.hub.counters(), "what was left of a connection", || drop(broken));
            });
        }
        true
    }

    /// Ends a connection of which only the socket is still trusted; with a `head`, it may be told why.
    fn end_broken(&mut self, key: u32, head: Option<Bytes>) {
        // Not by what its reader remembers: a place that nobody frees would be that of the next connection with this key.
        for (moved, place) in self.watched.forget(key) {
            if let Some(connection) = self.connections.get_mut(moved.connection as usize) {
                connection.reader.set_place(moved.subscription, place);
            }
        }
        let now = Instant::now();
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        connection.reader = Reader::new(self.hub.clone());
        let is_at_a_boundary = connection.phase == Phase::Open
            && connection.stalled_since.is_none()
            && !connection.socket.has_unsent();
        connection.pending = None;
        let Some(head) = head.filter(|_| is_at_a_boundary) else { return self.close(key, now) };
        let mut out = Outbox::new(connection.framing);
        if !head.is_empty() {
            out.push_raw(head);
        }
        connection.exchange.last_words(&internal_problem(), &mut out);
        // From here on the exchange is not asked any more.
        connection.phase = Phase::Ending(Turn::Close);
        match connection.write(&mut out, now) {
            Written::All => self.close(key, now),
            Written::Failed => self.remove(key),
            Written::Blocked => {
                connection.pending = Some(Box::new(out));
                self.set_timer(key);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
