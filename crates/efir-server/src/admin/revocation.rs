//! `POST /revocations`: a user, or one token, is worth nothing for a while. Who asks has shown the admin key.

use std::time::Duration;

use bytes::Bytes;
use efir_access::Revocations;
use efir_core::{Code, Problem};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};

/// A body; names are short.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// How long it may take to arrive.
const BODY_MAX: Duration = Duration::from_secs(10);
/// A year; whoever needs longer changes the key.
const SECONDS_MAX: u64 = 31_536_000;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    user: Option<String>,
    token_id: Option<String>,
    seconds: u64,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Revoked {
    /// Until when, in ms since 1970 UTC.
    until: u64,
}

impl Revocation {
    /// Reads it from a body.
    pub(super) async fn read<B>(body: B) -> Result<Self, Problem>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = Box::pin(Limited::new(body, BODY_BYTES_MAX));
        let late = || Problem::new(Code::RequestTimeout, "the body did not arrive in time");
        let read = tokio::time::timeout(BODY_MAX, body.collect()).await.map_err(|_| late())?;
        let wrong = "a revocation is {\"user\":NAME,\"seconds\":N} or {\"token_id\":JTI,\"seconds\":N}";
        let bytes = read.map_err(|_| Problem::new(Code::PayloadTooLarge, wrong))?.to_bytes();
        let revocation: Self =
            serde_json::from_slice(&bytes).map_err(|_| Problem::new(Code::InvalidJson, wrong))?;
        let names = usize::from(revocation.user.is_some()) + usize::from(revocation.token_id.is_some());
        if names != 1 {
            return Err(Problem::new(Code::InvalidRequest, format!("{wrong}; one of the two")));
        }
        if !(1..=SECONDS_MAX).contains(&revocation.seconds) {
            let detail = format!(
                "seconds is a whole number from 1 to {SECONDS_MAX}, at least as long as the tokens are good"
            );
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(revocation)
    }

    /// Does it.
    pub(super) fn carry_out(&self, revocations: &Revocations, now_ms: u64) -> Result<Revoked, Problem> {
        let until = now_ms.saturating_add(self.seconds.saturating_mul(1_000));
        let (what, done) = match (&self.user, &self.token_id) {
            (Some(user), _) => ("user", revocations.revoke_user(user, until, now_ms)),
            (None, token) => {
                ("token", revocations.revoke_token(token.as_deref().unwrap_or_default(), until, now_ms))
            }
        };
        done.map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
        tracing::info!(
            event = "revoked",
            what,
            seconds = self.seconds,
            "a user or token is worth nothing for now"
        );
        Ok(Revoked { until })
    }
}
