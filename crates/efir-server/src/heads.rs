//! Connections while their HTTP heads are read: the HTTP library parses and answers what is short, and gives the socket to the worker
//! when a response is going to last.
//!
//! A long-lived HTTP/1 response leaves the library at the head of its request: its service never answers, the connection is no
//! longer polled, and taken apart into the socket and the bytes read ahead. HTTP/2 streams stay as bodies.

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

use axum::Router;
use bytes::{Bytes, BytesMut};
use efir_core::{Code, Problem};
use efir_engine::{
    Socket,
    worker::{Adoption, Departure, Intake, Surroundings},
};
use efir_transports::{CarrierHint, EmptyAnswer, Held, Reply, Site, TakeOver};
use http::{Request, Response, Version, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpStream, sync::watch};
use tower::ServiceExt;

use crate::{
    body::ServerBody,
    clocks::{Clocks, Outcome},
    lab::{self, Lab},
    meter::{Answering, Meter, Metered},
    plain::PlainRequests,
    traffic::Traffic,
};

/// What an HTTP/2 connection with prior knowledge begins with (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams of one HTTP/2 connection: enough for a page with a stream per channel.
const H2_STREAMS_MAX: u32 = 256;
/// What may wait in an HTTP/2 stream that its client does not read.
const H2_SEND_BYTES_MAX: usize = 64 * 1024;
/// A request's head, first line included.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) pages: Router,
    pub(crate) lab: Arc<Lab>,
    pub(crate) connections: Connections,
}

/// How many connections there are, over all workers.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) count: Arc<AtomicUsize>,
    pub(crate) max: usize,
}

/// One worker's part of reading heads.
pub(crate) struct Heads {
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    stop: watch::Receiver<bool>,
    /// Connections in the HTTP library's hands.
    active: Cell<usize>,
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
        Rc::new(Self { shared, intake, stop, active: Cell::new(0) })
    }

    /// Connections whose heads are being read.
    pub(crate) fn active(&self) -> usize {
        self.active.get()
    }

    /// Serves a fresh connection, unless there are far too many.
    pub(crate) fn welcome(&self, stream: TcpStream) {
        let connections = &self.shared.connections;
        if !connections.is_far_over() {
            let response = PlainRequests::first(&self.shared, connections.is_full());
            self.intake.adopt(Adoption { socket: Socket::Tcp(stream), input: BytesMut::new(), response });
        }
    }

    /// Gives a connection to the worker, where it waits for its next request.
    fn rest(&self, stream: TcpStream, input: BytesMut) {
        let response = PlainRequests::next(&self.shared, input.len());
        self.intake.adopt(Adoption { socket: Socket::Tcp(stream), input, response });
    }

    /// Serves a connection until it ends or goes to the worker.
    fn serve(self: &Rc<Self>, stream: TcpStream, ahead: BytesMut) {
        let heads = Rc::clone(self);
        self.active.set(self.active.get() + 1);
        self.shared.connections.count.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_local(async move {
            heads.run(Metered::new(stream, ahead)).await;
            heads.active.set(heads.active.get() - 1);
            heads.shared.connections.count.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn run(self: &Rc<Self>, mut io: Metered) {
        let times = self.shared.site.hub().times();
        let (idle_max, head_max) =
            (Duration::from_millis(times.idle_ms_max), Duration::from_millis(times.head_ms_max));
        // It has come because of a request that has begun, which is answered whatever happens meanwhile.
        match io.begins_with(H2_PREFACE, idle_max, head_max).await {
            Ok(true) => self.run_http2(io, self.stop.clone()).await,
            Ok(false) => match self.shared.lab.way(io.ahead()) {
                Some(way) => {
                    let carried = lab::carry(way, io.into_parts(&[]), self.stop.clone()).await;
                    if let lab::Carried::Back(stream, unread) = carried {
                        self.rest(stream, unread);
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
            move |request| {
                let (heads, meter, exit) = (Rc::clone(&heads), Rc::clone(&meter), Rc::clone(&exit));
                // Before anything else is read, which is the request's body.
                let answering = Answering::begin(&meter);
                Box::pin(async move {
                    let answer = heads.answer(request, &meter, Some(exit)).await;
                    answer.map(|response| response.map(|body| body.until_its_end(answering)))
                }) as Pin<Box<dyn Future<Output = Answer>>>
            }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.shared.site.hub().times().idle_ms_max))
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service);
        let mut stopping = std::pin::pin!(stop.wait_for(|is_stopping| *is_stopping));
        let mut is_told = false;
        let mut clocks = Clocks::new(&self.shared.site);
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
            clocks.poll(&meter, cx)
        });
        if outcome.await == Outcome::Over {
            return;
        }
        let parts = connection.into_parts();
        match exit.take() {
            Some(leaving) => self.hand_over(parts.io, &parts.read_buf, leaving, &meter),
            None => {
                let (stream, unread) = parts.io.into_parts(&parts.read_buf);
                self.rest(stream, unread);
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
        let (stream, input) = io.into_parts(read_ahead);
        self.intake.adopt(Adoption { socket: Socket::Tcp(stream), input, response });
    }

    async fn run_http2(self: &Rc<Self>, io: Metered, mut stop: watch::Receiver<bool>) {
        let meter = io.meter();
        let service = service_fn({
            let heads = Rc::clone(self);
            move |request| {
                let (heads, meter) = (Rc::clone(&heads), Rc::clone(&meter));
                async move { heads.answer(request, &meter, None).await }
            }
        });
        let mut builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_millis(self.shared.site.hub().times().ping_ms))
            .max_concurrent_streams(H2_STREAMS_MAX)
            .max_send_buf_size(H2_SEND_BYTES_MAX)
            .enable_connect_protocol();
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            // A connection's own faults concern nobody else.
            _ = &mut connection => return,
            _ = stop.wait_for(|is_stopping| *is_stopping) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    /// Answers a request; with an `exit` (HTTP/1) a response that lasts leaves through it and this never returns.
    async fn answer(&self, request: Request<Incoming>, meter: &Meter, exit: Option<Exit>) -> Answer {
        if !efir_transports::owns(request.uri().path()) {
            meter.claim(None);
            return Ok(self.answer_page(request).await);
        }
        if self.shared.connections.is_over() {
            meter.claim(None);
            return Ok(self.shared.refusal(&request.into_parts().0).map(ServerBody::whole));
        }
        let client = efir_transports::client_of(&request);
        let version = request.version();
        let keep_alive = version == Version::HTTP_11 && !asks_to_close(&request);
        let kind = efir_transports::kind_of_whole(&request);
        // An earlier answer may still wait in the library's buffer, which would be lost with it.
        let hint =
            if exit.is_some() && !meter.is_blocked() { CarrierHint::Slab } else { CarrierHint::Polled };
        match efir_transports::handle(&self.shared.site, request, hint).await {
            Reply::Whole(response) => {
                let tally = client.map(|client| self.shared.traffic.tally(&client, kind));
                if let (Some(tally), true) = (&tally, is_empty_answer(&response)) {
                    tally.add_empty();
                }
                meter.claim(tally);
                Ok(response.map(ServerBody::whole))
            }
            Reply::Held(held) => match exit {
                Some(exit) if hint == CarrierHint::Slab => {
                    *exit.borrow_mut() = Some(Leaving { held: Box::new(held), version, keep_alive });
                    std::future::pending().await
                }
                _ => {
                    meter.claim(client.map(|client| self.shared.traffic.tally(&client, held.transport())));
                    Ok(held.into_response().await.map(ServerBody::transport))
                }
            },
        }
    }

    async fn answer_page(&self, request: Request<Incoming>) -> Response<ServerBody> {
        let (parts, body) = request.into_parts();
        if let Err(problem) = self.shared.site.policy().check_host(&parts) {
            return efir_transports::refusal(&self.shared.site, &parts, problem).map(ServerBody::whole);
        }
        let request = Request::from_parts(parts, axum::body::Body::new(body));
        let Ok(response) = self.shared.pages.clone().oneshot(request).await;
        response.map(ServerBody::page)
    }
}

impl Surroundings for Heads {
    fn between(&self, ahead: usize) -> efir_engine::Response {
        PlainRequests::next(&self.shared, ahead)
    }

    fn depart(self: Rc<Self>, departure: Departure) {
        let Socket::Tcp(stream) = departure.socket;
        self.serve(stream, departure.input);
    }
}

impl Shared {
    /// The answer when there are too many connections; closes its own.
    pub(crate) fn refusal(&self, parts: &http::request::Parts) -> Response<Bytes> {
        let max = self.connections.max;
        let problem =
            Problem::new(Code::TooManyConnections, format!("the server holds {max} connections, its limit"))
                .with_limit("connections_max", max as u64)
                .with_retry_after_ms(5_000);
        let mut response = efir_transports::refusal(&self.site, parts, problem);
        response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
        response
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

pub(crate) fn is_empty_answer(response: &Response<Bytes>) -> bool {
    response.status() == http::StatusCode::NOT_MODIFIED
        || response.extensions().get::<EmptyAnswer>().is_some()
}

fn asks_to_close(request: &Request<Incoming>) -> bool {
    let mut lines = request.headers().get_all(header::CONNECTION).iter();
    lines.any(|line| {
        line.to_str().is_ok_and(|line| line.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")))
    })
}

/// Runs HTTP/2 streams on the worker's own thread.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
