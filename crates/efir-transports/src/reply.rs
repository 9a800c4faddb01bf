//! What [`crate::handle`] gives: a whole answer, or one that lasts and is handed to a carrier.
//!
//! Two carriers, one contract: a socket that a worker took over from HTTP/1 ([`Held::take_over`]), or a body that somebody else's
//! HTTP stack polls ([`Held::into_response`]). The exchange inside is the same.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use efir_engine::{Account, Exchange, Framing, Reader, polled, polled::Polled};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use hyper_util::rt::TokioIo;

use crate::{
    body::Body,
    guarded::{self, Guard},
    head,
    long_poll::{LongPoll, Way},
    pieces::Pieces,
    policy::Cors,
    present::Present,
    problem,
    upgrade::Upgrade,
};

/// Which carrier an answer that lasts will get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierHint {
    /// The socket itself, by [`Held::take_over`]: possible for HTTP/1 in a server of our own.
    Slab,
    /// A polled body, by [`Held::into_response`].
    Polled,
}

/// The answer to a request.
#[derive(Debug)]
pub enum Reply {
    /// All of it.
    Whole(Response<Bytes>),
    /// All of a large one.
    Batch(Response<Pieces>),
    /// Its beginning; the rest comes by and by.
    Held(Held),
}

/// A response that lasts, before it has a carrier. Dropping it leaves all channels.
#[derive(Debug)]
pub struct Held(Box<Inner>);

#[derive(Debug)]
struct Inner {
    transport: &'static str,
    client: Option<Box<str>>,
    reader: Reader,
    present: Option<Box<Present>>,
    /// Who asked, where not everybody may read.
    guard: Option<Guard>,
    kind: Kind,
}

enum Kind {
    Stream { headers: HeaderMap, exchange: Box<dyn Exchange> },
    Poll(Box<LongPoll>),
    Socket { upgrade: Upgrade, cors: Cors, exchange: Box<dyn Exchange> },
}

/// How the request of a taken-over connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeOver {
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// Whether the connection may carry a further request.
    pub keep_alive: bool,
}

impl Held {
    pub(crate) fn stream(asked: Asker, headers: HeaderMap, exchange: Box<dyn Exchange>) -> Self {
        Self::new(asked, Kind::Stream { headers, exchange })
    }

    pub(crate) fn poll(asked: Asker, exchange: LongPoll) -> Self {
        Self::new(asked, Kind::Poll(Box::new(exchange)))
    }

    pub(crate) fn socket(asked: Asker, upgrade: Upgrade, cors: Cors, exchange: Box<dyn Exchange>) -> Self {
        Self::new(asked, Kind::Socket { upgrade, cors, exchange })
    }

    fn new(asked: Asker, kind: Kind) -> Self {
        let Asker { transport, client, reader, present } = asked;
        Self(Box::new(Inner { transport, client, reader, present, guard: None, kind }))
    }

    /// From now on the response lasts no longer than this visitor may read.
    pub(crate) fn guard(&mut self, guard: Guard) {
        self.0.guard = Some(guard);
    }

    /// From now on this account pays for what the response publishes.
    pub(crate) fn set_account(&mut self, account: Account) {
        *self.0.reader.account_mut() = account;
    }

    /// The name of the transport, for metrics.
    pub fn transport(&self) -> &'static str {
        self.0.transport
    }

    /// The valid `client=` of the request, whose traffic is counted.
    pub fn client(&self) -> Option<&str> {
        self.0.client.as_deref()
    }

    /// For a carrier that writes HTTP/1 to the socket itself.
    pub fn take_over(self, how: TakeOver) -> efir_engine::Response {
        let Inner { reader, present, guard, kind, .. } = *self.0;
        let taken = |head, framing, exchange| {
            let exchange = guarded::around(guard, Present::around(present, exchange));
            efir_engine::Response { head, framing, exchange, reader, tally: None }
        };
        match kind {
            Kind::Stream { mut headers, exchange } => {
                // A stream is the last answer on its connection: browsers come back after minutes, on any other.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                let framing = if how.version == Version::HTTP_10 { Framing::Plain } else { Framing::Chunked };
                if framing == Framing::Chunked {
                    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
                taken(head::serialise(how.version, StatusCode::OK, &headers).freeze(), framing, exchange)
            }
            Kind::Poll(mut exchange) => {
                exchange.answer_by(Way::Wire(how));
                taken(Bytes::new(), Framing::Plain, exchange)
            }
            Kind::Socket { upgrade, cors, exchange } => {
                let (status, mut headers) = upgrade.head();
                cors.apply(&mut headers);
                // The frame of a WebSocket is whole as it is: chunk headers belong to the forms that have them.
                taken(head::serialise(how.version, status, &headers).freeze(), Framing::Chunked, exchange)
            }
        }
    }

    /// For somebody else's HTTP stack: the response with a body that is polled. A held poll is awaited; dropping the future ends it.
    /// A WebSocket goes on in a task of its own once the connection is upgraded.
    pub async fn into_response(self) -> Response<Body> {
        self.into_response_marked(()).await
    }

    /// The same; `mark` is dropped with the response, or when the WebSocket that goes on behind it has ended: whoever made it sees from
    /// that what is still open.
    pub async fn into_response_marked(self, mark: impl Send + 'static) -> Response<Body> {
        let Inner { reader, present, guard, kind, .. } = *self.0;
        let poll = |exchange| Polled::new(guarded::around(guard, Present::around(present, exchange)), reader);
        match kind {
            Kind::Stream { headers, exchange } => {
                let mut response = Response::new(Body::stream(poll(exchange)));
                *response.headers_mut() = headers;
                response
            }
            Kind::Poll(mut exchange) => {
                let slot = Way::slot();
                exchange.answer_by(Way::Slot(slot.clone()));
                let mut polled = poll(exchange);
                while poll_fn(|cx| polled.poll_piece(cx)).await.is_some() {}
                let answer = slot.lock().take();
                answer.unwrap_or_else(|| problem::overloaded().map(Body::from))
            }
            Kind::Socket { mut upgrade, cors, exchange } => {
                let (status, mut headers) = upgrade.head();
                cors.apply(&mut headers);
                let mut response = Response::new(Body::from(Bytes::new()));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                if let Some(on_upgrade) = upgrade.on_upgrade.take() {
                    let polled = poll(exchange);
                    tokio::spawn(async move {
                        let _mark = mark;
                        // A client that leaves before the upgrade needs no answer.
                        let Ok(upgraded) = on_upgrade.await else { return };
                        if let Err(error) =
                            polled::carry(TokioIo::new(upgraded), polled, BytesMut::new()).await
                        {
                            tracing::debug!(event = "socket_broke", %error, "a socket broke");
                        }
                    });
                }
                response
            }
        }
    }
}

/// Who asked for a response that lasts, and what it reads.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) transport: &'static str,
    pub(crate) client: Option<Box<str>>,
    pub(crate) reader: Reader,
    /// What presence adds to the response.
    pub(crate) present: Option<Box<Present>>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stream { .. } => "Stream",
            Self::Poll(_) => "Poll",
            Self::Socket { .. } => "Socket",
        })
    }
}
