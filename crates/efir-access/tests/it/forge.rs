//! Keys made anew for each run, the gate that knows their public halves, and tokens of any shape.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use efir_access::{Algorithm, Gate, GateParts, KeySet, KeyTerms, Rules, SigningKey};
use serde_json::{Value, json};

/// Now, in seconds since 1970 UTC.
pub(crate) const NOW_S: u64 = 1_790_000_000;
pub(crate) const NOW: u64 = NOW_S * 1_000;
pub(crate) const SECRET: &[u8] = b"a secret of the main key, 32 bytes and more";
pub(crate) const ISSUER: &str = "https://one.example";

/// A key pair as PEM texts.
pub(crate) struct Pair {
    pub(crate) private: String,
    pub(crate) public: String,
}

impl Pair {
    pub(crate) fn rsa() -> Self {
        let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
        let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        Self { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
    }

    pub(crate) fn ec(algorithm: Algorithm) -> Self {
        let curve: &'static EcdsaSigningAlgorithm = match algorithm {
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        Self { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
    }

    pub(crate) fn ed() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        Self { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
    }

    pub(crate) fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => Self::ec(algorithm),
            Algorithm::EdDsa => Self::ed(),
            _ => Self::rsa(),
        }
    }

    pub(crate) fn signs(&self, algorithm: Algorithm) -> SigningKey {
        SigningKey::from_private_pem(Some(algorithm), &self.private).unwrap()
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The keys of the corpus; what the gate is told about each stands in [`Forge::new`].
pub(crate) struct Forge {
    pub(crate) gate: Gate,
    pub(crate) main: SigningKey,
    pub(crate) rsa: SigningKey,
    pub(crate) rsa_public: String,
    /// The key of kid `rsa` as it would sign if it were not pinned to RS256.
    pub(crate) rsa_as_ps: SigningKey,
    pub(crate) es: SigningKey,
    pub(crate) es_public: String,
    pub(crate) ed: SigningKey,
    pub(crate) shared_one: SigningKey,
    pub(crate) shared_two: SigningKey,
    pub(crate) strange_hs: SigningKey,
    pub(crate) strange_rsa: SigningKey,
    pub(crate) strange_es: SigningKey,
}

pub(crate) static FORGE: LazyLock<Forge> = LazyLock::new(Forge::new);

pub(crate) fn terms(name: &str, algorithm: Algorithm, id: Option<&str>) -> KeyTerms {
    KeyTerms {
        name: name.to_owned(),
        algorithms: vec![algorithm],
        id: id.map(str::to_owned),
        ..KeyTerms::default()
    }
}

fn of_issuer(issuer: &str, terms: KeyTerms) -> KeyTerms {
    KeyTerms {
        issuer: Some(issuer.to_owned()),
        audiences: vec!["efir".to_owned(), "efir-test".to_owned()],
        ..terms
    }
}

impl Forge {
    fn new() -> Self {
        use Algorithm::{EdDsa, Es256, Hs256, Ps256, Rs256};
        let (rsa, es, ed) = (Pair::rsa(), Pair::ec(Es256), Pair::ed());
        let (one, two) = (Pair::ec(Es256), Pair::ec(Es256));
        let public = |terms: KeyTerms, pair: &Pair| KeySet::from_public_pem(&terms, &pair.public).unwrap();
        let keys = KeySet::join([
            KeySet::from_secret(&terms("main", Hs256, Some("main")), SECRET).unwrap(),
            public(of_issuer(ISSUER, terms("rsa", Rs256, Some("rsa"))), &rsa),
            public(terms("es", Es256, Some("es")), &es),
            public(terms("ed", EdDsa, Some("ed")), &ed),
            public(of_issuer(ISSUER, terms("shared one", Es256, Some("shared"))), &one),
            public(of_issuer("https://two.example", terms("shared two", Es256, Some("shared"))), &two),
        ]);
        let parts = GateParts {
            rules: Arc::new(Rules::grants_only()),
            token_keys: Arc::new(keys.unwrap()),
            ..GateParts::default()
        };
        let secret = |secret: &[u8]| SigningKey::from_secret(Hs256, secret).unwrap();
        Self {
            gate: Gate::new(parts),
            main: secret(SECRET),
            rsa_as_ps: rsa.signs(Ps256),
            rsa_public: rsa.public.clone(),
            rsa: rsa.signs(Rs256),
            es: es.signs(Es256),
            es_public: es.public,
            ed: ed.signs(EdDsa),
            shared_one: one.signs(Es256),
            shared_two: two.signs(Es256),
            strange_hs: secret(b"a secret that this server has never seen"),
            strange_rsa: Pair::rsa().signs(Rs256),
            strange_es: Pair::ec(Es256).signs(Es256),
        }
    }
}

/// The claims of a good token of key `main`.
pub(crate) fn claims() -> Value {
    json!({"sub": "anna", "exp": NOW_S + 600, "efir": [{"channels": ["chat:*"], "may": ["subscribe"]}]})
}

/// The claims of a good token of the keys that have an issuer.
pub(crate) fn claims_of(issuer: &str) -> Value {
    with(claims(), &[("iss", json!(issuer)), ("aud", json!("efir"))])
}

/// The same with some members changed; `null` is put there as it is.
pub(crate) fn with(mut object: Value, members: &[(&str, Value)]) -> Value {
    for (name, value) in members {
        object[*name] = value.clone();
    }
    object
}

pub(crate) fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

pub(crate) fn header(algorithm: &str, id: &str) -> Value {
    json!({"alg": algorithm, "typ": "JWT", "kid": id})
}

/// A token of any header and claims, with a signature that holds if the key is the right one.
pub(crate) fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes()).unwrap()
}

/// As [`signed`] with texts that need not be JSON.
pub(crate) fn signed_raw(key: &SigningKey, header: &str, claims: &str) -> String {
    key.sign(header.as_bytes(), claims.as_bytes()).unwrap()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
