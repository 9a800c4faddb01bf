//! Tokens: signed by a key of the configuration (JWS compact, RFC 7515; JWT, RFC 7519), and strict where libraries are
//! lenient (RFC 8725). Of the header, `kid` and `alg` choose among known keys; of the claims nothing is read before the
//! signature holds; no token names a place from which anything is fetched.

mod claims;
mod error;
mod header;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::caller::User;
use crate::explain::Witness;
use crate::keys::{KeySet, TokenKey};

use claims::RawClaims;
pub use error::{TokenError, TokenReason};
use header::Header;

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// The longest name of a user (`sub`), in bytes.
pub const USER_BYTES_MAX: usize = 128;
/// How many grants a token may have.
pub const TOKEN_GRANTS_MAX: usize = 100;
/// How many patterns the grants of a token may have together.
pub const TOKEN_PATTERNS_MAX: usize = 1_000;

/// Checks everything about a token but whether it was revoked, and tells the witness of each check that held.
pub(crate) fn verify(
    token: &str,
    keys: &KeySet,
    leeway_ms: u64,
    now_ms: u64,
    witness: &mut impl Witness,
) -> Result<User, TokenError> {
    let parts = Parts::split(token)?;
    witness.held("form", || format!("three parts, {} bytes", token.len()));
    let header = Header::read(&decode(parts.header, "header")?)?;
    witness.held("header", || header.describe());

    let candidates = header.candidates(keys)?;
    let signature = decode(parts.signature, "signature")?;
    let signers = candidates.into_iter().filter(|key| key.has_signed(parts.signed.as_bytes(), &signature));
    let mut signers = signers.peekable();
    let Some(signer) = signers.peek() else { return Err(TokenError::new(TokenReason::BadSignature)) };
    witness.held("signature", || format!("made with key '{}' by {}", signer.name, signer.algorithm));

    let claims = RawClaims::read(&decode(parts.claims, "claims")?)?;
    let key = whose(&claims, signers)?;
    witness.held("issuer and audience", || format!("as key '{}' asks for", key.name));
    let expires_ms = claims.expires_ms(leeway_ms, now_ms)?;
    witness.held("time", || format!("ends in {} s", expires_ms.saturating_sub(now_ms) / 1_000));
    let (name, token_id, grants) = (claims.user(&key.user_prefix)?, claims.token_id()?, claims.grants()?);
    witness.held("claims", || format!("{} grants", grants.len()));
    let (signer, key) = (key.mark, key.name.clone());
    Ok(User { name, grants, expires_ms, token_id, key, signer, ticket: None })
}

/// Whether a token names a key (`kid`) that is not known and could be one of an issuer's public keys: perhaps it has
/// begun to sign with a new one. As far as anybody knows, a stranger wrote that.
pub(crate) fn names_unknown_key(token: &str, keys: &KeySet) -> bool {
    let header = Parts::split(token).and_then(|parts| Header::read(&decode(parts.header, "header")?));
    header.is_ok_and(|header| header.names_unknown_key(keys))
}

/// The first of the keys that made the signature whose issuer and audience are right; there may be two with one secret.
fn whose<'a>(
    claims: &RawClaims,
    signers: impl Iterator<Item = &'a std::sync::Arc<TokenKey>>,
) -> Result<&'a TokenKey, TokenError> {
    let mut first = None;
    for key in signers {
        match claims.check_terms(key) {
            Ok(()) => return Ok(key),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| TokenError::new(TokenReason::BadSignature)))
}

struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// Header and claims with the dot between them: what was signed.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::new(TokenReason::TooLong));
        }
        let malformed = |text: &'static str| TokenError::because(TokenReason::Malformed, text);
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("a token has three parts with dots between them; nothing was left out?"));
        };
        if parts.next().is_some() {
            return Err(malformed("the token has more than three parts; encrypted tokens are not read"));
        }
        let signed = token.get(..header.len() + 1 + claims.len()).unwrap_or_default();
        Ok(Self { header, claims, signature, signed })
    }
}

fn decode(part: &str, what: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| {
        TokenError::because(
            TokenReason::Malformed,
            format!("the token's {what} is not base64url without padding"),
        )
    })
}
