//! One channel's log: what it keeps, what it forgets, and what a cursor is owed. Knows no subscribers, no lock and no
//! clock. Reading is in `read`, idempotency keys in `keys`, the reasons of removals in `removals`.

mod keys;
mod read;
mod removals;

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use crate::channel::ChannelName;
use crate::gap::GapReason;
use crate::message::{Message, Payload};
use crate::position::{Epoch, OFFSET_MAX, Position};

use keys::Keys;
pub use read::{Missed, Read, ReadAfter, ReadMost};
use removals::Removals;

/// What a log keeps and remembers; all finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many messages are kept.
    pub messages_max: usize,
    /// How many bytes of messages are kept, by [`Message::weight`]; the newest message stays even if it alone is more.
    pub bytes_max: usize,
    /// How old a message may become.
    pub age_ms_max: u64,
    /// How many idempotency keys are remembered; a further one is refused.
    pub keys_max: usize,
    /// How long a key is remembered.
    pub key_window_ms: u64,
}

/// A message that is to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// The name of the channel, which is written into the message.
    pub channel: &'a ChannelName,
    /// Now, in ms since 1970 UTC.
    pub time_ms: u64,
    /// The sender, if proven.
    pub from: Option<&'a str>,
    /// What is published.
    pub payload: &'a Payload,
    /// The idempotency key; it is the sender's own.
    pub key: Option<&'a str>,
}

/// What became of an append.
#[derive(Clone, Debug)]
pub enum Appended {
    /// It stands in the log now.
    New(Arc<Message>),
    /// The same key and payload were appended before, here; perhaps the message is no longer kept.
    Duplicate(Position),
}

impl Appended {
    /// Where the message stands or stood.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::New(message) => message.position(),
            Self::Duplicate(position) => *position,
        }
    }

    /// Whether nothing was appended because it was there before.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Duplicate(_))
    }
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The key was used for another payload.
    #[error("the key was used for another payload")]
    KeyConflict,
    /// As many keys are remembered as may be; none is forgotten early.
    #[error("the channel remembers as many keys as it may")]
    KeyWindowFull,
    /// 2^53 - 1 messages were appended in this epoch.
    #[error("the epoch has no offsets left")]
    OffsetsUsedUp,
}

/// One channel's messages, oldest first, with dense offsets.
///
/// ```
/// use efir_core::{Append, ChannelName, Cursor, Epoch, Limits, Log, Payload, ReadMost};
///
/// let mut log = Log::new(Epoch::from_seed(1));
/// let joined = Cursor::from(log.position());
/// let channel = ChannelName::parse("chat")?;
/// let payload = Payload::json(r#"{"text":"hi"}"#.into())?;
/// let append = Append { channel: &channel, time_ms: 1_795_233_744_123, from: None, payload: &payload, key: None };
/// log.append(&append, &Limits::default().retention())?;
///
/// let read = log.read(&joined, ReadMost::ALL);
/// assert!(read.gap.is_none());
/// assert_eq!(read.messages.len(), 1);
/// assert_eq!(read.cursor, log.position());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Log {
    epoch: Epoch,
    /// The offset of the newest message ever appended; 0 before the first.
    head: u64,
    /// The newest `messages.len()` of them.
    messages: VecDeque<Arc<Message>>,
    messages_weight: usize,
    /// Why those before the oldest are no longer there.
    removals: Removals,
    keys: Keys,
}

impl Log {
    /// An empty log that stands at `<epoch>-0`.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self::with_head(epoch, 0)
    }

    /// An empty log whose messages up to `head` have expired (made again from a stub).
    #[must_use]
    pub fn with_head(epoch: Epoch, head: u64) -> Self {
        let mut removals = Removals::default();
        if head > 0 {
            removals.push(head, GapReason::Expired);
        }
        Self { epoch, head, messages: VecDeque::new(), messages_weight: 0, removals, keys: Keys::default() }
    }

    /// Appends a message, unless its key says that it was appended before; then removes what the retention does not
    /// allow any more. Key and message are remembered together or not at all.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append(&mut self, append: &Append<'_>, retention: &Retention) -> Result<Appended, AppendError> {
        self.keys.expire(append.time_ms);
        if let Some(recalled) = self.recall(append) {
            return recalled;
        }
        let digest = match append.key {
            Some(_) if self.keys.len() >= retention.keys_max => return Err(AppendError::KeyWindowFull),
            Some(key) => Some((key, append.payload.digest())),
            None => None,
        };
        if self.head >= OFFSET_MAX {
            return Err(AppendError::OffsetsUsedUp);
        }
        self.head += 1;
        if let Some((key, digest)) = digest {
            let forget_ms = append.time_ms.saturating_add(retention.key_window_ms);
            self.keys.remember((append.from, key), keys::Known { offset: self.head, digest }, forget_ms);
        }
        let message = self.push(append);
        self.retain(append.time_ms, retention);
        Ok(Appended::New(message))
    }

    /// What the key alone decides: `None` for a message that is new. A node that is full asks this before it refuses, because a
    /// retry needs no room.
    pub fn recall(&self, append: &Append<'_>) -> Option<Result<Appended, AppendError>> {
        let known = self.keys.find(append.from, append.key?)?;
        if known.digest != append.payload.digest() {
            return Some(Err(AppendError::KeyConflict));
        }
        Some(Ok(Appended::Duplicate(Position::new(self.epoch, known.offset))))
    }

    fn push(&mut self, append: &Append<'_>) -> Arc<Message> {
        let position = Position::new(self.epoch, self.head);
        let Append { channel, time_ms, from, payload, .. } = *append;
        let message = Arc::new(Message::new(channel, position, time_ms, from, payload));
        self.messages_weight += message.weight();
        self.messages.push_back(Arc::clone(&message));
        message
    }

    /// Applies number, bytes and age; the newest message always stays.
    fn retain(&mut self, now_ms: u64, retention: &Retention) {
        while self.messages.len() > 1
            && (self.messages.len() > retention.messages_max || self.messages_weight > retention.bytes_max)
        {
            self.remove_oldest(GapReason::Trimmed);
        }
        while self.messages.len() > 1 && self.is_oldest_expired(now_ms, retention.age_ms_max) {
            self.remove_oldest(GapReason::Expired);
        }
    }

    /// Removes the messages that are `age_ms_max` old or older, and the keys whose window is over. Returns the weight that
    /// was freed.
    pub fn expire(&mut self, now_ms: u64, age_ms_max: u64) -> usize {
        let before = self.weight();
        while self.is_oldest_expired(now_ms, age_ms_max) {
            self.remove_oldest(GapReason::Expired);
        }
        self.keys.expire(now_ms);
        self.shrink();
        before - self.weight()
    }

    /// When [`Log::expire`] will next find something, in ms since 1970 UTC.
    #[must_use]
    pub fn next_expiry_ms(&self, age_ms_max: u64) -> Option<u64> {
        let message = self.messages.front().map(|message| message.time_ms().saturating_add(age_ms_max));
        [message, self.keys.next_expiry_ms()].into_iter().flatten().min()
    }

    /// Removes the oldest messages until the log weighs at most `weight` or holds none; keys stay. Returns the weight
    /// that was freed.
    pub fn trim_to(&mut self, weight: usize) -> usize {
        let before = self.weight();
        while self.weight() > weight && !self.messages.is_empty() {
            self.remove_oldest(GapReason::Trimmed);
        }
        self.shrink();
        before - self.weight()
    }

    /// Removes the oldest message. Returns the weight that was freed; 0 where there is none.
    pub fn trim_oldest(&mut self) -> usize {
        self.remove_oldest(GapReason::Trimmed)
    }

    fn is_oldest_expired(&self, now_ms: u64, age_ms_max: u64) -> bool {
        self.messages.front().is_some_and(|message| now_ms.saturating_sub(message.time_ms()) >= age_ms_max)
    }

    fn remove_oldest(&mut self, reason: GapReason) -> usize {
        let Some(message) = self.messages.pop_front() else { return 0 };
        let weight = message.weight();
        self.messages_weight -= weight;
        self.removals.push(message.offset(), reason);
        weight
    }

    /// Gives memory back after a burst; at rest a log of n messages has room for at most 4 n.
    fn shrink(&mut self) {
        if self.messages.capacity() > 16 && self.messages.len() < self.messages.capacity() / 4 {
            self.messages.shrink_to(self.messages.len() * 2);
        }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The offset of the newest message ever appended; 0 before the first.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Where the log stands: the position of the newest message ever appended.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.epoch, self.head)
    }

    /// How many messages are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether neither a message nor a key is kept, so that epoch and head are all there is to remember.
    #[must_use]
    pub fn is_reapable(&self) -> bool {
        self.messages.is_empty() && self.keys.len() == 0
    }

    /// How many idempotency keys are remembered.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// What messages and keys weigh, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.messages_weight + self.keys.weight()
    }

    /// The offset of the oldest message that is kept.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.messages.front().map(|message| message.offset())
    }

    /// The messages that are kept, oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Arc<Message>> + ExactSizeIterator {
        self.messages.iter()
    }
}

#[cfg(test)]
mod tests;
