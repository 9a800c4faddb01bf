//! Writing JSON (RFC 8259) by hand: what efir sends has few shapes, and its strings must come out byte for byte.

use crate::position::{Position, write_decimal};

/// Appends `text` as a JSON string. Escapes only what must be: `"`, `\` and the control characters below U+0020.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    let has_escapes = has_escapes(rest);
    while has_escapes && let Some(at) = rest.iter().position(|byte| must_be_escaped(*byte)) {
        let (plain, after) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = after.split_first() else { break };
        write_escape(*byte, out);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// How many bytes [`write_string`] appends for a text.
pub(crate) fn string_len(text: &[u8]) -> usize {
    let more = |byte: &u8| match byte {
        b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
        0..0x20 => 5,
        _ => 0,
    };
    let escapes = if has_escapes(text) { text.iter().map(more).sum() } else { 0 };
    2 + text.len() + escapes
}

/// Without an early end, so that the compiler looks at many bytes at once.
fn has_escapes(text: &[u8]) -> bool {
    text.iter().fold(false, |found, byte| found | must_be_escaped(*byte))
}

fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
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
