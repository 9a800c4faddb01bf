//! Sets of keys as issuers publish them (RFC 7517, RFC 7518 §6, RFC 8037). Where the text came from is not known here.

use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{Algorithm, Family, JWKS_BYTES_MAX, KeyError, KeySet, KeyTerms, Material, TokenKey};

/// How many keys a set may have.
const SET_KEYS_MAX: usize = 100;

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// What is read of a key; what else is in it does not matter, a private part included.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

pub(super) fn read(terms: &KeyTerms, text: &str) -> Result<KeySet, KeyError> {
    let refused = |why: String| KeyError::Jwks { name: terms.name.clone(), why };
    if terms.algorithms.is_empty() {
        return Err(KeyError::NoAlgorithm(terms.name.clone()));
    }
    if text.len() > JWKS_BYTES_MAX {
        return Err(refused(format!("it has {} bytes; at most {JWKS_BYTES_MAX} are allowed", text.len())));
    }
    let set: Jwks = serde_json::from_str(text)
        .map_err(|error| refused(format!("it is no JSON with a list 'keys' (line {})", error.line())))?;
    if set.keys.len() > SET_KEYS_MAX {
        return Err(refused(format!("it has {} keys; at most {SET_KEYS_MAX} are allowed", set.keys.len())));
    }
    let mut read = KeySet::default();
    for (index, jwk) in set.keys.iter().enumerate() {
        match jwk.keys(terms) {
            Ok(keys) => read.keys.extend(keys),
            Err(why) => read.skipped.push(format!("key {} of '{}': {why}", index + 1, terms.name)),
        }
    }
    if read.keys.is_empty() {
        let why = read.skipped.first().map_or("it has no key", String::as_str);
        return Err(refused(why.to_owned()));
    }
    KeySet::join([read])
}

impl Jwk {
    /// This key once for each algorithm that both it and the configuration allow.
    fn keys(&self, terms: &KeyTerms) -> Result<Vec<std::sync::Arc<TokenKey>>, &'static str> {
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return Err("its 'use' is not 'sig'");
        }
        if self.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|name| name == "verify")) {
            return Err("its 'key_ops' has no 'verify'");
        }
        let mut keys = Vec::new();
        for algorithm in terms.algorithms.iter().copied().filter(|algorithm| self.fits(*algorithm)) {
            let material = Material::Public(self.public(algorithm)?);
            keys.push(TokenKey::new(terms, self.kid.as_deref(), algorithm, material));
        }
        if keys.is_empty() {
            return Err("it fits none of the algorithms that the configuration names");
        }
        Ok(keys)
    }

    /// A secret (`oct`) fits nothing: what is published is none.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_pinned = self.alg.as_deref().is_none_or(|name| name == algorithm.as_str());
        let is_of_kind = match algorithm.family() {
            Family::Hmac => false,
            Family::Rsa => self.kty == "RSA",
            Family::Ec => self.kty == "EC" && self.is_on_curve(algorithm),
            Family::Ed => self.kty == "OKP" && self.is_on_curve(algorithm),
        };
        is_pinned && is_of_kind
    }

    fn is_on_curve(&self, algorithm: Algorithm) -> bool {
        algorithm.curve().is_some_and(|(curve, _)| self.crv.as_deref() == Some(curve))
    }

    fn public(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, &'static str> {
        match (algorithm.rsa(), algorithm.curve()) {
            (Some(rsa), _) => {
                let (n, e) = (number(self.n.as_deref())?, number(self.e.as_deref())?);
                if !(256..=1_024).contains(&n.len()) || e.len() > 8 {
                    return Err("its modulus has not 2,048 to 8,192 bits, or its exponent more than 64");
                }
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa).map_err(|_| "it is no RSA key")
            }
            (None, Some((_, bytes))) => {
                let mut point = coordinate(self.x.as_deref(), bytes)?;
                if algorithm.family() == Family::Ec {
                    // An uncompressed point, SEC 1 §2.3.3.
                    point.insert(0, 4);
                    point.extend(coordinate(self.y.as_deref(), bytes)?);
                }
                super::public(algorithm, &point).map_err(|_| "its point is not on the curve")
            }
            (None, None) => Err("it fits no algorithm"),
        }
    }
}

/// A number without leading zeros, which some issuers send all the same.
fn number(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let mut bytes = decode(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Ok(bytes)
}

fn coordinate(text: Option<&str>, bytes: usize) -> Result<Vec<u8>, &'static str> {
    let coordinate = decode(text)?;
    if coordinate.len() == bytes { Ok(coordinate) } else { Err("a coordinate has not the size of its curve") }
}

fn decode(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a part of the key is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a part of the key is not base64url")
}
