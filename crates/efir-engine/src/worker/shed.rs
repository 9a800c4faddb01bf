//! Cutting the connections that make the server keep the most, when it takes more memory than it may.

use std::{cmp::Reverse, time::Instant};

use super::{Worker, connection::Connection};
use crate::{outbox::Outbox, overload::DEBT_BYTES_MIN};

impl Connection {
    /// Bytes that are kept for this connection only. What its reader has before it in the log is everybody's.
    fn held_bytes(&self) -> usize {
        let waiting = self.pending.as_deref().map_or(0, Outbox::len) + self.socket.held_bytes();
        waiting + self.begun()
    }

    /// Bytes of a message that the client has begun and not ended.
    fn begun(&self) -> usize {
        self.input.capacity() + self.exchange.held_bytes()
    }
}

impl Worker {
    /// Books what the connection's client has begun and not ended; true when the largest debtors are to be cut for it, now.
    pub(super) fn book_begun(&mut self, key: u32) -> bool {
        let Some(connection) = self.connections.get_mut(key as usize) else { return false };
        let begun = Some(connection.begun()).filter(|bytes| *bytes >= DEBT_BYTES_MIN).unwrap_or_default();
        let begun = u32::try_from(begun).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut connection.begun_bytes, begun);
        begun != before && self.hub.overload().book_begun(before, begun)
    }

    /// Cuts the largest debtors until all workers together have freed enough. Each is told, if it reads.
    pub(super) fn shed(&mut self, now: Instant) {
        let held = |(key, connection): (usize, &Connection)| (connection.held_bytes(), key as u32);
        let bytes_min = self.hub.overload().debt_bytes_min();
        let mut debtors: Vec<(usize, u32)> =
            self.connections.iter().map(held).filter(|(bytes, _)| *bytes >= bytes_min).collect();
        debtors.sort_unstable_by_key(|debtor| Reverse(*debtor));
        let mut debtors = debtors.into_iter();
        self.contain(|worker| worker.cut(&mut debtors, now));
    }

    fn cut(&mut self, debtors: &mut impl Iterator<Item = (usize, u32)>, now: Instant) {
        for (bytes, key) in debtors {
            if !self.hub.claim_debtor(bytes) {
                return;
            }
            self.at_hand.set(key);
            let problem = self.hub.overload().problem();
            self.call(key, now, |connection, out| {
                connection.exchange.shed(&problem, &mut connection.reader, out)
            });
            // Who does not read cannot be told, and what waits for it is what it holds.
            let is_stuck =
                |connection: &Connection| connection.pending.is_some() || connection.socket.has_unsent();
            if self.connections.get(key as usize).is_some_and(is_stuck) {
                self.remove(key);
            }
        }
    }
}
