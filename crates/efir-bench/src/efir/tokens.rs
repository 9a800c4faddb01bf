//! What connections show of who they are: tokens or server keys, in the header `Authorization`.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::dialect::Seat;

/// Tokens, which connections show in turn: the first the first one, and so on. None are none.
#[derive(Clone, Default)]
pub struct Tokens(Arc<[Box<str>]>);

impl fmt::Debug for Tokens {
    /// How many; what they are is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Tokens {
    /// One a line; empty lines do not count.
    ///
    /// # Errors
    /// When there is none, or a line has what stands in no header.
    pub fn parse(text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            bail!("there is no token");
        }
        if let Some(n) = lines.iter().position(|line| !line.bytes().all(|byte| byte.is_ascii_graphic())) {
            bail!("what stands in line {} is no token", n + 1);
        }
        Ok(Self::new(lines))
    }

    /// These, as they are.
    #[must_use]
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        Self(tokens.into_iter().map(Box::from).collect())
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The header line of a connection, with its line break; empty where nothing is shown.
    pub(super) fn header(&self, seat: &Seat) -> String {
        let place = (seat.number as usize).checked_rem(self.0.len());
        let token = place.and_then(|place| self.0.get(place));
        token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::Channels;

    #[test]
    fn connections_show_tokens_in_turn() {
        let tokens = Tokens::parse("one\n\n  two \r\n").unwrap();
        let seat = |number| Seat::new(Arc::new(Channels::new("c", 1, 1)), number, (0, 1));
        let shown: Vec<String> = (0..3).map(|number| tokens.header(&seat(number))).collect();
        let [one, two] = ["one", "two"].map(|token| format!("Authorization: Bearer {token}\r\n"));
        assert_eq!(shown, [one.clone(), two, one]);
        assert_eq!(Tokens::default().header(&seat(7)), "");
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
    }

    #[test]
    fn what_would_break_a_header_is_no_token() {
        for text in ["", "\n \n", "a b", "a\u{7f}"] {
            assert!(Tokens::parse(text).is_err(), "{text:?}");
        }
    }
}
