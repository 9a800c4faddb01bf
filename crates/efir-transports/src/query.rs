//! The query of a URL as decoded pairs. Knows no parameter by name; what each means is in [`crate::request`].

use std::borrow::Cow;

use efir_core::{Code, Problem};
use smallvec::SmallVec;

/// Decoded name–value pairs in the order of the URL. A value may be any bytes, because a channel name that is not UTF-8 is a
/// problem of that channel only.
#[derive(Debug, Default)]
pub(crate) struct Query<'a>(SmallVec<[Pair<'a>; 4]>);

type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Query<'a> {
    /// Splits and decodes what stands behind the `?`.
    pub(crate) fn parse(query: Option<&'a str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(name), decode_form(value))
        });
        Self(pairs.collect())
    }

    /// The value of a parameter that has one.
    ///
    /// # Errors
    /// The parameter stands there twice with different values, or is not UTF-8.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let Some(first) = values.next() else { return Ok(None) };
        if values.any(|value| value != first) {
            let detail = format!("`{name}` is given twice with different values");
            return Err(Problem::new(Code::ConflictingRequest, detail));
        }
        match std::str::from_utf8(first) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Problem::new(Code::InvalidRequest, format!("`{name}` is not UTF-8"))),
        }
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(known, _)| **known == *name.as_bytes()).map(|(_, value)| value.as_ref())
    }
}

/// Decodes `%XX`; a `%` without two hex digits stands for itself, as in the URL standard of the browsers.
pub(crate) fn decode_path(text: &str) -> Cow<'_, [u8]> {
    if text.contains('%') { Cow::Owned(decode(text.bytes())) } else { Cow::Borrowed(text.as_bytes()) }
}

/// Encodes a text for a query value or a path segment.
pub(crate) fn encode_into(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            const HEX: [char; 16] =
                ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
            let digit = |four: u8| HEX.get(usize::from(four)).copied().unwrap_or('0');
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn decode_form(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text.as_bytes());
    }
    Cow::Owned(decode(text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte })))
}

fn decode(mut bytes: impl Iterator<Item = u8> + Clone) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.size_hint().0);
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let escaped = if byte == b'%' { hex(ahead.next()).zip(hex(ahead.next())) } else { None };
        match escaped {
            Some((high, low)) => {
                out.push(high << 4 | low);
                bytes = ahead;
            }
            None => out.push(byte),
        }
    }
    out
}

fn hex(byte: Option<u8>) -> Option<u8> {
    char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse(Some("channel=%D1%87%D0%B0%D1%82&channel=a+b&after=E-1&x&&y=%zz%4"));
        let channels: Vec<_> =
            query.all("channel").map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
        assert_eq!(channels, ["чат", "a b"]);
        assert_eq!(query.one("after").unwrap(), Some("E-1"));
        assert_eq!(query.one("x").unwrap(), Some(""));
        assert_eq!(query.one("y").unwrap(), Some("%zz%4"));
        assert_eq!(query.one("none").unwrap(), None);
    }

    #[test]
    fn a_contradiction_and_bad_utf8_are_problems() {
        let query = Query::parse(Some("a=1&a=2&b=%FF&c=3&c=3"));
        assert_eq!(query.one("a").unwrap_err().code, Code::ConflictingRequest);
        assert_eq!(query.one("b").unwrap_err().code, Code::InvalidRequest);
        assert_eq!(query.one("c").unwrap(), Some("3"));
    }

    #[test]
    fn a_path_keeps_its_plus() {
        assert_eq!(&*decode_path("a+b%20c"), b"a+b c");
        let mut out = String::new();
        encode_into("чат a+b", &mut out);
        assert_eq!(out, "%D1%87%D0%B0%D1%82%20a%2Bb");
        assert_eq!(&*decode_path(&out), "чат a+b".as_bytes());
    }
}
