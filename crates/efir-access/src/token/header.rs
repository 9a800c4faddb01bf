//! The header of a token (RFC 7515 §4). Written by whoever sent it, so that it only chooses among the keys that are
//! known; whatever would bring a key, name a place or change the meaning of the rest is refused.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::error::{TokenError, TokenReason};
use crate::keys::{Algorithm, Family, KeySet, TokenKey};

/// The longest id of a key, in bytes.
const KEY_ID_BYTES_MAX: usize = 256;

/// A member twice is an error, and so is any of these with a value of another type.
#[derive(Deserialize)]
pub(super) struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    jwk: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    zip: Present,
    #[serde(default)]
    enc: Present,
    #[serde(default)]
    cty: Present,
    #[serde(default)]
    b64: Present,
}

/// Whether a member is there, whatever its value, `null` included.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl Header {
    pub(super) fn read(json: &[u8]) -> Result<Self, TokenError> {
        let malformed = |text: String| TokenError::because(TokenReason::Malformed, text);
        let header: Self = serde_json::from_slice(json).map_err(|_| {
            malformed(
                "the token's header is no JSON object with 'alg' and perhaps 'kid' and 'typ', each once"
                    .into(),
            )
        })?;
        if let Some(name) = header.refused_member() {
            return Err(malformed(format!("the token's header has '{name}', which is not accepted")));
        }
        if header.kid.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(malformed(format!("the token's 'kid' has more than {KEY_ID_BYTES_MAX} bytes")));
        }
        // RFC 8725 §3.11: what was made for another purpose is no access token.
        let is_accepted = |typ: &String| {
            let typ = typ.to_ascii_lowercase();
            matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
        };
        if !header.typ.as_ref().is_none_or(is_accepted) {
            return Err(malformed("the token's 'typ' is neither 'JWT' nor 'at+jwt'".into()));
        }
        Ok(header)
    }

    /// The keys that may have signed, at most a handful.
    pub(super) fn candidates<'a>(&self, keys: &'a KeySet) -> Result<Vec<&'a Arc<TokenKey>>, TokenError> {
        let id = self.kid.as_deref();
        let algorithm = Algorithm::from_name(&self.alg);
        let candidates = algorithm.map(|algorithm| keys.fitting(id, algorithm).collect::<Vec<_>>());
        match candidates {
            Some(candidates) if !candidates.is_empty() => Ok(candidates),
            _ if keys.named(id).next().is_none() => Err(TokenError::new(TokenReason::UnknownKey)),
            _ => Err(TokenError::new(TokenReason::WrongAlgorithm)),
        }
    }

    /// Secrets are published nowhere, so that no new one can be found.
    pub(super) fn names_unknown_key(&self, keys: &KeySet) -> bool {
        let algorithm = Algorithm::from_name(&self.alg);
        let is_public = algorithm.is_some_and(|algorithm| algorithm.family() != Family::Hmac);
        is_public && self.kid.as_deref().is_some_and(|id| !keys.has_id(id))
    }

    pub(super) fn describe(&self) -> String {
        let id = self.kid.as_ref().map_or("no kid".to_owned(), |id| format!("kid {id:?}"));
        format!("alg {:?}, {id}", self.alg)
    }

    fn refused_member(&self) -> Option<&'static str> {
        let members = [
            ("crit", &self.crit),
            ("jku", &self.jku),
            ("jwk", &self.jwk),
            ("x5u", &self.x5u),
            ("x5c", &self.x5c),
            ("zip", &self.zip),
            ("enc", &self.enc),
            ("cty", &self.cty),
            ("b64", &self.b64),
        ];
        members.into_iter().find(|(_, present)| present.0).map(|(name, _)| name)
    }
}
