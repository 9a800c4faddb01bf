//! Where the body of an HTTP/1 message ends (RFC 9112 §6). Nothing is decoded: bytes are counted.

use httparse::Header;

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Bytes(u64),
    /// Chunks.
    Chunks(Chunk),
    /// Until the connection ends.
    UntilEnd,
}

/// Where in chunked coding the next byte stands (RFC 9112 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size, with what it is so far.
    Size(u64),
    /// Behind the size, before the end of its line.
    Extension(u64),
    /// In the chunk; so many bytes with the line end behind it.
    Content(u64),
    /// In the trailer; whether something stands in this line.
    Trailer(bool),
    /// Behind everything.
    Over,
}

/// The framing is not what HTTP allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadFraming;

impl Body {
    /// The body that a head announces; nothing where it announces none.
    pub(super) fn announced(headers: &[Header<'_>]) -> Result<Option<Self>, BadFraming> {
        let (mut length, mut is_chunked) = (None, false);
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).map_err(|_| BadFraming)?;
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let bytes = text.parse().map_err(|_| BadFraming)?;
                if !is_number || length.replace(bytes).is_some() {
                    return Err(BadFraming);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if is_chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadFraming);
                }
                is_chunked = true;
            }
        }
        match (length, is_chunked) {
            (Some(_), true) => Err(BadFraming),
            (None, true) => Ok(Some(Self::Chunks(Chunk::Size(0)))),
            (length, false) => Ok(length.map(Self::Bytes)),
        }
    }

    /// Whether all of it has been taken.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunks(Chunk::Over))
    }

    /// Takes as many of the bytes as belong to it; says how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, BadFraming> {
        match self {
            Self::Bytes(left) => {
                let taken = (bytes.len() as u64).min(*left);
                *left -= taken;
                Ok(taken as usize)
            }
            Self::UntilEnd => Ok(bytes.len()),
            Self::Chunks(chunk) => chunk.take(bytes),
        }
    }
}

impl Chunk {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, BadFraming> {
        let mut taken = 0;
        while *self != Self::Over {
            let Some(byte) = bytes.get(taken) else { break };
            if let Self::Content(left) = self {
                let count = ((bytes.len() - taken) as u64).min(*left);
                *left -= count;
                taken += count as usize;
                if *left == 0 {
                    *self = Self::Size(0);
                }
                continue;
            }
            taken += 1;
            *self = self.after(*byte)?;
        }
        Ok(taken)
    }

    fn after(self, byte: u8) -> Result<Self, BadFraming> {
        Ok(match (self, byte) {
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::Trailer(false),
            (Self::Size(size) | Self::Extension(size), b'\n') => Self::Content(size + 2),
            (Self::Size(size), _) => match char::from(byte).to_digit(16) {
                Some(digit) if size < 1 << 48 => Self::Size(size * 16 + u64::from(digit)),
                None if matches!(byte, b'\r' | b';' | b' ' | b'\t') => Self::Extension(size),
                _ => return Err(BadFraming),
            },
            (Self::Trailer(false), b'\n') => Self::Over,
            (Self::Trailer(_), b'\n') => Self::Trailer(false),
            (Self::Trailer(is_used), b'\r') => Self::Trailer(is_used),
            (Self::Trailer(_), _) => Self::Trailer(true),
            (same, _) => same,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(lines: &[(&str, &str)]) -> Result<Option<Body>, BadFraming> {
        let headers: Vec<_> =
            lines.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        Body::announced(&headers)
    }

    #[test]
    fn heads_announce_bodies() {
        assert_eq!(announced(&[("Host", "h")]), Ok(None));
        assert_eq!(announced(&[("content-length", "12")]), Ok(Some(Body::Bytes(12))));
        assert_eq!(announced(&[("Transfer-Encoding", "Chunked")]), Ok(Some(Body::Chunks(Chunk::Size(0)))));
        for lines in [
            &[("Content-Length", "1"), ("Content-Length", "1")][..],
            &[("Content-Length", "1"), ("Transfer-Encoding", "chunked")],
            &[("Content-Length", "+1")],
            &[("Content-Length", "")],
            &[("Transfer-Encoding", "gzip, chunked")],
        ] {
            assert_eq!(announced(lines), Err(BadFraming), "{lines:?}");
        }
    }

    #[test]
    fn chunks_end_where_they_end_however_they_are_cut() {
        let text = b"5\r\nhello\r\n1a;x=\"y\"\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nA: b\r\n\r\nHTTP/1.1";
        let end = text.len() - "HTTP/1.1".len();
        for cut in 0..end {
            let mut body = Body::Chunks(Chunk::Size(0));
            assert_eq!(body.take(&text[..cut]), Ok(cut), "{cut}");
            assert!(!body.is_over(), "{cut}");
            assert_eq!(body.take(&text[cut..]), Ok(end - cut), "{cut}");
            assert!(body.is_over());
        }
        assert_eq!(Body::Chunks(Chunk::Size(0)).take(b"xyz\r\n"), Err(BadFraming));
    }

    #[test]
    fn counted_bytes_end_at_their_count() {
        let mut body = Body::Bytes(3);
        assert_eq!((body.take(b"ab"), body.is_over()), (Ok(2), false));
        assert_eq!((body.take(b"cd"), body.is_over()), (Ok(1), true));
    }
}
