//! From the bytes of a request to the bytes or the response that answer it: parsing, negotiation, policy, query, channel, and the
//! reader that has joined. What the server does with a plain request, by the server's own parser.

use bytes::{Bytes, BytesMut};
use efir_core::{Limits, Times};
use efir_engine::{Hub, Response};
use efir_transports::{Access, Reply, Site, SiteOptions, TakeOver, handle_whole, serialise};
use tokio::runtime::{Builder, Runtime};

use crate::{
    access,
    meter::Meter,
    plain::{self, Parsed},
};

/// A way to ask: its name, the target of the request, and its further headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    target: &'static str,
    headers: &'static str,
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const LISTED: &str = "/subscribe?channel=a&channel=b&channel=c&channel=d&channel=e&channel=f&channel=g&channel=h\
                      &channel=i&channel=j";

pub(crate) const WEBSOCKET: Way = Way { name: "websocket", target: "/channels/chat", headers: UPGRADE };
pub(crate) const SSE: Way =
    Way { name: "sse", target: "/channels/chat", headers: "Accept: text/event-stream\r\n" };
pub(crate) const HTTP_STREAM: Way =
    Way { name: "http-stream", target: "/channels/chat", headers: "Accept: application/x-ndjson\r\n" };
pub(crate) const LONG_POLL: Way = Way { name: "long-poll", target: "/channels/chat?wait=25", headers: "" };
pub(crate) const SOCKET: Way = Way { name: "/socket", target: "/socket", headers: UPGRADE };
const SHORT_POLL: Way = Way { name: "short-poll of 1 message", target: "/channels/chat?last=1", headers: "" };
const SEVERAL: Way =
    Way { name: "sse of 10 channels", target: LISTED, headers: "Accept: text/event-stream\r\n" };

/// What every request brings along.
const ALWAYS: &str = "Host: localhost:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0\r\n\
                      Accept-Encoding: gzip, deflate, br, zstd\r\n";

impl Way {
    /// The request as it comes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\n{ALWAYS}{}\r\n", self.target, self.headers).into_bytes()
    }

    /// The same, showing a token.
    pub(crate) fn bytes_with(&self, token: &str) -> Vec<u8> {
        let who = format!("Authorization: Bearer {token}\r\n");
        format!("GET {} HTTP/1.1\r\n{ALWAYS}{}{who}\r\n", self.target, self.headers).into_bytes()
    }
}

/// A publish of 100 bytes of text.
pub(crate) fn post() -> Vec<u8> {
    let head = "Content-Type: text/plain\r\nContent-Length: 100\r\n";
    format!("POST /channels/chat HTTP/1.1\r\n{ALWAYS}{head}\r\n{}", "a".repeat(100)).into_bytes()
}

/// What a request came to.
pub(crate) enum Answered {
    Whole(Bytes),
    Held(Box<Response>),
}

/// Answers the request that the input begins with; `None` when it is not all there.
pub(crate) fn answer(site: &Site, input: &mut BytesMut) -> Option<Answered> {
    let Parsed::Whole(plain) = plain::parse(input, site.hub().limits()) else { return None };
    let how = TakeOver { version: plain.request.version(), keep_alive: plain.keep_alive };
    Some(match handle_whole(site, plain.request) {
        Reply::Whole(response) => {
            assert_eq!(response.status(), 200, "{}", String::from_utf8_lossy(response.body()));
            Answered::Whole(serialise(how, response))
        }
        Reply::Batch(response) => {
            let pieces: Vec<Bytes> = efir_transports::serialise_batch(how, response).collect();
            Answered::Whole(Bytes::from(pieces.concat()))
        }
        Reply::Held(held) => Answered::Held(Box::new(held.take_over(how))),
    })
}

pub(crate) fn site() -> Site {
    let limits = Limits { retention_messages_max: 16, ..Limits::default() };
    Site::new(Hub::new(limits, Times::default()), SiteOptions::default())
}

/// A site that asks everybody for a token.
pub(crate) fn closed_site() -> Site {
    let limits = Limits { retention_messages_max: 16, ..Limits::default() };
    let access = Access::new(access::gate(), None);
    Site::with_access(Hub::new(limits, Times::default()), SiteOptions::default(), access)
}

/// A runtime that nothing runs on: it lends its clock and its event loop.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn rows(meter: &mut Meter) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut site = site();
    site.hub().publish_text("chat", "news").expect("room for it");
    let ways = [LONG_POLL, SSE, HTTP_STREAM, WEBSOCKET, SOCKET, SEVERAL, SHORT_POLL];
    let asked = ways.iter().map(|way| (way.name, way.bytes()));
    for (name, bytes) in asked.chain([("publish text, 100 B", post())]) {
        meter.count(
            (&format!("request: {name}"), 1),
            &mut site,
            |_| BytesMut::from(&bytes[..]),
            |site, mut input| {
                let answered = answer(site, &mut input).expect("a plain request");
                assert!(input.is_empty(), "{name}: it was read whole");
                drop(answered);
            },
        );
    }
}
