//! Requests for reading and publishing: every one has an answer that is no fault of the server's, what is refused is refused in words
//! that a program understands, and what the server says to ask for next can be asked for.

use bytes::{Bytes, BytesMut};
use efir_core::{CODES, ChannelName, Form, Payload};
use efir_engine::{Publish, polled::Polled};
use efir_transports::{Held, Reply, Site, TakeOver};
use efir_ws::{Decoder, DecoderLimits, Role};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use serde_json::Value;

use crate::socket::{drain, site, with_clock};

const METHODS: [&str; 8] = ["GET", "GET", "GET", "POST", "PUT", "HEAD", "QUERY", "DELETE"];
const HEADERS_MAX: usize = 20;

/// What came back at once, or first.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(request) = read(bytes) else { return };
    let site = site(20);
    for n in 0..25 {
        publish(&site, "a", &n.to_string());
    }
    publish(&site, "чат", "{\"a\":1}");
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let Some(answer) = ask(&site, request) else { return };
    check(&answer, &method);
    let is_batch = answer.status == StatusCode::OK && answer.headers.contains_key("efir-cursor");
    if method == Method::GET && is_batch {
        go_on(&site, &uri, &headers, &answer);
    }
}

/// A method, a line with path and query, lines of headers, an empty line, a body.
fn read(bytes: &[u8]) -> Option<Request<Bytes>> {
    let (choice, bytes) = bytes.split_first()?;
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let target = lines.next()?;
    let mut used = target.len() + 1;
    let uri = Uri::try_from(target).ok().filter(|uri| uri.path().starts_with('/'))?;
    let mut headers = HeaderMap::new();
    for line in lines.by_ref().take(HEADERS_MAX) {
        used += line.len() + 1;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers.entry("host").or_insert(HeaderValue::from_static("localhost"));
    let mut request = Request::new(Bytes::copy_from_slice(bytes.get(used..).unwrap_or_default()));
    *request.method_mut() = METHODS[usize::from(choice % 8)].parse().ok()?;
    *request.version_mut() = if choice & 0x80 == 0 { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some(request)
}

fn publish(site: &Site, channel: &str, text: &str) {
    let channel = ChannelName::parse(channel).expect("a name");
    let payload = Payload::text(text.to_owned().into()).expect("a text");
    let publish = Publish { channel: &channel, payload: &payload, key: None, from: None };
    site.hub().publish(&publish).expect("room");
}

/// The answer; `None` where it lasts, whose beginning is looked at here.
fn ask(site: &Site, request: Request<Bytes>) -> Option<Answer> {
    let (version, method) = (request.version(), request.method().clone());
    let answer = |parts: http::response::Parts, body| {
        Some(Answer { status: parts.status, headers: parts.headers, body })
    };
    match with_clock(|| efir_transports::handle_whole(site, request)) {
        Reply::Whole(response) => {
            let (parts, body) = response.into_parts();
            answer(parts, body.to_vec())
        }
        Reply::Batch(response) => {
            let (parts, pieces) = response.into_parts();
            answer(parts, pieces.into_iter().flatten().collect())
        }
        Reply::Held(held) => {
            assert_eq!(method, Method::GET.clone(), "only what reads lasts");
            check_held(held, version);
            None
        }
    }
}

fn check(answer: &Answer, method: &Method) {
    let status = answer.status.as_u16();
    assert!(status < 500, "{status}: {}", answer.body.escape_ascii());
    if status < 400 {
        return;
    }
    let kind = answer.headers.get("content-type").map(HeaderValue::as_bytes);
    assert_eq!(kind, Some(&b"application/problem+json"[..]), "{status}");
    if method == Method::HEAD {
        return assert!(answer.body.is_empty());
    }
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
    assert_eq!(problem["status"], status);
    assert!(CODES.iter().any(|row| problem["code"] == row.name), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}

/// The cursor of an answer and its link are good for the next request, which has no gap and what is left.
fn go_on(site: &Site, uri: &Uri, headers: &HeaderMap, answer: &Answer) {
    let batch: Value = serde_json::from_slice(&answer.body).expect("a batch");
    assert_eq!(answer.headers["efir-cursor"].to_str().ok(), batch["cursor"].as_str());
    assert!(batch["messages"].is_array() && batch["more"].is_boolean(), "{batch}");
    let Some(link) = answer.headers.get("link").and_then(|link| link.to_str().ok()) else { return };
    let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a link");
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = next.parse().expect("a URL");
    request.headers_mut().insert("host", headers["host"].clone());
    let Some(answer) = ask(site, request) else { return };
    assert_eq!(answer.status, 200, "{uri}: {next}: {}", answer.body.escape_ascii());
    let more: Value = serde_json::from_slice(&answer.body).expect("a batch");
    // Of several channels one may not have been looked at yet; and whoever enters changes who is there.
    if batch["more"] == true || next.contains("member=") {
        return;
    }
    assert!(more.get("gap").is_none() && more.get("gaps").is_none(), "{more}");
    assert!(more["messages"].as_array().is_some_and(Vec::is_empty), "{batch} then {more}");
}

/// The beginning of what lasts is whole: events, lines, frames, or an answer.
fn check_held(held: Held, version: Version) {
    let taken = held.take_over(TakeOver { version, keep_alive: true });
    let form = taken.exchange.form();
    let is_answer = taken.head.is_empty();
    let mut polled = Polled::new(taken.exchange, taken.reader);
    let (out, _) = with_clock(|| drain(&mut polled));
    if is_answer {
        assert!(out.is_empty() || out.starts_with(b"HTTP/1."), "{}", out.escape_ascii());
        return;
    }
    let head = std::str::from_utf8(&taken.head).expect("a head");
    assert!(head.starts_with("HTTP/1.") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.lines().all(|line| !line.contains(['\r', '\0'])), "{head:?}");
    match form {
        Form::WebSocket | Form::WebSocketDeflate { .. } => check_frames(&out),
        Form::HttpStream => {
            assert!(out.ends_with(b"\n"));
            lines(&out).for_each(|line| _ = object(line));
        }
        Form::Sse | Form::SseShared => {
            assert!(out.ends_with(b"\n\n"), "{}", out.escape_ascii());
            lines(&out).for_each(check_event_line);
        }
        Form::Batch => {}
    }
}

fn lines(out: &[u8]) -> impl Iterator<Item = &[u8]> {
    out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn object(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()))
}

fn check_event_line(line: &[u8]) {
    match line {
        [b'd', b'a', b't', b'a', b':', b' ', json @ ..] => _ = object(json),
        _ => {
            let is_known =
                ["id: ", "event: ", "retry: "].iter().any(|name| line.starts_with(name.as_bytes()));
            assert!(is_known && !line.contains(&b'\r'), "{}", line.escape_ascii());
        }
    }
}

fn check_frames(out: &[u8]) {
    let limits = DecoderLimits { message_bytes_max: 1 << 24, frame_bytes_max: 1 << 24, fragments_max: 1 };
    let mut decoder = Decoder::new(Role::Client, limits).with_deflate();
    let mut input = BytesMut::from(out);
    while let Some(event) = decoder.decode(&mut input).expect("frames of ours") {
        if let efir_ws::Event::Text(text) = event {
            object(&text);
        }
    }
    assert!(input.is_empty() && decoder.is_idle());
}
