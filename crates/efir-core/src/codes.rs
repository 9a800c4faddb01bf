//! The one table of error codes (docs/protocol.md §7) and the problem that carries one. Docs, `/info` and the client's
//! constants derive from [`CODES`]; the JSON is written in [`crate::wire::problem`].

use std::sync::Arc;

use std::fmt;

use bytes::Bytes;

use crate::wire::problem;

/// What the client should do about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the same again at once (a stream: connect again with the cursor).
    RetryNow,
    /// Send the same again later; `retry_after_ms` says when.
    RetryLater,
    /// Get a new token, then send the same again.
    RefreshToken,
    /// The request itself must change.
    Stop,
}

impl Action {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetryNow => "retry_now",
            Self::RetryLater => "retry_later",
            Self::RefreshToken => "refresh_token",
            Self::Stop => "stop",
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRow {
    /// The code of this line.
    pub code: Code,
    /// A number that never changes its meaning.
    pub number: u16,
    /// The name on the wire.
    pub name: &'static str,
    /// A short text for people.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// When it happens.
    pub meaning: &'static str,
    /// What the client should do.
    pub action: Action,
    /// The close code of a WebSocket that ends because of it (RFC 6455 §7.4).
    pub close: u16,
}

macro_rules! codes {
    ($($variant:ident $number:literal $name:literal $status:literal $close:literal $action:ident
        $title:literal: $meaning:literal;)*) => {
        /// What went wrong, as a code that programs compare.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// The line of the table.
            #[must_use]
            pub fn row(self) -> &'static CodeRow {
                match self {
                    $(Self::$variant => &CodeRow {
                        code: Code::$variant, number: $number, name: $name, title: $title, status: $status,
                        meaning: $meaning, action: Action::$action, close: $close,
                    },)*
                }
            }
        }

        /// Every code, in the order of the docs.
        pub const CODES: &[CodeRow] = &[
            $(CodeRow {
                code: Code::$variant, number: $number, name: $name, title: $title, status: $status,
                meaning: $meaning, action: Action::$action, close: $close,
            },)*
        ];
    };
}

// code, number, name, HTTP status, WebSocket close code, action, title: meaning
codes! {
    InvalidRequest 100 "invalid_request" 400 1008 Stop
        "Invalid request": "A query parameter, header or the shape of the body has a value that is not allowed.";
    InvalidChannel 101 "invalid_channel" 400 1008 Stop
        "Invalid channel name": "The channel name breaks the rules for names.";
    InvalidCursor 102 "invalid_cursor" 400 1008 Stop
        "Invalid cursor": "The value of `after` is not a cursor.";
    ConflictingRequest 103 "conflicting_request" 400 1008 Stop
        "Conflicting request": "Two parts of the request contradict each other.";
    InvalidJson 104 "invalid_json" 400 1008 Stop
        "Invalid JSON": "The payload or command is not JSON that is accepted.";
    InvalidUtf8 105 "invalid_utf8" 400 1007 Stop
        "Invalid UTF-8": "Text is not UTF-8.";
    InvalidKey 106 "invalid_key" 400 1008 Stop
        "Invalid idempotency key": "The key is not 1–128 bytes of visible ASCII.";
    InvalidFrame 107 "invalid_frame" 400 1002 Stop
        "Invalid WebSocket frame": "The WebSocket protocol was broken.";
    InvalidCommand 108 "invalid_command" 400 1008 Stop
        "Invalid command": "A command on the socket has not the shape that it must have.";
    UnknownCommand 109 "unknown_command" 400 1008 Stop
        "Unknown command": "The socket has no command of this name.";
    PayloadTooLarge 110 "payload_too_large" 413 1009 Stop
        "Payload too large": "The payload has more bytes than a message may have.";
    TooManyChannels 111 "too_many_channels" 400 1008 Stop
        "Too many channels": "One response or socket asks for more channels than it may.";
    AlreadySubscribed 112 "already_subscribed" 409 1008 Stop
        "Already subscribed": "This socket is subscribed to the channel.";
    NotSubscribed 113 "not_subscribed" 409 1008 Stop
        "Not subscribed": "This socket is not subscribed to the channel.";
    InvalidMember 114 "invalid_member" 400 1008 Stop
        "Invalid member": "The id, name or data of a member breaks the rules, or the id is missing.";
    HeadTooLarge 115 "head_too_large" 431 1008 Stop
        "Head too large": "The head of the request has more bytes or headers than it may.";
    NotFound 120 "not_found" 404 1008 Stop
        "Not found": "There is nothing under this URL.";
    MethodNotAllowed 121 "method_not_allowed" 405 1008 Stop
        "Method not allowed": "The URL exists, but not with this method.";
    UpgradeRequired 122 "upgrade_required" 426 1008 Stop
        "Upgrade required": "This URL speaks WebSocket only, or the request asks for it without an upgrade.";
    OriginRefused 130 "origin_refused" 403 1008 Stop
        "Origin refused": "The page's origin is not on the list of allowed origins.";
    HostRefused 131 "host_refused" 421 1008 Stop
        "Host refused": "The Host header names a host that this server does not answer for.";
    Forbidden 132 "forbidden" 403 1008 Stop
        "Forbidden": "The client may not do this.";
    Unauthorized 133 "unauthorized" 401 1008 RefreshToken
        "Unauthorized": "A token, ticket or server key is needed, or the one that was shown is worth nothing.";
    TokenExpired 134 "token_expired" 401 1008 RefreshToken
        "Token expired": "The token or ticket was good, and its time is over.";
    KeyConflict 140 "key_conflict" 409 1008 Stop
        "Key conflict": "The idempotency key was used for another payload.";
    OutcomeUnknown 141 "outcome_unknown" 409 1008 Stop
        "Outcome unknown": "It cannot be proven whether an earlier publish with this key was accepted.";
    KeyWindowFull 150 "key_window_full" 503 1013 RetryLater
        "Key window full": "The channel remembers as many idempotency keys as it may.";
    ChannelsFull 151 "channels_full" 503 1013 RetryLater
        "Channels full": "The server holds as many channels with messages as it may.";
    TooManyConnections 152 "too_many_connections" 503 1013 RetryLater
        "Too many connections": "The server, or the address that the client comes from, holds as many connections as it may.";
    Overloaded 153 "overloaded" 503 1013 RetryLater
        "Overloaded": "The server cannot take more work at the moment.";
    Draining 154 "draining" 503 1001 RetryLater
        "Draining": "This node is going away; connect again with the cursor.";
    PresenceFull 155 "presence_full" 503 1013 RetryLater
        "Presence full": "The server or the member holds as many leases of presence as it may, or one response would begin with more states than it may.";
    RateLimited 156 "rate_limited" 429 1013 RetryLater
        "Rate limited": "The connection, the user or the key publishes more a second than it may.";
    SlowReader 160 "slow_reader" 408 1008 RetryNow
        "Slow reader": "Reserved: the client took nothing for too long. Today its connection just ends; connect again with the cursor.";
    RequestTimeout 161 "request_timeout" 408 1008 RetryNow
        "Request timeout": "The request did not arrive in time.";
    Internal 170 "internal" 500 1011 RetryLater
        "Internal error": "A fault of the server; the log of the server says more. Whether a message was accepted is not known.";
    LabDisabled 180 "lab_disabled" 404 1008 Stop
        "Lab disabled": "The transport lab is off; it is on where the server listens on loopback only, or with `--lab`.";
    LabFull 181 "lab_full" 429 1013 RetryLater
        "Lab full": "The transport lab has as many runs, visitors or connections as it may.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// One thing that went wrong, as it is told to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which kind.
    pub code: Code,
    /// What was wrong with this request, for people.
    pub detail: String,
    /// The limit that was passed: its name in [`crate::limits`] and its value.
    pub limit: Option<(&'static str, u64)>,
    /// The only channel that it concerns, as the client wrote it: the name itself may be what is wrong.
    pub channel: Option<Arc<str>>,
    /// When to come back, in ms; goes with [`Action::RetryLater`].
    pub retry_after_ms: Option<u64>,
    /// The frame that it concerns (1, 2, 3 …), on a channel's WebSocket.
    pub ordinal: Option<u64>,
}

impl Problem {
    /// A problem without a limit, channel, delay or ordinal.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), limit: None, channel: None, retry_after_ms: None, ordinal: None }
    }

    /// Names the limit that was passed.
    #[must_use]
    pub fn with_limit(mut self, name: &'static str, value: u64) -> Self {
        self.limit = Some((name, value));
        self
    }

    /// Says that it concerns one channel only.
    #[must_use]
    pub fn with_channel(mut self, channel: impl Into<Arc<str>>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// Says when to come back, in ms.
    #[must_use]
    pub fn with_retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Names the frame that it concerns.
    #[must_use]
    pub fn with_ordinal(mut self, ordinal: u64) -> Self {
        self.ordinal = Some(ordinal);
        self
    }

    /// The line of the table.
    #[must_use]
    pub fn row(&self) -> &'static CodeRow {
        self.code.row()
    }

    /// The body of an answer of type `application/problem+json` (RFC 9457).
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let mut out = Vec::with_capacity(256 + self.detail.len());
        problem::write(self, &mut out);
        out.into()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_consistent() {
        let mut names = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        for row in CODES {
            assert_eq!(row.code.row(), row);
            assert!(names.insert(row.name), "{} twice", row.name);
            assert!(numbers.insert(row.number), "{} twice", row.number);
            assert!((400..600).contains(&row.status));
            assert!((1001..=1013).contains(&row.close));
            let is_temporary = row.action == Action::RetryLater && row.code != Code::Internal;
            assert_eq!(matches!(row.status, 429 | 503), is_temporary, "{}", row.name);
            assert!(row.meaning.ends_with('.'));
        }
    }
}
