//! Why a token is worth nothing: a reason for programs, and a text that says what to do.

use std::borrow::Cow;
use std::fmt;

use efir_core::{Code, Problem};

/// Why a token is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenReason {
    /// It has not the shape of a token, or a header that is not accepted.
    Malformed,
    /// It is longer than 8 KiB.
    TooLong,
    /// No key has the id (`kid`) that it names.
    UnknownKey,
    /// The key is for another algorithm.
    WrongAlgorithm,
    /// The signature does not hold.
    BadSignature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// `iss` is not the key's issuer.
    WrongIssuer,
    /// `aud` has not this server's audience.
    WrongAudience,
    /// A claim that must be there is not.
    MissingClaim,
    /// A claim has a value that is not allowed.
    InvalidClaim,
    /// The claim `efir` is not a list of grants.
    InvalidGrants,
    /// It or its user was revoked.
    Revoked,
}

/// A token that is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    /// Why.
    pub reason: TokenReason,
    text: Cow<'static, str>,
}

impl TokenReason {
    /// Every reason, in the order of the docs.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TooLong,
        Self::UnknownKey,
        Self::WrongAlgorithm,
        Self::BadSignature,
        Self::Expired,
        Self::NotYet,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::MissingClaim,
        Self::InvalidClaim,
        Self::InvalidGrants,
        Self::Revoked,
    ];

    /// The name in problems, logs and metrics; never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim => "missing_claim",
            Self::InvalidClaim => "invalid_claim",
            Self::InvalidGrants => "invalid_grants",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a signature was checked before this was found, and later it will be no other with the same keys.
    pub(crate) fn is_for_good(self) -> bool {
        match self {
            Self::BadSignature
            | Self::Expired
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::MissingClaim
            | Self::InvalidClaim
            | Self::InvalidGrants => true,
            Self::Malformed
            | Self::TooLong
            | Self::UnknownKey
            | Self::WrongAlgorithm
            | Self::NotYet
            | Self::Revoked => false,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Malformed => "the token is no JWT in compact form",
            Self::TooLong => "the token has more than 8,192 bytes; name fewer channels, or use patterns",
            Self::UnknownKey => {
                "no key of this server fits the token; is its 'kid' right, and the key in [[token_keys]]?"
            }
            Self::WrongAlgorithm => "the token's 'alg' is not what its key is configured for",
            Self::BadSignature => {
                "the token's signature does not hold; was it made with the key of this server?"
            }
            Self::Expired => "the token's time is over; get a new one",
            Self::NotYet => "the token's time ('nbf') has not come; do the clocks agree?",
            Self::WrongIssuer => "the token's 'iss' is not the issuer of its key",
            Self::WrongAudience => "the token's 'aud' does not name this server",
            Self::MissingClaim => "the token lacks a claim that must be there",
            Self::InvalidClaim => "a claim of the token has a value that is not allowed",
            Self::InvalidGrants => {
                "the token's claim 'efir' is no list of grants as [{\"channels\":[\"chat:*\"],\"may\":[\"subscribe\"]}]"
            }
            Self::Revoked => "the token or its user was revoked",
        }
    }
}

impl TokenError {
    /// With the text that the reason always has.
    #[must_use]
    pub(crate) fn new(reason: TokenReason) -> Self {
        Self { reason, text: reason.text().into() }
    }

    /// With a text of its own, which shows nothing of the token but names of claims.
    #[must_use]
    pub(crate) fn because(reason: TokenReason, text: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, text: text.into() }
    }

    /// Where it stands in the table of codes.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.reason {
            TokenReason::Expired => Code::TokenExpired,
            _ => Code::Unauthorized,
        }
    }

    /// What the caller is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem::new(self.code(), self.to_string())
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token is refused ({}): {}", self.reason.as_str(), self.text)
    }
}

impl std::error::Error for TokenError {}
