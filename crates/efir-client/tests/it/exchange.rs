//! Single exchanges against a scripted server: connections and their reuse, refusals, a WebSocket.

use crate::scripted::{Scripted, Then, answer, message, stream};
use bytes::BytesMut;
use efir_client::{Client, ClientError, Closed, Event, Payload, Read, Transport};
use efir_ws::{Decoder, DecoderLimits, Opcode, Role, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const RECEIPT: &str = r#"{"channel":"a","position":"e-1","offset":1,"epoch":"e","durability":"memory","duplicate":false,"subscribers":0}"#;

fn receipt() -> String {
    answer("200 OK", "application/json", RECEIPT)
}

#[tokio::test]
async fn a_connection_serves_one_exchange_after_the_other() {
    let server = Scripted::start(vec![
        (receipt(), Then::KeepOpen),
        (receipt(), Then::KeepOpen),
        (receipt(), Then::KeepOpen),
    ])
    .await;
    let client = Client::new(&server.url()).unwrap();
    for payload in [Payload::from("x"), Payload::Json("{}".into()), Payload::Bytes("\0".into())] {
        assert_eq!(client.publish("общий", payload, Some("key")).await.unwrap().position, "e-1");
    }
    assert_eq!(client.connections_opened(), 1);
    assert_eq!(server.lines()[0], "POST /channels/%D0%BE%D0%B1%D1%89%D0%B8%D0%B9 HTTP/1.1");
    let types: Vec<_> = (0..3).filter_map(|n| server.header(n, "content-type")).collect();
    assert_eq!(types, ["text/plain; charset=utf-8", "application/json", "application/octet-stream"]);
    assert_eq!(server.header(0, "idempotency-key").as_deref(), Some("key"));
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced() {
    let server = Scripted::start(vec![(receipt(), Then::Close), (receipt(), Then::KeepOpen)]).await;
    let client = Client::new(&server.url()).unwrap();
    client.publish("a", "x".into(), None).await.unwrap();
    client.publish("a", "x".into(), None).await.unwrap();
    assert_eq!(client.connections_opened(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_refused() {
    let server = Scripted::start(vec![(answer("200 OK", "text/html", "<h1>"), Then::KeepOpen)]).await;
    let client = Client::new(&server.url()).unwrap();
    let error = client.open(&Read::channel(Transport::Sse, "a")).await.unwrap_err();
    assert!(error.to_string().contains("'text/html' instead of 'text/event-stream'"), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(&format!("http://{address}")).unwrap();
    let error = client.publish("a", "x".into(), None).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { address: tried, .. } if tried == address), "{error:?}");
}

#[tokio::test]
async fn lines_come_as_events_until_the_end() {
    let body =
        format!("{{\"hello\":{{\"channel\":\"a\",\"cursor\":\"e-0\"}}}}\n{}\n{{\"cut", message("a", "e-1"));
    let server = Scripted::start(vec![(stream("application/x-ndjson", &body), Then::Close)]).await;
    let client = Client::new(&server.url()).unwrap();
    let mut subscription = client.open(&Read::channel(Transport::HttpStream, "a")).await.unwrap();
    assert!(matches!(subscription.next().await, Ok(Some(Event::Hello(_)))));
    assert!(matches!(subscription.next().await, Ok(Some(Event::Message(_)))));
    assert!(matches!(subscription.next().await, Ok(None)), "a line without its end is dropped");
    assert!(matches!(subscription.send_text("x").await, Err(ClientError::Unsupported(_))));
}

/// Accepts one WebSocket and gives its stream.
async fn accept_websocket(listener: &TcpListener, is_accept_right: bool) -> TcpStream {
    accept_extended(listener, is_accept_right, "").await.0
}

/// As [`accept_websocket`], with further header lines of the answer; gives the head of the request, too.
async fn accept_extended(listener: &TcpListener, is_accept_right: bool, more: &str) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let accept = efir_ws::handshake::accept_key(key).unwrap();
    let accept = if is_accept_right { accept } else { "wrong".to_owned() };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n{more}\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    (stream, head)
}

#[tokio::test]
async fn compression_is_used_where_it_was_agreed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let client = client.with_websocket_deflate();
    let offer = efir_ws::negotiation::OFFER;
    let (long, text) = ("Привет ".repeat(100), message("a", "e-1"));
    let server = tokio::spawn(async move {
        let agreed = format!("sec-websocket-extensions: {offer}\r\n");
        let (mut stream, head) = accept_extended(&listener, true, &agreed).await;
        let frame = efir_ws::deflate::shared_frame(Opcode::Text, text.as_bytes());
        stream.write_all(&frame).await.unwrap();
        let limits = DecoderLimits { message_bytes_max: 2000, frame_bytes_max: 2000, fragments_max: 1 };
        let mut decoder = Decoder::new(Role::Server, limits).with_deflate();
        let (mut input, mut seen, mut bytes) = (BytesMut::new(), Vec::new(), 0);
        while seen.len() < 2 {
            bytes += stream.read_buf(&mut input).await.unwrap();
            while let Some(event) = decoder.decode(&mut input).unwrap() {
                seen.push(event);
            }
        }
        (head, seen, bytes)
    });
    let mut socket = client.open(&Read::channel(Transport::WebSocket, "a")).await.unwrap();
    assert!(matches!(socket.next().await, Ok(Some(Event::Message(_)))));
    socket.send_text("short").await.unwrap();
    socket.send_text(&long).await.unwrap();
    let (head, seen, bytes) = server.await.unwrap();
    assert!(head.contains(&format!("sec-websocket-extensions: {offer}\r\n")), "{head}");
    assert_eq!(seen, [efir_ws::Event::Text("short".into()), efir_ws::Event::Text(long.clone().into())]);
    assert!(bytes < long.len() / 2, "{bytes} bytes for two messages");
}

#[tokio::test]
async fn extensions_that_were_not_offered_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let deflating = plain.with_websocket_deflate();
    let agreed = format!("sec-websocket-extensions: {}\r\n", efir_ws::negotiation::OFFER);
    let kept = "sec-websocket-extensions: permessage-deflate\r\n".to_owned();
    let server = tokio::spawn(async move {
        for more in [agreed, kept] {
            accept_extended(&listener, true, &more).await;
        }
    });
    // Not offered at all; and a server that keeps its context although the offer forbids it.
    for client in [plain, deflating] {
        let error = client.open(&Read::channel(Transport::WebSocket, "a")).await.unwrap_err();
        assert!(error.to_string().contains("not offered"), "{error}");
    }
    server.await.unwrap();
}

#[tokio::test]
async fn a_websocket_answers_pings_and_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let mut stream = accept_websocket(&listener, true).await;
        let mut out = BytesMut::new();
        out.extend_from_slice(&frame::encode(Opcode::Ping, b"?"));
        out.extend_from_slice(&frame::encode(Opcode::Text, message("a", "e-1").as_bytes()));
        stream.write_all(&out).await.unwrap();
        let limits = DecoderLimits { message_bytes_max: 1000, frame_bytes_max: 1000, fragments_max: 1 };
        let mut decoder = Decoder::new(Role::Server, limits);
        let (mut input, mut seen) = (BytesMut::new(), Vec::new());
        while seen.len() < 4 {
            while let Some(event) = decoder.decode(&mut input).unwrap() {
                seen.push(event);
            }
            if seen.len() == 3 {
                stream.write_all(&frame::encode_close(1001, "going away")).await.unwrap();
            }
            if seen.len() < 4 && stream.read_buf(&mut input).await.unwrap() == 0 {
                break;
            }
        }
        seen
    });
    let mut socket = client.open(&Read::channel(Transport::WebSocket, "a")).await.unwrap();
    assert_eq!(socket.head().status, 101);
    assert!(matches!(socket.next().await, Ok(Some(Event::Message(_)))));
    socket.send_text("Привет").await.unwrap();
    socket.send_bytes(&[0, 255]).await.unwrap();
    let closed = Closed { code: 1001, reason: "going away".into() };
    assert_eq!(socket.next().await.unwrap(), Some(Event::Closed(closed)));
    assert_eq!(socket.next().await.unwrap(), None);
    let seen = server.await.unwrap();
    assert_eq!(seen[0], efir_ws::Event::Pong("?".into()));
    assert_eq!(seen[1], efir_ws::Event::Text("Привет".into()));
    assert_eq!(seen[2], efir_ws::Event::Binary(vec![0, 255].into()));
    assert!(matches!(&seen[3], efir_ws::Event::Close { code: Some(1001), .. }), "{seen:?}");
}

#[tokio::test]
async fn a_wrong_handshake_and_a_broken_frame_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let _wrong = accept_websocket(&listener, false).await;
        let mut stream = accept_websocket(&listener, true).await;
        stream.write_all(b"\x8b\x00").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    });
    let read = Read::channel(Transport::WebSocket, "a");
    let error = client.open(&read).await.unwrap_err();
    assert!(error.to_string().contains("Sec-WebSocket-Accept"), "{error}");
    let mut socket = client.open(&read).await.unwrap();
    assert!(matches!(socket.next().await, Err(ClientError::Protocol(_))));
    assert!(matches!(socket.next().await, Ok(None)));
    drop(socket);
    assert_eq!(server.await.unwrap().first(), Some(&0x88), "the server is told with a close frame");
}
