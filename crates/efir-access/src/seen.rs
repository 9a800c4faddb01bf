//! What came of tokens that were looked at lately: users of those that held, and why others did not, so that showing one
//! again costs no signature. Found by the SHA-256 of the whole token, never by a part of it; bounded; and whoever asks
//! looks at the time himself. Those that failed are kept apart: whoever makes them up pushes nobody out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

/// How many tokens each of the two generations has at most.
const GENERATION_TOKENS_MAX: usize = 8_192;
/// How many bytes of tokens each generation stands for: what a token says may take some ten times its length.
const GENERATION_BYTES_MAX: usize = 2 << 20;

/// A token, as it is looked for.
pub(crate) struct Shown {
    sha256: [u8; 32],
    bytes: usize,
}

/// What came of tokens lately.
#[derive(Debug)]
pub(crate) struct Seen<T>(Mutex<Generations<T>>);

#[derive(Debug)]
struct Generations<T> {
    young: BTreeMap<[u8; 32], T>,
    young_bytes: usize,
    /// The young ones of before. Whoever is asked for becomes young again; the others go with the next change.
    old: BTreeMap<[u8; 32], T>,
}

impl Shown {
    pub(crate) fn of(token: &str) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self { sha256, bytes: token.len() }
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Mutex::new(Generations { young: BTreeMap::new(), young_bytes: 0, old: BTreeMap::new() }))
    }
}

impl<T: Clone> Seen<T> {
    /// What came of a token that was kept.
    pub(crate) fn find(&self, token: &Shown) -> Option<T> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(&token.sha256) {
            return Some(found.clone());
        }
        let found = generations.old.remove(&token.sha256)?;
        generations.keep(token, found.clone());
        Some(found)
    }

    /// Remembers what came of a token.
    pub(crate) fn keep(&self, token: &Shown, what: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(token, what);
    }
}

impl<T> Generations<T> {
    fn keep(&mut self, token: &Shown, what: T) {
        let is_full = self.young_bytes + token.bytes > GENERATION_BYTES_MAX;
        if self.young.len() >= GENERATION_TOKENS_MAX || is_full {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += token.bytes;
        self.young.insert(token.sha256, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(seen: &Seen<&'static str>, token: &str) -> Option<&'static str> {
        seen.find(&Shown::of(token))
    }

    #[test]
    fn only_the_whole_token_finds_its_user() {
        let seen = Seen::default();
        seen.keep(&Shown::of("a.b.c"), "anna");
        assert_eq!(find(&seen, "a.b.c"), Some("anna"));
        for other in ["a.b.", "a.b.c.", "a.b", "A.b.c", ""] {
            assert_eq!(find(&seen, other), None);
        }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let seen = Seen::default();
        seen.keep(&Shown::of("used"), "anna");
        seen.keep(&Shown::of("unused"), "bob");
        for n in 0..3 * GENERATION_TOKENS_MAX {
            seen.keep(&Shown::of(&format!("other {n}")), "other");
            assert!(n % 1_000 != 0 || find(&seen, "used").is_some());
        }
        assert_eq!(find(&seen, "unused"), None);
        let generations = seen.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_TOKENS_MAX);
    }

    #[test]
    fn long_tokens_count_by_their_bytes() {
        let seen = Seen::default();
        for n in 0..2_000 {
            seen.keep(&Shown::of(&format!("{n:08192}")), "anna");
        }
        let generations = seen.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * (GENERATION_BYTES_MAX / 8_192));
    }
}
