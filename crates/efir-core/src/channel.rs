//! The name of a channel and its rules (docs/protocol.md §1). What stands in a channel is in [`crate::log`].

use std::borrow::Borrow;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use thiserror::Error;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::position::base62;

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// A valid channel name: UTF-8 in NFC, 1–255 bytes, no control characters, no `/`, not `.` or `..`. A clone is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is not a channel name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChannelNameError {
    /// No byte at all.
    #[error("a channel name has at least 1 byte")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("the channel name has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the channel name is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The first byte that is wrong, counted from 0.
        at: usize,
    },
    /// A control character, as `U+000A`.
    #[error("the channel name has the control character U+{:04X} at byte {at}", u32::from(*.character))]
    Control {
        /// The character.
        character: char,
        /// Its place, counted from 0.
        at: usize,
    },
    /// A `/`, which would end the path segment.
    #[error("the channel name has a '/' at byte {at}; use ':' to separate namespaces")]
    Slash {
        /// Its place, counted from 0.
        at: usize,
    },
    /// `.` or `..`, which browsers remove from a path.
    #[error("'.' and '..' are not channel names, because browsers remove them from a path")]
    Dots,
    /// Not in Unicode normalization form C; `nfc` is the form to use.
    #[error("the channel name is not in Unicode NFC; its NFC form is '{nfc}'")]
    NotNfc {
        /// The same name in NFC.
        nfc: String,
    },
}

impl ChannelName {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(name: &str) -> Result<Self, ChannelNameError> {
        if name.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(ChannelNameError::TooLong { bytes: name.len() });
        }
        if name == "." || name == ".." {
            return Err(ChannelNameError::Dots);
        }
        let bad = name.char_indices().try_for_each(|(at, character)| match character {
            '/' => ControlFlow::Break(ChannelNameError::Slash { at }),
            _ if character.is_control() => ControlFlow::Break(ChannelNameError::Control { character, at }),
            _ => ControlFlow::Continue(()),
        });
        if let ControlFlow::Break(error) = bad {
            return Err(error);
        }
        if !name.is_ascii() && !is_nfc(name) {
            return Err(ChannelNameError::NotNfc { nfc: name.nfc().collect() });
        }
        Ok(Self(name.into()))
    }

    /// As [`ChannelName::parse`], from bytes that may not be UTF-8.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse_bytes(name: &[u8]) -> Result<Self, ChannelNameError> {
        let name = std::str::from_utf8(name)
            .map_err(|error| ChannelNameError::NotUtf8 { at: error.valid_up_to() })?;
        Self::parse(name)
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// 8 base62 characters that stand for this name in a [`crate::cursor::Token`]; the same in every version.
    #[must_use]
    pub fn token_hash(&self) -> [u8; 8] {
        // FNV-1a (64 bit), then folded, because base62 keeps only the low 47 bits.
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        base62::<8>(hash ^ (hash >> 32))
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ChannelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<ChannelName> for Arc<str> {
    fn from(name: ChannelName) -> Self {
        name.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names() {
        for name in
            ["a", "chat", "общий-чат", "a:b:c", "...", "a.b", "世界 👋", "%2F", "a\\b\"", &"x".repeat(255)]
        {
            assert_eq!(ChannelName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names() {
        use ChannelNameError as E;
        let error = |name: &str| ChannelName::parse(name).unwrap_err();
        assert_eq!(error(""), E::Empty);
        assert_eq!(error(&"x".repeat(256)), E::TooLong { bytes: 256 });
        assert_eq!(error("."), E::Dots);
        assert_eq!(error(".."), E::Dots);
        assert_eq!(error("a/b"), E::Slash { at: 1 });
        assert_eq!(error("a\nb"), E::Control { character: '\n', at: 1 });
        assert_eq!(error("\u{7f}"), E::Control { character: '\u{7f}', at: 0 });
        assert_eq!(error("ж\u{85}"), E::Control { character: '\u{85}', at: 2 });
        assert_eq!(ChannelName::parse_bytes(b"ab\xff").unwrap_err(), E::NotUtf8 { at: 2 });
    }

    #[test]
    fn the_error_shows_the_nfc_form() {
        let error = ChannelName::parse("cafe\u{301}").unwrap_err();
        assert_eq!(error, ChannelNameError::NotNfc { nfc: "café".into() });
        assert!(error.to_string().contains("café"));
    }

    #[test]
    fn token_hashes_never_change() {
        let hash =
            |name: &str| String::from_utf8(ChannelName::parse(name).unwrap().token_hash().to_vec()).unwrap();
        // Written down from the first version: cursors of clients depend on them.
        assert_eq!([hash("chat"), hash("общий-чат"), hash("a")], ["mi5PYx9W", "YpKMeOdZ", "1wu6jBEu"]);
    }
}
