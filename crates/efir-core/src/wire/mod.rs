//! How everything looks on the wire (docs/protocol.md §4, §5): one file a codec. Knows no connection and no transport;
//! a frame is bytes that many connections share.

pub mod batch;
pub mod control;
pub mod http_stream;
pub mod json;
pub(crate) mod json_check;
pub(crate) mod object;
pub mod presence;
pub mod problem;
pub mod receipt;
pub mod sse;
pub mod websocket;

use bytes::{Buf, Bytes};

pub use batch::Batch;
pub use control::{Control, Reply};

/// The forms in which a message or control object goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// An SSE event with `id:`.
    Sse,
    /// An SSE event without `id:`, for streams of several channels ([`sse::id_only`] moves their cursor).
    SseShared,
    /// A line of NDJSON.
    HttpStream,
    /// One unmasked text frame (RFC 6455).
    WebSocket,
    /// The same for a connection that agreed on permessage-deflate (RFC 7692): compressed where that saves something,
    /// and the plain frame otherwise. Control objects are never compressed.
    WebSocketDeflate {
        /// The window that the client allows the server, as a power of two, 9–15.
        window_bits: u8,
    },
    /// The bare object, as it stands in the list of a batch.
    Batch,
}

impl Form {
    /// Every form, the compressed one with the window that browsers allow.
    pub const ALL: [Self; 6] = [
        Self::Sse,
        Self::SseShared,
        Self::HttpStream,
        Self::WebSocket,
        Self::WebSocketDeflate { window_bits: 15 },
        Self::Batch,
    ];

    /// Whether it is made of WebSocket frames.
    #[must_use]
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::WebSocketDeflate { .. })
    }
}

/// Bytes ready to be written, shared by all who write them. A clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The whole: for SSE and NDJSON with the header and trailer of an HTTP/1.1 chunk.
    pub bytes: Bytes,
    /// How many bytes stand before the content: the chunk header, or the header of a WebSocket frame.
    pub head: u8,
    /// How many bytes stand after the content: the chunk trailer.
    pub tail: u8,
}

impl Frame {
    /// What goes into a chunked HTTP/1.1 body, header and trailer included (RFC 9112 §7.1); a WebSocket frame or batch
    /// item as it is.
    #[must_use]
    pub fn chunked(&self) -> &Bytes {
        &self.bytes
    }

    /// The content without chunk header and trailer, for HTTP/1.0 and HTTP/2 (of a WebSocket frame: its payload).
    #[must_use]
    pub fn plain(&self) -> Bytes {
        let end = self.bytes.len().saturating_sub(usize::from(self.tail));
        self.bytes.slice(usize::from(self.head).min(end)..end)
    }
}

/// Room before the content for its header, whose length is known only when the content is there.
const RESERVE: usize = 18;

/// Writes a header for a content of `len` bytes, right-aligned; returns its length.
type WriteHeader = fn(len: usize, room: &mut [u8; RESERVE]) -> usize;

/// One chunk of an HTTP/1.1 body around what `write` writes.
fn chunk(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    framed(capacity, chunk_header, b"\r\n", write)
}

fn framed(capacity: usize, header: WriteHeader, tail: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut out = Vec::with_capacity(RESERVE + capacity + tail.len());
    out.extend_from_slice(&[0; RESERVE]);
    write(&mut out);
    let len = out.len() - RESERVE;
    out.extend_from_slice(tail);
    let head = out.first_chunk_mut().map_or(0, |room| header(len, room));
    let mut bytes = Bytes::from(out);
    bytes.advance(RESERVE - head);
    Frame { bytes, head: head as u8, tail: tail.len() as u8 }
}

fn chunk_header(len: usize, room: &mut [u8; RESERVE]) -> usize {
    let mut rest = len;
    let mut used = 0;
    let digits = b"\n\r".iter().copied().chain(std::iter::from_fn(|| {
        let digit = char::from_digit((rest % 16) as u32, 16)? as u8;
        rest /= 16;
        Some(digit)
    }));
    let wanted = 2 + (usize::BITS - len.max(1).leading_zeros()).div_ceil(4) as usize;
    for (place, byte) in room.iter_mut().rev().zip(digits).take(wanted) {
        *place = byte;
        used += 1;
    }
    used
}
