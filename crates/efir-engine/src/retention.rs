//! What channels keep where not all keep the same, and how a channel remembers which of it holds for it. Who says so, and by which
//! names, is not known here.

use std::{
    fmt,
    sync::atomic::{AtomicU16, Ordering},
};

use efir_core::{ChannelName, Retention};

/// What some channels keep. Never more than the node lets them: what is larger means the node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnRetention {
    /// How many messages.
    pub messages_max: usize,
    /// How many bytes of messages; the newest message stays even if it alone is more.
    pub bytes_max: usize,
    /// How old a message may become, in ms.
    pub age_ms_max: u64,
}

impl OwnRetention {
    /// As the node.
    pub const NODE: Self = Self { messages_max: usize::MAX, bytes_max: usize::MAX, age_ms_max: u64::MAX };

    /// Within what the node keeps.
    pub(crate) fn within(&self, node: Retention) -> Retention {
        Retention {
            messages_max: self.messages_max.min(node.messages_max),
            bytes_max: self.bytes_max.min(node.bytes_max),
            age_ms_max: self.age_ms_max.min(node.age_ms_max),
            ..node
        }
    }
}

/// The greatest number that a channel can remember; whatever has a greater one keeps what the node does.
const NUMBER_MAX: u16 = u16::MAX >> GENERATION_BITS;

type Find = Box<dyn Fn(&ChannelName) -> Option<usize> + Send + Sync>;

/// Which channels keep what.
pub struct RetentionRules {
    pub(crate) own: Vec<OwnRetention>,
    find: Find,
}

impl RetentionRules {
    /// `find` says which of `own`, of which there may be 16,384, holds for a channel, by its number counted from 0; none: the node's. It is asked once for each
    /// channel that begins, so it must always say the same.
    pub fn new(
        own: Vec<OwnRetention>,
        find: impl Fn(&ChannelName) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        Self { own, find: Box::new(find) }
    }

    /// Which one holds for the channel, unless it is as the node's.
    pub(crate) fn number_of(&self, channel: &ChannelName) -> Option<u16> {
        let number = (self.find)(channel)?;
        let own = self.own.get(number)?;
        u16::try_from(number).ok().filter(|number| *number <= NUMBER_MAX && *own != OwnRetention::NODE)
    }
}

impl fmt::Debug for RetentionRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetentionRules").field("own", &self.own).finish_non_exhaustive()
    }
}

/// The channel keeps what the node does.
pub(crate) const AS_NODE: u16 = 0;
/// Nobody has looked yet what the channel keeps.
pub(crate) const UNKNOWN: u16 = 1;
/// Bits of a mark that say by which rules its number was found, if not [`AS_NODE`] or [`UNKNOWN`].
const GENERATION_BITS: u32 = 2;

/// Which retention holds for a channel, in two bytes that would be padding. Changed under the channel's lock.
#[derive(Debug)]
pub(crate) struct RetentionMark(AtomicU16);

impl RetentionMark {
    pub(crate) fn new(generation: u16) -> Self {
        Self(AtomicU16::new(generation))
    }

    pub(crate) fn generation(&self) -> u16 {
        self.0.load(Ordering::Relaxed) % (1 << GENERATION_BITS)
    }

    pub(crate) fn is_as_node(&self) -> bool {
        self.0.load(Ordering::Relaxed) == AS_NODE
    }

    pub(crate) fn number(&self) -> u16 {
        self.0.load(Ordering::Relaxed) >> GENERATION_BITS
    }

    pub(crate) fn set(&self, generation: u16, number: u16) {
        self.0.store(number << GENERATION_BITS | generation, Ordering::Relaxed);
    }
}
