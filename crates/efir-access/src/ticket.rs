//! Tickets: what a native EventSource, which can send no header, has in its URL. Made by this server from a token, for
//! one user, some channels and one origin; good for reading, and for reconnects, until it is over.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use efir_core::{ChannelName, Code, Problem};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::action::{Action, Actions};
use crate::caller::{Caller, Grant, User};
use crate::keys::{KeyError, KeyMark, SECRET_BYTES_MIN};

/// The longest life of a ticket, in ms.
pub const TICKET_MS_MAX: u64 = 15 * 60 * 1_000;
/// The longest ticket, in bytes: it has to fit a URL.
pub const TICKET_BYTES_MAX: usize = 4 << 10;
/// How many channels a ticket may be for.
pub const TICKET_CHANNELS_MAX: usize = 100;

/// What the MAC is made over begins with this, so that the secret may serve nothing else by mistake.
const CONTEXT: &[u8] = b"efir ticket 1\n";

/// Makes and checks tickets.
pub struct Tickets {
    /// The first signs, all are accepted: so a secret can be changed without cutting anybody off.
    keys: Vec<Key>,
}

struct Key {
    key: hmac::Key,
    mark: KeyMark,
}

/// A ticket.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What goes into the URL; visible ASCII that needs no escaping there.
    pub text: String,
    /// From when on it is worth nothing, in ms since 1970 UTC.
    pub expires_ms: u64,
}

/// Why no ticket was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IssueError {
    /// Whoever asked has a ticket and no token.
    #[error("a ticket makes no tickets; use the token")]
    FromTicket,
    /// The token is over.
    #[error("the token's time is over; get a new one")]
    Expired,
    /// No channel, or more than [`TICKET_CHANNELS_MAX`].
    #[error("a ticket is for 1 to {TICKET_CHANNELS_MAX} channels")]
    Channels,
    /// A channel may not be read.
    #[error("a ticket is for channels that may be read")]
    NothingToRead,
    /// All names together do not fit a URL.
    #[error(
        "the names of the channels are too long for one ticket of {TICKET_BYTES_MAX} bytes; make several"
    )]
    TooLong,
}

/// Why a ticket is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketReason {
    /// It has not the shape of a ticket.
    Malformed,
    /// It was not made by this server, or with a secret that is no longer known.
    BadSignature,
    /// Its time is over.
    Expired,
    /// It was made for pages of another origin.
    WrongOrigin,
}

/// A ticket that is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketError {
    /// Why.
    pub reason: TicketReason,
}

/// What a ticket says. Short names: it stands in a URL.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(rename = "u")]
    user: Arc<str>,
    #[serde(rename = "k")]
    key: Arc<str>,
    #[serde(rename = "s")]
    signer: KeyMark,
    #[serde(rename = "e")]
    expires_ms: u64,
    #[serde(rename = "o")]
    origin: Option<Box<str>>,
    #[serde(rename = "j")]
    token_id: Option<Box<str>>,
    /// Names, and whether what was before may be read, too.
    #[serde(rename = "c")]
    channels: Vec<(Box<str>, bool, bool)>,
}

impl Tickets {
    /// Signs with the first of these secrets, accepts all.
    ///
    /// # Errors
    /// There is none, or one has fewer than [`SECRET_BYTES_MIN`] bytes.
    pub fn new(secrets: &[&[u8]]) -> Result<Self, KeyError> {
        let short = |bytes| KeyError::ShortSecret { name: "tickets".to_owned(), bytes };
        if let Some(weak) = secrets.iter().find(|secret| secret.len() < SECRET_BYTES_MIN) {
            return Err(short(weak.len()));
        }
        let keys: Vec<_> = secrets.iter().map(|secret| Key::new(secret)).collect();
        if keys.is_empty() { Err(short(0)) } else { Ok(Self { keys }) }
    }

    /// A ticket for a user, and for what the gate has said this user may read; only subscribe and history count. It is
    /// good for pages of this origin (`None`: of requests that name none), for 15 min and no longer than the token.
    ///
    /// # Errors
    /// The user has only a ticket, or there is nothing to read, or too much.
    pub fn issue(
        &self,
        user: &User,
        channels: &[(ChannelName, Actions)],
        origin: Option<&str>,
        now_ms: u64,
    ) -> Result<Ticket, IssueError> {
        if user.is_ticket() {
            return Err(IssueError::FromTicket);
        }
        if user.expires_ms <= now_ms {
            return Err(IssueError::Expired);
        }
        if channels.is_empty() || channels.len() > TICKET_CHANNELS_MAX {
            return Err(IssueError::Channels);
        }
        if channels.iter().any(|(_, may)| may.and(Actions::READ).is_empty()) {
            return Err(IssueError::NothingToRead);
        }
        let expires_ms = user.expires_ms.min(now_ms.saturating_add(TICKET_MS_MAX));
        let readable = |(name, may): &(ChannelName, Actions)| {
            (name.as_str().into(), may.has(Action::Subscribe), may.has(Action::History))
        };
        let said = Said {
            user: user.name.clone(),
            key: user.key.clone(),
            signer: user.signer,
            expires_ms,
            origin: origin.map(Into::into),
            token_id: user.token_id.clone(),
            channels: channels.iter().map(readable).collect(),
        };
        let text = self.sign(&said).ok_or(IssueError::TooLong)?;
        Ok(Ticket { text, expires_ms })
    }

    /// The user of a ticket that a page of this origin shows. Whether the key of its token is still in force,
    /// [`crate::Gate::check_caller`] says, and what it may read, [`crate::Gate::judge`]: the rules of now count, and so
    /// do revocations.
    ///
    /// # Errors
    /// The ticket is worth nothing.
    pub fn identify(&self, text: &str, origin: Option<&str>, now_ms: u64) -> Result<Caller, TicketError> {
        let refused = |reason| TicketError { reason };
        let (said, mark) = self.read(text).map_err(refused)?;
        if said.expires_ms <= now_ms {
            return Err(refused(TicketReason::Expired));
        }
        if said.origin.as_deref() != origin {
            return Err(refused(TicketReason::WrongOrigin));
        }
        let mut grants = Vec::with_capacity(said.channels.len());
        for (name, has_subscribe, has_history) in &said.channels {
            let name = ChannelName::parse_readable(name).map_err(|_| refused(TicketReason::Malformed))?;
            let subscribe = has_subscribe.then_some(Action::Subscribe);
            let history = has_history.then_some(Action::History);
            grants.push(Grant::exactly(&name, subscribe.into_iter().chain(history).collect()));
        }
        Ok(Caller::User(Arc::new(User {
            name: said.user,
            grants,
            expires_ms: said.expires_ms,
            token_id: said.token_id,
            key: said.key,
            signer: said.signer,
            ticket: Some(mark),
        })))
    }

    /// Whether what this user showed is still accepted here: it was no ticket, or one that a secret of now has signed.
    #[must_use]
    pub fn accept(&self, user: &User) -> bool {
        user.ticket.is_none_or(|mark| self.keys.iter().any(|known| known.mark == mark))
    }

    fn sign(&self, said: &Said) -> Option<String> {
        let json = serde_json::to_vec(said).ok()?;
        let tag = hmac::sign(&self.keys.first()?.key, &in_context(&json));
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(&json), URL_SAFE_NO_PAD.encode(tag));
        (text.len() <= TICKET_BYTES_MAX).then_some(text)
    }

    /// What it says, and whose signature that was.
    fn read(&self, text: &str) -> Result<(Said, KeyMark), TicketReason> {
        if text.len() > TICKET_BYTES_MAX {
            return Err(TicketReason::Malformed);
        }
        let (json, tag) = text.split_once('.').ok_or(TicketReason::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TicketReason::Malformed);
        let (json, tag) = (decode(json)?, decode(tag)?);
        let signed = in_context(&json);
        let signer = self.keys.iter().find(|known| hmac::verify(&known.key, &signed, &tag).is_ok());
        let mark = signer.ok_or(TicketReason::BadSignature)?.mark;
        Ok((serde_json::from_slice(&json).map_err(|_| TicketReason::Malformed)?, mark))
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mark = KeyMark::of([Some(hmac::sign(&key, b"efir mark of a ticket's secret 1\n").as_ref())]);
        Self { key, mark }
    }
}

fn in_context(json: &[u8]) -> Vec<u8> {
    [CONTEXT, json].concat()
}

impl TicketReason {
    /// The name in problems, logs and metrics; never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::WrongOrigin => "wrong_origin",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Malformed => "it is no ticket of this server; POST /tickets makes one",
            Self::BadSignature => "it was changed, or made by another server; get a new one by POST /tickets",
            Self::Expired => "its time is over; get a new one by POST /tickets",
            Self::WrongOrigin => "it was made for pages of another origin",
        }
    }
}

impl TicketError {
    /// Where it stands in the table of codes.
    #[must_use]
    pub fn code(self) -> Code {
        match self.reason {
            TicketReason::Expired => Code::TokenExpired,
            _ => Code::Unauthorized,
        }
    }

    /// What the caller is told.
    #[must_use]
    pub fn problem(self) -> Problem {
        Problem::new(self.code(), self.to_string())
    }
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ticket is refused ({}): {}", self.reason.as_str(), self.reason.text())
    }
}

impl std::error::Error for TicketError {}

impl fmt::Debug for Tickets {
    /// How many secrets there are, and nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({} secrets)", self.keys.len())
    }
}

impl fmt::Debug for Ticket {
    /// Without its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
