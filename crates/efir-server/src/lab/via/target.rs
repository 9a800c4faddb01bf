//! Whose network a request is to go through, read from its first line.

use super::super::check_visitor;

const PREFIX: &str = "/lab/via/";

/// The visitor and the server's own target in a path (with or without a query) below `/lab/via/`.
pub(in super::super) fn own_target(target: &str) -> Option<(&str, &str)> {
    let rest = target.strip_prefix(PREFIX)?;
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// The visitor through whose network the request is to go that begins with these bytes.
///
/// Nothing where the name is not one, the way leads through two networks, or the target has not come whole.
pub(crate) fn begins_via(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.get(empty_lines(bytes)..)?;
    // A method is short, and every request begins with one: most connections are judged by a few bytes.
    let method = bytes.iter().take(16).position(|byte| *byte == b' ')?;
    let (method, target) = (bytes.get(..method)?, bytes.get(method + 1..)?);
    if !method.iter().all(u8::is_ascii_graphic) || !target.starts_with(PREFIX.as_bytes()) {
        return None;
    }
    let end = target.iter().position(|byte| *byte == b' ')?;
    let (visitor, own) = own_target(std::str::from_utf8(target.get(..end)?).ok()?)?;
    (check_visitor(visitor).is_ok() && own_target(own).is_none()).then_some(visitor)
}

/// Bytes of the empty lines that may stand before a request and mean nothing (RFC 9112 §2.2).
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some(behind) = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")) {
        rest = behind;
    }
    bytes.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_are_read_from_the_first_line() {
        for (bytes, visitor) in [
            ("GET /lab/via/v/channels/chat HTTP/1.1\r\n", Some("v")),
            ("POST /lab/via/v-1?x=/ HTTP/1.1\r\n", Some("v-1")),
            ("GET /lab/via/v HTTP/1.1\r\n", Some("v")),
            ("GET /lab/via/v/lab/clock HTTP/1.1\r\n", Some("v")),
            ("\r\n\r\nGET /lab/via/v/info HTTP/1.1\r\n", Some("v")),
            ("\nGET /lab/via/v/info HTTP/1.1\r\n", Some("v")),
            ("GET\r\n /lab/via/v/info HTTP/1.1\r\n", None),
            ("\r\n", None),
            ("GET /lab/via/v/lab/via/w/x HTTP/1.1\r\n", None),
            ("GET /lab/via// HTTP/1.1\r\n", None),
            ("GET /lab/via/%41/ HTTP/1.1\r\n", None),
            ("GET /lab/via/v/chan", None),
            ("GET /lab/runs HTTP/1.1\r\n", None),
            ("GET / HTTP/1.1\r\n", None),
            ("PRI * HTTP/2.0\r\n", None),
            ("", None),
        ] {
            assert_eq!(begins_via(bytes.as_bytes()), visitor, "{bytes}");
        }
    }
}
