//! What a worker has counted in this turn. Only the worker writes here; the node's counters get it once a turn.

use efir_core::wire::Form;

use crate::counters::{Counters, Transport};

const TRANSPORTS: usize = Transport::ALL.len();

/// Counts that are not the node's yet.
#[derive(Debug, Default)]
pub(super) struct Booked {
    opened: [u64; TRANSPORTS],
    closed: [u64; TRANSPORTS],
    delivered: [u64; TRANSPORTS],
    has_news: bool,
}

impl Booked {
    /// A response began; `None`: what only reads the next request.
    pub(super) fn open(&mut self, transport: Option<Transport>) {
        self.has_news |= add(&mut self.opened, transport, 1);
    }

    /// A response ended.
    pub(super) fn close(&mut self, transport: Option<Transport>) {
        self.has_news |= add(&mut self.closed, transport, 1);
    }

    /// So many messages went out in this form.
    pub(super) fn deliver(&mut self, form: Form, messages: u64) {
        if messages > 0 {
            self.has_news |= add(&mut self.delivered, Transport::of(form, false), messages);
        }
    }

    /// Gives everything to the node.
    pub(super) fn hand_over(&mut self, counters: &Counters) {
        if self.has_news {
            counters.book([&self.opened, &self.closed, &self.delivered]);
            *self = Self::default();
        }
    }
}

fn add(sums: &mut [u64; TRANSPORTS], transport: Option<Transport>, count: u64) -> bool {
    let sum = transport.and_then(|transport| sums.get_mut(transport as usize));
    sum.map(|sum| *sum += count).is_some()
}
