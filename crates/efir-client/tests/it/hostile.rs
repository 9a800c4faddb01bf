//! V12: a server that means ill, and our client in Rust: it has to fail, in bounded memory, and not to hang.

use std::{net::SocketAddr, time::Duration};

use efir_client::{
    ANSWER_BYTES_MAX, Client, ClientError, ClientOptions, Event, OBJECT_BYTES_MAX, Read, Transport,
};
use efir_ws::{Deflater, Opcode, handshake::accept_key};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::scripted::{Scripted, Then};

/// What a client may have taken when it gives up, besides the largest that it accepts: buffers of both kernels.
const TAKEN_MORE: usize = 16 << 20;
/// How long one server may take to be given up.
const GIVEN_UP_MAX: Duration = Duration::from_secs(30);

/// What one server answers: a beginning, and what it repeats after that until nobody takes it.
struct Malice {
    name: &'static str,
    transport: Transport,
    begin: Vec<u8>,
    repeat: Vec<u8>,
}

/// The answer to a handshake, with these headers more; `{accept}` is filled in.
fn upgraded(more: &str) -> Vec<u8> {
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {{accept}}\r\n{more}\r\n")
        .into_bytes()
}

fn answer(kind: &str, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}\r\n").into_bytes()
}

const AGREED: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const EARLY_HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </efir.js>; rel=preload\r\n\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn of_sockets() -> Vec<Malice> {
    let socket = |name, begin: Vec<u8>, repeat: Vec<u8>| Malice {
        name,
        transport: Transport::WebSocket,
        begin,
        repeat,
    };
    let frame = |more: &str, frame: &[u8]| [&upgraded(more)[..], frame].concat();
    let compressed = format!("{AGREED}\r\n");
    let bomb = Deflater::new(9, 15).compress_frame(Opcode::Text, &vec![b'x'; 60 << 20]);
    let mut all = vec![
        socket("length_2_63", frame("", &[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), vec![b'x'; 4096]),
        socket(
            "length_2_63_less_1",
            frame("", &[&[0x81, 127][..], &i64::MAX.to_be_bytes()].concat()),
            vec![b'x'; 4096],
        ),
        socket("length_not_minimal", frame("", &[0x81, 126, 0, 5, b'h', b'e', b'l', b'l', b'o']), Vec::new()),
        socket("masked", frame("", &[0x81, 0x81, 1, 2, 3, 4, 5]), Vec::new()),
        socket("unknown_opcode", frame("", &[0x83, 0]), Vec::new()),
        socket("continuation_of_nothing", frame("", &[0x80, 1, b'x']), Vec::new()),
        socket("rsv_without_agreement", frame("", &[0xc1, 1, b'x']), Vec::new()),
        socket("long_control_frame", frame("", &[&[0x89, 126, 0, 126][..], &[0; 126]].concat()), Vec::new()),
        socket("empty_fragments", frame("", &[0x01, 0]), [0x00, 0].repeat(4096)),
        socket("small_fragments", frame("", &[0x01, 1, b'x']), [0x00, 1, b'x'].repeat(4096)),
        socket("bomb", frame(&compressed, &bomb), Vec::new()),
        socket("no_deflate_stream", frame(&compressed, &[0xc1, 4, 0xff, 0xff, 0xff, 0xff]), Vec::new()),
        socket("not_utf8", frame("", &[0x81, 2, 0xff, 0xfe]), Vec::new()),
        socket("not_json", frame("", &[0x81, 2, b'{', b'{']), Vec::new()),
        socket("endless_head", b"HTTP/1.1 101 Switching Protocols\r\n".to_vec(), b"X: y\r\n".repeat(100)),
        socket(
            "accept_of_another",
            String::from_utf8(upgraded(""))
                .unwrap()
                .replace("{accept}", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
                .into_bytes(),
            Vec::new(),
        ),
        socket(
            "extension_that_was_not_offered",
            frame("Sec-WebSocket-Extensions: x-evil\r\n", &[]),
            Vec::new(),
        ),
    ];
    for bits in ["7", "16", "99999999999999999999", "1e1", "", "08", "-9"] {
        // CVE-2026-2229.
        let more = format!("{AGREED}; server_max_window_bits={bits}\r\n");
        all.push(socket("server_max_window_bits", frame(&more, &[]), Vec::new()));
    }
    all
}

fn of_bodies() -> Vec<Malice> {
    let chunk = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let endless = |name, transport, kind: &str, part: &[u8]| Malice {
        name,
        transport,
        begin: answer(kind, CHUNKED),
        repeat: chunk(part),
    };
    let (sse, lines, json) = ("text/event-stream", "application/x-ndjson", "application/json");
    let poll = |name, begin: Vec<u8>, repeat: Vec<u8>| Malice {
        name,
        transport: Transport::ShortPoll,
        begin,
        repeat,
    };
    vec![
        endless("sse_line_without_an_end", Transport::Sse, sse, &[b'd'; 65_536]),
        endless("sse_event_without_an_end", Transport::Sse, sse, &b"data: x\n".repeat(8_192)),
        endless("ndjson_line_without_an_end", Transport::HttpStream, lines, &[b' '; 65_536]),
        endless("poll_without_an_end", Transport::ShortPoll, json, &[b' '; 65_536]),
        endless("long_poll_without_an_end", Transport::LongPoll, json, &[b'['; 65_536]),
        poll("ten_gib_announced", answer(json, "Content-Length: 10737418240\r\n"), vec![b' '; 65_536]),
        poll("two_lengths", answer(json, "Content-Length: 2\r\nContent-Length: 5\r\n"), b"{}{}{".to_vec()),
        poll("length_with_a_sign", answer(json, "Content-Length: +2\r\n"), b"{}".to_vec()),
        poll("bad_chunk", answer(json, CHUNKED), b"+2\r\n{}\r\n".to_vec()),
        poll("chunk_of_2_64", answer(json, CHUNKED), b"ffffffffffffffff1\r\n{}\r\n".to_vec()),
        poll("endless_head", b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(100)),
        poll("endless_continue", CONTINUE.into(), CONTINUE.repeat(1_000).into()),
        poll("endless_early_hints", CONTINUE.into(), EARLY_HINTS.repeat(100).into()),
        Malice {
            name: "endless_continue_of_a_socket",
            transport: Transport::WebSocket,
            begin: CONTINUE.into(),
            repeat: CONTINUE.repeat(1_000).into(),
        },
        poll("nested", answer(json, "Content-Length: 1000000\r\n"), vec![b'['; 65_536]),
        poll("not_http", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Vec::new()),
        poll("nothing", Vec::new(), Vec::new()),
    ]
}

/// V12 (CVE-2026-2229, CVE-2026-9675, CVE-2026-12151): frames, fragments, and what a handshake may not answer.
#[tokio::test]
async fn v12_sockets_that_mean_ill() {
    against(of_sockets()).await;
}

/// V12: bodies and heads that never end, or contradict themselves.
#[tokio::test]
async fn v12_bodies_that_mean_ill() {
    against(of_bodies()).await;
}

/// Some interim answers are every server's right (RFC 9110 §15.2).
#[tokio::test]
async fn a_few_interim_answers_are_passed_over() {
    let batch = r#"{"channel":"a","messages":[],"cursor":"e-1","more":false}"#;
    let answer = format!(
        "{}HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{batch}",
        [CONTINUE, EARLY_HINTS].concat().repeat(4),
        batch.len()
    );
    let server = Scripted::start(vec![(answer, Then::KeepOpen)]).await;
    let client = Client::with_options(&server.url(), ClientOptions::default()).unwrap();
    client.open(&Read::channel(Transport::ShortPoll, "a")).await.unwrap();
}

async fn against(all: Vec<Malice>) {
    for malice in all {
        let (name, transport) = (malice.name, malice.transport);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, &malice).await
        });
        let read = tokio::time::timeout(GIVEN_UP_MAX, read(address, transport)).await;
        match read.unwrap_or_else(|_| panic!("{name}: the client waits for ever")) {
            Ok(events) => panic!("{name}: the client was content with {events} events"),
            Err(error) => assert!(!error.to_string().is_empty(), "{name}"),
        }
        let taken = tokio::time::timeout(GIVEN_UP_MAX, serving).await.unwrap().unwrap();
        let most = OBJECT_BYTES_MAX.max(ANSWER_BYTES_MAX) + TAKEN_MORE;
        assert!(taken <= most, "{name}: the client took {taken} bytes");
    }
}

/// Answers one request with malice; how many bytes were taken.
async fn serve(mut stream: TcpStream, malice: &Malice) -> usize {
    let mut head = Vec::new();
    while !head.windows(4).any(|part| part == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return 0;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().find_map(|line| {
        line.to_lowercase().starts_with("sec-websocket-key:").then(|| line[18..].trim().to_owned())
    });
    let accept = key.map(|key| accept_key(&key).unwrap()).unwrap_or_default();
    let begin = match malice.begin.windows(8).position(|part| part == b"{accept}") {
        Some(at) => [&malice.begin[..at], accept.as_bytes(), &malice.begin[at + 8..]].concat(),
        None => malice.begin.clone(),
    };
    if stream.write_all(&begin).await.is_err() {
        return 0;
    }
    let mut taken = begin.len();
    while !malice.repeat.is_empty() && taken < 1 << 30 {
        match stream.write(&malice.repeat).await {
            Ok(count) => taken += count,
            Err(_) => return taken,
        }
    }
    if malice.begin.is_empty() || malice.name == "not_http" {
        return taken;
    }
    // It stays, so that only the client can end this.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(GIVEN_UP_MAX, stream.read_to_end(&mut rest)).await;
    taken
}

/// Reads until it fails or ends; `Ok` has the number of events.
async fn read(address: SocketAddr, transport: Transport) -> Result<usize, ClientError> {
    let options = ClientOptions { has_websocket_deflate: true, ..ClientOptions::default() };
    let client = Client::with_options(&format!("http://{address}"), options)?;
    let mut subscription = client.open(&Read::channel(transport, "a")).await?;
    let mut events = 0;
    while let Some(event) = subscription.next().await? {
        if let Event::Problem(problem) = event {
            return Err(ClientError::Protocol(problem.to_string()));
        }
        events += 1;
    }
    Ok(events)
}
