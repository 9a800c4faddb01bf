//! Patterns of channel names. A user's name is compared, never read as a pattern; nothing is joined to one text.

use std::fmt;

use thiserror::Error;
use unicode_normalization::is_nfc;

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 255;
/// How many `*` and `**` a pattern may have.
pub const PATTERN_STARS_MAX: usize = 8;

/// A pattern of channel names: text as it is; `*` is any run of characters but `:`, `**` any run, both also empty;
/// `{user}`, a whole segment between `:`, is the caller's user. `\` before `*`, `{`, `}` or `\` takes its meaning away.
///
/// `chat:*` has `chat:1` and not `chat:1:2`; `chat:**` has both; `inbox:{user}` has `inbox:anna` for anna alone. A user
/// whose name has a `:` is in no `{user}`: otherwise `anna:drafts` would be in what belongs to anna.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// `*`
    Star,
    /// `**`
    DoubleStar,
    User,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// No byte at all.
    #[error("a pattern of channels has at least 1 byte; '**' is every channel")]
    Empty,
    /// More than [`PATTERN_BYTES_MAX`] bytes.
    #[error("the pattern has {bytes} bytes; at most {PATTERN_BYTES_MAX} are allowed")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// More than [`PATTERN_STARS_MAX`] stars.
    #[error("the pattern has more than {PATTERN_STARS_MAX} stars ('*' and '**')")]
    TooManyStars,
    /// Three stars in a row or more.
    #[error("'*' is any run of characters but ':', '**' is any run; there is no '***'")]
    Stars,
    /// A character that no channel name has: a control character or `/`.
    #[error("the pattern has U+{:04X}, which is in no channel name", u32::from(*.0))]
    Character(char),
    /// Not in Unicode normalization form C, as all channel names are.
    #[error("the pattern is not in Unicode NFC, as channel names are")]
    NotNfc,
    /// Braces around something else than `user`.
    #[error("'{{user}}' is the only name in braces; write '\\{{' for the character")]
    Braces,
    /// `{user}` that is not a whole segment.
    #[error("'{{user}}' stands for a whole segment: put ':' between it and other text")]
    UserNotAlone,
    /// A backslash before something else than `*`, `{`, `}` or `\`.
    #[error("a '\\' stands only before '*', '{{', '}}' or '\\'")]
    Escape,
}

/// Whose `{user}` is meant.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Nobody,
    User(&'a str),
    Everybody,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes: text.len() });
        }
        if let Some(character) = text.chars().find(|character| character.is_control() || *character == '/') {
            return Err(PatternError::Character(character));
        }
        if !is_nfc(text) {
            return Err(PatternError::NotNfc);
        }
        let parts = parts(text)?;
        let stars = parts.iter().filter(|part| matches!(part, Part::Star | Part::DoubleStar)).count();
        if stars > PATTERN_STARS_MAX {
            return Err(PatternError::TooManyStars);
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }

    /// The pattern that has exactly this name, whatever characters are in it.
    #[must_use]
    pub fn exactly(name: &str) -> Self {
        let mut text = String::with_capacity(name.len());
        for character in name.chars() {
            if matches!(character, '*' | '{' | '}' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        Self { text: text.into(), parts: [Part::Text(name.into())].into() }
    }

    /// The pattern of every channel, `**`.
    #[must_use]
    pub fn everything() -> Self {
        Self { text: "**".into(), parts: [Part::DoubleStar].into() }
    }

    /// Whether the name is in it, for a caller of this user (`None`: no user, and so in no `{user}`).
    #[must_use]
    pub fn matches(&self, name: &str, user: Option<&str>) -> bool {
        self.holds(name, user.map_or(Whose::Nobody, Whose::User))
    }

    /// Whether the name is in it for whatever user.
    #[must_use]
    pub fn matches_any_user(&self, name: &str) -> bool {
        self.holds(name, Whose::Everybody)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Most patterns are text, and perhaps one star at the end: those are decided at sight.
    fn holds(&self, name: &str, whose: Whose<'_>) -> bool {
        let (mut rest, mut parts) = (name, &*self.parts);
        while let Some((part, after)) = parts.split_first() {
            rest = match (part, whose) {
                (Part::Text(text), _) => match rest.strip_prefix(&**text) {
                    Some(rest) => rest,
                    None => return false,
                },
                (Part::User, Whose::Nobody) => return false,
                (Part::User, Whose::User(user)) if user.contains(':') => return false,
                (Part::User, Whose::User(user)) => match rest.strip_prefix(user) {
                    Some(rest) => rest,
                    None => return false,
                },
                (Part::Star, _) if after.is_empty() => return !rest.contains(':'),
                (Part::DoubleStar, _) if after.is_empty() => return true,
                (Part::User, Whose::Everybody) | (Part::Star | Part::DoubleStar, _) => {
                    return walk(rest.as_bytes(), parts, whose);
                }
            };
            parts = after;
        }
        rest.is_empty()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

fn parts(text: &str) -> Result<Vec<Part>, PatternError> {
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let flush = |plain: &mut String, parts: &mut Vec<Part>| {
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(plain).into()));
        }
    };
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = rest.strip_prefix(character).unwrap_or_default();
        rest = match character {
            '\\' => {
                let escaped = after.chars().next().filter(|next| matches!(next, '*' | '{' | '}' | '\\'));
                let escaped = escaped.ok_or(PatternError::Escape)?;
                plain.push(escaped);
                after.strip_prefix(escaped).unwrap_or_default()
            }
            '*' => {
                flush(&mut plain, &mut parts);
                let stars = rest.len() - rest.trim_start_matches('*').len();
                parts.push(match stars {
                    1 => Part::Star,
                    2 => Part::DoubleStar,
                    _ => return Err(PatternError::Stars),
                });
                rest.trim_start_matches('*')
            }
            '{' => {
                let after = rest.strip_prefix("{user}").ok_or(PatternError::Braces)?;
                let begins = parts.is_empty() && plain.is_empty() || plain.ends_with(':');
                if !begins || !(after.is_empty() || after.starts_with(':')) {
                    return Err(PatternError::UserNotAlone);
                }
                flush(&mut plain, &mut parts);
                parts.push(Part::User);
                after
            }
            '}' => return Err(PatternError::Braces),
            other => {
                plain.push(other);
                after
            }
        };
    }
    flush(&mut plain, &mut parts);
    Ok(parts)
}

/// Walks all ways through the name at once: after each part, the set of places where the rest may begin. So a pattern
/// costs at most its length times the length of the name, whatever a stranger chose as a name.
fn walk(name: &[u8], parts: &[Part], whose: Whose<'_>) -> bool {
    if name.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let mut places = Places::default();
    places.add(0);
    for part in parts {
        places = match (part, whose) {
            (Part::Text(text), _) => places.behind(name, text.as_bytes()),
            (Part::User, Whose::User(user)) if !user.contains(':') => places.behind(name, user.as_bytes()),
            (Part::User, Whose::User(_) | Whose::Nobody) => return false,
            (Part::User, Whose::Everybody) => places.behind_a_segment(name),
            (Part::Star, _) => places.spread(name, |byte| byte != b':'),
            (Part::DoubleStar, _) => places.spread(name, |_| true),
        };
    }
    places.has(name.len())
}

/// A set of places in a name, 0 to 255.
#[derive(Clone, Copy, Default)]
struct Places([u64; 4]);

impl Places {
    fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                word &= word.checked_sub(1)?;
                Some(index * 64 + bit)
            })
        })
    }

    /// Where `text` ends that begins at one of the places.
    fn behind(self, name: &[u8], text: &[u8]) -> Self {
        let mut behind = Self::default();
        for place in self.iter().filter(|place| name.get(*place..).is_some_and(|rest| rest.starts_with(text)))
        {
            behind.add(place + text.len());
        }
        behind
    }

    /// Each place, and all to its right as far as the bytes between are `passable`.
    fn spread(self, name: &[u8], passable: impl Fn(u8) -> bool) -> Self {
        let (mut spread, mut is_on) = (Self::default(), false);
        for place in 0..=name.len() {
            let before = place.checked_sub(1).and_then(|before| name.get(before)).copied();
            is_on = self.has(place) || is_on && before.is_some_and(&passable);
            if is_on {
                spread.add(place);
            }
        }
        spread
    }

    /// As [`Places::spread`] over all but `:`, by at least one byte.
    fn behind_a_segment(self, name: &[u8]) -> Self {
        let mut first = Self::default();
        for place in self.iter().filter(|place| name.get(*place).is_some_and(|byte| *byte != b':')) {
            first.add(place + 1);
        }
        first.spread(name, |byte| byte != b':')
    }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
