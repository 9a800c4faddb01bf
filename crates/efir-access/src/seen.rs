//! Tokens that were verified once. Found by the SHA-256 of the whole token, never by a part of it; bounded; failures are
//! not kept, and whoever asks looks at the time himself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use crate::caller::User;

/// How many tokens each of the two generations has at most.
const GENERATION_TOKENS_MAX: usize = 8_192;
/// How many bytes of tokens each generation stands for: what a token says may take some ten times its length.
const GENERATION_BYTES_MAX: usize = 2 << 20;

/// What was verified lately.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<[u8; 32], Arc<User>>,
    young_bytes: usize,
    /// The young ones of before. Whoever is asked for becomes young again; the others go with the next change.
    old: BTreeMap<[u8; 32], Arc<User>>,
}

impl Seen {
    /// The user of a token that was kept.
    pub(crate) fn find(&self, token: &str) -> Option<Arc<User>> {
        let key = sha256(token);
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = generations.young.get(&key) {
            return Some(user.clone());
        }
        let user = generations.old.remove(&key)?;
        generations.keep(key, token.len(), user.clone());
        Some(user)
    }

    /// Remembers a token that was verified.
    pub(crate) fn keep(&self, token: &str, user: &Arc<User>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.keep(sha256(token), token.len(), user.clone());
    }
}

impl Generations {
    fn keep(&mut self, key: [u8; 32], bytes: usize, user: Arc<User>) {
        if self.young.len() >= GENERATION_TOKENS_MAX || self.young_bytes + bytes > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, user);
    }
}

fn sha256(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Arc<User> {
        Arc::new(User {
            name: name.into(),
            grants: Vec::new(),
            expires_ms: 1,
            token_id: None,
            key: "k".into(),
            signer: crate::keys::KeyMark::default(),
            is_ticket: false,
        })
    }

    #[test]
    fn only_the_whole_token_finds_its_user() {
        let seen = Seen::default();
        seen.keep("a.b.c", &user("anna"));
        assert_eq!(&*seen.find("a.b.c").unwrap().name, "anna");
        for other in ["a.b.", "a.b.c.", "a.b", "A.b.c", ""] {
            assert!(seen.find(other).is_none());
        }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let seen = Seen::default();
        seen.keep("used", &user("anna"));
        seen.keep("unused", &user("bob"));
        for n in 0..3 * GENERATION_TOKENS_MAX {
            seen.keep(&format!("other {n}"), &user("other"));
            assert!(n % 1_000 != 0 || seen.find("used").is_some());
        }
        assert!(seen.find("unused").is_none());
        let generations = seen.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_TOKENS_MAX);
    }

    #[test]
    fn long_tokens_count_by_their_bytes() {
        let seen = Seen::default();
        for n in 0..2_000 {
            seen.keep(&format!("{n:08192}"), &user("anna"));
        }
        let generations = seen.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * (GENERATION_BYTES_MAX / 8_192));
    }
}
