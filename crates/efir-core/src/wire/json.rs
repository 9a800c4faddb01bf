//! Writing JSON (RFC 8259) by hand: what efir sends has few shapes, and its strings must come out byte for byte.

use crate::position::{Position, write_decimal};

/// Appends `text` as a JSON string. Escapes only what must be: `"`, `\` and the control characters below U+0020.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    Quoted::new(text.as_bytes()).write_to(out);
}

/// Text that becomes a JSON string; looked through once.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    text: &'a [u8],
    /// How many bytes escapes add.
    more: usize,
}

impl<'a> Quoted<'a> {
    /// `text` is UTF-8.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let more = |byte: &u8| match byte {
            b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
            0..0x20 => 5,
            _ => 0,
        };
        let plain = plain_len(text);
        Self { text, more: text.get(plain..).unwrap_or_default().iter().map(more).sum() }
    }

    /// How many bytes the string has, with its quotes.
    pub(crate) fn len(self) -> usize {
        2 + self.text.len() + self.more
    }

    pub(crate) fn write_to(self, out: &mut Vec<u8>) {
        out.push(b'"');
        let mut rest = self.text;
        while self.more > 0
            && let (plain, escaped) = rest.split_at(plain_len(rest))
            && let Some((byte, after)) = escaped.split_first()
        {
            out.extend_from_slice(plain);
            write_escape(*byte, out);
            rest = after;
        }
        out.extend_from_slice(rest);
        out.push(b'"');
    }
}

/// How many bytes stand before the first that a JSON string must escape.
pub(crate) fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // A byte below `n` sets its highest bit in `(word - n) & !word`; the borrow reaches only bytes behind the first found.
        let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = (below(word, 0x20) | equal(b'"') | equal(b'\\')) & (ONES << 7);
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')).unwrap_or(rest.len());
    text.len() - rest.len() + plain
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(b'0', |digit| digit as u8);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes the fields of one object: commas, names and values.
pub(crate) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Fields<'a> {
    /// Opens an object.
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Closes it.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    /// Begins a field; the value is to be written to what is returned. `name` needs no escapes.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        write_string(value, self.name(name));
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        write_decimal(value, self.name(name));
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(crate) fn position(&mut self, name: &str, value: Position) {
        let out = self.name(name);
        out.push(b'"');
        value.write_to(out);
        out.push(b'"');
    }

    /// A list, each item written by `write`.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(T, &mut Vec<u8>),
    ) {
        let out = self.name(name);
        out.push(b'[');
        for (n, item) in items.into_iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            write(item, out);
        }
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_that_must_be_escaped(text in prop::collection::vec(prop_oneof![3 => any::<u8>(), 9 => 0x20u8..0x80], 0..60)) {
            let slowly = text.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
            prop_assert_eq!(plain_len(&text), slowly.unwrap_or(text.len()));
        }
    }
}
