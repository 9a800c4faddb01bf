//! The naive model of a channel: every message that ever was, with why it is gone; and what a cursor is owed by it.

use efir_core::{Cursor, Epoch, GapReason, Position, Read, Retention};

use crate::broker::PublishError;

/// Beyond so many changes of reason the log may tell the older ones as one.
const EXACT_RUNS: usize = 32;

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    At(Position),
    /// A cursor that was malformed.
    Lost,
}

impl Place {
    pub(super) fn cursor(self) -> Cursor {
        match self {
            Self::At(position) => position.into(),
            Self::Lost => Cursor::lost(),
        }
    }
}

/// What a reader got, or is to get.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// The reason (`None`: the log may tell another) and the offset after which reading goes on.
    pub(super) gap: Option<(Option<GapReason>, u64)>,
    pub(super) offsets: Vec<u64>,
    pub(super) cursor: Position,
}

impl Answer {
    pub(super) fn of(read: &Read) -> Self {
        Self {
            gap: read.gap.map(|gap| (Some(gap.reason), gap.resume_from.offset)),
            offsets: read.messages.iter().map(|message| message.offset()).collect(),
            cursor: read.cursor,
        }
    }

    pub(super) fn check(mut self, wanted: &Self) {
        if let (Some((reason, _)), Some((None, _))) = (&mut self.gap, &wanted.gap) {
            *reason = None;
        }
        assert_eq!(self, *wanted);
    }
}

struct Item {
    time_ms: u64,
    removed: Option<GapReason>,
}

struct Key {
    key: u8,
    text: u8,
    offset: u64,
    forget_ms: u64,
}

pub(super) struct Model {
    pub(super) epoch: Epoch,
    retention: Retention,
    items: Vec<Item>,
    keys: Vec<Key>,
}

impl Model {
    pub(super) fn new(epoch: Epoch, retention: Retention) -> Self {
        Self { epoch, retention, items: Vec::new(), keys: Vec::new() }
    }

    pub(super) fn head(&self) -> u64 {
        self.items.len() as u64
    }

    pub(super) fn position(&self) -> Position {
        Position::new(self.epoch, self.head())
    }

    /// The offset before the oldest message that is kept.
    pub(super) fn floor(&self) -> u64 {
        self.items.iter().take_while(|item| item.removed.is_some()).count() as u64
    }

    /// How many messages are kept, and how many keys.
    pub(super) fn kept(&self) -> (usize, usize) {
        ((self.head() - self.floor()) as usize, self.keys.len())
    }

    fn remove(&mut self, reason: GapReason) {
        let oldest = self.items.iter_mut().find(|item| item.removed.is_none());
        oldest.unwrap().removed = Some(reason);
    }

    fn is_oldest_expired(&self, now_ms: u64) -> bool {
        let oldest = self.items.iter().find(|item| item.removed.is_none());
        oldest.is_some_and(|item| now_ms >= item.time_ms + self.retention.age_ms_max)
    }

    pub(super) fn expire(&mut self, now_ms: u64) {
        while self.is_oldest_expired(now_ms) {
            self.remove(GapReason::Expired);
        }
        while self.keys.first().is_some_and(|key| key.forget_ms <= now_ms) {
            self.keys.remove(0);
        }
    }

    /// Nothing of it is left but epoch and head.
    pub(super) fn put_away(&mut self) {
        assert_eq!(self.kept(), (0, 0), "somebody needs it");
        self.items.iter_mut().for_each(|item| item.removed = Some(GapReason::Expired));
    }

    /// The position, and whether it was known.
    pub(super) fn append(
        &mut self,
        now_ms: u64,
        key: Option<u8>,
        text: u8,
    ) -> Result<(Position, bool), PublishError> {
        self.expire(now_ms);
        if let Some(known) = self.keys.iter().find(|known| Some(known.key) == key) {
            let position = Position::new(self.epoch, known.offset);
            return if known.text == text { Ok((position, true)) } else { Err(PublishError::KeyConflict) };
        }
        let Retention { keys_max, key_window_ms, messages_max, .. } = self.retention;
        if key.is_some() && self.keys.len() >= keys_max {
            return Err(PublishError::KeyWindowFull { keys_max });
        }
        self.items.push(Item { time_ms: now_ms, removed: None });
        let offset = self.head();
        let forget_ms = now_ms + key_window_ms;
        self.keys.extend(key.map(|key| Key { key, text, offset, forget_ms }));
        while self.kept().0 > messages_max.max(1) {
            self.remove(GapReason::Trimmed);
        }
        while self.kept().0 > 1 && self.is_oldest_expired(now_ms) {
            self.remove(GapReason::Expired);
        }
        Ok((self.position(), false))
    }

    /// What is owed to whoever stands there, a page of it.
    pub(super) fn answer(&self, place: Place, page: usize) -> Answer {
        let (head, floor) = (self.head(), self.floor());
        let (gap, from) = match place {
            Place::At(at) if at.epoch != self.epoch => (Some(Some(GapReason::EpochChanged)), floor),
            Place::Lost => (Some(Some(GapReason::EpochChanged)), floor),
            Place::At(at) if at.offset > head => (Some(Some(GapReason::PositionAhead)), floor),
            Place::At(at) if at.offset < floor => (Some(self.reason(at.offset)), floor),
            Place::At(at) => (None, at.offset),
        };
        let offsets: Vec<u64> = (from + 1..=head).take(page).collect();
        let cursor = Position::new(self.epoch, offsets.last().copied().unwrap_or(from));
        Answer { gap: gap.map(|reason| (reason, floor)), offsets, cursor }
    }

    /// Why the first message after an offset is gone; `None` where the log may tell another reason.
    fn reason(&self, offset: u64) -> Option<GapReason> {
        let removed: Vec<_> =
            self.items.iter().skip(offset as usize).map_while(|item| item.removed).collect();
        let changes = removed.windows(2).filter(|pair| pair[0] != pair[1]).count();
        (changes < EXACT_RUNS).then(|| removed[0])
    }
}
