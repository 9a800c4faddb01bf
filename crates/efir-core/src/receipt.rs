//! What a publisher gets back for an accepted message (docs/protocol.md §6). Its JSON is in [`crate::wire::receipt`].

use crate::channel::ChannelName;
use crate::position::Position;

/// What holds for a message at the moment when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// It is in the memory of this node.
    Memory,
    /// It is on the disk of this node.
    Disk,
    /// The broker has acknowledged it.
    Broker,
}

impl Durability {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Broker => "broker",
        }
    }
}

/// The answer to a publish that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The channel that was published to.
    pub channel: ChannelName,
    /// Where the message stands; for a duplicate, where the original stands.
    pub position: Position,
    /// What holds now.
    pub durability: Durability,
    /// The same key and payload were accepted before; nothing was appended.
    pub duplicate: bool,
    /// Streams and held polls of the channel on this node; informational.
    pub subscribers: u32,
}
