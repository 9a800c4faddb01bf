//! The kinds of servers that are compared, and what they and their visitors need: configurations, keys, tokens, a certificate.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use efir_access::{Actions, Algorithm, Claims, SigningKey};
use efir_bench::efir::Tokens;
use efir_bench::{Encryption, Trust};

use crate::root;

/// One way to set a server up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Rules ask for a token, which is signed by this.
    pub(super) signed_by: Option<Algorithm>,
    pub(super) limits: Limits,
    pub(super) is_encrypted: bool,
}

/// Which limits there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    /// The defaults, and this machine is in `unlimited`, as by default: no address and no rate is counted.
    Default,
    /// Raised as far as nobody gets.
    Raised,
    /// `unlimited = []`: everybody's connections and rates are counted.
    Counted,
}

const OPEN: Kind = Kind { name: "open", signed_by: None, limits: Limits::Default, is_encrypted: false };
const HS256: Kind = Kind { name: "rules and tokens, HS256", signed_by: Some(Algorithm::Hs256), ..OPEN };

impl Kind {
    /// The first is what the others are compared with, the second how much chance there is in it.
    pub(super) const ALL: [Self; 9] = [
        OPEN,
        Self { name: "open, once more", ..OPEN },
        Self { name: "open, limits raised out of sight", limits: Limits::Raised, ..OPEN },
        Self { name: "open, everybody limited", limits: Limits::Counted, ..OPEN },
        HS256,
        Self { name: "rules and tokens, EdDSA", signed_by: Some(Algorithm::EdDsa), ..OPEN },
        TOGETHER,
        Self { name: "TLS", is_encrypted: true, ..OPEN },
        Self { name: "TLS, tokens and limits", is_encrypted: true, ..TOGETHER },
    ];
}

/// What a server on the internet has.
pub(super) const TOGETHER: Kind = Kind { name: "tokens and limits", limits: Limits::Counted, ..HS256 };

const SECRET: &str = "cargo-xtask-bench-strangers-0001";
const LASTS_S: u64 = 3_600;
/// Two rules that do not fit, and the one that decides.
const RULES: &str = "\
[[rules]]
channels = \"news\"
subscribe = \"anyone\"
[[rules]]
channels = \"inbox:{user}\"
subscribe = \"authenticated\"
[[rules]]
channels = \"**\"
subscribe = \"grant\"
publish = \"grant\"
";
const RAISED: &str = "\
[limits]
connections_max = 1000000
address_connections_max = 1000000
connection_publishes_per_s_max = 1000000
user_publishes_per_s_max = 1000000
key_publishes_per_s_max = 1000000
";

/// Subscribers are read when it is their server's turn, so nobody asks whether they are still there.
const PATIENT: &str = "[times]\nping = \"1h\"\nsilent_max = \"2h\"\n";

/// A folder with everything, removed when dropped.
pub(super) struct Workshop {
    folder: PathBuf,
    /// Of each algorithm, a token for each subscriber, and the last one for whoever publishes.
    tokens: Vec<(Algorithm, Vec<String>)>,
}

impl Workshop {
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn new(visitors: usize) -> Result<Self> {
        let folder = root::target().join(format!("strangers-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let mut workshop = Self { folder, tokens: Vec::new() };
        for (name, text) in [
            ("secret", SECRET.to_owned()),
            ("public.pem", pair.public_key_pem()),
            ("cert.pem", certificate.cert.pem()),
            ("key.pem", certificate.signing_key.serialize_pem()),
        ] {
            std::fs::write(workshop.path(name), text)?;
        }
        for key in [
            SigningKey::from_secret(Algorithm::Hs256, SECRET.as_bytes())?,
            SigningKey::from_private_pem(None, &pair.serialize_pem())?,
        ] {
            let tokens = (0..=visitors).map(|n| token(&key, n)).collect::<Result<Vec<_>>>()?;
            workshop.tokens.push((key.algorithm(), tokens));
        }
        Ok(workshop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The configuration of a server of this kind, as a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn configuration(&self, kind: &Kind) -> Result<PathBuf> {
        let file = |name: &str| self.path(name).display().to_string();
        // What stands in no table comes first.
        let mut text = String::from(if kind.limits == Limits::Counted { "unlimited = []\n" } else { "" });
        text += match kind.limits {
            Limits::Default => "",
            Limits::Raised => RAISED,
            // The tool comes from few addresses.
            Limits::Counted => "[limits]\naddress_connections_max = 10000\n",
        };
        text += PATIENT;
        if kind.is_encrypted {
            let (certificate, key) = (file("cert.pem"), file("key.pem"));
            text += &format!("[tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n");
        }
        let key = match kind.signed_by {
            None => String::new(),
            Some(Algorithm::Hs256) => format!("secret_file = {:?}", file("secret")),
            Some(_) => format!("public_key_file = {:?}", file("public.pem")),
        };
        if let Some(algorithm) = kind.signed_by {
            text += &format!(
                "{RULES}[[token_keys]]\nname = \"app\"\nalgorithms = \"{}\"\n{key}\n",
                algorithm.as_str()
            );
        }
        let path = self.path(&format!("{}.toml", kind.name.replace([' ', ','], "-")));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// What subscribers and the publisher show.
    pub(super) fn tokens(&self, kind: &Kind) -> (Tokens, Tokens) {
        let found = self.tokens.iter().find(|(algorithm, _)| Some(*algorithm) == kind.signed_by);
        let Some((last, others)) = found.and_then(|(_, tokens)| tokens.split_last()) else {
            return Default::default();
        };
        (Tokens::new(others.iter().map(String::as_str)), Tokens::new([last.as_str()]))
    }

    /// # Errors
    /// When the certificate cannot be read.
    pub(super) fn encryption(&self) -> Result<Encryption> {
        Encryption::new("127.0.0.1", &Trust::File(self.path("cert.pem")))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    // Somebody else has tidied up.
    let _ = std::fs::remove_dir_all(folder);
}

fn token(key: &SigningKey, number: usize) -> Result<String> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = Claims {
        user: format!("user-{number:05}"),
        expires_s: now_s + LASTS_S,
        grants: vec![(vec!["**".to_owned()], Actions::ALL)],
        ..Claims::default()
    };
    key.token(None, &claims).context("a token was not signed")
}
