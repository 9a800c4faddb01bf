//! Every way to read a channel over HTTP, and publishing.
//!
//! A transport is one file and one line of [`TRANSPORTS`]: it knows what goes out and when the response ends, never what carries it.
//! [`handle`] takes a request and gives a [`Reply`]; [`Held::take_over`] and [`Held::into_response`] hand a long-lived one to its
//! carrier. Nothing here knows how channels are stored or how sockets are written. Start with [`request`] for what a request means.

mod access;
mod account;
mod body;
mod date;
mod guarded;
mod head;
mod http_stream;
mod info;
mod kept;
mod life;
mod long_poll;
mod origin;
mod peer;
mod pieces;
mod place;
mod policy;
mod poll;
mod presence;
mod present;
mod problem;
mod publish;
mod query;
mod reply;
pub mod request;
mod shared_answer;
mod short_poll;
mod site;
mod socket;
mod sse;
mod stream;
mod tickets;
mod upgrade;
mod websocket;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use efir_engine::{contained_future, internal_problem};
use http::Request;

pub use access::Access;
pub use body::Body;
pub use origin::Scheme;
pub use pieces::Pieces;
pub use policy::Policy;
pub use poll::EmptyAnswer;
pub use problem::refusal;
pub use publish::body_pace;
pub use reply::{CarrierHint, Held, Reply, TakeOver};
pub use request::client_of;
pub use site::{Site, SiteOptions};

use crate::{problem::Refused, request::ReadRequest};

/// What in a request chooses a transport; the order of the variants is that of precedence (docs/protocol.md §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// `Upgrade: websocket`, or an extended CONNECT (RFC 8441).
    Upgrade,
    /// This media type in `Accept`.
    Accept(&'static str),
    /// `?wait=` or `Prefer: wait`.
    Wait,
    /// Nothing: the transport of requests that ask for no other.
    Otherwise,
}

/// One transport.
#[derive(Debug)]
pub struct TransportRow {
    /// The name in `?transport=`, in `/info`, in metrics, file names and tests.
    pub name: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// When its response ends, for people.
    pub ends: &'static str,
    /// What chooses it.
    pub choice: Choice,
    /// Begins the answer to a request that chose it.
    begin: fn(&Site, ReadRequest) -> Result<Reply, Refused>,
}

/// The transports: one line each. Routes, `/info`, metrics labels and test rows derive from it.
#[rustfmt::skip]
pub const TRANSPORTS: &[TransportRow] = &[
    TransportRow { name: "short-poll", summary: "One request, one answer with what there is.", ends: "at once", choice: Choice::Otherwise, begin: short_poll::begin },
    TransportRow { name: "long-poll", summary: "The request hangs until something comes.", ends: "at the first messages, or when the hold time is over", choice: Choice::Wait, begin: long_poll::begin },
    TransportRow { name: "sse", summary: "Server-Sent Events: a stream that EventSource reads.", ends: "never, but for rotation and drain", choice: Choice::Accept("text/event-stream"), begin: sse::begin },
    TransportRow { name: "http-stream", summary: "A stream of JSON lines that fetch reads.", ends: "never, but for rotation and drain", choice: Choice::Accept("application/x-ndjson"), begin: http_stream::begin },
    TransportRow { name: "websocket", summary: "A socket: messages come, and what is sent is published.", ends: "never", choice: Choice::Upgrade, begin: websocket::begin },
];

/// The line of a transport.
pub fn transport(name: &str) -> Option<&'static TransportRow> {
    TRANSPORTS.iter().find(|row| row.name == name)
}

/// Under which name an answer that is whole at once is counted in a client's traffic.
pub fn kind_of_whole<B>(request: &Request<B>) -> &'static str {
    match request.method() {
        &http::Method::POST if request.uri().path() == "/subscribe" => "short-poll",
        &http::Method::POST => "publish",
        &http::Method::PUT | &http::Method::DELETE if request.uri().path().ends_with("/presence") => {
            "presence"
        }
        &http::Method::PUT => "publish",
        _ => "short-poll",
    }
}

/// Whether a path is answered by [`handle`].
pub fn owns(path: &str) -> bool {
    place::owns(path)
}

/// Answers a request to one of our paths.
///
/// Never fails: what is wrong comes as `application/problem+json`, or in the way of the transport that was asked for. So does a bug of
/// ours: a panic ends the request and nothing else.
pub async fn handle<B>(site: &Site, request: Request<B>, hint: CarrierHint) -> Reply
where
    B: http_body::Body<Data = Bytes>,
{
    let (mut parts, body) = request.into_parts();
    let call = place::Call { site, cors: site.policy().cors(&parts), hint };
    let answered = {
        // Pinned here, because it is large, and moved no further.
        let answer = std::pin::pin!(place::answer(&call, &mut parts, body));
        contained_future(site.hub().counters(), "a request", answer).await
    };
    match answered.unwrap_or_else(|| Err(internal_problem().into())) {
        Ok(Reply::Whole(mut response)) => {
            call.cors.apply(response.headers_mut());
            if parts.method == http::Method::HEAD {
                head::strip_body(&mut response);
            }
            Reply::Whole(response)
        }
        Ok(Reply::Batch(mut response)) => {
            call.cors.apply(response.headers_mut());
            if parts.method != http::Method::HEAD {
                return Reply::Batch(response);
            }
            let len = response.body().len();
            response.headers_mut().insert(http::header::CONTENT_LENGTH, len.into());
            Reply::Whole(response.map(|_| Bytes::new()))
        }
        Ok(Reply::Held(mut held)) => {
            held.set_account(account::of(&parts.extensions));
            Reply::Held(held)
        }
        Err(refused) => Reply::Whole(problem::answer(site, &parts, &refused)),
    }
}

/// As [`handle`], for a request that is there with all of its body, from a carrier that writes HTTP/1 itself.
pub fn handle_whole(site: &Site, request: Request<Bytes>) -> Reply {
    let request = request.map(http_body_util::Full::new);
    // What takes time is reading bodies, and this one is read.
    match pin!(handle(site, request, CarrierHint::Slab)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => reply,
        Poll::Pending => Reply::Whole(problem::overloaded()),
    }
}

/// A whole answer (not to a `HEAD`) as the bytes of HTTP/1.
pub fn serialise(how: TakeOver, mut response: http::Response<Bytes>) -> Bytes {
    head::serialise_whole(how, &mut response)
}

/// As [`serialise`], of an answer in pieces.
pub fn serialise_batch(how: TakeOver, mut response: http::Response<Pieces>) -> impl Iterator<Item = Bytes> {
    let head = head::serialise_batch(how, &mut response);
    std::iter::once(head).chain(response.into_body())
}

#[cfg(test)]
mod tests;
