//! Checks a JSON payload (RFC 8259) without building anything from it and without recursion: one pass, a stack of 128
//! bits. Stricter than the grammar in one thing: a lone surrogate escape is refused, because no text has it.

use super::json::plain_len;
use crate::message::PayloadError;

/// How many arrays and objects may stand inside one another.
pub(crate) const DEPTH_MAX: u32 = 128;

/// Whether the bytes are UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, PayloadError> {
    std::str::from_utf8(bytes).map_err(|error| PayloadError::NotUtf8 { at: error.valid_up_to() })
}

/// Whether the bytes are one JSON text. Tells whether there is a raw CR or LF in it, which stands between tokens only.
pub(crate) fn check(bytes: &[u8]) -> Result<bool, PayloadError> {
    utf8(bytes)?;
    let mut scanner = Scanner { bytes, at: 0, depth: 0, objects: 0, has_line_ends: false, fault: None };
    match scanner.run() {
        Ok(()) => Ok(scanner.has_line_ends),
        Err(Broken) => Err(scanner.fault.unwrap_or(PayloadError::End { at: bytes.len(), expected: "JSON" })),
    }
}

/// It is no JSON; why stands in the scanner, so that the many steps which succeed hand on a single byte.
struct Broken;

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
    has_line_ends: bool,
    fault: Option<PayloadError>,
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), Broken> {
        let mut expect = Expect::Value;
        loop {
            let Some(byte) = self.next_token() else {
                let is_done = self.depth == 0 && expect == Expect::Next;
                let expected = if is_done { return Ok(()) } else { expect.name(self.depth) };
                return Err(self.broken(PayloadError::End { at: self.at, expected }));
            };
            expect = match expect {
                Expect::Value => self.value(byte, expect)?,
                Expect::ValueOrClose if byte == b']' => self.close(),
                Expect::ValueOrClose => self.value(byte, expect)?,
                Expect::KeyOrClose if byte == b'}' => self.close(),
                Expect::Key | Expect::KeyOrClose if byte == b'"' => self.string(Expect::Colon)?,
                Expect::Colon if byte == b':' => self.pass(Expect::Value),
                Expect::Next => self.after_value(byte)?,
                Expect::Key | Expect::KeyOrClose | Expect::Colon => {
                    return Err(self.wrong(expect.name(self.depth)));
                }
            };
        }
    }

    fn value(&mut self, byte: u8, expect: Expect) -> Result<Expect, Broken> {
        match byte {
            b'"' => self.string(Expect::Next),
            b'{' | b'[' => self.open(byte == b'{'),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true", "'true'"),
            b'f' => self.literal(b"false", "'false'"),
            b'n' => self.literal(b"null", "'null'"),
            _ => Err(self.wrong(expect.name(self.depth))),
        }
    }

    fn after_value(&mut self, byte: u8) -> Result<Expect, Broken> {
        let in_object = self.objects & 1 == 1;
        match byte {
            b',' if in_object => Ok(self.pass(Expect::Key)),
            b',' if self.depth > 0 => Ok(self.pass(Expect::Value)),
            b'}' if in_object => Ok(self.close()),
            b']' if self.depth > 0 && !in_object => Ok(self.close()),
            _ => Err(self.wrong(Expect::Next.name(self.depth))),
        }
    }

    fn pass(&mut self, expect: Expect) -> Expect {
        self.at += 1;
        expect
    }

    fn open(&mut self, is_object: bool) -> Result<Expect, Broken> {
        if self.depth == DEPTH_MAX {
            return Err(self.broken(PayloadError::Depth { at: self.at }));
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(is_object);
        Ok(self.pass(if is_object { Expect::KeyOrClose } else { Expect::ValueOrClose }))
    }

    fn close(&mut self) -> Expect {
        self.depth -= 1;
        self.objects >>= 1;
        self.pass(Expect::Next)
    }

    /// Passes a string.
    fn string(&mut self, then: Expect) -> Result<Expect, Broken> {
        self.at += 1;
        loop {
            self.at += plain_len(self.rest());
            match self.peek() {
                Some(b'"') => return Ok(self.pass(then)),
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.wrong("an escape instead of a control character")),
                None => return Err(self.wrong("'\"'")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Broken> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.unicode()? {
                0xd800..=0xdbff => {
                    let is_pair = self.rest().starts_with(b"\\u");
                    self.at += usize::from(is_pair);
                    if is_pair && (0xdc00..=0xdfff).contains(&self.unicode()?) {
                        Ok(())
                    } else {
                        Err(self.broken(PayloadError::Surrogate { at: start }))
                    }
                }
                0xdc00..=0xdfff => Err(self.broken(PayloadError::Surrogate { at: start })),
                _ => Ok(()),
            },
            _ => Err(self.wrong("one of \" \\ / b f n r t u")),
        }
    }

    /// Passes `uXXXX`, standing at the `u`.
    fn unicode(&mut self) -> Result<u32, Broken> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.wrong("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Expect, Broken> {
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

    fn digits(&mut self) -> Result<(), Broken> {
        let rest = self.rest();
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        if count == 0 { Err(self.wrong("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &[u8], name: &'static str) -> Result<Expect, Broken> {
        if !self.rest().starts_with(literal) {
            return Err(self.wrong(name));
        }
        self.at += literal.len();
        Ok(Expect::Next)
    }

    /// The next byte that is no space; stands there then.
    fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\r' | b'\n') => {
                    self.has_line_ends = true;
                    self.at += 1;
                }
                other => return other,
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    fn wrong(&mut self, expected: &'static str) -> Broken {
        let at = self.at;
        self.broken(match self.bytes.len() {
            len if at >= len => PayloadError::End { at: len, expected },
            _ => PayloadError::Syntax { at, expected },
        })
    }

    #[cold]
    fn broken(&mut self, fault: PayloadError) -> Broken {
        self.fault = Some(fault);
        Broken
    }
}
