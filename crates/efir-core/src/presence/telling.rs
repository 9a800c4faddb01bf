//! What of the changes of a channel's members is told: each of them while they are few, and their number, at most once in a while,
//! when they are many. A channel with ten thousand members would otherwise send ten thousand messages for each that comes.

use super::{Change, Members};

/// How it is told who is in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// Only the number is told.
    is_counted: bool,
    /// The number changed since it was told.
    is_owed: bool,
    /// When the number was told last, in ms since 1970 UTC.
    told_ms: u64,
}

/// What is to be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Nothing.
    Nothing,
    /// The change itself.
    Change,
    /// The number of members.
    Count,
    /// All of them.
    State,
}

impl Telling {
    /// Something changed; `members` are those after it. What is not told now is told by [`Telling::catch_up`].
    pub fn hear(&mut self, change: &Change, members: &Members, now_ms: u64, most: TellMost) -> Tell {
        if *change == Change::Nothing {
            return Tell::Nothing;
        }
        if !self.is_counted {
            if members.len() <= most.members_max {
                return Tell::Change;
            }
            *self = Self { is_counted: true, is_owed: false, told_ms: now_ms };
            return Tell::Count;
        }
        self.owe(change);
        self.catch_up(members, now_ms, most)
    }

    /// Something changed while only the number is told, and [`Telling::catch_up`] tells it. Of changes that come together each is
    /// owed before anything is told: the first would otherwise make the list be told, and each of the others be told after it.
    pub fn owe(&mut self, change: &Change) {
        // A new name says nothing to those who know no names.
        self.is_owed |= !matches!(change, Change::Nothing | Change::Updated(_));
    }

    /// Tells what is owed, if it is time.
    pub fn catch_up(&mut self, members: &Members, now_ms: u64, most: TellMost) -> Tell {
        if self.due_ms(most).is_none_or(|due_ms| due_ms > now_ms) {
            return Tell::Nothing;
        }
        // Not at the limit itself, so that one who comes and goes there does not make all of them be told each time.
        if members.len() <= most.members_max / 10 * 9 + most.members_max % 10 * 9 / 10 {
            *self = Self::default();
            return Tell::State;
        }
        (self.is_owed, self.told_ms) = (false, now_ms);
        Tell::Count
    }

    /// When [`Telling::catch_up`] will next have something to tell, in ms since 1970 UTC.
    #[must_use]
    pub fn due_ms(&self, most: TellMost) -> Option<u64> {
        (self.is_counted && self.is_owed).then(|| self.told_ms.saturating_add(most.interval_ms))
    }

    /// Whether only the number is told.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }
}

/// How much is told at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TellMost {
    /// Up to how many members are told one by one.
    pub members_max: usize,
    /// The least time between two numbers.
    pub interval_ms: u64,
}
