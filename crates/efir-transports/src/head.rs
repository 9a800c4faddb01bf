//! Heads of answers: the headers that several transports share, and a head as bytes for carriers that write HTTP/1 themselves.

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Version,
    header::{self, HeaderName},
};

use crate::{date, pieces::Pieces, reply::TakeOver};

/// The cursor after an answer.
pub(crate) const EFIR_CURSOR: HeaderName = HeaderName::from_static("efir-cursor");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const INCREMENTAL: HeaderName = HeaderName::from_static("incremental");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Room for the heads that we write; a longer one costs a copy.
const HEAD_BYTES: usize = 512;

/// The headers of a stream: nobody on the way may keep it, neither for later nor to fill a buffer.
pub(crate) fn stream(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    let mut say = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, content_type);
    say(header::CACHE_CONTROL, "no-store");
    say(ACCEL_BUFFERING, "no");
    say(INCREMENTAL, "?1");
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    headers
}

/// A whole JSON answer.
pub(crate) fn json<B>(body: B, cache_control: &'static str) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    // Ten are usual: growing in between costs more than inserting.
    headers.reserve(12);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    // What a channel says is never to be taken for a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Makes the answer to a `HEAD` of the answer to a `GET`.
pub(crate) fn strip_body(response: &mut Response<Bytes>) {
    let body = std::mem::take(response.body_mut());
    if !body.is_empty() {
        response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    }
}

/// Status line and headers of an HTTP/1 answer, with the empty line after them.
pub(crate) fn serialise(version: Version, status: StatusCode, headers: &HeaderMap) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEAD_BYTES);
    serialise_into(&mut out, version, status, headers);
    out
}

fn serialise_into(out: &mut BytesMut, version: Version, status: StatusCode, headers: &HeaderMap) {
    out.put_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    for (name, value) in headers {
        put(out, name, value);
    }
    put(out, &header::DATE, &date::now());
    out.put_slice(b"\r\n");
}

fn put(out: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_slice(b"\r\n");
}

/// A whole HTTP/1 answer (not to a `HEAD`) as bytes.
pub(crate) fn serialise_whole(how: TakeOver, response: &mut Response<Bytes>) -> Bytes {
    let (length, has_body) = (response.body().len(), has_body(response.status()));
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if !how.keep_alive {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let mut out = BytesMut::with_capacity(HEAD_BYTES + length);
    serialise_into(&mut out, how.version, response.status(), response.headers());
    if has_body {
        out.put_slice(response.body());
    }
    out.freeze()
}

/// The head of an HTTP/1 answer in pieces.
pub(crate) fn serialise_batch(how: TakeOver, response: &mut Response<Pieces>) -> Bytes {
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    if !how.keep_alive {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    serialise(how.version, response.status(), response.headers()).freeze()
}

/// Neither of the others has a body, nor a length (RFC 9110 §8.6).
fn has_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_is_http_1() {
        let mut response = json(Bytes::from_static(b"{}"), "no-store");
        let how = TakeOver { version: Version::HTTP_11, keep_alive: false };
        let bytes = serialise_whole(how, &mut response);
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"), "{text}");
        assert!(
            text.contains("\r\ncontent-length: 2\r\n") && text.contains("\r\nconnection: close\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\ndate: ") && text.ends_with("\r\n\r\n{}"), "{text}");
    }
}
