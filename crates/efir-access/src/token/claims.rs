//! The claims of a token (RFC 7519 §4.1) whose signature holds, each read strictly.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use unicode_normalization::is_nfc;

use super::error::{TokenError, TokenReason};
use super::{TOKEN_GRANTS_MAX, TOKEN_PATTERNS_MAX, USER_BYTES_MAX};
use crate::action::Action;
use crate::caller::Grant;
use crate::keys::TokenKey;
use crate::pattern::Pattern;

/// The longest name of a token (`jti`), in bytes.
const TOKEN_ID_BYTES_MAX: usize = 256;
/// The last second of the year 9999. A later `exp` is most likely in milliseconds.
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// As they stand there. A claim twice is an error; `null` is as good as none; what is not named here is not read.
#[derive(Deserialize)]
pub(super) struct RawClaims {
    iss: Option<Value>,
    aud: Option<Value>,
    sub: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    jti: Option<Value>,
    efir: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGrant {
    channels: Vec<String>,
    may: Vec<String>,
}

impl RawClaims {
    pub(super) fn read(json: &[u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(json).map_err(|_| {
            TokenError::because(
                TokenReason::Malformed,
                "the token's claims are no JSON object with each claim once",
            )
        })
    }

    /// Whether the token is of the key's issuer, and for this server.
    pub(super) fn check_terms(&self, key: &TokenKey) -> Result<(), TokenError> {
        if let Some(issuer) = &key.issuer {
            let shown = self.iss.as_ref().ok_or_else(|| missing("iss"))?;
            if shown.as_str() != Some(issuer) {
                return Err(TokenError::new(TokenReason::WrongIssuer));
            }
        }
        let names_us = |audience: &str| key.audiences.iter().any(|ours| **ours == *audience);
        let is_for_us = match &self.aud {
            None if key.audiences.is_empty() => true,
            None => return Err(missing("aud")),
            Some(Value::String(audience)) => names_us(audience),
            Some(Value::Array(audiences)) if audiences.iter().all(Value::is_string) => {
                audiences.iter().filter_map(Value::as_str).any(names_us)
            }
            Some(_) => return Err(invalid("'aud' is neither a string nor a list of strings")),
        };
        match is_for_us {
            true => Ok(()),
            false if key.audiences.is_empty() => Err(TokenError::because(
                TokenReason::WrongAudience,
                "the token has an 'aud', and no audience is configured for its key",
            )),
            false => Err(TokenError::new(TokenReason::WrongAudience)),
        }
    }

    /// From when on the token is worth nothing, with the leeway in it.
    pub(super) fn expires_ms(&self, leeway_ms: u64, now_ms: u64) -> Result<u64, TokenError> {
        let exp = self.exp.as_ref().ok_or_else(|| missing("exp"))?;
        let expires_ms = time_ms(exp, "exp")?.saturating_add(leeway_ms);
        if expires_ms <= now_ms {
            return Err(TokenError::new(TokenReason::Expired));
        }
        if let Some(nbf) = &self.nbf
            && time_ms(nbf, "nbf")? > now_ms.saturating_add(leeway_ms)
        {
            return Err(TokenError::new(TokenReason::NotYet));
        }
        Ok(expires_ms)
    }

    /// What its user is called here; the prefix is that of its key.
    pub(super) fn user(&self, prefix: &str) -> Result<Arc<str>, TokenError> {
        let name = self.sub.as_ref().ok_or_else(|| missing("sub"))?.as_str();
        let name = name.ok_or_else(|| invalid("'sub' is no string"))?;
        let most = USER_BYTES_MAX.saturating_sub(prefix.len());
        if name.is_empty() || name.len() > most {
            return Err(invalid(format!("'sub' has {} bytes; 1 to {most} are allowed", name.len())));
        }
        if name.chars().any(char::is_control) || !is_nfc(name) {
            return Err(invalid("'sub' has control characters, or is not in Unicode NFC"));
        }
        if prefix.is_empty() {
            return Ok(name.into());
        }
        // What is composed of two parts in NFC need not be: the second may begin with a combining mark.
        let whole = [prefix, name].concat();
        match is_nfc(&whole) {
            true => Ok(whole.into()),
            false => Err(invalid("'sub' begins with a mark that belongs to a letter before it")),
        }
    }

    pub(super) fn token_id(&self) -> Result<Option<Box<str>>, TokenError> {
        match &self.jti {
            None => Ok(None),
            Some(Value::String(id)) if (1..=TOKEN_ID_BYTES_MAX).contains(&id.len()) => {
                Ok(Some(id.as_str().into()))
            }
            Some(_) => Err(invalid(format!("'jti' is no string of 1 to {TOKEN_ID_BYTES_MAX} bytes"))),
        }
    }

    pub(super) fn grants(&self) -> Result<Vec<Grant>, TokenError> {
        let Some(raw) = &self.efir else { return Ok(Vec::new()) };
        let refused = |text: String| TokenError::because(TokenReason::InvalidGrants, text);
        let raw: Vec<RawGrant> =
            serde_json::from_str(raw.get()).map_err(|_| TokenError::new(TokenReason::InvalidGrants))?;
        let patterns: usize = raw.iter().map(|grant| grant.channels.len()).sum();
        if raw.len() > TOKEN_GRANTS_MAX || patterns > TOKEN_PATTERNS_MAX {
            let text = format!(
                "the claim 'efir' has {} grants with {patterns} patterns; at most {TOKEN_GRANTS_MAX} with \
                 {TOKEN_PATTERNS_MAX} are allowed",
                raw.len()
            );
            return Err(refused(text));
        }
        let grants = raw.iter().enumerate();
        grants
            .map(|(index, raw)| raw.read().map_err(|why| refused(format!("grant {}: {why}", index + 1))))
            .collect()
    }
}

impl RawGrant {
    fn read(&self) -> Result<Grant, String> {
        let channels = self.channels.iter().map(|text| Pattern::parse(text));
        let may = self.may.iter().map(|name| Action::from_name(name));
        Ok(Grant {
            channels: channels.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            may: may
                .collect::<Option<_>>()
                .ok_or("'may' has subscribe, publish, history and presence only")?,
        })
    }
}

/// A NumericDate (RFC 7519 §2) in ms.
fn time_ms(value: &Value, claim: &str) -> Result<u64, TokenError> {
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    match seconds {
        Some(seconds) if seconds <= SECONDS_MAX => Ok((seconds * 1_000.0) as u64),
        Some(_) => {
            Err(invalid(format!("'{claim}' is after the year 9999; it counts seconds, not milliseconds")))
        }
        None => Err(invalid(format!("'{claim}' is no number of seconds since 1970"))),
    }
}

fn missing(claim: &str) -> TokenError {
    TokenError::because(TokenReason::MissingClaim, format!("the token has no '{claim}'"))
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> TokenError {
    TokenError::because(TokenReason::InvalidClaim, text)
}
