//! A gap: something after a cursor is no longer there. It is a value that goes to the reader before any later message,
//! never an error. Which cursor gets one is decided in [`crate::log`].

use crate::channel::ChannelName;
use crate::cursor::Cursor;
use crate::position::{Epoch, Position};

/// Why something after the cursor is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// Removed to stay within the retention in number or bytes, or the memory of all channels.
    Trimmed,
    /// Removed because of its age.
    Expired,
    /// The cursor is of another epoch (a restart without a durable log), or of nothing that this server ever gave.
    EpochChanged,
    /// The cursor is beyond the newest message.
    PositionAhead,
    /// The broker lost messages that it had acknowledged.
    BrokerLoss,
    /// The log file was cut back to its last good record.
    StorageTruncated,
    /// The reader may not see what is in between.
    Denied,
}

impl GapReason {
    /// Every reason, in the order of docs/protocol.md §4.
    pub const ALL: [Self; 7] = [
        Self::Trimmed,
        Self::Expired,
        Self::EpochChanged,
        Self::PositionAhead,
        Self::BrokerLoss,
        Self::StorageTruncated,
        Self::Denied,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Expired => "expired",
            Self::EpochChanged => "epoch_changed",
            Self::PositionAhead => "position_ahead",
            Self::BrokerLoss => "broker_loss",
            Self::StorageTruncated => "storage_truncated",
            Self::Denied => "denied",
        }
    }
}

/// What a reader is told before it goes on at `resume_from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The channel that was read.
    pub channel: ChannelName,
    /// Why something is missing.
    pub reason: GapReason,
    /// The cursor that was given.
    pub after: Cursor,
    /// The position just before the oldest message that is kept; reading goes on after it.
    pub resume_from: Position,
}

impl Gap {
    /// The epoch that the channel has now.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.resume_from.epoch
    }
}
