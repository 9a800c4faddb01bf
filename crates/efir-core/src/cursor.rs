//! What a client carries: the last position it has, one channel ([`Cursor`]) or several ([`Token`]), and where reading
//! begins ([`Start`]). Syntax only (docs/protocol.md §1, §5.6); what a cursor is owed is decided in [`crate::log`].

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use thiserror::Error;

use crate::channel::ChannelName;
use crate::position::{Epoch, Position, known_text, parse_offset};

/// The longest cursor, in bytes.
pub const CURSOR_BYTES_MAX: usize = 128;
/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// The text of a cursor that stands nowhere.
const LOST: &str = "lost-0";
/// Stands around the time of a cursor that has one; no cursor of a client has this byte.
const MARK: char = '!';

/// The last position that a reader has; perhaps of an epoch that this server never had, which is not an error.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Inner);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Inner {
    /// Our own form: the text is made again from the position, byte for byte.
    Own { epoch: Epoch, offset_plus_1: NonZeroU64 },
    /// A text that no epoch of ours has; `None` stands nowhere. Boxed twice, because it is rare and each subscription has a
    /// cursor. With a time before it, `!TIME!TEXT`, which no client can write: see [`Cursor::not_before`].
    Foreign(Option<Box<Box<str>>>),
}

/// Why a text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CursorError {
    /// No byte at all.
    #[error("the cursor is empty")]
    Empty,
    /// More bytes than a cursor or token may have.
    #[error("the cursor has {bytes} bytes; at most {bytes_max} are allowed")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
    /// A byte outside of `[A-Za-z0-9._~-]`.
    #[error("byte {at} of the cursor is none of A-Z a-z 0-9 . _ ~ -")]
    Byte {
        /// Its place, counted from 0.
        at: usize,
    },
    /// Not `<epoch>-<offset>` with a decimal offset below 2^53 without leading zeros.
    #[error(
        "a cursor has the form <epoch>-<offset>, the offset being a decimal below 2^53 without leading zeros"
    )]
    Form,
    /// An entry of a token that is not `HASH.EPOCH-OFFSET`.
    #[error("entry {entry} of the cursor has not the form HASH.EPOCH-OFFSET")]
    Entry {
        /// Its place, counted from 0.
        entry: usize,
    },
}

impl Cursor {
    /// Reads a cursor.
    ///
    /// # Errors
    /// Where the text breaks the syntax; an unknown epoch is none.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        // Almost all are our own, and those break no rule.
        if let Some(position) = Position::parse(text) {
            return Ok(position.into());
        }
        check_bytes(text, CURSOR_BYTES_MAX)?;
        let (epoch, offset) = text.split_once('-').ok_or(CursorError::Form)?;
        if epoch.is_empty() || parse_offset(offset).is_none() {
            return Err(CursorError::Form);
        }
        Ok(Self(Inner::Foreign((text != LOST).then(|| Box::new(text.into())))))
    }

    /// A well-formed cursor that no epoch has: it stands in for a `Last-Event-ID` that is malformed, and gets a gap.
    #[must_use]
    pub fn lost() -> Self {
        Self(Inner::Foreign(None))
    }

    /// The same cursor for a reader that may not have what is older than this (ms since 1970 UTC): reading after it
    /// gives such messages to nobody, but a gap.
    #[must_use]
    pub fn not_before(&self, time_ms: u64) -> Self {
        Self(Inner::Foreign(Some(Box::new(format!("{MARK}{time_ms}{MARK}{}", self.text()).into()))))
    }

    /// What [`Cursor::not_before`] was made of: the time and the text of the cursor.
    pub(crate) fn bounds(&self) -> Option<(u64, &str)> {
        let Inner::Foreign(Some(text)) = &self.0 else { return None };
        let (time_ms, text) = text.strip_prefix(MARK)?.split_once(MARK)?;
        Some((time_ms.parse().ok()?, text))
    }

    /// The position, if the epoch has our own form.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match &self.0 {
            Inner::Own { epoch, offset_plus_1 } => Some(Position::new(*epoch, offset_plus_1.get() - 1)),
            Inner::Foreign(_) => None,
        }
    }

    /// The client's text, byte for byte.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self.position() {
            Some(position) => Cow::Owned(position.to_string()),
            None => Cow::Borrowed(self.foreign()),
        }
    }

    /// Appends the text to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self.position() {
            Some(position) => position.write_to(out),
            None => out.extend_from_slice(self.foreign().as_bytes()),
        }
    }

    /// The text of a cursor that is not our own.
    fn foreign(&self) -> &str {
        match &self.0 {
            Inner::Foreign(Some(text)) => self.bounds().map_or(text, |(_, text)| text),
            Inner::Foreign(None) | Inner::Own { .. } => LOST,
        }
    }
}

impl From<Position> for Cursor {
    fn from(Position { epoch, offset }: Position) -> Self {
        Self(Inner::Own { epoch, offset_plus_1: NonZeroU64::MIN.saturating_add(offset) })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some(position) => position.fmt(f),
            None => f.write_str(self.foreign()),
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// With the oldest message that is kept (`after=start`).
    Beginning,
    /// With the newest N that are kept, in ascending order (`last=N`).
    Last(usize),
    /// After a cursor (`after=CURSOR`).
    After(Cursor),
}

impl Start {
    /// Reads the value of `after`: `start` or a cursor.
    ///
    /// # Errors
    /// As [`Cursor::parse`].
    pub fn parse_after(text: &str) -> Result<Self, CursorError> {
        if text == "start" { Ok(Self::Beginning) } else { Cursor::parse(text).map(Self::After) }
    }
}

/// The cursors of several channels in one text: `HASH.EPOCH-OFFSET~HASH.EPOCH-OFFSET`, at most 4,096 bytes.
///
/// Entries are found by a hash of the channel's name, so that the list of channels may change in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Vec<([u8; 8], Cursor)>);

impl Token {
    /// Channels whose cursors always fit: each takes 8 characters of hash, 11 of epoch, up to 16 of offset, and 3 separators.
    pub const CHANNELS_MAX: usize = TOKEN_BYTES_MAX / 38;

    /// The text for these cursors. A cursor of a foreign epoch becomes `lost-0`, because its text may contain the
    /// separators; it gets a gap either way. Entries that would pass 4,096 bytes are left out.
    pub fn encode<'a>(cursors: impl Iterator<Item = (&'a ChannelName, &'a Cursor)>) -> String {
        let mut text = Vec::with_capacity(40 * cursors.size_hint().0);
        for (channel, cursor) in cursors {
            let before = text.len();
            if before > 0 {
                text.push(b'~');
            }
            text.extend_from_slice(&channel.token_hash());
            text.push(b'.');
            let bounded = || Position::parse(cursor.bounds()?.1);
            match cursor.position().or_else(bounded) {
                Some(position) => position.write_to(&mut text),
                None => text.extend_from_slice(LOST.as_bytes()),
            }
            if text.len() > TOKEN_BYTES_MAX {
                text.truncate(before);
                break;
            }
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// Reads a token.
    ///
    /// # Errors
    /// Where the text breaks the syntax.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        check_bytes(text, TOKEN_BYTES_MAX)?;
        text.split('~')
            .enumerate()
            .map(|(entry, part)| parse_entry(part).ok_or(CursorError::Entry { entry }))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The cursor of a channel; `None` where the token has no entry for it (begin with what comes from now on).
    #[must_use]
    pub fn cursor(&self, channel: &ChannelName) -> Option<Cursor> {
        let wanted = channel.token_hash();
        self.0.iter().find(|(hash, _)| *hash == wanted).map(|(_, cursor)| cursor.clone())
    }
}

fn parse_entry(part: &str) -> Option<([u8; 8], Cursor)> {
    let (hash, cursor) = part.split_once('.')?;
    let hash: [u8; 8] = hash.as_bytes().try_into().ok()?;
    if !known_text(&hash).bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    Some((hash, Cursor::parse(cursor).ok()?))
}

fn check_bytes(text: &str, bytes_max: usize) -> Result<(), CursorError> {
    if text.is_empty() {
        return Err(CursorError::Empty);
    }
    if text.len() > bytes_max {
        return Err(CursorError::TooLong { bytes: text.len(), bytes_max });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    match text.bytes().position(|byte| !allowed(byte)) {
        Some(at) => Err(CursorError::Byte { at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::OFFSET_MAX;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_is_small() {
        assert!(size_of::<Cursor>() <= 16);
    }

    #[test]
    fn an_unknown_epoch_is_well_formed() {
        for text in ["lost-0", "x-1", "a.b_c~d-7", "1-9007199254740991", "zzzzzzzzzzz-3"] {
            let cursor = Cursor::parse(text).unwrap();
            assert_eq!(cursor.position(), None);
            assert_eq!(cursor.text(), text);
        }
        assert_eq!(Cursor::parse("lost-0").unwrap(), Cursor::lost());
    }

    #[test]
    fn malformed_cursors() {
        assert_eq!(Cursor::parse(""), Err(CursorError::Empty));
        assert_eq!(Cursor::parse("a b-1"), Err(CursorError::Byte { at: 1 }));
        assert_eq!(Cursor::parse("ж-1"), Err(CursorError::Byte { at: 0 }));
        let long = format!("{}-1", "e".repeat(127));
        assert_eq!(Cursor::parse(&long), Err(CursorError::TooLong { bytes: 129, bytes_max: 128 }));
        for text in ["start", "-1", "e-", "e-01", "e-1-2", "e-9007199254740992", "e-x", "e", "-"] {
            assert_eq!(Cursor::parse(text), Err(CursorError::Form), "{text:?}");
        }
    }

    #[test]
    fn start_is_a_word_of_its_own() {
        assert_eq!(Start::parse_after("start"), Ok(Start::Beginning));
        assert_eq!(Start::parse_after("x-1"), Ok(Start::After(Cursor::parse("x-1").unwrap())));
        assert_eq!(Start::parse_after("Start"), Err(CursorError::Form));
    }

    #[test]
    fn a_token_keeps_a_foreign_cursor_as_lost() {
        let channel = ChannelName::parse("chat").unwrap();
        let foreign = Cursor::parse("a~b.c-5").unwrap();
        let text = Token::encode([(&channel, &foreign)].into_iter());
        assert_eq!(Token::parse(&text).unwrap().cursor(&channel), Some(Cursor::lost()));
    }

    #[test]
    fn malformed_tokens() {
        assert_eq!(Token::parse(""), Err(CursorError::Empty));
        assert_eq!(Token::parse("a,b"), Err(CursorError::Byte { at: 1 }));
        for (text, entry) in
            [("e-1", 0), ("12345678.e-1~", 1), ("1234567.e-1", 0), ("12345678.e-x", 0), ("1234_678.e-1", 0)]
        {
            assert_eq!(Token::parse(text), Err(CursorError::Entry { entry }), "{text:?}");
        }
        assert!(matches!(Token::parse(&"a".repeat(4097)), Err(CursorError::TooLong { .. })));
    }

    #[test]
    fn a_hundred_channels_fit_a_token() {
        let cursor = Cursor::from(Position::new(Epoch(u64::MAX), OFFSET_MAX));
        let channels: Vec<_> = (0..300).map(|n| ChannelName::parse(&format!("c{n}")).unwrap()).collect();
        let text = Token::encode(channels.iter().map(|channel| (channel, &cursor)));
        assert!(text.len() <= TOKEN_BYTES_MAX);
        let token = Token::parse(&text).unwrap();
        assert!(channels.iter().take(100).all(|channel| token.cursor(channel) == Some(cursor.clone())));
    }

    #[test]
    fn a_bounded_cursor_shows_nothing_of_its_bound() {
        let channel = ChannelName::parse("chat").unwrap();
        for text in ["0000000000000-7", "a~b.c-5", "lost-0"] {
            let cursor = Cursor::parse(text).unwrap();
            let bounded = cursor.not_before(1_000);
            let mut written = Vec::new();
            bounded.write_to(&mut written);
            assert_eq!((bounded.to_string(), bounded.text().into_owned()), (text.into(), text.into()));
            assert_eq!((written, bounded.position()), (text.as_bytes().to_vec(), None));
            let tokens = [&cursor, &bounded].map(|cursor| Token::encode([(&channel, cursor)].into_iter()));
            assert_eq!(tokens[0], tokens[1]);
        }
        assert!(Cursor::parse("!1000!0000000000000-7").is_err(), "a client cannot say it");
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_kept_byte_for_byte(text in "[A-Za-z0-9._~]{1,20}-(0|[1-9][0-9]{0,14})") {
            prop_assert_eq!(Cursor::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = Cursor::parse(&text);
            let _ = Token::parse(&text);
        }

        #[test]
        fn tokens_round_trip(cursors in prop::collection::btree_map("[a-zа-я]{1,8}", (any::<u64>(), 0..=OFFSET_MAX), 1..50)) {
            let cursors: Vec<_> = cursors.into_iter()
                .filter_map(|(name, (epoch, offset))| {
                    Some((ChannelName::parse(&name).ok()?, Cursor::from(Position::new(Epoch(epoch), offset))))
                })
                .collect();
            let text = Token::encode(cursors.iter().map(|(channel, cursor)| (channel, cursor)));
            prop_assume!(!text.is_empty());
            let token = Token::parse(&text).unwrap();
            for (channel, cursor) in &cursors {
                prop_assert_eq!(token.cursor(channel), Some(cursor.clone()));
            }
        }
    }
}
