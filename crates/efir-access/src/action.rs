//! What somebody may do with a channel, and sets of it.

use std::fmt;

/// One thing that is allowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// Read what comes from now on, by any transport.
    Subscribe,
    /// Append a message.
    Publish,
    /// Read what was there before: `after=`, `last=`, or a short poll.
    History,
    /// Read who is in the channel, or enter it.
    Presence,
}

/// Which of the [`Action`]s; a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Action {
    /// Every action, in the order of the docs.
    pub const ALL: [Self; 4] = [Self::Subscribe, Self::Publish, Self::History, Self::Presence];

    /// The name in the configuration, in tokens and in problems.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::History => "history",
            Self::Presence => "presence",
        }
    }

    /// The action of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Actions {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(0b1111);
    /// What a ticket may allow: subscribe and history.
    pub const READ: Self = Self(1 << Action::Subscribe as u8 | 1 << Action::History as u8);

    /// Whether the action is one of them.
    #[must_use]
    pub fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// These and this one.
    #[must_use]
    pub fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u8)
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of the docs.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.has(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let set: Actions = [Action::Publish, Action::Presence].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Action::Publish, Action::Presence]);
        assert!(!set.has(Action::Subscribe) && !set.is_empty() && Actions::NONE.is_empty());
        assert_eq!(Actions::ALL.iter().count(), 4);
        assert_eq!(Actions::READ.iter().collect::<Vec<_>>(), [Action::Subscribe, Action::History]);
        assert_eq!(Actions::READ.and(set), Actions::NONE);
    }

    #[test]
    fn names_go_there_and_back() {
        assert!(Action::ALL.into_iter().all(|action| Action::from_name(action.as_str()) == Some(action)));
        assert_eq!(Action::from_name("Subscribe"), None);
    }
}
