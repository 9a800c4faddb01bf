//! Keys of backends. Only their SHA-256 is kept, and compared in constant time with every one of them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

use crate::caller::ServerKey;
use crate::keys::KeyMark;

/// The shortest key, in bytes: 32 random bytes as text have more.
pub const SERVER_KEY_BYTES_MIN: usize = 32;
/// The longest key, in bytes.
pub const SERVER_KEY_BYTES_MAX: usize = 1_024;
/// How many keys there may be.
pub const SERVER_KEYS_MAX: usize = 100;

/// The keys of all backends.
#[derive(Clone, Default)]
pub struct ServerKeys(Vec<([u8; 32], Arc<ServerKey>)>);

/// Why this is no server key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServerKeyError {
    /// Too easy to guess, or too long.
    #[error(
        "the server key has {0} bytes; {SERVER_KEY_BYTES_MIN} to {SERVER_KEY_BYTES_MAX} are allowed (`openssl rand -hex 32` makes one)"
    )]
    Length(usize),
    /// Not 64 hexadecimal digits.
    #[error("key_sha256 is 64 hexadecimal digits, as `sha256sum` prints them")]
    Digest,
    /// Two backends with one key.
    #[error("the server keys '{0}' and '{1}' are the same key")]
    Twice(Arc<str>, Arc<str>),
    /// More than [`SERVER_KEYS_MAX`].
    #[error("there are more than {SERVER_KEYS_MAX} server keys")]
    TooMany,
}

impl ServerKeys {
    /// Adds a key.
    ///
    /// # Errors
    /// It is too short or too long, or known already.
    pub fn add(&mut self, key: &str, server: ServerKey) -> Result<(), ServerKeyError> {
        let bytes = key.len();
        if !(SERVER_KEY_BYTES_MIN..=SERVER_KEY_BYTES_MAX).contains(&bytes) {
            return Err(ServerKeyError::Length(bytes));
        }
        self.insert(sha256(key), server)
    }

    /// Adds a key by its SHA-256 in hexadecimal digits, so that the key itself is in no configuration.
    ///
    /// # Errors
    /// It is no such digest, or known already.
    pub fn add_sha256(&mut self, hex: &str, server: ServerKey) -> Result<(), ServerKeyError> {
        self.insert(from_hex(hex).ok_or(ServerKeyError::Digest)?, server)
    }

    /// The server of a key.
    #[must_use]
    pub fn identify(&self, key: &str) -> Option<&Arc<ServerKey>> {
        if self.0.is_empty() || key.len() > SERVER_KEY_BYTES_MAX {
            return None;
        }
        let shown = sha256(key);
        // Without an early end: how long it takes says nothing about which it was.
        self.0.iter().fold(None, |found, (known, server)| {
            verify_slices_are_equal(known, &shown).map_or(found, |()| Some(server))
        })
    }

    /// Whether a server that came by its key is known still, with the same rights.
    #[must_use]
    pub(crate) fn has(&self, server: &ServerKey) -> bool {
        self.0.iter().any(|(_, known)| **known == *server)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, digest: [u8; 32], mut server: ServerKey) -> Result<(), ServerKeyError> {
        if let Some((_, other)) = self.0.iter().find(|(known, _)| *known == digest) {
            return Err(ServerKeyError::Twice(other.name.clone(), server.name));
        }
        if self.0.len() >= SERVER_KEYS_MAX {
            return Err(ServerKeyError::TooMany);
        }
        server.mark = KeyMark::of([Some(digest.as_slice())]);
        self.0.push((digest, Arc::new(server)));
        Ok(())
    }
}

impl fmt::Debug for ServerKeys {
    /// Without the digests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, server)| &server.name)).finish()
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | char::from(*digit).to_digit(16)? as u8;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Actions;
    use crate::pattern::Pattern;

    fn server(name: &str) -> ServerKey {
        let channels = vec![Pattern::everything()];
        ServerKey {
            name: name.into(),
            may: Actions::ALL,
            channels,
            is_admin: false,
            mark: KeyMark::default(),
        }
    }

    #[test]
    fn a_key_is_known_by_itself_or_by_its_digest() {
        let (one, other) = ("k".repeat(32), "abc");
        let mut keys = ServerKeys::default();
        assert!(keys.identify("").is_none());
        keys.add(&one, server("one")).unwrap();
        // FIPS 180-2, B.1.
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015AD";
        keys.add_sha256(hex, server("other")).unwrap();
        assert_eq!(&*keys.identify(&one).unwrap().name, "one");
        assert_eq!(&*keys.identify(other).unwrap().name, "other");
        for wrong in ["", "k", &"k".repeat(31), &"k".repeat(33), hex, &"x".repeat(5_000)] {
            assert!(keys.identify(wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{keys:?}"), r#"["one", "other"]"#);
    }

    #[test]
    fn weak_and_repeated_keys_are_refused() {
        let mut keys = ServerKeys::default();
        assert_eq!(keys.add("short", server("a")), Err(ServerKeyError::Length(5)));
        assert_eq!(keys.add_sha256("ab", server("a")), Err(ServerKeyError::Digest));
        assert_eq!(keys.add_sha256(&"g".repeat(64), server("a")), Err(ServerKeyError::Digest));
        keys.add(&"k".repeat(32), server("a")).unwrap();
        let twice = keys.add(&"k".repeat(32), server("b"));
        assert_eq!(twice, Err(ServerKeyError::Twice("a".into(), "b".into())));
    }
}
