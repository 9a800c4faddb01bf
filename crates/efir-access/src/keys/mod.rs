//! The keys that sign tokens. Each is pinned to one algorithm, and found by its id (`kid`) and that algorithm among
//! those of the configuration; a token never brings a key, nor a place to get one.

mod algorithm;
mod jwks;
mod mark;
mod pem;
mod users;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use thiserror::Error;

pub use algorithm::{Algorithm, Family};
pub use mark::KeyMark;
pub(crate) use pem::read as read_pem;
pub use users::{USER_PREFIX_BYTES_MAX, UsersError, check_users};

/// The shortest secret of HS256, HS384 and HS512, in bytes.
pub const SECRET_BYTES_MIN: usize = 32;
/// How many keys there may be, each counted once per algorithm.
pub const KEYS_MAX: usize = 1_000;
/// How many keys may fit one token: all of them are tried.
pub const KEYS_PER_TOKEN_MAX: usize = 8;
/// The largest text of a set of keys (JWKS), in bytes.
pub const JWKS_BYTES_MAX: usize = 256 << 10;

/// What the configuration says about a key or a set of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// The name of the key in the configuration; what logs and problems call it.
    pub name: String,
    /// What it may sign with, at least one.
    pub algorithms: Vec<Algorithm>,
    /// The id (`kid`) that its tokens must name; `None`: they may name any. A set of keys brings its own ids.
    pub id: Option<String>,
    /// What `iss` of its tokens must be; `None`: anything.
    pub issuer: Option<String>,
    /// What the names of its users begin with here, before `sub`; `None` and empty: nothing. [`check_users`] says where it
    /// is needed.
    pub user_prefix: Option<String>,
    /// Whom its tokens may be for: one of them must be in `aud`. Empty: tokens must have no `aud`.
    pub audiences: Vec<String>,
}

/// Every key that may sign a token.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Arc<TokenKey>>,
    skipped: Vec<String>,
}

/// One key with its only algorithm.
pub(crate) struct TokenKey {
    pub(crate) name: Arc<str>,
    pub(crate) id: Option<Box<str>>,
    pub(crate) algorithm: Algorithm,
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) user_prefix: Box<str>,
    pub(crate) mark: KeyMark,
    material: Material,
}

enum Material {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// Why this is no key. No text shows any of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No algorithm was named.
    #[error("key '{0}' has no algorithm; name those that its tokens are signed with, as \"RS256\"")]
    NoAlgorithm(String),
    /// The algorithm takes another kind of key.
    #[error("key '{name}' cannot be used with {algorithm}: {expected}")]
    WrongKind {
        /// The name of the key.
        name: String,
        /// The algorithm that was named.
        algorithm: Algorithm,
        /// What it takes.
        expected: &'static str,
    },
    /// Too short to be a secret.
    #[error(
        "the secret of key '{name}' has {bytes} bytes; at least {SECRET_BYTES_MIN} are needed (`openssl rand -hex 32` makes one)"
    )]
    ShortSecret {
        /// The name of the key.
        name: String,
        /// How many it has.
        bytes: usize,
    },
    /// Not a public key.
    #[error("key '{name}' is no public key in PEM ('-----BEGIN PUBLIC KEY-----'){hint}")]
    NotPem {
        /// The name of the key.
        name: String,
        /// What it seems to be instead; empty or `: …`.
        hint: &'static str,
    },
    /// Not a set of keys, or none of them is of use.
    #[error("the set of keys '{name}' is of no use: {why}")]
    Jwks {
        /// The name of the set.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// More than [`KEYS_MAX`].
    #[error("there are more than {KEYS_MAX} keys for tokens")]
    TooMany,
    /// Too many keys for one id.
    #[error(
        "more than {KEYS_PER_TOKEN_MAX} keys fit a token of {algorithm} with the same kid; give them ids of their own"
    )]
    Alike {
        /// The algorithm that they share.
        algorithm: Algorithm,
    },
}

impl KeySet {
    /// A secret, for HS256, HS384 and HS512.
    ///
    /// # Errors
    /// It is too short, or an algorithm takes no secret.
    pub fn from_secret(terms: &KeyTerms, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret { name: terms.name.clone(), bytes: secret.len() });
        }
        Self::of_each(terms, |algorithm| {
            let hmac = algorithm.hmac().ok_or("it takes a public key, not a secret")?;
            Ok(Material::Secret(Box::new(hmac::Key::new(hmac, secret))))
        })
    }

    /// A public key in PEM: `PUBLIC KEY` (RFC 5280 SubjectPublicKeyInfo) or `RSA PUBLIC KEY` (PKCS #1).
    ///
    /// # Errors
    /// It is something else, or an algorithm takes another kind of key.
    pub fn from_public_pem(terms: &KeyTerms, text: &str) -> Result<Self, KeyError> {
        let refused = |hint| KeyError::NotPem { name: terms.name.clone(), hint };
        let (label, der) = pem::read(text).ok_or(refused(""))?;
        match label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
            "CERTIFICATE" => {
                return Err(refused(": it is a certificate; `openssl x509 -pubkey -noout` prints its key"));
            }
            label if label.contains("PRIVATE") => {
                return Err(refused(
                    ": it is a private key, which has no place on this server; \
                                    `openssl pkey -pubout` prints the public one",
                ));
            }
            _ => return Err(refused("")),
        }
        Self::of_each(terms, |algorithm| public(algorithm, &der).map(Material::Public))
    }

    /// A set of public keys (RFC 7517 §5). Keys that cannot sign, or with another algorithm than those named, are
    /// passed over: [`KeySet::skipped`] says which.
    ///
    /// # Errors
    /// It is no such set, or no key is of use.
    pub fn from_jwks(terms: &KeyTerms, text: &str) -> Result<Self, KeyError> {
        jwks::read(terms, text)
    }

    /// Several sets as one.
    ///
    /// # Errors
    /// There are too many, or too many that fit one token.
    pub fn join(sets: impl IntoIterator<Item = Self>) -> Result<Self, KeyError> {
        let mut all = Self::default();
        for set in sets {
            all.keys.extend(set.keys);
            all.skipped.extend(set.skipped);
        }
        if all.keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        for key in &all.keys {
            if all.fitting(key.id.as_deref(), key.algorithm).count() > KEYS_PER_TOKEN_MAX {
                return Err(KeyError::Alike { algorithm: key.algorithm });
            }
        }
        Ok(all)
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are, each counted once per algorithm.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// What was passed over in sets of keys and why, a line each.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Whether a key of this mark is in force.
    #[must_use]
    pub(crate) fn has(&self, mark: KeyMark) -> bool {
        self.keys.iter().any(|key| key.mark == mark)
    }

    /// Whether a key has this very id.
    pub(crate) fn has_id(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Keys that may have signed a token which names this id, whatever the algorithm.
    pub(crate) fn named(&self, id: Option<&str>) -> impl Iterator<Item = &Arc<TokenKey>> {
        self.keys.iter().filter(move |key| key.id.is_none() || key.id.as_deref() == id)
    }

    pub(crate) fn fitting(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Arc<TokenKey>> {
        self.named(id).filter(move |key| key.algorithm == algorithm)
    }

    fn of_each(
        terms: &KeyTerms,
        material: impl Fn(Algorithm) -> Result<Material, &'static str>,
    ) -> Result<Self, KeyError> {
        if terms.algorithms.is_empty() {
            return Err(KeyError::NoAlgorithm(terms.name.clone()));
        }
        let mut keys = Vec::with_capacity(terms.algorithms.len());
        for algorithm in terms.algorithms.iter().copied() {
            let material = material(algorithm).map_err(|expected| KeyError::WrongKind {
                name: terms.name.clone(),
                algorithm,
                expected,
            })?;
            keys.push(TokenKey::new(terms, terms.id.as_deref(), algorithm, material));
        }
        Self::join([Self { keys, skipped: Vec::new() }])
    }
}

impl TokenKey {
    fn new(terms: &KeyTerms, id: Option<&str>, algorithm: Algorithm, material: Material) -> Arc<Self> {
        Arc::new(Self {
            name: terms.name.as_str().into(),
            id: id.map(Into::into),
            algorithm,
            issuer: terms.issuer.as_deref().map(Into::into),
            audiences: terms.audiences.iter().map(|audience| audience.as_str().into()).collect(),
            user_prefix: terms.user_prefix.as_deref().unwrap_or_default().into(),
            mark: mark(terms, id, algorithm, &material),
            material,
        })
    }

    /// Whether the signature is of this key and this message, by the key's own algorithm.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for KeySet {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.keys.iter().map(|key| format!("{} ({})", key.name, key.algorithm));
        f.debug_list().entries(names).finish()
    }
}

/// Everything about a key. Of a secret only what it signs is in the mark.
fn mark(terms: &KeyTerms, id: Option<&str>, algorithm: Algorithm, material: &Material) -> KeyMark {
    let signed;
    let material = match material {
        Material::Secret(key) => {
            signed = hmac::sign(key, b"efir mark of a key 1\n");
            signed.as_ref()
        }
        Material::Public(key) => key.as_ref(),
    };
    let parts = [
        Some(terms.name.as_bytes()),
        id.map(str::as_bytes),
        terms.issuer.as_deref().map(str::as_bytes),
        Some(terms.user_prefix.as_deref().unwrap_or_default().as_bytes()),
        Some(algorithm.as_str().as_bytes()),
        Some(material),
    ];
    KeyMark::of(parts.into_iter().chain(terms.audiences.iter().map(|audience| Some(audience.as_bytes()))))
}

/// Reads a public key for one algorithm, from what stands in a PEM or was put together from a JWK.
fn public(algorithm: Algorithm, bytes: &[u8]) -> Result<ParsedPublicKey, &'static str> {
    /// What a public RSA key of 2,048 bits takes at least.
    const RSA_BYTES_MIN: usize = 260;
    let expected = match algorithm.family() {
        Family::Hmac => "it takes a secret, not a public key",
        Family::Rsa => "it takes an RSA key of 2,048 to 8,192 bits",
        Family::Ec => "it takes a key on its own curve (P-256, P-384, P-521)",
        Family::Ed => "it takes an Ed25519 key",
    };
    let verification = algorithm.verification().ok_or(expected)?;
    let key = ParsedPublicKey::new(verification, bytes).map_err(|_| expected)?;
    if algorithm.family() == Family::Rsa && bytes.len() < RSA_BYTES_MIN {
        return Err(expected);
    }
    Ok(key)
}
