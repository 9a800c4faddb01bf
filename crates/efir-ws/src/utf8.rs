//! UTF-8 validation of text that comes in pieces: an error is seen with the first byte that makes it certain.
//!
//! A character may be cut anywhere, between frames or inside one; at most three of its bytes are kept.

/// The bytes seen so far can never become valid UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid UTF-8")]
pub struct InvalidUtf8;

/// Validates one text in pieces. See [`is_valid`] for a text that is there as a whole.
#[derive(Clone, Debug, Default)]
pub struct Utf8Validator {
    /// The beginning of a character whose end has not come yet.
    pending: [u8; 4],
    pending_bytes: u8,
}

impl Utf8Validator {
    /// Takes the next piece.
    ///
    /// # Errors
    /// [`InvalidUtf8`] as soon as no continuation could make the text valid.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        while self.pending_bytes > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.push(byte)?;
            match std::str::from_utf8(self.pending()) {
                Ok(_) => self.pending_bytes = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(InvalidUtf8),
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(piece) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(InvalidUtf8);
        }
        for &byte in piece.get(error.valid_up_to()..).unwrap_or_default() {
            self.push(byte)?;
        }
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    /// [`InvalidUtf8`] when the last character is cut.
    pub fn finish(&self) -> Result<(), InvalidUtf8> {
        if self.pending_bytes == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    fn push(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        *self.pending.get_mut(usize::from(self.pending_bytes)).ok_or(InvalidUtf8)? = byte;
        self.pending_bytes += 1;
        Ok(())
    }

    fn pending(&self) -> &[u8] {
        self.pending.get(..usize::from(self.pending_bytes)).unwrap_or_default()
    }
}

/// Whether a whole text is valid UTF-8.
#[must_use]
pub fn is_valid(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed_bytes(text: &[u8]) -> Result<(), usize> {
        let mut validator = Utf8Validator::default();
        for (at, byte) in text.iter().enumerate() {
            validator.feed(&[*byte]).map_err(|_| at)?;
        }
        validator.finish().map_err(|_| text.len())
    }

    #[test]
    fn every_cut_of_valid_text_is_accepted() {
        let text = "aé€𝄞ÿ\u{10ffff}\u{0}z".as_bytes();
        for cut in 0..=text.len() {
            let mut validator = Utf8Validator::default();
            let (left, right) = text.split_at(cut);
            validator.feed(left).unwrap();
            validator.feed(&[]).unwrap();
            validator.feed(right).unwrap();
            validator.finish().unwrap();
        }
        assert_eq!(feed_bytes(text), Ok(()));
    }

    #[test]
    fn an_error_is_seen_with_the_first_certain_byte() {
        assert_eq!(feed_bytes(b"ab\xf4\x90\x80\x80"), Err(3), "above U+10FFFF");
        assert_eq!(feed_bytes(b"\xed\xa0\x80"), Err(1), "surrogate");
        assert_eq!(feed_bytes(b"\xc0\x80"), Err(0), "overlong");
        assert_eq!(feed_bytes(b"\xe0\x80\x80"), Err(1), "overlong");
        assert_eq!(feed_bytes(b"\xe2\x82"), Err(2), "cut at the end");
        assert_eq!(feed_bytes(b"\xe2a"), Err(1), "cut inside");
    }
}
