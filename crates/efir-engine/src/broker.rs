//! The port behind which messages are stored and, later, carried between nodes.
//!
//! A broker knows channels, never connections or wire forms. Adding one: a file (or folder) beside `memory.rs` that implements
//! [`Broker`], and one line in [`crate::Hub`].

use std::sync::Arc;

use efir_core::{
    ChannelName, Code, Cursor, Durability, Payload, Position, Problem, ReadMost, Receipt, Start,
};

use crate::{
    channel::{Channel, Due, Watch},
    hub::{Page, Publish},
    retention::RetentionRules,
};

/// Why a message was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The payload is larger than `message_bytes_max`.
    #[error("the payload has {bytes} bytes; at most {bytes_max} are allowed")]
    PayloadTooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// The key was used for another payload.
    #[error(
        "this idempotency key was used for another payload on this channel; use a fresh key for a fresh message"
    )]
    KeyConflict,
    /// The channel remembers as many keys as it may; none is forgotten early.
    #[error("the channel remembers {keys_max} idempotency keys, which is its limit; they expire by and by")]
    KeyWindowFull {
        /// The limit in force.
        keys_max: usize,
    },
    /// The node remembers as many keys as it may.
    #[error("the node remembers {keys_max} idempotency keys, which is its limit; they expire by and by")]
    NodeKeysFull {
        /// The limit in force.
        keys_max: usize,
    },
    /// As many channels hold messages as may.
    #[error("{channels_max} channels hold messages, which is the node's limit")]
    ChannelsFull {
        /// The limit in force.
        channels_max: usize,
    },
    /// The process takes more memory than it may.
    #[error("{problem}")]
    Overloaded {
        /// What the client is told.
        problem: Box<Problem>,
    },
    /// The channel has reached the last offset that JSON can carry.
    #[error("the channel is at the last offset of its epoch")]
    Exhausted,
}

impl PublishError {
    /// The refusal as a client sees it.
    pub fn problem(&self) -> Problem {
        let detail = self.to_string();
        match self {
            Self::PayloadTooLarge { bytes_max, .. } => {
                Problem::new(Code::PayloadTooLarge, detail).with_limit("message_bytes_max", *bytes_max as u64)
            }
            Self::KeyConflict => Problem::new(Code::KeyConflict, detail),
            Self::KeyWindowFull { keys_max } => Problem::new(Code::KeyWindowFull, detail)
                .with_limit("keys_max", *keys_max as u64)
                .with_retry_after_ms(5_000),
            Self::NodeKeysFull { keys_max } => Problem::new(Code::KeyWindowFull, detail)
                .with_limit("node_keys_max", *keys_max as u64)
                .with_retry_after_ms(5_000),
            Self::ChannelsFull { channels_max } => {
                let problem = Problem::new(Code::ChannelsFull, detail);
                problem.with_limit("channels_max", *channels_max as u64).with_retry_after_ms(10_000)
            }
            Self::Overloaded { problem } => (**problem).clone(),
            Self::Exhausted => {
                Problem::new(Code::Overloaded, detail).with_limit("offset_max", efir_core::OFFSET_MAX)
            }
        }
    }
}

/// What is appended to the log of a channel's members.
#[derive(Debug, Clone, Copy)]
pub struct MemberChange<'a> {
    /// The log.
    pub log: &'a ChannelName,
    /// What changed.
    pub payload: &'a Payload,
    /// It can be refused where the node has no room for one more channel; what tells that somebody left cannot.
    pub is_refusable: bool,
}

/// What the channels of a node hold now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// Channels that keep at least one message.
    pub channels: usize,
    /// Weight of all messages, as `log_bytes_max` bounds it.
    pub log_bytes: usize,
    /// Idempotency keys that are remembered.
    pub keys: usize,
}

/// What stores messages and hands them over on this node.
pub trait Broker: Send + Sync + std::fmt::Debug {
    /// What a positive answer of [`Broker::publish`] means.
    fn durability(&self) -> Durability;

    /// Appends a message, gives it the next offset and notes it to everybody who watches the channel.
    ///
    /// # Errors
    /// Nothing was appended then.
    fn publish(&self, publish: &Publish<'_>, now_ms: u64) -> Result<Receipt, PublishError>;

    /// Appends a change to the log of a channel's members, and tells nobody yet: [`Broker::tell`] does that when the lock is gone
    /// under which members and log change together.
    ///
    /// # Errors
    /// Nothing was appended then.
    fn append_change(&self, change: &MemberChange<'_>, now_ms: u64) -> Result<Due, PublishError>;

    /// Notes a change to those who watch its log.
    fn tell(&self, due: Due);

    /// Reads at once.
    fn read(&self, channel: &ChannelName, start: Start, most: ReadMost) -> Page;

    /// Turns a start into the cursor after which to read. A given cursor comes back as it is.
    fn resolve(&self, channel: &ChannelName, start: Start) -> Cursor;

    /// Where the newest message stands.
    fn position(&self, channel: &ChannelName) -> Position;

    /// From now on every new message of the channel is noted to `watch`.
    fn watch(&self, channel: &ChannelName, watch: Arc<Watch>) -> Arc<Channel>;

    /// From now on channels keep what these rules say, at most what the node lets them; `None`: all keep what the node does. One
    /// that is there already is trimmed when it is next published to, read or swept.
    fn keep_by(&self, rules: Option<RetentionRules>);

    /// What the channels hold now.
    fn stock(&self) -> Stock;

    /// Trims the least recently used channels by about so many bytes, and leaves a sixteenth of `log_bytes_max`.
    fn trim(&self, bytes: usize);

    /// Frees what has expired. Called often; does a share of the work each time.
    fn sweep(&self, now_ms: u64);
}
