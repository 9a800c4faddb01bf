//! NDJSON: one object a line. An object never holds a raw CR or LF, so the line needs no escapes.

use super::{Frame, chunk};

/// A line with an object.
#[must_use]
pub fn line(object: &[u8]) -> Frame {
    line_of(object.len(), |out| out.extend_from_slice(object))
}

/// A line with what `write` writes, about `capacity` bytes.
pub(crate) fn line_of(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    chunk(capacity + 1, |out| {
        write(out);
        out.push(b'\n');
    })
}
