//! What a log has besides its newest message: the older ones, why others are gone, and the idempotency keys. Of a million
//! channels most keep one message and never get here.

use std::collections::VecDeque;
use std::sync::Arc;

use super::keys::Keys;
use super::removals::Removals;
use crate::message::Message;

/// The older messages of a log that has none.
pub(super) static NO_MESSAGES: VecDeque<Arc<Message>> = VecDeque::new();

#[derive(Debug, Default)]
pub(super) struct Past {
    /// Oldest first; the newest message of the log is not among them.
    older: VecDeque<Arc<Message>>,
    older_weight: usize,
    pub(super) removals: Removals,
    pub(super) keys: Keys,
}

impl Past {
    pub(super) fn older(&self) -> &VecDeque<Arc<Message>> {
        &self.older
    }

    pub(super) fn older_weight(&self) -> usize {
        self.older_weight
    }

    /// The newest message became an older one.
    pub(super) fn push(&mut self, message: Arc<Message>) {
        self.older_weight += message.weight();
        self.older.push_back(message);
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Arc<Message>> {
        let message = self.older.pop_front()?;
        self.older_weight -= message.weight();
        Some(message)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.older.is_empty() && self.removals.is_empty() && self.keys.len() == 0
    }

    /// At rest a log of n older messages has room for at most 4 n.
    pub(super) fn shrink(&mut self) {
        if self.older.is_empty() {
            self.older = VecDeque::new();
        } else if self.older.capacity() > 16 && self.older.len() < self.older.capacity() / 4 {
            self.older.shrink_to(self.older.len() * 2);
        }
    }
}
