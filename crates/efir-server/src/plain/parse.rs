//! One request out of the bytes of a connection, if it is plain. Lenient in nothing: what is not obviously right is not plain, and the
//! HTTP library judges it. So there is one reader of what is odd, and two readers can never see different requests in it. What a proxy
//! in front could have read differently is refused here already.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use efir_core::Limits;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

/// A longer head is left to the library.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// More lines are left to the library.
const LINES_MAX: usize = 48;
/// A larger body is left to the library, which reads it piece by piece.
const BODY_BYTES_MAX: usize = 32 * 1024;

/// What stands at the beginning of the input.
#[derive(Debug)]
pub enum Parsed {
    /// A plain request, which is taken from the input.
    Whole(Box<PlainRequest>),
    /// More of the head has to come.
    PartOfHead,
    /// More of the body has to come, of which so many bytes are there.
    PartOfBody(usize),
    /// For the library.
    NotPlain,
    /// For nobody: where it ends depends on who reads it. What is wrong with it.
    Ambiguous(&'static str),
}

/// A request with its body.
#[derive(Debug)]
pub struct PlainRequest {
    /// In the HTTP library's words, without the lines that nobody asks for.
    pub request: Request<Bytes>,
    /// Whether another request may follow.
    pub keep_alive: bool,
    /// Its bytes on the wire.
    pub bytes: usize,
}

/// Takes the next request from the input if it is plain and all there; otherwise the input stays as it is.
pub fn parse(input: &mut BytesMut, limits: &Limits) -> Parsed {
    let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; LINES_MAX];
    let mut head = httparse::Request::new(&mut []);
    let head_bytes_max = HEAD_BYTES_MAX.min(limits.head_bytes_max);
    let head_bytes = match head.parse_with_uninit_headers(input, &mut lines) {
        Ok(httparse::Status::Complete(bytes)) if bytes <= head_bytes_max => bytes,
        Ok(httparse::Status::Partial) if input.len() < head_bytes_max => return Parsed::PartOfHead,
        Ok(_) | Err(_) => return Parsed::NotPlain,
    };
    if has_bare_newline(input.get(..head_bytes).unwrap_or_default()) {
        return Parsed::Ambiguous("each line of the head has to end with CR LF");
    }
    let Some(plain) = Plain::of(&head) else {
        return ambiguity(&head).map_or(Parsed::NotPlain, Parsed::Ambiguous);
    };
    let is_plain_size = plain.body_bytes <= BODY_BYTES_MAX.min(limits.message_bytes_max);
    if !is_plain_size || head.headers.len() > limits.headers_max {
        return Parsed::NotPlain;
    }
    let bytes = head_bytes + plain.body_bytes;
    if input.len() < bytes {
        return Parsed::PartOfBody(input.len() - head_bytes);
    }
    // Of its own size: what an exchange keeps of a header must not keep the worker's read buffer.
    let copy = Bytes::copy_from_slice(input.get(..bytes).unwrap_or_default());
    let Some(request) = plain.request(&head, (input, &copy), head_bytes) else { return Parsed::NotPlain };
    let keep_alive = plain.keep_alive;
    input.advance(bytes);
    Parsed::Whole(Box::new(PlainRequest { request, keep_alive, bytes }))
}

/// Some readers end a line there, and others do not.
fn has_bare_newline(head: &[u8]) -> bool {
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    // Counted and not searched for, because that is done for many bytes at once.
    let bare = pairs.filter(|(before, byte)| **byte == b'\n' && **before != b'\r').count();
    bare > 0 || head.first() == Some(&b'\n')
}

/// Why two readers could disagree on where the body ends (RFC 9112 §6.3, §11.2), if they could.
fn ambiguity(head: &httparse::Request<'_, '_>) -> Option<&'static str> {
    let named = |name: &'static str| {
        head.headers.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    };
    if named("content-length").chain(named("transfer-encoding")).count() > 1 {
        return Some("the length of the body has to be told once: by Content-Length or by Transfer-Encoding");
    }
    if named("transfer-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        return Some("the only Transfer-Encoding that is understood here is chunked");
    }
    None
}

/// Whether the URL names a client whose traffic may be counted.
pub(super) fn has_client(request: &Request<Bytes>) -> bool {
    request.uri().query().is_some_and(|query| query.contains("client"))
}

/// Lines that every browser sends and that nobody here asks for: most of a head, and most of what its parsing would cost.
fn is_unread(line: &httparse::Header<'_>) -> bool {
    let name = line.name;
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let begins = |known: &str| name.get(..known.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(known));
    match name.len() {
        6 => is("cookie"),
        7 => is("referer"),
        10 => is("user-agent"),
        15 => is("accept-encoding") || is("accept-language"),
        // Asked for where a page of another origin could make its visitor enter; its own pages say `same-origin`.
        14 if is("sec-fetch-site") => line.value == b"same-origin",
        _ => begins("sec-ch-") || begins("sec-fetch-"),
    }
}

/// What of a head decides whether it is plain.
struct Plain {
    method: Method,
    version: Version,
    keep_alive: bool,
    body_bytes: usize,
}

impl Plain {
    fn of(head: &httparse::Request<'_, '_>) -> Option<Self> {
        let method = match head.method? {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => return None,
        };
        let path = head.path?;
        if !path.starts_with('/') || !efir_transports::owns(path.split('?').next()?) {
            return None;
        }
        let version = if head.version? == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
        let (mut length, mut is_last) = (None, version == Version::HTTP_10);
        for line in head.headers.iter() {
            let is = |name: &str| line.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let text = std::str::from_utf8(line.value).ok()?;
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                // A second one, even of the same value, is for the library to judge.
                if !is_number || length.replace(text.parse::<usize>().ok()?).is_some() {
                    return None;
                }
            } else if is("transfer-encoding") || is("expect") {
                return None;
            } else if is("connection") {
                let words = std::str::from_utf8(line.value).ok()?.split(',').map(str::trim);
                is_last |= words.into_iter().any(|word| word.eq_ignore_ascii_case("close"));
            }
        }
        Some(Self { method, version, keep_alive: !is_last, body_bytes: length.unwrap_or(0) })
    }

    /// The request in the HTTP library's words; `copy` has the bytes of `input` that belong to it.
    fn request(
        &self,
        head: &httparse::Request<'_, '_>,
        (input, copy): (&[u8], &Bytes),
        head_bytes: usize,
    ) -> Option<Request<Bytes>> {
        let begin = input.as_ptr() as usize;
        let shared = |part: &[u8]| {
            let at = part.as_ptr() as usize - begin;
            copy.slice(at..at + part.len())
        };
        let uri = Uri::from_maybe_shared(shared(head.path?.as_bytes())).ok()?;
        let mut headers = HeaderMap::with_capacity(head.headers.len());
        for line in head.headers.iter().filter(|line| !is_unread(line)) {
            let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_maybe_shared(shared(line.value)).ok()?);
        }
        let mut request = Request::new(copy.slice(head_bytes..));
        *request.method_mut() = self.method.clone();
        *request.version_mut() = self.version;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Parsed, usize) {
        let mut input = BytesMut::from(text);
        let parsed = parse(&mut input, &Limits::default());
        (parsed, input.len())
    }

    #[test]
    fn a_request_is_taken_whole_and_what_follows_stays() {
        let text = "POST /channels/%D1%8D?client=a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX:  y \r\n\r\nhelloGET /";
        let (Parsed::Whole(plain), 5) = parsed(text) else { panic!("{:?}", parsed(text)) };
        assert_eq!(plain.bytes, text.len() - 5);
        assert!(plain.keep_alive && has_client(&plain.request));
        assert_eq!(plain.request.method(), Method::POST);
        assert_eq!(plain.request.uri(), "/channels/%D1%8D?client=a");
        assert_eq!(
            (&plain.request.headers()["host"], &plain.request.headers()["x"]),
            (&"h".parse().unwrap(), &"y".parse().unwrap())
        );
        assert_eq!(plain.request.body(), "hello");
    }

    #[test]
    fn a_request_may_come_in_any_pieces() {
        let text = "PUT /channels/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
        let head = text.len() - 3;
        for cut in 1..text.len() {
            let (parsed, left) = parsed(&text[..cut]);
            assert_eq!(left, cut, "nothing is taken of a part");
            match parsed {
                Parsed::PartOfHead => assert!(cut < head, "{cut}"),
                Parsed::PartOfBody(there) => assert_eq!(there, cut - head),
                other => panic!("{cut}: {other:?}"),
            }
        }
        assert!(matches!(parsed(text).0, Parsed::Whole(_)));
    }

    #[test]
    fn who_may_go_on() {
        for (head, keep_alive) in [
            ("GET /info HTTP/1.1\r\n\r\n", true),
            ("GET /info HTTP/1.0\r\n\r\n", false),
            ("GET /info HTTP/1.1\r\nConnection: keep-alive, Close\r\n\r\n", false),
            ("GET /info HTTP/1.1\r\nConnection: Upgrade\r\n\r\n", true),
        ] {
            let (Parsed::Whole(plain), 0) = parsed(head) else { panic!("{head}") };
            assert_eq!(plain.keep_alive, keep_alive, "{head}");
        }
    }

    /// Request smuggling lives on two readers that differ; here the second one never sees what is odd.
    #[test]
    fn what_is_odd_is_for_the_library() {
        let long = format!("GET /info HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        let many = format!("GET /info HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(LINES_MAX + 1));
        let large = format!("POST /channels/a HTTP/1.1\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        for text in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET /assets/x.js HTTP/1.1\r\n\r\n",
            "HEAD /info HTTP/1.1\r\n\r\n",
            "OPTIONS /info HTTP/1.1\r\n\r\n",
            "QUERY /subscribe HTTP/1.1\r\n\r\n",
            "GET http://h/info HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "GET /info\r\n\r\n",
            "GET /info HTTP/1.2\r\n\r\n",
            "POST /channels/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST /channels/a HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na",
            "POST /channels/a HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            "POST /channels/a HTTP/1.1\r\nContent-Length: \r\n\r\na",
            "POST /channels/a HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\na",
            "POST /channels/a HTTP/1.1\r\nContent-Length : 1\r\n\r\na",
            "POST /channels/a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
            "GET /info HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            "GET /info HTTP/1.1\r\nX: a\0\r\n\r\n",
            "\u{1}\u{2}",
            &long,
            &many,
            &large,
        ] {
            let (parsed, left) = parsed(text);
            assert!(matches!(parsed, Parsed::NotPlain), "{text:?}: {parsed:?}");
            assert_eq!(left, text.len(), "the library gets all of it");
        }
    }

    /// What nobody asks for is left out, but not what says that a foreign page is behind the request.
    #[test]
    fn what_is_read_of_a_browsers_head() {
        for (line, is_kept) in [
            ("User-Agent: x", false),
            ("sec-ch-ua: x", false),
            ("Sec-Fetch-Mode: no-cors", false),
            ("Sec-Fetch-Site: same-origin", false),
            ("Sec-Fetch-Site: cross-site", true),
            ("sec-fetch-site: same-site", true),
            ("Origin: http://o", true),
        ] {
            let mut input = BytesMut::from(format!("GET /info HTTP/1.1\r\n{line}\r\n\r\n").as_bytes());
            let Parsed::Whole(plain) = parse(&mut input, &Limits::default()) else { panic!("plain") };
            assert_eq!(plain.request.headers().len(), usize::from(is_kept), "{line}");
        }
    }

    /// Whoever reads it in front of us may read something else.
    #[test]
    fn what_is_ambiguous_is_for_nobody() {
        for text in [
            "POST /channels/a HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
            "HEAD /info HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0",
            "POST /channels/a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "POST / HTTP/1.1\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET /info HTTP/1.1\nHost: h\r\n\r\n",
            "GET /info HTTP/1.1\r\nHost: h\n\r\n",
            "GET /info HTTP/1.1\r\nHost: h\r\n\n",
            "\nGET /info HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert!(matches!(parsed(text).0, Parsed::Ambiguous(_)), "{text:?}: {:?}", parsed(text));
        }
    }

    /// A header that an exchange keeps must not keep the worker's read buffer.
    #[test]
    fn a_request_has_bytes_of_its_own() {
        let mut input = BytesMut::from("GET /info HTTP/1.1\r\nOrigin: http://o\r\n\r\n");
        let place = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
        let Parsed::Whole(plain) = parse(&mut input, &Limits::default()) else { panic!("plain") };
        assert!(!place.contains(&(plain.request.headers()["origin"].as_bytes().as_ptr() as usize)));
    }
}
