//! Users and tokens that are worth nothing before their time is over. Shared by all gates of a server, so that a new
//! configuration forgets none. Never forgets early: when it is full, it says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::caller::User;

/// How many users and tokens may be revoked at once.
pub const REVOCATIONS_MAX: usize = 100_000;
/// The longest name of a user or token that can be revoked, in bytes.
pub const REVOKED_BYTES_MAX: usize = 256;

/// Who and what is revoked, and until when.
#[derive(Debug, Default)]
pub struct Revocations {
    /// As many as there are; lets the judge pass without the lock where there is none.
    count: AtomicUsize,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// Until when, in ms since 1970 UTC.
    users: BTreeMap<Box<str>, u64>,
    tokens: BTreeMap<Box<str>, u64>,
}

/// Why it was not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RevocationsFull {
    /// [`REVOCATIONS_MAX`] are revoked.
    #[error("{REVOCATIONS_MAX} users and tokens are revoked already; change the key instead")]
    Full,
    /// The name is empty or has more than [`REVOKED_BYTES_MAX`] bytes, which no user or token has.
    #[error("a user or token that is to be revoked has a name of 1 to {REVOKED_BYTES_MAX} bytes")]
    Name,
}

impl Revocations {
    /// Refuses every token and ticket of this user until then (ms since 1970 UTC). A later time replaces an earlier
    /// one, never the reverse.
    ///
    /// # Errors
    /// There is no place, or the name is none.
    pub fn revoke_user(&self, user: &str, until_ms: u64, now_ms: u64) -> Result<(), RevocationsFull> {
        self.revoke(user, until_ms, now_ms, |lists| &mut lists.users)
    }

    /// Refuses the token with this `jti`, and all tickets made with it, until then.
    ///
    /// # Errors
    /// There is no place, or the name is none.
    pub fn revoke_token(&self, token_id: &str, until_ms: u64, now_ms: u64) -> Result<(), RevocationsFull> {
        self.revoke(token_id, until_ms, now_ms, |lists| &mut lists.tokens)
    }

    /// Whether this user, or the token it came with, is revoked.
    #[must_use]
    pub fn has(&self, user: &User, now_ms: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let lists = self.lists();
        let is_in =
            |list: &BTreeMap<Box<str>, u64>, name: &str| list.get(name).is_some_and(|until| *until > now_ms);
        is_in(&lists.users, &user.name)
            || user.token_id.as_deref().is_some_and(|token| is_in(&lists.tokens, token))
    }

    /// Whether nothing is revoked. One load, without a lock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How many users and tokens are in the lists, those included whose time is over and that nobody has cleared yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Forgets those whose time is over.
    pub fn clear_past(&self, now_ms: u64) {
        let mut lists = self.lists();
        lists.clear_past(now_ms);
        self.count.store(lists.len(), Ordering::Release);
    }

    fn revoke(
        &self,
        name: &str,
        until_ms: u64,
        now_ms: u64,
        list: impl Fn(&mut Lists) -> &mut BTreeMap<Box<str>, u64>,
    ) -> Result<(), RevocationsFull> {
        if name.is_empty() || name.len() > REVOKED_BYTES_MAX {
            return Err(RevocationsFull::Name);
        }
        let mut lists = self.lists();
        if !list(&mut lists).contains_key(name) && lists.len() >= REVOCATIONS_MAX {
            lists.clear_past(now_ms);
            if lists.len() >= REVOCATIONS_MAX {
                return Err(RevocationsFull::Full);
            }
        }
        let until = list(&mut lists).entry(name.into()).or_default();
        *until = until_ms.max(*until);
        self.count.store(lists.len(), Ordering::Release);
        Ok(())
    }

    /// A thread that died here has changed at most one entry.
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    fn len(&self) -> usize {
        self.users.len() + self.tokens.len()
    }

    fn clear_past(&mut self, now_ms: u64) {
        self.users.retain(|_, until| *until > now_ms);
        self.tokens.retain(|_, until| *until > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn user(name: &str, token_id: Option<&str>) -> User {
        User {
            name: name.into(),
            grants: Vec::new(),
            expires_ms: u64::MAX,
            token_id: token_id.map(Into::into),
            key: Arc::from("k"),
            signer: crate::keys::KeyMark::default(),
            ticket: None,
        }
    }

    #[test]
    fn who_is_revoked_is_so_until_then() {
        let revocations = Revocations::default();
        assert!(revocations.is_empty() && !revocations.has(&user("anna", None), 0));
        revocations.revoke_user("anna", 100, 0).unwrap();
        revocations.revoke_user("anna", 50, 0).unwrap();
        revocations.revoke_token("t1", 200, 0).unwrap();
        assert!(revocations.has(&user("anna", None), 99) && !revocations.has(&user("anna", None), 100));
        assert!(
            revocations.has(&user("bob", Some("t1")), 150) && !revocations.has(&user("t1", Some("anna")), 1)
        );
        revocations.clear_past(100);
        assert_eq!(revocations.len(), 1);
        assert_eq!(revocations.revoke_user("", 1, 0), Err(RevocationsFull::Name));
    }

    #[test]
    fn a_full_list_refuses_rather_than_forgets() {
        let revocations = Revocations::default();
        for n in 0..REVOCATIONS_MAX {
            revocations.revoke_user(&format!("u{n}"), 100, 0).unwrap();
        }
        assert_eq!(revocations.revoke_token("t", 100, 0), Err(RevocationsFull::Full));
        assert!(revocations.has(&user("u0", None), 1));
        revocations.revoke_user("u0", 300, 0).unwrap();
        revocations.revoke_token("t", 300, 100).unwrap();
        assert_eq!(revocations.len(), 2);
    }
}
