//! The cells of the matrix that are left out on purpose, each with its reason.

use crate::{
    carrier::Carrier,
    readers::{Kind, Row},
};

/// Cells that are left out on purpose.
pub struct Hole {
    /// The scenario, or the beginning of its name.
    pub scenario: &'static str,
    /// Which transports; for scenarios without a transport it is not asked.
    pub rows: fn(Row) -> bool,
    /// Which carriers.
    pub carriers: &'static [Carrier],
    /// Why these cells make no sense.
    pub reason: &'static str,
}

const ANY: fn(Row) -> bool = |_| true;
const POLLS: fn(Row) -> bool = |row| row.kind.is_poll();
const SHORT: fn(Row) -> bool = |row| row.kind == Kind::ShortPoll;
const NOT_SSE: fn(Row) -> bool = |row| row.kind != Kind::Sse;
const NOT_LONG: fn(Row) -> bool = |row| row.kind != Kind::LongPoll;
const NOT_POLLS: fn(Row) -> bool = |row| !row.kind.is_poll();
const SINGLE: fn(Row) -> bool = |row| !row.is_several && row.kind != Kind::Socket;
const NO_TOKEN: fn(Row) -> bool = |row| !row.is_several;
const SEVERAL: fn(Row) -> bool = |row| row.is_several;
const SOCKETS: fn(Row) -> bool = |row| row.kind.is_websocket();
const NOT_SOCKETS: fn(Row) -> bool = |row| !row.kind.is_websocket();
const NOT_STREAMS: fn(Row) -> bool = |row| row.kind.is_poll() || row.is_several || row.is_deflated;
const DEFLATED: fn(Row) -> bool = |row| row.is_deflated;
const NOT_ONE_OF_A_KIND: fn(Row) -> bool =
    |row| row.is_several || row.is_deflated || !matches!(row.kind, Kind::Sse | Kind::WebSocket);
const DEFLATED_SOCKET: fn(Row) -> bool = |row| row.is_deflated && row.kind == Kind::Socket;

/// Every deliberate hole. A test refuses one that fits no cell.
pub const HOLES: &[Hole] = &[
    Hole {
        scenario: "live::hello_and_heartbeat",
        rows: POLLS,
        carriers: Carrier::ALL,
        reason: "a poll has neither: its answer carries the cursor and comes after the hold at the latest",
    },
    Hole {
        scenario: "poll::half_closed_after_the_request",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "inside somebody's server it is their HTTP stack that judges a FIN; hyper takes it for the end",
    },
    Hole {
        scenario: "live::bad_channel_among_several",
        rows: SINGLE,
        carriers: Carrier::ALL,
        reason: "one channel per response; a bad one is errors::bad_channel_name",
    },
    Hole {
        scenario: "live::messages_of_several_channels",
        rows: SINGLE,
        carriers: Carrier::ALL,
        reason: "one channel per response",
    },
    Hole {
        scenario: "catch_up::with_the_token_that_was_told",
        rows: NO_TOKEN,
        carriers: Carrier::ALL,
        reason: "one channel has a position; /socket has one cursor a channel",
    },
    Hole {
        scenario: "seam::",
        rows: SHORT,
        carriers: Carrier::ALL,
        reason: "a short poll joins nothing: there is no seam between replay and live",
    },
    Hole {
        scenario: "bugs::a_panic_ends_what_it_came_up_on",
        rows: SHORT,
        carriers: Carrier::ALL,
        reason: "a short poll joins nothing, so that no hook can panic in it; requests are bugs::a_panic_in_a_request_is_an_answer",
    },
    Hole {
        scenario: "gap::malformed_cursor_is_refused",
        rows: |row| row.kind == Kind::Socket,
        carriers: Carrier::ALL,
        reason: "the refusal of a command is socket::refusals",
    },
    Hole {
        scenario: "gap::last_event_id",
        rows: NOT_SSE,
        carriers: Carrier::ALL,
        reason: "Last-Event-ID is a header of EventSource",
    },
    Hole { scenario: "floods::", rows: ANY, carriers: Carrier::HTTP1, reason: "frames are HTTP/2" },
    Hole {
        scenario: "tls::",
        rows: ANY,
        carriers: &[Carrier::H1, Carrier::H2c, Carrier::TlsH2, Carrier::Axum],
        reason: "handshakes are the same whatever follows them",
    },
    Hole {
        scenario: "restart::killed",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "the facade has no binary; restart::in_process covers it",
    },
    Hole {
        scenario: "restart::killed",
        rows: ANY,
        carriers: Carrier::TLS,
        reason: "a process is killed below TLS as it is without; restart::in_process covers coming back",
    },
    Hole {
        scenario: "slow::",
        rows: POLLS,
        carriers: Carrier::ALL,
        reason: "a poll's answer is bounded, and its reader reads or has gone",
    },
    Hole {
        scenario: "slow::",
        rows: SEVERAL,
        carriers: Carrier::POLLED,
        reason: "the cell takes 10,000 messages; several channels on the slab suffice for the fan-out, and one channel for the polled carriers",
    },
    Hole {
        scenario: "slow::",
        rows: DEFLATED,
        carriers: Carrier::POLLED,
        reason: "the cell compresses 10,000 messages; the slab shows what compressed frames change, which are shared on polled carriers as there",
    },
    Hole {
        scenario: "slow::",
        rows: DEFLATED_SOCKET,
        carriers: Carrier::SLAB,
        reason: "a slow reader is served by its exchange on every WebSocket; one compressed row suffices",
    },
    Hole {
        scenario: "slow::",
        rows: NOT_ONE_OF_A_KIND,
        carriers: Carrier::TLS,
        reason: "the cell takes 10,000 messages; one stream and one WebSocket show what encryption adds to being slow",
    },
    Hole {
        scenario: "patience::",
        rows: NOT_STREAMS,
        carriers: Carrier::ALL,
        reason: "only what lasts can be given up, and compressed messages are written as others are",
    },
    Hole {
        scenario: "patience::",
        rows: ANY,
        carriers: Carrier::POLLED,
        reason: "there the HTTP stack has the socket and asks nobody; what it takes for progress is floods:: and slow::",
    },
    Hole {
        scenario: "patience::",
        rows: NOT_ONE_OF_A_KIND,
        carriers: &[Carrier::TlsH1],
        reason: "the kernel is asked about the socket below; one stream and one WebSocket show it",
    },
    Hole {
        scenario: "patience::is_kept_while_its_pong_has_to_wait",
        rows: ANY,
        carriers: &[Carrier::TlsH1],
        reason: "the kernel's own patience (TCP_USER_TIMEOUT) follows silent_ms_max, and a record takes as long as that at times so short",
    },
    Hole {
        scenario: "patience::is_silent",
        rows: NOT_SOCKETS,
        carriers: Carrier::ALL,
        reason: "nobody expects a word from the reader of a stream",
    },
    Hole {
        scenario: "patience::is_kept_while_its_pong_has_to_wait",
        rows: NOT_SOCKETS,
        carriers: Carrier::ALL,
        reason: "nobody expects a word from the reader of a stream",
    },
    Hole {
        scenario: "switch::",
        rows: DEFLATED,
        carriers: Carrier::POLLED,
        reason: "switching to a compressed socket is there on every carrier; switching away from it on one",
    },
    Hole {
        scenario: "slow::is_cut_without_progress",
        rows: NOT_POLLS,
        carriers: &[Carrier::Axum],
        reason: "how long a stuck body may stay is decided by the HTTP stack that polls it",
    },
    Hole {
        scenario: "life::rotation",
        rows: POLLS,
        carriers: Carrier::ALL,
        reason: "a poll's response ends by itself",
    },
    Hole {
        scenario: "life::rotation",
        rows: SOCKETS,
        carriers: Carrier::ALL,
        reason: "WebSockets do not rotate: only responses that proxies may buffer do",
    },
    Hole {
        scenario: "life::drain_tells",
        rows: SHORT,
        carriers: Carrier::ALL,
        reason: "nothing is open between two short polls",
    },
    Hole {
        scenario: "poll::held",
        rows: NOT_LONG,
        carriers: Carrier::ALL,
        reason: "only a long poll is held",
    },
    Hole {
        scenario: "poll::large_batches",
        rows: NOT_POLLS,
        carriers: Carrier::ALL,
        reason: "only a poll's answer is a batch",
    },
    Hole {
        scenario: "poll::pages",
        rows: NOT_POLLS,
        carriers: Carrier::ALL,
        reason: "only a poll's answer has `more`",
    },
    Hole {
        scenario: "poll::link_leads_on",
        rows: NOT_POLLS,
        carriers: Carrier::ALL,
        reason: "a stream goes on by itself",
    },
    Hole {
        scenario: "poll::connection_is_reused",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/2 has streams; its connection outlives every response",
    },
    Hole {
        scenario: "poll::abort",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "a TCP connection is cut; over HTTP/2 the reset of a stream is poll::held_then_dropped",
    },
    Hole {
        scenario: "publish::pipelined_over_http",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/2 has no pipelining; streams have no order",
    },
    Hole {
        scenario: "http::version_1_0",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/1.0 is not HTTP/2",
    },
    Hole {
        scenario: "http::streams_byte_for_byte",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; the same bytes come through efir-client in live::",
    },
    Hole {
        scenario: "http::upgrade_contradictions",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "Upgrade is a header of HTTP/1.1 (RFC 9113 §8.2.2)",
    },
    Hole {
        scenario: "http::lasting_answers_behind_short_ones",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "HTTP/2 has no pipelining",
    },
    Hole {
        scenario: "errors::too_many_connections",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "the application's own server accepts the connections",
    },
    Hole {
        scenario: "limits::",
        rows: ANY,
        carriers: &[Carrier::Axum],
        reason: "the application's own server accepts the connections, reads their heads and knows where they come from",
    },
    Hole {
        scenario: "limits::memory_in_all",
        rows: ANY,
        carriers: Carrier::TLS,
        reason: "the same for a process as a whole; encryption changes nothing in it",
    },
    Hole {
        scenario: "limits::idle_http2",
        rows: ANY,
        carriers: &[Carrier::H1, Carrier::TlsH1, Carrier::TlsH2],
        reason: "HTTP/2 alone; over TLS the same code serves it",
    },
    Hole {
        scenario: "limits::slow_",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; bodies and messages of both are read by the same code",
    },
    Hole {
        scenario: "limits::publishes_o",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client keeps a connection over HTTP/1.1; a stream's guest is that of its connection",
    },
    Hole {
        scenario: "http::half_a_request",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1",
    },
    Hole {
        scenario: "websocket::",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; over HTTP/2 the same codec runs behind efir-client in the other topics",
    },
    Hole {
        scenario: "deflate::",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1; over HTTP/2 the rows with -deflate compress in the other topics",
    },
    Hole {
        scenario: "errors::bad_channel_name_on_a_websocket",
        rows: ANY,
        carriers: Carrier::HTTP2,
        reason: "the raw client speaks HTTP/1.1",
    },
];
