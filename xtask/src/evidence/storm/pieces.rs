//! What a storm is made of: requests, commands and frames that are wrong, drawn from a seed. It knows bytes and no sockets.
//!
//! A burst is what one connection sends: mostly pieces that are refused one by one, and in the end one that no server goes on after.

use std::io::Write;

use fastrand::Rng;
use flate2::{Compression, write::DeflateEncoder};

/// Pieces of one burst at most.
const PIECES_MAX: usize = 31;
/// Channels that the storm publishes to, now and then: what is right is accepted, and may not fill the server.
const CHANNELS: usize = 16;

/// In which protocol a burst is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http1,
    Socket,
    Http2,
    Tls,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Http1, Self::Socket, Self::Http2, Self::Tls];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1: heads, chunks, queries, cursors, names, bodies",
            Self::Socket => "WebSocket: handshakes, commands, frames, deflate",
            Self::Http2 => "HTTP/2: requests, frames",
            Self::Tls => "TLS: records",
        }
    }
}

/// What one connection sends.
#[derive(Debug)]
pub(super) struct Burst {
    pub(super) bytes: Vec<u8>,
    /// Requests, commands and frames in it.
    pub(super) pieces: usize,
}

/// Another burst of this kind.
pub(super) fn burst(kind: Kind, random: &mut Rng) -> Burst {
    let count = random.usize(1..PIECES_MAX);
    let bytes = match kind {
        Kind::Http1 => {
            let mut bytes: Vec<u8> = (0..count).flat_map(|_| request(random)).collect();
            bytes.extend(mutated(broken_request(random), random));
            bytes
        }
        Kind::Socket => socket(count, random),
        Kind::Http2 => http2(count, random),
        Kind::Tls => return Burst { bytes: mutated(CLIENT_HELLO.to_vec(), random), pieces: 1 },
    };
    Burst { bytes, pieces: count + 1 }
}

fn pick<'a, T>(all: &'a [T], random: &mut Rng) -> &'a T {
    &all[random.usize(..all.len())]
}

/// Words that parsers stumble over.
const NASTY: &[&str] = &[
    "%00",
    "%ff",
    "%c0%ae",
    "..",
    "%2e%2e",
    "%2f",
    "\u{feff}",
    "e\u{301}",
    "\u{202e}",
    "-1",
    "18446744073709551616",
    "9007199254740993",
    "0x10",
    "1e309",
    "NaN",
    "null",
    "AAAAAAAAAAA-1",
    "lost-0",
    "-",
    "~",
    "{\"a\":",
    "[[[[[[[[",
    "\"\\ud800\"",
    "%",
    "%zz",
    "a:b:",
    ":",
    "=",
    "&",
    "+",
    "*",
    "?#",
    "\t",
    "ÿ",
];

fn nasty(random: &mut Rng) -> String {
    match random.u8(..8) {
        0 => "a".repeat(random.usize(250..300)),
        1 => (0..random.usize(1..40)).map(|_| random.char('\u{1}'..'\u{3000}')).collect(),
        _ => (0..random.usize(1..4)).map(|_| *pick(NASTY, random)).collect(),
    }
}

fn in_url(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic();
    text.bytes()
        .map(|byte| if is_plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn channel(random: &mut Rng) -> String {
    if random.u8(..4) == 0 { in_url(&nasty(random)) } else { format!("storm-{}", random.usize(..CHANNELS)) }
}

const QUERIES: &[&str] =
    &["after", "last", "limit", "wait", "transport", "payload", "ack", "channel", "after=start&after"];

fn target(random: &mut Rng) -> String {
    let channel = channel(random);
    let path = match random.u8(..8) {
        0 => format!("/subscribe?channel={channel}&channel={}", in_url(&nasty(random))),
        1 => format!("/channels/{channel}/presence"),
        2 => format!("/{}", in_url(&nasty(random))),
        _ => format!("/channels/{channel}"),
    };
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{}={}", pick(QUERIES, random), in_url(&nasty(random)).replace('#', "%23"))
}

/// A request that is well formed as HTTP/1.1 and wrong in what it asks for, so that the connection goes on behind it.
fn request(random: &mut Rng) -> Vec<u8> {
    let target = target(random).replace([' ', '\r', '\n'], "%20");
    let host = "Host: localhost\r\n";
    match random.u8(..8) {
        0..=3 => {
            let header = pick(
                &[
                    "If-None-Match: W/\"",
                    "Last-Event-ID: ",
                    "Prefer: wait=",
                    "Accept: text/event-stream;q=",
                    "Origin: ",
                ],
                random,
            );
            let value: String = nasty(random).chars().filter(char::is_ascii_graphic).collect();
            format!("GET {target} HTTP/1.1\r\n{host}{header}{value}\r\n\r\n").into_bytes()
        }
        4 => format!(
            "{} {target} HTTP/1.1\r\n{host}\r\n",
            pick(&["OPTIONS", "DELETE", "HEAD", "PATCH"], random)
        )
        .into_bytes(),
        _ => {
            let kind = pick(
                &["application/json", "text/plain", "application/octet-stream", "x/y;charset=\""],
                random,
            );
            let key: String = nasty(random).chars().filter(char::is_ascii_graphic).collect();
            let method = pick(&["POST", "PUT", "QUERY"], random);
            let body = nasty(random);
            let bytes = body.len();
            format!(
                "{method} {target} HTTP/1.1\r\n{host}Content-Type: {kind}\r\nIdempotency-Key: {key}\r\n\
                 Content-Length: {bytes}\r\n\r\n{body}"
            )
            .into_bytes()
        }
    }
}

/// The beginning of something that will be broken.
fn broken_request(random: &mut Rng) -> Vec<u8> {
    let wholes: [&str; 8] = [
        "GET /channels/storm-1?after=start HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
        "POST /channels/storm-1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /channels/storm-2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST /channels/storm-2 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        "GET http://localhost/channels/a HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n",
        "GET /channels/storm-3 HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "POST /subscribe HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"channels\":[\"a\",{}]}",
        "GET / HTTP/1.0\r\n\r\n",
    ];
    pick(&wholes, random).as_bytes().to_vec()
}

/// Changes some of the bytes, cuts or repeats a part, or puts something in between.
fn mutated(mut bytes: Vec<u8>, random: &mut Rng) -> Vec<u8> {
    for _ in 0..random.usize(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(..bytes.len());
        let end = (at + random.usize(1..24)).min(bytes.len());
        match random.u8(..6) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] ^= 1 << random.u8(..8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let part = nasty(random).into_bytes();
                bytes.splice(at..end, part);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    // A mask of zeros changes nothing.
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

const COMMANDS: &[&str] = &[
    r#"{"id":1,"subscribe":{"channel":"storm-1","after":"start"}}"#,
    r#"{"id":2,"unsubscribe":{"channel":"storm-1"}}"#,
    r#"{"id":3,"publish":{"channel":"storm-1","data":{"a":[1,2,3]},"key":"k"}}"#,
    r#"{"id":4,"history":{"channel":"storm-1","last":10}}"#,
    r#"{"id":5,"presence":{"channel":"storm-1"}}"#,
    r#"{"id":6,"ping":{}}"#,
];

/// A command as a frame; wrong in most cases, and still text.
fn command(random: &mut Rng, is_deflated: bool) -> Vec<u8> {
    let text = mutated(pick(COMMANDS, random).as_bytes().to_vec(), random);
    let text = String::from_utf8_lossy(&text).into_owned();
    if is_deflated && random.bool() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let _ = encoder.write_all(text.as_bytes());
        return frame(0xc1, &encoder.finish().unwrap_or_default());
    }
    frame(0x81, text.as_bytes())
}

/// A frame after which a socket is closed, or nothing more is understood.
fn broken_frame(random: &mut Rng) -> Vec<u8> {
    let garbage: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
    match random.u8(..8) {
        // Reserved opcodes and bits, control frames that are too long or cut.
        0 => frame(random.u8(..), &garbage),
        1 => frame(0x89, &[b'x'; 126]),
        // Not masked, and of a length that nobody has.
        2 => vec![0x81, 5, b'h', b'e', b'l', b'l', b'o'],
        3 => [&[0x81, 0xff][..], &random.u64(..).to_be_bytes(), &[0; 4]].concat(),
        // No UTF-8, and a close that is none.
        4 => frame(0x81, b"\xff\xfe\xfd"),
        5 => frame(0x88, &random.u16(..).to_be_bytes()),
        // No deflate.
        6 => frame(0xc1, &garbage),
        _ => mutated([frame(0x01, b"{\"id\""), frame(0x80, &garbage)].concat(), random),
    }
}

fn socket(count: usize, random: &mut Rng) -> Vec<u8> {
    let is_deflated = random.bool();
    let extensions = match (is_deflated, random.u8(..8)) {
        (true, 0) => "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n",
        (true, _) => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        (false, _) => "",
    };
    let path = pick(
        &["/socket", "/socket", "/channels/storm-4?payload=json&ack=1", "/subscribe?channel=storm-5"],
        random,
    );
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{extensions}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut bytes = if random.u8(..8) == 0 { mutated(head.into_bytes(), random) } else { head.into_bytes() };
    (1..count).for_each(|_| bytes.extend(command(random, is_deflated)));
    bytes.extend(broken_frame(random));
    bytes
}

fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that no table knows (RFC 7541 §6.2.2), with lengths below 127.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let value = &value.as_bytes()[..value.len().min(126)];
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value].concat()
}

fn http2_request(stream: u32, random: &mut Rng) -> Vec<u8> {
    let path = target(random);
    let method = pick(&["GET", "GET", "GET", "POST", "HEAD", "CONNECT", "get", ""], random);
    let mut block = [
        literal(":method", method),
        literal(":scheme", "http"),
        literal(":authority", "localhost"),
        literal(":path", &path),
    ]
    .concat();
    let name: &&str = pick(&["last-event-id", "prefer", "Upper", "te", "connection", ":path"], random);
    block.extend(literal(name, &nasty(random)));
    http2_frame(1, 0x05, stream, &block)
}

fn http2(count: usize, random: &mut Rng) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(http2_frame(4, 0, 0, &[]));
    for number in 1..count as u32 {
        bytes.extend(http2_request(2 * number - 1, random));
    }
    let garbage: Vec<u8> = (0..random.usize(..100)).map(|_| random.u8(..)).collect();
    let stream = random.u32(..40);
    let broken = http2_frame(random.u8(..16), random.u8(..), stream, &garbage);
    bytes.extend(if random.bool() { mutated(broken, random) } else { broken });
    bytes
}

/// A hello of TLS 1.2 as far as its ciphers.
const CLIENT_HELLO: &[u8] = &[
    0x16, 0x03, 0x01, 0x00, 0x31, 0x01, 0x00, 0x00, 0x2d, 0x03, 0x03, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 0x00, 0x00, 0x04, 0xc0,
    0x2f, 0xc0, 0x30, 0x01, 0x00, 0x00, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_storm_again() {
        for kind in Kind::ALL {
            let draw = || {
                let mut random = Rng::with_seed(7);
                (0..50).map(|_| burst(kind, &mut random).bytes).collect::<Vec<_>>()
            };
            assert_eq!(draw(), draw(), "{kind:?}");
            let different: std::collections::BTreeSet<_> = draw().into_iter().collect();
            assert!(different.len() > 30, "{kind:?}: {}", different.len());
        }
    }
}
