//! Why somebody may not do something: a reason for programs and a text that says what to do. It shows neither rules nor
//! grants; `efir token explain` does, to whoever has the configuration.

use efir_core::{ChannelName, Code, Problem};

use crate::action::Action;

/// Why the action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// No rule has the channel.
    NoRule,
    /// The rule lets nobody do this.
    Nobody,
    /// The rule asks for a token, and none was shown.
    NoToken,
    /// The rule asks for a grant, and the token has none for this.
    NotGranted,
    /// The token's time is over.
    Expired,
    /// The user or the token was revoked.
    Revoked,
    /// The key that signed the token, or that was shown, is no longer in force.
    KeyGone,
    /// A ticket reads only, and only the channels that it was made for.
    Ticket,
    /// The server key may not do this.
    ServerKey,
    /// The rule gives the channel no members.
    NoPresence,
    /// The log of a channel's members is written by the server alone.
    PresenceLog,
}

/// An action that is refused. The channel is known to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// What was asked for.
    pub action: Action,
}

impl RefusalReason {
    /// The name in problems, logs and metrics; never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::Nobody => "nobody",
            Self::NoToken => "no_token",
            Self::NotGranted => "not_granted",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::KeyGone => "key_gone",
            Self::Ticket => "ticket",
            Self::ServerKey => "server_key",
            Self::NoPresence => "no_presence",
            Self::PresenceLog => "presence_log",
        }
    }

    /// What it means, and what to do.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoRule => "no rule of this server has the channel; the operator adds one to [[rules]]",
            Self::Nobody => "the rules let no user do this",
            Self::NoToken => "a token is needed; send it as 'Authorization: Bearer TOKEN'",
            Self::NotGranted => {
                "the token has no grant for it; get one whose claim 'efir' names channel and action"
            }
            Self::Expired => "the token's time is over; get a new one",
            Self::Revoked => "the token or its user was revoked",
            Self::KeyGone => {
                "the key that signed the token, or that was shown, is no longer in force; get a new one"
            }
            Self::Ticket => "a ticket reads, and only the channels that it was made for; use a token",
            Self::ServerKey => "the server key may not do this; its 'may' and 'channels' say what it may",
            Self::NoPresence => "the channel has no members, because its rule has presence off",
            Self::PresenceLog => "only the server writes who is in a channel; enter the channel instead",
        }
    }
}

impl Refusal {
    /// Where it stands in the table of codes.
    #[must_use]
    pub fn code(self) -> Code {
        match self.reason {
            RefusalReason::NoToken | RefusalReason::Revoked | RefusalReason::KeyGone => Code::Unauthorized,
            RefusalReason::Expired => Code::TokenExpired,
            _ => Code::Forbidden,
        }
    }

    /// What the caller is told: `publish on this channel is refused (not_granted): …`.
    #[must_use]
    pub fn problem(self, channel: &ChannelName) -> Problem {
        Problem::new(self.code(), self.to_string()).with_channel(channel.as_str())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is refused ({}): {}", self.action, self.reason.as_str(), self.reason.text())
    }
}

impl std::error::Error for Refusal {}
