//! HTTP streaming: one JSON object a line (NDJSON). Knows no connection; [`crate::subscription`] feeds it.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::ClientError;

/// Splits a body into lines, incrementally and bounded. Blank lines are skipped; a last line without LF is dropped,
/// because a cut connection may have shortened it.
#[derive(Debug)]
pub struct LineSplitter {
    line: Vec<u8>,
    bytes_max: usize,
}

impl LineSplitter {
    /// A splitter that accepts lines of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { line: Vec::new(), bytes_max }
    }

    /// Takes more of the body and appends the lines that became complete to `out`, without their LF.
    ///
    /// # Errors
    /// Where a line passes the limit; the stream is of no use after that.
    pub fn feed(&mut self, chunk: &[u8], out: &mut VecDeque<Bytes>) -> Result<(), ClientError> {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (part, tail) = rest.split_at(end);
            self.keep(part)?;
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.is_empty() {
                out.push_back(line.into());
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        self.keep(rest)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), ClientError> {
        if self.line.len() + part.len() > self.bytes_max {
            return Err(ClientError::TooLarge { what: "a line", bytes_max: self.bytes_max });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Bytes> {
        let mut splitter = LineSplitter::new(10);
        let mut out = VecDeque::new();
        for chunk in chunks {
            splitter.feed(chunk, &mut out).unwrap();
        }
        out.into()
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"{\"a\":1}\n\r\n\n{\"b\":2}\r\n{\"cut";
        let expected = [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"b\":2}")];
        assert_eq!(lines(&[text]), expected);
        assert_eq!(lines(&text.chunks(1).collect::<Vec<_>>()), expected);
        assert_eq!(lines(&text.chunks(3).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_line_is_bounded() {
        let mut splitter = LineSplitter::new(10);
        let mut out = VecDeque::new();
        splitter.feed(b"0123456789\n", &mut out).unwrap();
        assert!(matches!(splitter.feed(b"01234567890", &mut out), Err(ClientError::TooLarge { .. })));
    }
}
