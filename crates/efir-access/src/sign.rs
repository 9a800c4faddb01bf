//! Making tokens, for `efir token make` and for tests. A server never signs tokens: it has no private key.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::action::Actions;
use crate::keys::{Algorithm, SECRET_BYTES_MIN, read_pem};

/// A secret or private key, with the algorithm that it signs by.
pub struct SigningKey {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(Box<hmac::Key>),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// What a token is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The user, `sub`.
    pub user: String,
    /// When it ends, in seconds since 1970 UTC: `exp`.
    pub expires_s: u64,
    /// When it begins, likewise: `nbf`.
    pub not_before_s: Option<u64>,
    /// When it was made, likewise: `iat`.
    pub issued_s: Option<u64>,
    /// Who made it, `iss`.
    pub issuer: Option<String>,
    /// For whom it is, `aud`.
    pub audiences: Vec<String>,
    /// Its own name, `jti`, by which it can be revoked.
    pub token_id: Option<String>,
    /// Patterns of channels, and what is allowed there.
    pub grants: Vec<(Vec<String>, Actions)>,
}

/// Why no token was made. No text shows any of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// Too short to be a secret.
    #[error(
        "the secret has {0} bytes; at least {SECRET_BYTES_MIN} are needed (`openssl rand -hex 32` makes one)"
    )]
    ShortSecret(usize),
    /// No private key is in the text.
    #[error(
        "this is no private key in PEM ('-----BEGIN PRIVATE KEY-----'); `openssl pkey -in KEY` writes older forms anew"
    )]
    NotPem,
    /// The key is not of the algorithm, or of none that is known.
    #[error(
        "the key does not fit the algorithm (RSA of 2,048 bits and more, P-256, P-384, P-521 and Ed25519 are known)"
    )]
    WrongKind,
    /// The library refused to sign.
    #[error("the key does not sign")]
    Refused,
}

impl SigningKey {
    /// A secret, for HS256, HS384 or HS512.
    ///
    /// # Errors
    /// It is too short, or the algorithm takes no secret.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, SignError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SignError::ShortSecret(secret.len()));
        }
        let hmac = algorithm.hmac().ok_or(SignError::WrongKind)?;
        Ok(Self { algorithm, material: Material::Secret(Box::new(hmac::Key::new(hmac, secret))) })
    }

    /// A private key in PEM: `PRIVATE KEY` (PKCS #8), `RSA PRIVATE KEY` or `EC PRIVATE KEY`. `None`: the algorithm that
    /// goes with it, which is RS256 for an RSA key.
    ///
    /// # Errors
    /// It is something else, or the algorithm takes another kind of key.
    pub fn from_private_pem(algorithm: Option<Algorithm>, text: &str) -> Result<Self, SignError> {
        let (label, der) = read_pem(text).ok_or(SignError::NotPem)?;
        if !matches!(label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY") {
            return Err(SignError::NotPem);
        }
        let (by_default, material) = Self::private(&der).ok_or(SignError::WrongKind)?;
        let algorithm = algorithm.unwrap_or(by_default);
        // An RSA key signs by any of six, a curve by its own.
        let is_fit = algorithm == by_default || algorithm.rsa().is_some() && by_default.rsa().is_some();
        if is_fit { Ok(Self { algorithm, material }) } else { Err(SignError::WrongKind) }
    }

    /// What it signs by.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A token that says this, signed. `key_id` becomes `kid` of its header.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn token(&self, key_id: Option<&str>, claims: &Claims) -> Result<String, SignError> {
        let mut header = json!({"alg": self.algorithm.as_str(), "typ": "JWT"});
        if let (Some(id), Value::Object(header)) = (key_id, &mut header) {
            header.insert("kid".into(), id.into());
        }
        self.sign(header.to_string().as_bytes(), claims.to_json().as_bytes())
    }

    /// A token with exactly this header and these claims, whatever they are: for tests of those who read tokens.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn sign(&self, header: &[u8], claims: &[u8]) -> Result<String, SignError> {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(message.as_bytes()).ok_or(SignError::Refused)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.material {
            Material::Secret(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Material::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(rsa_encoding(self.algorithm)?, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Material::Ec(key) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
            Material::Ed(key) => Some(key.sign(message).as_ref().to_vec()),
        }
    }

    /// Whatever kind of key it is, and the algorithm that goes with it.
    fn private(der: &[u8]) -> Option<(Algorithm, Material)> {
        const CURVES: [(Algorithm, &EcdsaSigningAlgorithm); 3] = [
            (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            (Algorithm::Es512, &ECDSA_P521_SHA512_FIXED_SIGNING),
        ];
        if let Ok(key) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
            return (key.public_modulus_len() >= 256).then_some((Algorithm::Rs256, Material::Rsa(key)));
        }
        let on_curve = CURVES.iter().find_map(|(algorithm, curve)| {
            let key = EcdsaKeyPair::from_pkcs8(curve, der);
            let key = key.or_else(|_| EcdsaKeyPair::from_private_key_der(curve, der));
            Some((*algorithm, Material::Ec(key.ok()?)))
        });
        on_curve.or_else(|| {
            let key =
                Ed25519KeyPair::from_pkcs8(der).or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der));
            Some((Algorithm::EdDsa, Material::Ed(key.ok()?)))
        })
    }
}

fn rsa_encoding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &RSA_PSS_SHA256,
        Algorithm::Ps384 => &RSA_PSS_SHA384,
        Algorithm::Ps512 => &RSA_PSS_SHA512,
        _ => return None,
    })
}

impl Claims {
    /// The claims as a token carries them.
    #[must_use]
    pub fn to_json(&self) -> String {
        let grants = self.grants.iter().map(|(channels, may)| {
            let may: Vec<_> = may.iter().map(crate::action::Action::as_str).collect();
            json!({"channels": channels, "may": may})
        });
        let audience = match self.audiences.as_slice() {
            [] => None,
            [one] => Some(one.as_str().into()),
            several => Some(several.into()),
        };
        let optional = [
            ("iss", self.issuer.as_deref().map(Value::from)),
            ("aud", audience),
            ("nbf", self.not_before_s.map(Value::from)),
            ("iat", self.issued_s.map(Value::from)),
            ("jti", self.token_id.as_deref().map(Value::from)),
            ("efir", (!self.grants.is_empty()).then(|| grants.collect())),
        ];
        let mut claims = Map::new();
        claims.insert("sub".into(), self.user.as_str().into());
        claims.insert("exp".into(), self.expires_s.into());
        claims.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(claims).to_string()
    }
}

impl fmt::Debug for SigningKey {
    /// The algorithm and nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm)
    }
}
