//! One channel's log: what it keeps, what it forgets, and what a cursor is owed. Knows no subscribers, no lock and no
//! clock. Reading is in `read`, idempotency keys in `keys`, the reasons of removals in `removals`, what only logs of more
//! than one message have in `past`.

mod keys;
mod past;
mod read;
mod removals;

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use crate::channel::ChannelName;
use crate::gap::GapReason;
use crate::message::{Message, Payload};
use crate::position::{Epoch, OFFSET_MAX, Position};

use past::Past;
pub use read::{Missed, Read, ReadAfter, ReadMost};

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
    /// Now, in ms since 1970 UTC: what ages and windows are counted from.
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
    /// The message at `head`, unless it was removed. Most channels of a large node keep this one only.
    newest: Option<Arc<Message>>,
    /// Everything else. Unallocated where no other message is kept, none was removed and no key is remembered.
    past: Option<Box<Past>>,
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
        let mut log = Self { epoch, head, newest: None, past: None };
        if head > 0 {
            log.past_mut().removals.push(head, GapReason::Expired);
        }
        log
    }

    /// Appends a message, unless its key says that it was appended before; then removes what the retention does not
    /// allow any more. Key and message are remembered together or not at all.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append(&mut self, append: &Append<'_>, retention: &Retention) -> Result<Appended, AppendError> {
        self.append_shown(append, append.time_ms, retention)
    }

    /// The same where readers are shown another time than the one from which ages and windows are counted: the clock of the wall may
    /// be set, and time goes on nevertheless.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_shown(
        &mut self,
        append: &Append<'_>,
        shown_ms: u64,
        retention: &Retention,
    ) -> Result<Appended, AppendError> {
        if let Some(past) = &mut self.past {
            past.keys.expire(append.time_ms);
        }
        if let Some(recalled) = self.recall(append) {
            return recalled;
        }
        let digest = match append.key {
            Some(_) if self.keys() >= retention.keys_max => return Err(AppendError::KeyWindowFull),
            Some(key) => Some((key, append.payload.digest())),
            None => None,
        };
        if self.head >= OFFSET_MAX {
            return Err(AppendError::OffsetsUsedUp);
        }
        self.head += 1;
        if let Some((key, digest)) = digest {
            let forget_ms = append.time_ms.saturating_add(retention.key_window_ms);
            let known = keys::Known { offset: self.head, digest };
            self.past_mut().keys.remember((append.from, key), known, forget_ms);
        }
        let message = self.push(append, shown_ms);
        self.retain(append.time_ms, retention);
        Ok(Appended::New(message))
    }

    /// What the key alone decides: `None` for a message that is new. A node that is full asks this before it refuses, because a
    /// retry needs no room.
    pub fn recall(&self, append: &Append<'_>) -> Option<Result<Appended, AppendError>> {
        let known = self.past.as_ref()?.keys.find(append.from, append.key?)?;
        if known.digest != append.payload.digest() {
            return Some(Err(AppendError::KeyConflict));
        }
        Some(Ok(Appended::Duplicate(Position::new(self.epoch, known.offset))))
    }

    fn push(&mut self, append: &Append<'_>, shown_ms: u64) -> Arc<Message> {
        let position = Position::new(self.epoch, self.head);
        let Append { channel, time_ms, from, payload, .. } = *append;
        let message = Message::aging(channel, position, (time_ms, shown_ms), from, payload);
        if let Some(before) = self.newest.replace(Arc::clone(&message)) {
            self.past_mut().push(before);
        }
        message
    }

    /// Applies number, bytes and age; the newest message always stays.
    // With two callers the compiler makes it a call, 20 instructions more for each publish.
    #[inline(always)]
    fn retain(&mut self, now_ms: u64, retention: &Retention) {
        while self.len() > 1
            && (self.len() > retention.messages_max || self.messages_weight() > retention.bytes_max)
        {
            self.remove_oldest(GapReason::Trimmed);
        }
        while self.len() > 1 && self.is_oldest_expired(now_ms, retention.age_ms_max) {
            self.remove_oldest(GapReason::Expired);
        }
    }

    /// Applies a retention that is another one than so far, without waiting for the next append: number, bytes and age; the
    /// newest message stays. Rare, unlike [`Log::append`], which must not pay for it.
    #[cold]
    pub fn apply(&mut self, now_ms: u64, retention: &Retention) {
        self.retain(now_ms, retention);
        self.shrink();
    }

    /// Removes the messages that are `age_ms_max` old or older, and the keys whose window is over. Returns the weight that
    /// was freed.
    pub fn expire(&mut self, now_ms: u64, age_ms_max: u64) -> usize {
        let before = self.weight();
        while self.is_oldest_expired(now_ms, age_ms_max) {
            self.remove_oldest(GapReason::Expired);
        }
        if let Some(past) = &mut self.past {
            past.keys.expire(now_ms);
        }
        self.shrink();
        before - self.weight()
    }

    /// When [`Log::expire`] will next find something, in ms since 1970 UTC.
    #[must_use]
    pub fn next_expiry_ms(&self, age_ms_max: u64) -> Option<u64> {
        let message = self.front().map(|message| message.time_ms().saturating_add(age_ms_max));
        let key = self.past.as_ref().and_then(|past| past.keys.next_expiry_ms());
        message.into_iter().chain(key).min()
    }

    /// Removes the oldest messages until the log weighs at most `weight` or holds none; keys stay. Returns the weight
    /// that was freed.
    pub fn trim_to(&mut self, weight: usize) -> usize {
        let before = self.weight();
        while self.weight() > weight && !self.is_empty() {
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
        self.front().is_some_and(|message| now_ms.saturating_sub(message.time_ms()) >= age_ms_max)
    }

    fn remove_oldest(&mut self, reason: GapReason) -> usize {
        let older = self.past.as_mut().and_then(|past| past.pop());
        let Some(message) = older.or_else(|| self.newest.take()) else { return 0 };
        self.past_mut().removals.push(message.offset(), reason);
        message.weight()
    }

    fn front(&self) -> Option<&Arc<Message>> {
        self.older().front().or(self.newest.as_ref())
    }

    /// The messages before the newest.
    fn older(&self) -> &VecDeque<Arc<Message>> {
        self.past.as_ref().map_or(&past::NO_MESSAGES, |past| past.older())
    }

    fn past_mut(&mut self) -> &mut Past {
        self.past.get_or_insert_default()
    }

    /// Gives memory back after a burst.
    fn shrink(&mut self) {
        if let Some(past) = &mut self.past {
            past.shrink();
            if past.is_empty() {
                self.past = None;
            }
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
        self.older().len() + usize::from(self.newest.is_some())
    }

    /// Whether no message is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    /// Whether neither a message nor a key is kept, so that epoch and head are all there is to remember.
    #[must_use]
    pub fn is_reapable(&self) -> bool {
        self.is_empty() && self.keys() == 0
    }

    /// How many idempotency keys are remembered.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.past.as_ref().map_or(0, |past| past.keys.len())
    }

    /// What messages and keys weigh, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.messages_weight() + self.past.as_ref().map_or(0, |past| past.keys.weight())
    }

    fn messages_weight(&self) -> usize {
        let newest = self.newest.as_ref().map_or(0, |message| message.weight());
        newest + self.past.as_ref().map_or(0, |past| past.older_weight())
    }

    /// The offset of the oldest message that is kept.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.front().map(|message| message.offset())
    }

    /// When the newest message that is kept was accepted, in ms since 1970 UTC.
    #[must_use]
    pub fn newest_ms(&self) -> Option<u64> {
        self.newest.as_ref().map(|message| message.time_ms())
    }

    /// The messages that are kept, oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Arc<Message>> {
        self.messages_from(0)
    }

    /// The messages that are kept but for the oldest `skipped`.
    fn messages_from(&self, skipped: usize) -> impl DoubleEndedIterator<Item = &Arc<Message>> {
        let older = self.older();
        let newest = self.newest.as_ref().filter(|_| skipped <= older.len());
        older.range(skipped.min(older.len())..).chain(newest)
    }
}

#[cfg(test)]
mod tests;
