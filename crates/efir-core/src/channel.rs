//! The name of a channel and its rules (docs/protocol.md §1). What stands in a channel is in [`crate::log`].

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use thiserror::Error;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::position::{base62, known_text};

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// What stands behind a channel's name in the name of the log of its members (docs/protocol.md §9).
const PRESENCE: &str = "/presence";

/// Names of at most so many bytes stand where the name stands, and need no allocation.
const SHORT_BYTES_MAX: usize = 22;

/// A valid channel name: UTF-8 in NFC, 1–255 bytes, no control characters, no `/`, not `.` or `..`. A clone is cheap.
#[derive(Clone)]
pub struct ChannelName(Name);

#[derive(Clone)]
enum Name {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Arc<str>),
}

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
        // Without an early end, so that the compiler looks at many bytes at once.
        let is_plain =
            name.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~') & (byte != b'/'));
        if !is_plain {
            check_characters(name)?;
        }
        Ok(Self(Name::new(name)))
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

    /// As [`ChannelName::parse`], but also reads the name of a log of members, `{name}/presence`: what may be read, while
    /// only [`ChannelName::parse`] gives names that may be published to.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse_readable(name: &str) -> Result<Self, ChannelNameError> {
        match name.strip_suffix(PRESENCE) {
            Some(members_of) => Ok(Self::parse(members_of)?.presence_log()),
            None => Self::parse(name),
        }
    }

    /// As [`ChannelName::parse_readable`], from bytes that may not be UTF-8.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse_readable_bytes(name: &[u8]) -> Result<Self, ChannelNameError> {
        match name.strip_suffix(PRESENCE.as_bytes()) {
            Some(members_of) => Ok(Self::parse_bytes(members_of)?.presence_log()),
            None => Self::parse_bytes(name),
        }
    }

    /// The name of the log that tells who came to this channel, changed and went. Only the engine appends to it.
    #[must_use]
    pub fn presence_log(&self) -> Self {
        Self(Name::new(&format!("{self}{PRESENCE}")))
    }

    /// Whether this is the name of a log of members.
    #[must_use]
    pub fn is_presence_log(&self) -> bool {
        self.as_bytes().ends_with(PRESENCE.as_bytes())
    }

    /// The channel whose members this log tells; `None` for any other channel.
    #[must_use]
    pub fn members_of(&self) -> Option<Self> {
        self.as_str().strip_suffix(PRESENCE).map(|name| Self(Name::new(name)))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // It was a text when it was put there.
            Name::Short { .. } => known_text(self.as_bytes()),
            Name::Long(name) => name,
        }
    }

    /// Its bytes, which are UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Name::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Name::Long(name) => name.as_bytes(),
        }
    }

    /// 8 base62 characters that stand for this name in a [`crate::cursor::Token`]; the same in every version.
    #[must_use]
    pub fn token_hash(&self) -> [u8; 8] {
        // FNV-1a (64 bit), then folded, because base62 keeps only the low 47 bits.
        let hash = self.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        base62::<8>(hash ^ (hash >> 32))
    }
}

impl Name {
    fn new(name: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Self::Short { len: name.len() as u8, bytes }
            }
            None => Self::Long(name.into()),
        }
    }
}

fn check_characters(name: &str) -> Result<(), ChannelNameError> {
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
    Ok(())
}

impl PartialEq for ChannelName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ChannelName {}

impl Hash for ChannelName {
    /// In one piece: no name is the beginning of a pair, and channels are found by hash at each publish.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

impl PartialOrd for ChannelName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ChannelName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl AsRef<str> for ChannelName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<ChannelName> for Arc<str> {
    fn from(name: ChannelName) -> Self {
        match name.0 {
            Name::Short { .. } => name.as_str().into(),
            Name::Long(name) => name,
        }
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
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
    fn short_and_long_names_are_alike() {
        assert!(size_of::<ChannelName>() <= 24);
        let mut names: Vec<_> = (1..40).map(|len| ChannelName::parse(&"ж".repeat(len)).unwrap()).collect();
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name.as_str(), "ж".repeat(index + 1));
            assert_eq!(name, &name.clone());
            assert_eq!(Arc::<str>::from(name.clone()).as_ref(), name.as_str());
        }
        let sorted = names.clone();
        names.reverse();
        names.sort();
        assert_eq!(names, sorted);
        names.dedup();
        assert_eq!(names.len(), 39);
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
    fn the_log_of_members_has_a_name_that_cannot_be_published_to() {
        for name in ["chat", "общий-чат", "presence", &"x".repeat(255)] {
            let channel = ChannelName::parse(name).unwrap();
            let log = channel.presence_log();
            assert_eq!(log.as_str(), format!("{name}/presence"));
            assert!(log.is_presence_log() && !channel.is_presence_log());
            assert_eq!((log.members_of(), channel.members_of()), (Some(channel), None));
            assert_eq!(ChannelName::parse_readable(log.as_str()).unwrap(), log);
            assert_eq!(ChannelName::parse_readable_bytes(log.as_bytes()).unwrap(), log);
            assert!(ChannelName::parse(log.as_str()).is_err());
        }
        for bad in ["/presence", "a/b/presence", "a/presence/presence", "../presence", "a/presence/"] {
            assert!(ChannelName::parse_readable(bad).is_err(), "{bad}");
        }
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
