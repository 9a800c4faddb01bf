//! The key of the admin listener. Only its digest is kept, and comparing takes as long whatever is wrong.

use aws_lc_rs::{
    constant_time,
    digest::{self, Digest, SHA256},
};

/// What one has to know to see and change how the server runs.
#[derive(Clone)]
pub struct AdminKey(Digest);

impl AdminKey {
    /// The shortest key; shorter ones are guessed.
    pub const BYTES_MIN: usize = 16;

    /// The key, without the white space around it that files end with; `None` where it is too short.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() >= Self::BYTES_MIN).then(|| Self(digest::digest(&SHA256, text.as_bytes())))
    }

    /// Whether this is the key.
    #[must_use]
    pub fn is(&self, offered: &[u8]) -> bool {
        let offered = digest::digest(&SHA256, offered);
        constant_time::verify_slices_are_equal(self.0.as_ref(), offered.as_ref()).is_ok()
    }
}

impl PartialEq for AdminKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_is_the_key() {
        let key = AdminKey::new(" 0123456789abcdef\n").unwrap();
        assert!(key.is(b"0123456789abcdef"));
        for other in
            [&b"0123456789abcdeF"[..], b"", b"0123456789abcde", b"0123456789abcdef\n", b"0123456789abcdef0"]
        {
            assert!(!key.is(other));
        }
        assert!(AdminKey::new("0123456789abcde").is_none());
        assert_eq!(format!("{key:?}"), "AdminKey");
    }
}
