//! Connections while their HTTP heads are read: the HTTP library parses and answers what is short, and gives the socket to the worker
//! when a response is going to last.
//!
//! A long-lived HTTP/1 response leaves the library at the head of its request: its service never answers, the connection is no
//! longer polled, and taken apart into the socket and the bytes read ahead. HTTP/2 streams stay as bodies.

mod http2;

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::Guard;
use axum::Router;
use bytes::{Bytes, BytesMut};
use efir_engine::{
    Guest, Socket, contained_future, internal_problem,
    worker::{Adoption, Departure, Intake, Surroundings},
};
use efir_transports::{CarrierHint, EmptyAnswer, Held, Reply, Site, TakeOver};
use http::{HeaderValue, Request, Response, Version, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpStream, sync::watch};
use tower::ServiceExt;

use crate::{
    addresses::Addresses,
    admin::Pulses,
    admission::{Arrival, Surplus},
    body::{AskedBody, ServerBody},
    clocks::{Clocks, Outcome},
    lab::{self, Lab},
    meter::{Answering, Meter, Metered, Streaming},
    parting,
    plain::PlainRequests,
    reload::Reloader,
    streams::Debtors,
    tls::{self, Tls},
    traffic::Traffic,
};

/// How much more of a head the library takes than a request may have.
const HEAD_BYTES_MORE: usize = 32 * 1024;
const HEADERS_MORE: usize = 64;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) pages: Router,
    pub(crate) lab: Arc<Lab>,
    pub(crate) connections: Connections,
    pub(crate) addresses: Arc<Addresses>,
    /// Whether trusted proxies say in front of each connection whose it is.
    pub(crate) has_proxy_protocol: bool,
    pub(crate) pulses: Arc<Pulses>,
}

/// How many connections there are, over all workers.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) count: Arc<AtomicUsize>,
    pub(crate) max: usize,
}

/// One worker's part of reading heads.
pub(crate) struct Heads {
    pub(crate) shared: Arc<Shared>,
    intake: Arc<Intake>,
    stop: watch::Receiver<bool>,
    /// Connections in the HTTP library's hands.
    active: Cell<usize>,
    /// Those of HTTP/2.
    debtors: Debtors,
}

/// A response that is to leave the library.
struct Leaving {
    held: Box<Held>,
    version: Version,
    keep_alive: bool,
}

type Exit = Rc<RefCell<Option<Leaving>>>;
type Answer = Result<Response<ServerBody>, Infallible>;

impl Heads {
    pub(crate) fn new(shared: Arc<Shared>, intake: Arc<Intake>, stop: watch::Receiver<bool>) -> Rc<Self> {
        Rc::new(Self { shared, intake, stop, active: Cell::new(0), debtors: Debtors::default() })
    }

    /// Ends the HTTP/2 connections that hold the most whenever memory is short.
    pub(crate) async fn shed(&self) {
        let hub = self.shared.site().hub().clone();
        self.debtors.shed(&hub).await;
    }

    /// Connections whose heads are being read.
    pub(crate) fn active(&self) -> usize {
        self.active.get()
    }

    /// Serves a fresh connection, unless there are far too many.
    pub(crate) fn welcome(&self, socket: Socket, guest: Option<Arc<Guest>>) {
        let connections = &self.shared.connections;
        if !connections.is_far_over() {
            let arrival = Arrival { guest: guest.as_ref(), is_tls: socket.is_tls() };
            let response = PlainRequests::first(&self.shared, arrival, connections.is_full());
            self.intake.adopt(Adoption { guest, socket, input: BytesMut::new(), response });
        }
    }

    /// Takes a fresh connection through its handshake and serves it.
    pub(crate) fn welcome_tls(self: &Rc<Self>, stream: TcpStream, guest: Option<Arc<Guest>>, tls: &Arc<Tls>) {
        if self.shared.connections.is_far_over() {
            return;
        }
        let (heads, tls, mut stop) = (Rc::clone(self), Arc::clone(tls), self.stop.clone());
        self.spawn(async move {
            let socket = tokio::select! {
                socket = tls.accept(stream) => socket?,
                // Nothing has been asked on it.
                _ = stop.wait_for(|is_stopping| *is_stopping) => return None,
            };
            if socket.protocol() == Some(tls::H2) {
                let io = Metered::new(Socket::Tls(Box::new(socket)), guest, BytesMut::new());
                Box::pin(heads.run_agreed_http2(io)).await;
                return None;
            }
            Some((Socket::Tls(Box::new(socket)), guest))
        });
    }

    /// Gives a connection to the worker, where it waits for its next request.
    fn rest(&self, socket: Socket, guest: Option<Arc<Guest>>, input: BytesMut) {
        let response = self.between(input.len(), guest.as_ref(), &socket);
        self.intake.adopt(Adoption { guest, socket, input, response });
    }

    /// Serves a connection until it ends or goes to the worker.
    fn serve(self: &Rc<Self>, departure: Departure) {
        let Departure { guest, socket, input } = departure;
        let heads = Rc::clone(self);
        self.spawn(async move {
            heads.run(Metered::new(socket, guest, input)).await;
            None
        });
    }

    /// Lets a connection be served; one that comes back goes to the worker.
    pub(crate) fn spawn(
        self: &Rc<Self>,
        serving: impl Future<Output = Option<(Socket, Option<Arc<Guest>>)>> + 'static,
    ) {
        let (heads, active) = (Rc::clone(self), Active::begin(self));
        tokio::task::spawn_local(async move {
            let hub = heads.shared.site().hub().clone();
            let served = contained_future(hub.counters(), "a connection", serving).await;
            drop(active);
            if let Some(Some((socket, guest))) = served {
                heads.welcome(socket, guest);
            }
        });
    }

    async fn run(self: &Rc<Self>, mut io: Metered) {
        let site = Arc::clone(&self.shared.site());
        let times = site.hub().times();
        let (idle_max, head_max) =
            (Duration::from_millis(times.idle_ms_max), Duration::from_millis(times.head_ms_max));
        // It has come because of a request that has begun, which is answered whatever happens meanwhile.
        match io.begins_with(http2::PREFACE, idle_max, head_max).await {
            Ok(true) if !io.is_tls() => self.run_http2(io, self.stop.clone()).await,
            // Over TLS the handshake has said which HTTP it is, and the library says what is wrong with another one.
            Ok(_) if io.is_tls() => self.run_http1(io, self.stop.clone()).await,
            Ok(_) => match self.shared.lab.way(io.ahead()) {
                Some(way) => {
                    // Networks of the lab have cleartext connections only.
                    let guest = io.guest().cloned();
                    let (Socket::Tcp(stream), unread) = io.into_parts(&[]) else { return };
                    let carried = lab::carry(way, (stream, unread), self.stop.clone()).await;
                    if let lab::Carried::Back(stream, unread) = carried {
                        self.rest(Socket::Tcp(stream), guest, unread);
                    }
                }
                None => self.run_http1(io, self.stop.clone()).await,
            },
            // The client left or said nothing; there is nobody to answer.
            Err(_) => {}
        }
    }

    /// Serves requests until the connection ends or leaves; it also leaves when it has been idle for a moment, because the library
    /// keeps its buffers as long as it has the connection.
    async fn run_http1(self: &Rc<Self>, mut io: Metered, mut stop: watch::Receiver<bool>) {
        if self.shared.lab.is_on() {
            io.watch_for_lab();
        }
        let meter = io.meter();
        let exit = Exit::default();
        let service = service_fn({
            let (heads, meter, exit) = (Rc::clone(self), Rc::clone(&meter), Rc::clone(&exit));
            let (guest, is_tls) = (io.guest().cloned(), io.is_tls());
            move |request| {
                let (heads, meter, exit) = (Rc::clone(&heads), Rc::clone(&meter), Rc::clone(&exit));
                let guest = guest.clone();
                // Before anything else is read, which is the request's body.
                let answering = Answering::begin(&meter);
                let request: Request<Incoming> = request;
                let request = request.map(|body| AskedBody::new(body, None));
                Box::pin(async move {
                    let is_last = is_chunked(&request);
                    let arrival = Arrival { guest: guest.as_ref(), is_tls };
                    let Ok(mut response) = heads.answer(request, arrival, &meter, Some(exit)).await;
                    if is_last {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok(response.map(|body| body.until_its_end(answering)))
                }) as Pin<Box<dyn Future<Output = Answer>>>
            }
        });
        let site = Arc::clone(&self.shared.site());
        let head_bytes_max = site.hub().limits().head_bytes_max;
        let mut connection = http1_builder(&site).serve_connection(io, service);
        let mut stopping = std::pin::pin!(stop.wait_for(|is_stopping| *is_stopping));
        let mut is_told = false;
        let mut clocks = Clocks::new(&self.shared.site());
        let outcome = std::future::poll_fn(|cx: &mut Context<'_>| {
            if Pin::new(&mut connection).poll(cx).is_ready() {
                return Poll::Ready(Outcome::Over);
            }
            // After the library has seen what was read ahead: told before, it would close without answering it.
            if !is_told && stopping.as_mut().poll(cx).is_ready() {
                is_told = true;
                Pin::new(&mut connection).graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            if exit.borrow().is_some() {
                return Poll::Ready(Outcome::Leaves);
            }
            if meter.is_turned() {
                return Poll::Ready(Outcome::Rests);
            }
            if meter.is_in_head() && meter.head_bytes() > head_bytes_max {
                return Poll::Ready(Outcome::TooLarge);
            }
            clocks.poll(&meter, cx)
        });
        let outcome = outcome.await;
        if outcome == Outcome::Over {
            return;
        }
        let parts = connection.into_parts();
        if outcome == Outcome::TooLarge {
            let guest = parts.io.guest().cloned();
            return self.intake.adopt(parting::head_too_large(&site, parts.io.into_parts(&[]).0, guest));
        }
        match exit.take() {
            Some(leaving) => self.hand_over(parts.io, &parts.read_buf, leaving, &meter),
            None => {
                let guest = parts.io.guest().cloned();
                let (socket, unread) = parts.io.into_parts(&parts.read_buf);
                self.rest(socket, guest, unread);
            }
        }
    }

    /// The response lasts: the worker carries it from here.
    fn hand_over(&self, io: Metered, read_ahead: &[u8], leaving: Leaving, meter: &Meter) {
        let Leaving { held, version, keep_alive } = leaving;
        let tally = held.client().map(|client| self.shared.traffic.tally(client, held.transport()));
        meter.leave(io.unread(read_ahead));
        meter.claim(tally.clone());
        let response = efir_engine::Response { tally, ..held.take_over(TakeOver { version, keep_alive }) };
        let guest = io.guest().cloned();
        let (socket, input) = io.into_parts(read_ahead);
        self.intake.adopt(Adoption { guest, socket, input, response });
    }

    /// Answers a request; with an `exit` (HTTP/1) a response that lasts leaves through it and this never returns. A panic is an answer, too.
    async fn answer(
        &self,
        request: Request<AskedBody>,
        arrival: Arrival<'_>,
        meter: &Meter,
        exit: Option<Exit>,
    ) -> Answer {
        let hub = self.shared.site().hub().clone();
        let is_http1 = exit.is_some();
        let answer = self.answer_asked(request, arrival, meter, exit);
        if let Some(answer) = contained_future(hub.counters(), "a request", answer).await {
            return answer;
        }
        meter.claim(None);
        let (nothing, ()) = Request::new(()).into_parts();
        let mut response = efir_transports::refusal(&self.shared.site(), &nothing, internal_problem());
        if is_http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(ServerBody::whole))
    }

    async fn answer_asked(
        &self,
        mut request: Request<AskedBody>,
        arrival: Arrival<'_>,
        meter: &Meter,
        exit: Option<Exit>,
    ) -> Answer {
        let surplus = self.shared.introduce(&mut request, arrival);
        let (parts, body) = request.into_parts();
        let refused = match surplus {
            Some(surplus) => Some(self.shared.refusal(&parts, surplus)),
            None => self.shared.check_head(&parts),
        };
        if let Some(refused) = refused {
            meter.claim(None);
            return Ok(refused.map(ServerBody::whole));
        }
        let request = Request::from_parts(parts, body);
        if !efir_transports::owns(request.uri().path()) {
            meter.claim(None);
            return Ok(self.answer_page(request).await);
        }
        if self.shared.connections.is_over() {
            meter.claim(None);
            return Ok(self
                .shared
                .refusal(&request.into_parts().0, Surplus::OfServer)
                .map(ServerBody::whole));
        }
        let client = efir_transports::client_of(&request);
        let version = request.version();
        let keep_alive = version == Version::HTTP_11 && !asks_to_close(&request) && !is_chunked(&request);
        let kind = efir_transports::kind_of_whole(&request);
        // An earlier answer may still wait in the library's buffer, which would be lost with it.
        let hint =
            if exit.is_some() && !meter.is_blocked() { CarrierHint::Slab } else { CarrierHint::Polled };
        // A request keeps the site that it began with.
        let site = Arc::clone(&self.shared.site());
        match efir_transports::handle(&site, request, hint).await {
            Reply::Whole(response) => {
                let tally = client.map(|client| self.shared.traffic.tally(&client, kind));
                if let (Some(tally), true) = (&tally, is_empty_answer(&response)) {
                    tally.add_empty();
                }
                meter.claim(tally);
                Ok(response.map(ServerBody::whole))
            }
            Reply::Batch(response) => {
                meter.claim(client.map(|client| self.shared.traffic.tally(&client, kind)));
                Ok(response.map(|pieces| ServerBody::transport(pieces.into())))
            }
            Reply::Held(held) => match exit {
                Some(exit) if hint == CarrierHint::Slab => {
                    *exit.borrow_mut() = Some(Leaving { held: Box::new(held), version, keep_alive });
                    std::future::pending().await
                }
                _ => {
                    meter.claim(client.map(|client| self.shared.traffic.tally(&client, held.transport())));
                    let response = held.into_response_marked(Streaming::begin(meter)).await;
                    Ok(response.map(ServerBody::transport))
                }
            },
        }
    }

    async fn answer_page(&self, request: Request<AskedBody>) -> Response<ServerBody> {
        let (parts, body) = request.into_parts();
        let site = Arc::clone(&self.shared.site());
        if let Err(problem) = site.policy().check_host(&parts) {
            return efir_transports::refusal(&site, &parts, problem).map(ServerBody::whole);
        }
        let request = Request::from_parts(parts, axum::body::Body::new(body.into_incoming()));
        let Ok(response) = self.shared.pages.clone().oneshot(request).await;
        response.map(ServerBody::page)
    }
}

/// A connection in the HTTP library's hands.
struct Active(Rc<Heads>);

impl Active {
    fn begin(heads: &Rc<Heads>) -> Self {
        heads.active.set(heads.active.get() + 1);
        heads.shared.connections.count.fetch_add(1, Ordering::Relaxed);
        Self(Rc::clone(heads))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.shared.connections.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Surroundings for Heads {
    fn between(&self, ahead: usize, guest: Option<&Arc<Guest>>, socket: &Socket) -> efir_engine::Response {
        PlainRequests::next(&self.shared, Arrival { guest, is_tls: socket.is_tls() }, ahead)
    }

    fn depart(self: Rc<Self>, departure: Departure) {
        self.serve(departure);
    }
}

impl Shared {
    /// By what requests that come now are answered.
    pub(crate) fn site(&self) -> Guard<Arc<Site>> {
        self.reloader.site()
    }
}

impl Connections {
    /// Whether the next connection is one too many.
    pub(crate) fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= self.max
    }

    /// Whether requests are to be refused for now.
    pub(crate) fn is_over(&self) -> bool {
        self.count.load(Ordering::Relaxed) > self.max
    }

    /// Whether there is not even room for telling so.
    pub(crate) fn is_far_over(&self) -> bool {
        self.count.load(Ordering::Relaxed) > self.max + self.max / 8
    }
}

/// The library takes more of a head than a request may have, so that it is us who say what is too much.
fn http1_builder(site: &Site) -> http1::Builder {
    let (limits, times) = (site.hub().limits(), site.hub().times());
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(times.idle_ms_max))
        .max_buf_size(limits.head_bytes_max.saturating_add(HEAD_BYTES_MORE))
        .max_headers(limits.headers_max.saturating_add(HEADERS_MORE));
    builder
}

pub(crate) fn is_empty_answer(response: &Response<Bytes>) -> bool {
    response.status() == http::StatusCode::NOT_MODIFIED
        || response.extensions().get::<EmptyAnswer>().is_some()
}

fn asks_to_close<B>(request: &Request<B>) -> bool {
    let mut lines = request.headers().get_all(header::CONNECTION).iter();
    lines.any(|line| {
        line.to_str().is_ok_and(|line| line.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")))
    })
}

/// Whether the body comes in chunks over HTTP/1, which a proxy in front may have cut in another way than the library does: such a
/// request is the last of its connection. (Where it had a length as well, the library has taken that away.)
fn is_chunked<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(header::TRANSFER_ENCODING)
}
