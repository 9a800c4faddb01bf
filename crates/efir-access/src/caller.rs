//! Who is calling, as far as it was proven: nobody in particular, a user with a token or ticket, a server with its key.

use std::fmt;
use std::sync::Arc;

use efir_core::ChannelName;

use crate::action::{Action, Actions};
use crate::keys::KeyMark;
use crate::pattern::Pattern;

/// Who is calling. A clone is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Nothing was shown.
    #[default]
    Anonymous,
    /// A verified token or ticket was shown.
    User(Arc<User>),
    /// A server key was shown.
    Server(Arc<ServerKey>),
}

/// What a verified token or ticket says.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name, `sub` of the token behind the prefix of its key: 1–128 bytes, what messages carry as `from`.
    pub name: Arc<str>,
    /// What the token allows besides what the rules allow to every user.
    pub grants: Vec<Grant>,
    /// From when on it is worth nothing, in ms since 1970 UTC; the leeway is in it.
    pub expires_ms: u64,
    /// The token's own name (`jti`), by which it may be revoked.
    pub token_id: Option<Box<str>>,
    /// The name that the configuration gave to the key which signed it.
    pub key: Arc<str>,
    /// The mark of that key: when it is in force no more, neither is the user.
    pub signer: KeyMark,
    /// The mark of the secret that signed the ticket, where it was one: good for reading, and for the channels of its
    /// grants only.
    pub ticket: Option<KeyMark>,
}

/// Actions on channels that a token allows.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// On which channels.
    pub channels: Vec<Pattern>,
    /// What.
    pub may: Actions,
}

/// A backend, known by a key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// What the configuration calls it.
    pub name: Arc<str>,
    /// What it may do with the channels of its patterns.
    pub may: Actions,
    /// On which channels; `**` where the configuration names none.
    pub channels: Vec<Pattern>,
    /// It may also administrate: revoke, reload.
    pub is_admin: bool,
    /// What tells the key from others; [`crate::ServerKeys`] sets it.
    pub mark: KeyMark,
}

impl Caller {
    /// The user, where there is one.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::User(user) => Some(user),
            Self::Anonymous | Self::Server(_) => None,
        }
    }

    /// The name of the user; `None` for everybody else.
    #[must_use]
    pub fn user_name(&self) -> Option<&Arc<str>> {
        self.user().map(|user| &user.name)
    }

    /// From when on the caller is worth nothing, in ms since 1970 UTC; `None`: never.
    #[must_use]
    pub fn expires_ms(&self) -> Option<u64> {
        self.user().map(|user| user.expires_ms)
    }

    /// Whether this is the same user with perhaps another token: what a refresh in place asks for.
    #[must_use]
    pub fn is_same_user(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User(one), Self::User(other)) => one.name == other.name && one.key == other.key,
            _ => false,
        }
    }

    /// A server that may administrate.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Server(server) if server.is_admin)
    }
}

impl User {
    /// Whether a ticket was shown, and no token.
    #[must_use]
    pub fn is_ticket(&self) -> bool {
        self.ticket.is_some()
    }

    /// Whether a grant allows the action on a channel of this name.
    #[must_use]
    pub fn is_granted(&self, action: Action, channel: &str) -> bool {
        let user = Some(&*self.name);
        let grants = self.grants.iter().filter(|grant| grant.may.has(action));
        grants.flat_map(|grant| &grant.channels).any(|pattern| pattern.matches(channel, user))
    }
}

impl Grant {
    /// These actions on exactly this channel.
    #[must_use]
    pub fn exactly(channel: &ChannelName, may: Actions) -> Self {
        Self { channels: vec![Pattern::exactly(channel.as_str())], may }
    }
}

impl ServerKey {
    /// Whether it may do this with a channel of this name.
    #[must_use]
    pub fn may(&self, action: Action, channel: &str) -> bool {
        self.may.has(action) && self.channels.iter().any(|pattern| pattern.matches_any_user(channel))
    }
}

impl fmt::Debug for User {
    /// Without the token's own name, which some keep secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("grants", &self.grants)
            .field("expires_ms", &self.expires_ms)
            .field("key", &self.key)
            .field("is_ticket", &self.is_ticket())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?}", self.may, self.channels)
    }
}
