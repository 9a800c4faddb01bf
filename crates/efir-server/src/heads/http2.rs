//! Connections that speak HTTP/2: the library has them to their end, within what one of them may hold and for as long as its client
//! takes what it is owed. What is answered is the same as over HTTP/1.

use std::{convert::Infallible, rc::Rc, sync::Arc, task::Context, time::Duration};

use efir_engine::Hub;
use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::sync::watch;

use super::Heads;
use crate::{
    admission::Arrival,
    body::{AskedBody, kept_bytes_max},
    clocks,
    meter::{Metered, Streaming},
    streams::{StreamTasks, Streams},
};

/// What an HTTP/2 connection with prior knowledge begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams of one HTTP/2 connection: enough for a page with a stream per channel, and what RFC 9113 (§6.5.2) asks for at least.
const STREAMS_MAX: u32 = 100;
/// What may wait in an HTTP/2 stream that its client does not read.
const SEND_BYTES_MAX: usize = 16 * 1024;
/// Of whole answers that the client of one HTTP/2 connection does not take (CVE-2019-9517): with more than that, its next request waits. One
/// batch of a MiB that is not taken keeps nobody waiting.
const ANSWERS_BYTES_MAX: usize = 1280 * 1024;
/// What an answer takes besides its body.
const ANSWER_BYTES: usize = 8 * 1024;
/// Of bodies of one HTTP/2 connection's requests that are not whole: with more than that, the next one is not read.
const BODIES_BYTES_MAX: usize = 512 * 1024;
/// What a client may send on one HTTP/2 connection, and in one of its streams, before we have read it; a message is smaller.
const WINDOW_BYTES: u32 = 512 * 1024;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Streams that a client has reset before they were looked at (CVE-2023-44487, RUSTSEC-2024-0003).
const RESETS_MAX: usize = 20;
/// Streams that the server has reset because of the client's faults, over a connection's life (CVE-2025-8671).
const FAULTS_MAX: usize = 256;
/// For the last frames of a connection whose client takes nothing.
const LINGER: Duration = Duration::from_millis(500);

impl Heads {
    /// Serves a connection on which HTTP/2 was agreed in the handshake.
    pub(super) async fn run_agreed_http2(self: &Rc<Self>, mut io: Metered) {
        let head_max = Duration::from_millis(self.shared.site().hub().times().head_ms_max);
        if io.begins_with(PREFACE, head_max, head_max).await.is_ok_and(|is_http2| is_http2) {
            self.run_http2(io, self.stop.clone()).await;
        }
    }

    pub(super) async fn run_http2(self: &Rc<Self>, mut io: Metered, mut stop: watch::Receiver<bool>) {
        io.count_frames();
        let meter = io.meter();
        let streams = self.debtors.begin();
        let message_bytes_max = self.shared.site().hub().limits().message_bytes_max;
        let service = service_fn({
            let (heads, meter, guest) = (Rc::clone(self), Rc::clone(&meter), io.guest().cloned());
            let (is_tls, streams) = (io.is_tls(), Rc::clone(&streams));
            move |request: Request<Incoming>| {
                let (heads, meter, guest) = (Rc::clone(&heads), Rc::clone(&meter), guest.clone());
                let (answers, bodies) = (Rc::clone(&streams.answers), Rc::clone(&streams.bodies));
                let stream = (Streaming::begin(&meter), streams.begin());
                async move {
                    answers.until_at_most(ANSWERS_BYTES_MAX).await;
                    let kept = kept_bytes_max(request.body(), message_bytes_max);
                    if kept > 0 {
                        bodies.until_at_most(BODIES_BYTES_MAX).await;
                    }
                    let request = request.map(|body| AskedBody::new(body, Some(bodies.enter(kept))));
                    let arrival = Arrival { guest: guest.as_ref(), is_tls };
                    // On the heap only now: whoever waits is small.
                    let answer = Box::pin(heads.answer(request, arrival, &meter, None));
                    let Ok(response) = answer.await;
                    Ok::<_, Infallible>(response.map(|body| {
                        body.streamed_until_its_end(stream, |bytes| answers.enter(bytes + ANSWER_BYTES))
                    }))
                }
            }
        });
        let site = Arc::clone(&self.shared.site());
        let (hub, times) = (site.hub(), site.hub().times());
        let mut connection = std::pin::pin!(builder(hub, &streams).serve_connection(io, service));
        let mut turn = |cx: &mut Context<'_>| {
            meter.begin_turn();
            connection.as_mut().poll(cx)
        };
        let linger_max = tokio::select! {
            // A connection's own faults concern nobody else.
            _ = std::future::poll_fn(&mut turn) => return,
            _ = stop.wait_for(|is_stopping| *is_stopping) => Duration::from_millis(times.drain_ms_max),
            () = clocks::until_idle(&meter, Duration::from_millis(times.idle_ms_max)) => {
                hub.counters().close_for("idle_ms_max");
                // What is still under way is taken, or it is not.
                Duration::from_millis(times.stall_ms_max)
            }
            limit = streams.until_too_much(hub) => {
                if limit == "stall_ms_max" {
                    hub.counters().close_for(limit);
                }
                streams.cut();
                LINGER
            }
        };
        connection.as_mut().graceful_shutdown();
        let rest = std::future::poll_fn(|cx| {
            meter.begin_turn();
            connection.as_mut().poll(cx)
        });
        _ = tokio::time::timeout(linger_max, rest).await;
    }
}

fn builder(hub: &Hub, streams: &Rc<Streams>) -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(StreamTasks { streams: Rc::clone(streams), hub: hub.clone() });
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_millis(hub.times().ping_ms))
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(hub.limits().head_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(FAULTS_MAX)
        .enable_connect_protocol();
    builder
}
