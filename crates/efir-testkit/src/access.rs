//! Rules, tokens and tickets for the tests: one secret that every closed node of this process knows.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use efir_access::{
    Action, Actions, Algorithm, Audience, Claims, Gate, GateParts, KeyMark, KeySet, KeyTerms, Pattern,
    Revocations, Rule, Rules, ServerKey, ServerKeys, SigningKey, Tickets,
};

/// Signs tokens and tickets here and nowhere else.
const SECRET: &[u8] = b"a secret of the tests, and of nothing else: 32 bytes and more";
/// The key of a backend.
pub const SERVER_KEY: &str = "server-key-of-the-tests-0123456789abcdef";

/// Signs nothing; stands where keys were exchanged.
const OTHER_SECRET: &[u8] = b"another secret of the tests, which signs nothing at all";
const OTHER_SERVER_KEY: &str = "another-server-key-of-the-tests-0123456789";

/// What a closed node knows.
#[derive(Debug, Clone)]
pub struct Closed {
    /// Who may do what.
    pub rules: Rules,
    /// Who was revoked; shared, so that a test can revoke.
    pub revocations: Arc<Revocations>,
    /// Whether the keys that sign tokens, and those of backends, are others than those that the tests have.
    pub has_other_keys: bool,
}

impl Closed {
    /// One rule for all channels, with the same audience for everything.
    pub fn everywhere(audience: Audience) -> Result<Self> {
        Self::of(vec![Rule::new(vec![Pattern::everything()], audience)])
    }

    /// These rules.
    pub fn of(rules: Vec<Rule>) -> Result<Self> {
        Ok(Self { rules: Rules::new(rules)?, revocations: Arc::default(), has_other_keys: false })
    }

    /// The same with other keys: what was signed before is worth nothing any more.
    #[must_use]
    pub fn with_other_keys(self) -> Self {
        Self { has_other_keys: true, ..self }
    }

    /// The gate of a node.
    pub fn gate(&self) -> Result<Gate> {
        let terms =
            KeyTerms { name: "test".into(), algorithms: vec![Algorithm::Hs256], ..KeyTerms::default() };
        let mut server_keys = ServerKeys::default();
        let all = [Action::Subscribe, Action::Publish, Action::History, Action::Presence];
        let server = ServerKey {
            name: "backend".into(),
            may: all.into_iter().fold(Actions::default(), Actions::with),
            channels: vec![Pattern::everything()],
            is_admin: false,
            mark: KeyMark::default(),
        };
        let (secret, server_key) = match self.has_other_keys {
            true => (OTHER_SECRET, OTHER_SERVER_KEY),
            false => (SECRET, SERVER_KEY),
        };
        server_keys.add(server_key, server)?;
        Ok(Gate::new(GateParts {
            rules: Arc::new(self.rules.clone()),
            token_keys: Arc::new(KeySet::from_secret(&terms, secret)?),
            server_keys: Arc::new(server_keys),
            leeway_ms: 0,
            revocations: Arc::clone(&self.revocations),
        }))
    }
}

/// What signs the tickets of every node of the tests.
pub fn tickets() -> Result<Arc<Tickets>> {
    Ok(Arc::new(Tickets::new(&[SECRET])?))
}

/// A token of a user, good for so many seconds, that allows these actions on channels of a pattern.
pub fn token(user: &str, seconds: u64, channels: &str, may: &[Action]) -> Result<String> {
    static KEY: OnceLock<Option<SigningKey>> = OnceLock::new();
    let key = KEY.get_or_init(|| SigningKey::from_secret(Algorithm::Hs256, SECRET).ok());
    let key = key.as_ref().context("the key of the tests")?;
    let may = may.iter().copied().fold(Actions::default(), Actions::with);
    let claims = Claims {
        user: user.into(),
        expires_s: now_ms() / 1_000 + seconds,
        token_id: Some(format!("token-of-{user}")),
        grants: vec![(vec![channels.into()], may)],
        ..Claims::default()
    };
    Ok(key.token(None, &claims)?)
}

/// Now, in ms since 1970 UTC, as the server reads it.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
