//! The idempotency keys of one channel: (sender, key) → where the message stands and what it was. Remembered for the
//! whole window, whether or not the message is still kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

/// What a key weighs besides its own bytes.
const KEY_OVERHEAD: usize = 160;

/// What was appended under a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) offset: u64,
    pub(super) digest: u128,
}

/// Unallocated while no key is remembered.
#[derive(Debug, Default)]
pub(super) struct Keys(Option<Box<Window>>);

#[derive(Debug, Default)]
struct Window {
    /// An ordered map, because keys come from clients, and a hasher would need a secret.
    known: BTreeMap<Arc<[u8]>, Known>,
    /// When each is forgotten, in the order in which they came.
    order: VecDeque<(u64, Arc<[u8]>)>,
    weight: usize,
}

impl Keys {
    pub(super) fn find(&self, from: Option<&str>, key: &str) -> Option<Known> {
        self.0.as_ref()?.known.get(identity(from, key).as_slice()).copied()
    }

    /// Only for a key that is not known.
    pub(super) fn remember(&mut self, (from, key): (Option<&str>, &str), known: Known, forget_ms: u64) {
        let id: Arc<[u8]> = identity(from, key).as_slice().into();
        let window = self.0.get_or_insert_default();
        window.weight += id.len() + KEY_OVERHEAD;
        window.order.push_back((forget_ms, Arc::clone(&id)));
        window.known.insert(id, known);
    }

    /// Forgets the keys whose window is over.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let Some(window) = &mut self.0 else { return };
        window.expire(now_ms);
        if window.known.is_empty() {
            self.0 = None;
        }
    }

    pub(super) fn next_expiry_ms(&self) -> Option<u64> {
        self.0.as_ref()?.order.front().map(|(forget_ms, _)| *forget_ms)
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |window| window.known.len())
    }

    pub(super) fn weight(&self) -> usize {
        self.0.as_ref().map_or(0, |window| window.weight)
    }
}

impl Window {
    fn expire(&mut self, now_ms: u64) {
        while let Some((forget_ms, id)) = self.order.front() {
            if *forget_ms > now_ms {
                break;
            }
            self.weight -= id.len() + KEY_OVERHEAD;
            self.known.remove(id);
            self.order.pop_front();
        }
        if self.order.capacity() > 64 && self.order.len() < self.order.capacity() / 4 {
            self.order.shrink_to(self.order.len() * 2);
        }
    }
}

/// The sender's length stands before it, so that no sender and key look like another pair; no sender is not an empty one.
fn identity(from: Option<&str>, key: &str) -> SmallVec<[u8; 160]> {
    let mut id = SmallVec::new();
    if let Some(from) = from {
        id.extend_from_slice(&(from.len() as u64 + 1).to_be_bytes());
        id.extend_from_slice(from.as_bytes());
    } else {
        id.extend_from_slice(&0u64.to_be_bytes());
    }
    id.extend_from_slice(key.as_bytes());
    id
}
