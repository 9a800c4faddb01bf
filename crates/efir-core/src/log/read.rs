//! What a cursor is owed (docs/protocol.md §1): everything after it, or first a gap. A gap is never followed by a skip:
//! the messages begin right after its `resume_from`.

use std::sync::Arc;

use super::Log;
use crate::channel::ChannelName;
use crate::cursor::{Cursor, Start};
use crate::gap::{Gap, GapReason};
use crate::message::Message;
use crate::position::Position;

/// How much one read takes; one message always fits the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMost {
    /// How many messages.
    pub messages: usize,
    /// How many bytes of objects.
    pub bytes: usize,
}

impl ReadMost {
    /// Everything.
    pub const ALL: Self = Self { messages: usize::MAX, bytes: usize::MAX };
}

/// Something after the cursor is no longer there; reading goes on after `resume_from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Why.
    pub reason: GapReason,
    /// Just before the oldest message that is kept.
    pub resume_from: Position,
}

impl Missed {
    /// The gap that the reader is told.
    #[must_use]
    pub fn gap(&self, channel: &ChannelName, after: &Cursor) -> Gap {
        Gap {
            channel: channel.clone(),
            reason: self.reason,
            after: after.clone(),
            resume_from: self.resume_from,
        }
    }
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Goes out before the messages.
    pub gap: Option<Missed>,
    /// In ascending order, without holes.
    pub messages: Vec<Arc<Message>>,
    /// Where the reader stands when it has taken all of this.
    pub cursor: Position,
    /// A further read gives something at once.
    pub more: bool,
}

/// What [`Log::read_after`] found, besides the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAfter {
    /// Goes out before the messages.
    pub gap: Option<Missed>,
    /// The offset where the reader stands when it has taken all of this.
    pub cursor: u64,
    /// A further read gives something at once.
    pub more: bool,
}

impl Log {
    /// Reads after any cursor.
    #[must_use]
    pub fn read(&self, after: &Cursor, most: ReadMost) -> Read {
        let mut messages = Vec::new();
        let found = match after.position().filter(|position| position.epoch == self.epoch) {
            Some(position) => self.read_after(position.offset, most, &mut messages),
            None => match after.bounds() {
                Some((time_ms, text)) => self.read_since(time_ms, Position::parse(text), most, &mut messages),
                None => self.resume(GapReason::EpochChanged, most, &mut messages),
            },
        };
        Read { gap: found.gap, messages, cursor: Position::new(self.epoch, found.cursor), more: found.more }
    }

    /// Reads after an offset of this epoch; appends to `messages`. Allocates only where `messages` must grow.
    pub fn read_after(&self, offset: u64, most: ReadMost, messages: &mut Vec<Arc<Message>>) -> ReadAfter {
        if offset > self.head {
            self.resume(GapReason::PositionAhead, most, messages)
        } else if offset < self.floor() {
            let reason =
                self.past.as_ref().map_or(GapReason::Trimmed, |past| past.removals.reason(offset + 1));
            self.resume(reason, most, messages)
        } else {
            self.take(offset, most, messages)
        }
    }

    /// Reads after a position, but nothing older than `time_ms`: what would be older is a gap.
    fn read_since(
        &self,
        time_ms: u64,
        after: Option<Position>,
        most: ReadMost,
        messages: &mut Vec<Arc<Message>>,
    ) -> ReadAfter {
        let since = self.head
            - self.messages().rev().take_while(|message| message.time_ms() >= time_ms).count() as u64;
        match after.filter(|position| position.epoch == self.epoch).map(|position| position.offset) {
            Some(offset) if (since..=self.head).contains(&offset) => self.take(offset, most, messages),
            _ => {
                let missed =
                    Missed { reason: GapReason::Denied, resume_from: Position::new(self.epoch, since) };
                ReadAfter { gap: Some(missed), ..self.take(since, most, messages) }
            }
        }
    }

    /// Reads the newest `messages` that are kept and fit `most`, in ascending order.
    #[must_use]
    pub fn last(&self, messages: usize, most: ReadMost) -> Read {
        let wanted = messages.min(most.messages);
        let mut bytes = 0usize;
        let fitting = self.messages().rev().take(wanted).enumerate().take_while(|(n, message)| {
            bytes = bytes.saturating_add(message.object().len());
            *n == 0 || bytes <= most.bytes
        });
        let count = fitting.count();
        let messages = self.messages_from(self.len() - count).cloned().collect();
        Read { gap: None, messages, cursor: self.position(), more: false }
    }

    /// The cursor with which reading from `start` begins.
    #[must_use]
    pub fn cursor(&self, start: &Start) -> Cursor {
        match start {
            Start::Now => self.position().into(),
            Start::Beginning => self.before_oldest().into(),
            Start::Last(messages) => self.before_last(*messages).into(),
            Start::After(cursor) => cursor.clone(),
        }
    }

    /// The position just before the oldest message that is kept.
    #[must_use]
    pub fn before_oldest(&self) -> Position {
        Position::new(self.epoch, self.floor())
    }

    /// The position just before the newest `messages` that are kept.
    #[must_use]
    pub fn before_last(&self, messages: usize) -> Position {
        Position::new(self.epoch, self.head - messages.min(self.len()) as u64)
    }

    /// The offset just before the oldest message that is kept.
    fn floor(&self) -> u64 {
        self.head - self.len() as u64
    }

    fn resume(&self, reason: GapReason, most: ReadMost, messages: &mut Vec<Arc<Message>>) -> ReadAfter {
        let gap = Some(Missed { reason, resume_from: self.before_oldest() });
        ReadAfter { gap, ..self.take(self.floor(), most, messages) }
    }

    /// Takes what stands after `offset`, which is between floor and head.
    fn take(&self, offset: u64, most: ReadMost, messages: &mut Vec<Arc<Message>>) -> ReadAfter {
        let skipped = (offset - self.floor()) as usize;
        let mut cursor = offset;
        let mut bytes = 0usize;
        for message in self.messages_from(skipped).take(most.messages) {
            bytes = bytes.saturating_add(message.object().len());
            if bytes > most.bytes && cursor > offset {
                break;
            }
            cursor = message.offset();
            messages.push(Arc::clone(message));
        }
        ReadAfter { gap: None, cursor, more: cursor < self.head }
    }
}
