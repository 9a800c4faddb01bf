//! Requests that are for the library and whose bodies have not come: they wait in the slab, because the library keeps some 20 KiB for
//! each that it waits for. Nothing is decided here but when the library sees a request: it gets the same bytes, and judges them; whatever
//! is odd goes to it at once.

use std::mem::MaybeUninit;

use efir_core::Limits;
use http::{HeaderName, HeaderValue, Request, request::Parts};

/// So much of a body is waited for here. Whoever has sent that much has paid for what the library keeps.
const PART_BYTES_MAX: usize = 32 * 1024;
/// A longer head is left to the library, as one of more lines is.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const LINES_MAX: usize = 128;

/// How much of the body is there, if a further part of it has to come before anybody could answer.
pub(super) fn part(input: &[u8], limits: &Limits) -> Option<usize> {
    let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; LINES_MAX];
    let mut head = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(bytes)) = head.parse_with_uninit_headers(input, &mut lines) else {
        return None;
    };
    let body = input.get(bytes..)?;
    let waits = bytes <= HEAD_BYTES_MAX && is_part(&head, body, limits);
    // A network of the lab wants to see how a body comes.
    (waits && crate::lab::begins_via(input).is_none()).then_some(body.len())
}

/// The head of a request whose body has not come, for the answer that says so.
pub(super) fn head(input: &[u8]) -> Parts {
    let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; LINES_MAX];
    let mut head = httparse::Request::new(&mut []);
    let (mut parts, ()) = Request::new(()).into_parts();
    // It was read before, when its last line had come.
    if head.parse_with_uninit_headers(input, &mut lines).is_err() {
        return parts;
    }
    parts.method = head.method.and_then(|method| method.parse().ok()).unwrap_or_default();
    parts.uri = head.path.and_then(|path| path.parse().ok()).unwrap_or_default();
    for line in head.headers.iter() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(line.name.as_bytes()), HeaderValue::from_bytes(line.value))
        {
            parts.headers.append(name, value);
        }
    }
    parts
}

fn is_part(head: &httparse::Request<'_, '_>, body: &[u8], limits: &Limits) -> bool {
    let mut is_part = false;
    for line in head.headers.iter() {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        if is("expect") || is("upgrade") {
            // It wants to hear something first, or is not about a body.
            return false;
        } else if is("content-length") {
            let length = std::str::from_utf8(line.value).ok().and_then(|text| text.parse::<usize>().ok());
            // What is too large is refused before it is read.
            let length = length.filter(|length| *length <= limits.message_bytes_max);
            is_part = length.is_some_and(|length| body.len() < length.min(PART_BYTES_MAX));
        } else if is("transfer-encoding") {
            // With more than that it is too large already, whatever of it is chunk heads.
            let most = PART_BYTES_MAX.min(limits.message_bytes_max);
            is_part = body.len() <= most && is_part_of_chunks(body);
        }
    }
    is_part
}

/// Whether these are chunks (RFC 9112 §7.1), the last of which has not come. False for what is odd, as extensions and trailers are.
fn is_part_of_chunks(mut body: &[u8]) -> bool {
    loop {
        let digits = body.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, rest) = body.split_at(digits);
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(rest) = (match rest {
            [] => return digits < 8,
            [b'\r'] => return size.is_some(),
            [b'\r', b'\n', rest @ ..] => Some(rest),
            _ => None,
        }) else {
            return false;
        };
        let Some(size) = size else { return false };
        let Some(rest) = rest.get(size..) else { return true };
        body = match rest {
            [] | [b'\r'] => return true,
            [b'\r', b'\n', ..] if size == 0 => return false,
            [b'\r', b'\n', rest @ ..] => rest,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(request: &str) -> bool {
        part(request.as_bytes(), &Limits::default()).is_some()
    }

    #[test]
    fn chunks_are_waited_for_to_the_last_byte() {
        let chunked = "POST /channels/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "5\r\nhello\r\n1B\r\n012345678901234567890123456\r\n0\r\n\r\n";
        for cut in 0..body.len() {
            assert!(waits(&format!("{chunked}{}", &body[..cut])), "{cut}");
        }
        assert!(!waits(&format!("{chunked}{body}")));
        assert!(!waits(&format!("{chunked}{body}GET / HTTP/1.1\r\n")));
    }

    #[test]
    fn what_is_too_large_is_not_waited_for() {
        let limits = Limits { message_bytes_max: 100, ..Limits::default() };
        let chunks = |bytes: usize| {
            let chunk = format!("32\r\n{}\r\n", "x".repeat(50));
            let head = "POST /channels/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            part(format!("{head}{}", chunk.repeat(bytes / 50)).as_bytes(), &limits)
        };
        assert_eq!(chunks(50), Some(56));
        assert_eq!(chunks(100), None);
    }

    #[test]
    fn what_is_odd_is_not_waited_for() {
        for body in [
            "x",
            "5 \r\n",
            "5;a=b\r\n",
            "\r\n",
            "\r",
            "5\n",
            "5\r\nhelloX",
            "0\r\nT: x\r\n",
            "123456789",
            "-1\r\n",
            "0x5\r\n",
        ] {
            let request = format!("POST /channels/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert!(!waits(&request), "{body:?}");
        }
    }

    #[test]
    fn bodies_with_a_length() {
        for (lines, body, is_waited) in [
            ("Content-Length: 5\r\n", "hell", true),
            ("Content-Length: 5\r\n", "hello", false),
            ("Content-Length: 60000\r\n", "", true),
            ("Content-Length: 60000\r\nExpect: 100-continue\r\n", "", false),
            ("Content-Length: 6000000\r\n", "", false),
            ("Content-Length: x\r\n", "", false),
            ("", "", false),
            ("Upgrade: websocket\r\nContent-Length: 5\r\n", "", false),
        ] {
            for line in ["DELETE /channels/a/presence HTTP/1.1", "POST /lab/runs HTTP/1.1"] {
                assert_eq!(waits(&format!("{line}\r\n{lines}\r\n{body}")), is_waited, "{lines:?} {body:?}");
            }
        }
        let large = "x".repeat(PART_BYTES_MAX);
        assert!(!waits(&format!("QUERY /subscribe HTTP/1.1\r\nContent-Length: 60000\r\n\r\n{large}")));
    }
}
