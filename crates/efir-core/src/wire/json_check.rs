//! Checks a JSON payload (RFC 8259) without building anything from it and without recursion: one pass, a stack of 128
//! bits. Stricter than the grammar in one thing: a lone surrogate escape is refused, because no text has it.

use crate::message::PayloadError;

/// How many arrays and objects may stand inside one another.
pub(crate) const DEPTH_MAX: u32 = 128;

/// Whether the bytes are UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, PayloadError> {
    std::str::from_utf8(bytes).map_err(|error| PayloadError::NotUtf8 { at: error.valid_up_to() })
}

/// Whether the bytes are one JSON text.
pub(crate) fn check(bytes: &[u8]) -> Result<(), PayloadError> {
    utf8(bytes)?;
    Scanner { bytes, at: 0, depth: 0, objects: 0 }.run()
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    Colon,
    /// A comma, a closing bracket, or the end.
    Next,
}

impl Expect {
    fn name(self, depth: u32) -> &'static str {
        match self {
            Self::Value => "a value",
            Self::ValueOrClose => "a value or ']'",
            Self::Key => "a key",
            Self::KeyOrClose => "a key or '}'",
            Self::Colon => "':'",
            Self::Next if depth == 0 => "the end",
            Self::Next => "',' or a closing bracket",
        }
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    /// Bit `depth - 1` from below says that the innermost bracket is an object.
    objects: u128,
}

impl Scanner<'_> {
    fn run(mut self) -> Result<(), PayloadError> {
        let mut expect = Expect::Value;
        loop {
            self.skip_spaces();
            let Some(byte) = self.peek() else {
                let is_done = self.depth == 0 && expect == Expect::Next;
                let expected = if is_done { return Ok(()) } else { expect.name(self.depth) };
                return Err(PayloadError::End { at: self.at, expected });
            };
            expect = self.step(expect, byte)?;
        }
    }

    fn step(&mut self, expect: Expect, byte: u8) -> Result<Expect, PayloadError> {
        let in_object = self.in_object();
        match (expect, byte) {
            (Expect::Value | Expect::ValueOrClose, b'{' | b'[') => self.open(byte == b'{'),
            (Expect::Value | Expect::ValueOrClose, b'"') => self.string().map(|()| Expect::Next),
            (Expect::Value | Expect::ValueOrClose, b'-' | b'0'..=b'9') => self.number(),
            (Expect::Value | Expect::ValueOrClose, b't') => self.literal(b"true", "'true'"),
            (Expect::Value | Expect::ValueOrClose, b'f') => self.literal(b"false", "'false'"),
            (Expect::Value | Expect::ValueOrClose, b'n') => self.literal(b"null", "'null'"),
            (Expect::ValueOrClose, b']') => self.close(),
            (Expect::Key | Expect::KeyOrClose, b'"') => self.string().map(|()| Expect::Colon),
            (Expect::KeyOrClose, b'}') => self.close(),
            (Expect::Colon, b':') => self.pass(Expect::Value),
            (Expect::Next, b',') if in_object => self.pass(Expect::Key),
            (Expect::Next, b',') if self.depth > 0 => self.pass(Expect::Value),
            (Expect::Next, b'}') if in_object => self.close(),
            (Expect::Next, b']') if self.depth > 0 && !in_object => self.close(),
            _ => Err(self.wrong(expect.name(self.depth))),
        }
    }

    fn pass(&mut self, expect: Expect) -> Result<Expect, PayloadError> {
        self.at += 1;
        Ok(expect)
    }

    fn open(&mut self, is_object: bool) -> Result<Expect, PayloadError> {
        if self.depth == DEPTH_MAX {
            return Err(PayloadError::Depth { at: self.at });
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(is_object);
        self.pass(if is_object { Expect::KeyOrClose } else { Expect::ValueOrClose })
    }

    fn close(&mut self) -> Result<Expect, PayloadError> {
        self.depth -= 1;
        self.objects >>= 1;
        self.pass(Expect::Next)
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Passes a string.
    fn string(&mut self) -> Result<(), PayloadError> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.wrong("an escape instead of a control character")),
                None => return Err(self.wrong("'\"'")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), PayloadError> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.unicode()? {
                0xd800..=0xdbff => {
                    let is_pair = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u"));
                    self.at += usize::from(is_pair);
                    if is_pair && (0xdc00..=0xdfff).contains(&self.unicode()?) {
                        Ok(())
                    } else {
                        Err(PayloadError::Surrogate { at: start })
                    }
                }
                0xdc00..=0xdfff => Err(PayloadError::Surrogate { at: start }),
                _ => Ok(()),
            },
            _ => Err(self.wrong("one of \" \\ / b f n r t u")),
        }
    }

    /// Passes `uXXXX`, standing at the `u`.
    fn unicode(&mut self) -> Result<u32, PayloadError> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.wrong("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Expect, PayloadError> {
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Expect::Next)
    }

    fn digits(&mut self) -> Result<(), PayloadError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &[u8], name: &'static str) -> Result<Expect, PayloadError> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(literal)) {
            return Err(self.wrong(name));
        }
        self.at += literal.len();
        Ok(Expect::Next)
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong(&self, expected: &'static str) -> PayloadError {
        if self.at >= self.bytes.len() {
            PayloadError::End { at: self.bytes.len(), expected }
        } else {
            PayloadError::Syntax { at: self.at, expected }
        }
    }
}
