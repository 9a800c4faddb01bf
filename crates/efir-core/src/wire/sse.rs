//! Server-Sent Events (WHATWG HTML §9.2). Names and ids are our own and hold no line ends; data may hold anything.

use super::{Frame, chunk};
use crate::position::{Position, write_decimal};

/// An event of the default type with a message's object, which is one line; `id` is left out where several channels share the
/// stream.
#[must_use]
pub fn message(id: Option<Position>, object: &[u8]) -> Frame {
    chunk(object.len() + 48, |out| {
        if let Some(id) = id {
            out.extend_from_slice(b"id: ");
            id.write_to(out);
            out.push(b'\n');
        }
        if has_line_ends(object) {
            write_data(object, out);
        } else {
            write_field(b"data: ", object, out);
        }
        out.push(b'\n');
    })
}

/// An event with an optional id and type name. `data` is split on CR, LF and CRLF, as the parser will join it with LF.
#[must_use]
pub fn event(id: Option<&str>, name: Option<&str>, data: &[u8]) -> Frame {
    chunk(data.len() + 64, |out| {
        if let Some(id) = id {
            write_field(b"id: ", id.as_bytes(), out);
        }
        if let Some(name) = name {
            write_field(b"event: ", name.as_bytes(), out);
        }
        write_data(data, out);
        out.push(b'\n');
    })
}

/// A block that only sets the time after which the browser connects again, in ms.
#[must_use]
pub fn retry(ms: u64) -> Frame {
    chunk(32, |out| {
        out.extend_from_slice(b"retry: ");
        write_decimal(ms, out);
        out.extend_from_slice(b"\n\n");
    })
}

/// A block that only moves `Last-Event-ID`; it makes no event.
#[must_use]
pub fn id_only(token: &str) -> Frame {
    chunk(token.len() + 6, |out| {
        write_field(b"id: ", token.as_bytes(), out);
        out.push(b'\n');
    })
}

fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn write_data(data: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let (line, end) = rest.split_at(at);
        write_field(b"data: ", line, out);
        rest = end.strip_prefix(b"\r\n").or_else(|| end.get(1..)).unwrap_or_default();
    }
    write_field(b"data: ", rest, out);
}

/// Without an early end, so that the compiler looks at many bytes at once.
fn has_line_ends(data: &[u8]) -> bool {
    data.iter().fold(false, |found, byte| found | (*byte == b'\r') | (*byte == b'\n'))
}
