//! Networks with faults, by the lab's URLs: every transport through one, each fault, its end and its limits, over connections by hand.

#[path = "lab/wire.rs"]
#[allow(dead_code, reason = "the other tests of the lab need the rest")]
mod wire;

use std::time::{Duration, Instant};

use wire::{Node, wait_until};

const HELLO: &str = "event: hello";

#[test]
fn every_transport_goes_through_a_network() {
    let node = Node::start();
    let via = "/lab/via/v/channels/chat";
    let receipt = node.json("POST", via, "Привет");
    assert_eq!(receipt["offset"], 1);
    assert_eq!(node.json("GET", via, "")["messages"][0]["data"], "Привет");
    assert_eq!(node.json("GET", &format!("{via}?after=start&wait=20"), "")["messages"][0]["data"], "Привет");
    let mut ndjson = node.connect();
    ndjson.request("GET", &format!("{via}?transport=http-stream&after=start"), "");
    ndjson.read_to("Привет");
    let mut sse = node.connect();
    sse.request("GET", &format!("{via}?transport=sse&after=start"), "");
    sse.read_to("Привет");
    for target in [&format!("{via}?after=start"), "/lab/via/v/socket"] {
        let mut socket = node.connect();
        let key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        socket.send(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{key}\r\n"));
        assert!(socket.read_to("\r\n\r\n").starts_with("HTTP/1.1 101 "));
        socket.read_to("{\"hello\":");
        if target.contains("channels") {
            socket.read_to("Привет");
        }
        // A masked ping (RFC 6455 §5.5.2) goes up, its pong comes down.
        use std::io::Write as _;
        socket.stream.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
        socket.read_to("\u{2}hi");
    }
    let shown = node.json("GET", "/lab/network/v", "");
    assert_eq!(shown["connections_total"], 7);
    assert!(
        shown["bytes_up"].as_u64().unwrap() > 500 && shown["bytes_down"].as_u64().unwrap() > 1_000,
        "{shown}"
    );
    assert_eq!(node.json("GET", "/lab/network/somebody", "")["connections_total"], 0);
}

/// Browsers use one connection for everything of an origin.
#[test]
fn one_connection_goes_in_and_out_of_networks() {
    let node = Node::start();
    let mut wire = node.connect();
    for round in 0..3 {
        assert_eq!(wire.ask("POST", "/lab/via/v/channels/chat", "x").json()["offset"], 3 * round + 1);
        assert!(wire.ask("GET", "/lab/clock", "").json()["time"].is_f64());
        // From here the HTTP library has the connection; from there it goes straight into the next network.
        assert_eq!(wire.ask("POST", "/lab/via/w/channels/chat", "x").json()["offset"], 3 * round + 2);
        assert_eq!(wire.ask("PUT", "/lab/network/v", "{}").status, 200);
        assert_eq!(wire.ask("POST", "/channels/chat", "x").json()["offset"], 3 * round + 3);
    }
    // Behind an empty line, which the HTTP library does not see and the worker leaves alone.
    for target in ["/info", "/lab/via/v/info", "/lab/clock", "/lab/via/v/info"] {
        wire.send("\r\n");
        // Time for it to be read alone.
        node.json("GET", "/lab/clock", "");
        assert_eq!(wire.ask("GET", target, "").status, 200, "{target}");
        wire.send(&format!("\r\nGET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(wire.answer().status, 200, "{target}");
    }
    // In pieces and chunked, which is the last request of its connection; and several at once.
    wire.send("POST /lab/via/v/channels/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    wire.send("0\r\n\r\n");
    assert_eq!(wire.answer().json()["offset"], 10);
    let mut wire = node.connect();
    wire.request("GET", "/lab/via/v/info", "");
    wire.request("GET", "/channels/chat", "");
    wire.request("GET", "/lab/via/w/channels/chat", "");
    assert_eq!(wire.answer().json()["name"], "efir");
    assert_eq!(wire.answer().json()["messages"].as_array().unwrap().len(), 10);
    assert_eq!(wire.answer().json()["messages"].as_array().unwrap().len(), 10);
}

#[test]
fn what_cannot_go_through_is_told_so() {
    let node = Node::start();
    for (target, status) in [
        ("/lab/via", 404),
        ("/lab/via/", 400),
        ("/lab/via/a%20b/info", 400),
        ("/lab/via/v/lab/via/w/info", 400),
        ("/lab/via/v/nothing", 404),
    ] {
        assert_eq!(node.ask("GET", target, "").status, status, "{target}");
    }
    let mut wire = node.connect();
    wire.send("GET /lab/via/v/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(wire.answer().status, 400);
}

/// Streams of HTTP/2 share a connection, which cannot be in two networks.
#[test]
fn http_2_is_refused() {
    let node = Node::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
        let (io, executor) = (hyper_util::rt::TokioIo::new(stream), hyper_util::rt::TokioExecutor::new());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        let target = format!("http://{}/lab/via/v/info", node.address);
        let request = http::Request::get(target).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 400);
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes()
    });
    assert!(String::from_utf8_lossy(&body).contains("HTTP/1.1"), "{body:?}");
}

/// A frame's payload is nobody's request, whatever it looks like.
#[test]
fn a_frame_of_http_2_that_reads_like_a_request_goes_through_no_network() {
    use std::io::Write as _;
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    for lab in [None, Some(false)] {
        let node = Node::with(|config| config.lab = lab);
        let mut wire = node.connect();
        wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        wire.stream.write_all(&frame(4, 0, 0, b"")).unwrap();
        // A POST without its body, and beside it a GET, whose answer is waited for (RFC 7541: indexed method and scheme).
        let post = frame(1, 4, 1, b"\x83\x86\x04\x0e/channels/chat\x01\x09localhost");
        let get = frame(1, 5, 3, b"\x82\x86\x04\x05/info\x01\x09localhost");
        wire.stream.write_all(&[post, get].concat()).unwrap();
        wire.read_to("\"name\":\"efir\"");
        wire.stream.write_all(&frame(0, 1, 1, b"GET /lab/via/v is how")).unwrap();
        wire.read_to("\"offset\":1");
        wire.stream.write_all(&frame(6, 0, 0, b"and on..")).unwrap();
        wire.read_to("and on..");
    }
}

/// Neither is a body of HTTP/1, nor the rest of a head, whatever they look like and whenever they come.
#[test]
fn what_follows_a_head_is_no_request_of_its_own() {
    let node = Node::start();
    let body = "GET /lab/via/v/info HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let head = |request: &str| {
        let length = body.len();
        format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n")
    };
    let mut wire = node.connect();
    for target in ["/channels/chat", "/lab/via/v/channels/chat", "/channels/chat"] {
        wire.send(&format!("{}Expect: 100-continue\r\n\r\n", head(&format!("POST {target}"))));
        wire.read_to("HTTP/1.1 100 Continue\r\n\r\n");
        // With a part of the next head, so that what comes next is neither.
        wire.send(&format!("{body}GET /channels/chat HTTP/1.1\r\nHost: localhost\r\nX-Note: "));
        assert_eq!(wire.answer().status, 200, "{target}");
        wire.send("as /lab/via/v says\r\n\r\n");
        assert_eq!(wire.answer().json()["messages"][0]["data"], body, "{target}");
    }
    // Answered before its body has come, for it wants to hear something first; what comes then is nobody's.
    wire.send(&format!("{}Expect: 100-continue\r\n\r\n", head("PATCH /lab/runs")));
    assert_eq!(wire.answer().status, 405);
    // The server may have closed already.
    let _ = std::io::Write::write_all(&mut wire.stream, body.as_bytes());
    assert!(wire.rest().is_empty());
}

#[test]
fn a_cut_network_resets_what_there_is_and_what_comes() {
    let node = Node::start();
    let (mut cut, mut other) = (node.connect(), node.connect());
    cut.stream_via("v", "chat");
    other.stream_via("w", "chat");
    // At rest between two requests; the next one may be what mends the network.
    let mut idle = node.connect();
    assert_eq!(idle.ask("GET", "/lab/via/v/info", "").status, 200);
    assert_eq!(node.set("v", r#"{"cut":true}"#)["cut"], true);
    assert!(cut.ends_by_reset());
    let mut late = node.connect();
    late.request("GET", "/lab/via/v/info", "");
    assert!(late.ends_by_reset());
    node.publish("chat", "after the cut");
    other.read_to("after the cut");
    assert_eq!(node.json("GET", "/lab/network/v", "")["resets"], 2);
    assert_eq!(node.json("GET", "/lab/network/w", "")["resets"], 0);
    assert_eq!(idle.ask("PUT", "/lab/network/v", "{}").json()["cut"], false);
    assert_eq!(idle.ask("GET", "/lab/via/v/info", "").status, 200);
    node.set("v", r#"{"cut":true}"#);
    idle.request("GET", "/lab/via/v/info", "");
    assert!(idle.ends_by_reset());
}

#[test]
fn a_delay_is_there_and_back() {
    let node = Node::start();
    node.set("v", r#"{"delay_ms":300}"#);
    let mut wire = node.connect();
    for _ in 0..2 {
        let begin = Instant::now();
        assert_eq!(wire.ask("GET", "/lab/via/v/info", "").status, 200);
        assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    }
    // One way: what is published beside it comes half of it later.
    let mut stream = node.connect();
    stream.stream_via("v", "chat");
    let begin = Instant::now();
    node.publish("chat", "late");
    stream.read_to("late");
    assert!(begin.elapsed() >= Duration::from_millis(150), "{:?}", begin.elapsed());
}

#[test]
fn dropped_bytes_vanish_and_nobody_is_told() {
    let node = Node::start();
    let (mut dropped, mut deserted, mut direct) = (node.connect(), node.connect(), node.connect());
    let mut idle = node.connect();
    assert_eq!(idle.ask("GET", "/lab/via/v/info", "").status, 200);
    dropped.stream_via("v", "chat");
    deserted.stream_via("v", "chat");
    direct.request("GET", "/channels/chat?transport=sse", "");
    direct.read_to(HELLO);
    node.set("v", r#"{"drop":true}"#);
    // A client that goes away is not seen to go.
    drop(deserted);
    for _ in 0..20 {
        node.json("GET", "/lab/clock", "");
    }
    assert_eq!(node.publish("chat", "one")["subscribers"], 3);
    direct.read_to("\"one\"");
    let mut mute = node.connect();
    mute.request("POST", "/lab/via/v/channels/chat", "vanishes");
    for round in 0..20 {
        node.publish("chat", &format!("more {round}"));
        direct.read_to(&format!("more {round}"));
    }
    assert_eq!(node.publish("chat", "two")["subscribers"], 3, "the server believes in all three");
    direct.read_to("\"two\"");
    assert!(dropped.is_silent() && mute.is_silent());
    // What ends it may come over a connection that went through the network before.
    assert_eq!(idle.ask("PUT", "/lab/network/v", "{}").json()["drop"], false);
    assert!(dropped.ends_by_reset() && mute.ends_by_reset());
    wait_until("the server knows who is gone", || node.publish("chat", "three")["subscribers"] == 1);
    let batch = node.json("GET", "/lab/via/v/channels/chat?after=start", "");
    assert!(!batch.to_string().contains("vanishes"), "{batch}");
}

#[test]
fn a_buffering_network_holds_streams_and_lets_whole_answers_through() {
    let node = Node::start();
    node.set("v", r#"{"buffer":true}"#);
    let mut held = node.connect();
    held.request("GET", "/lab/via/v/channels/chat?transport=sse", "");
    wait_until("the reader is there", || node.publish("chat", "small")["subscribers"] == 1);
    for target in ["/lab/via/v/info", "/lab/via/v/channels/chat"] {
        assert_eq!(node.ask("GET", target, "").status, 200, "{target}");
    }
    assert!(held.is_silent(), "not even the head");
    // What has gathered is let go.
    node.publish("chat", &"x".repeat(60_000));
    node.publish("chat", &"y".repeat(60_000));
    held.read_to("small");
    held.read_to("xxxx");
    node.set("v", "{}");
    held.read_to(&"y".repeat(60_000));
    node.publish("chat", "at once");
    held.read_to("at once");
}

#[test]
fn a_websocket_is_not_looked_into_by_a_buffering_network() {
    let node = Node::start();
    node.set("v", r#"{"buffer":true}"#);
    let mut socket = node.connect();
    socket.send("GET /lab/via/v/channels/chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    socket.send("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    socket.read_to("{\"hello\":");
    node.publish("chat", "at once");
    socket.read_to("at once");
}

#[test]
fn a_slow_visitor_takes_its_time() {
    let node = Node::start();
    let bytes = node.ask("GET", "/info", "").body.len();
    node.set("v", r#"{"slow_bytes_per_s":20000}"#);
    let begin = Instant::now();
    assert_eq!(node.ask("GET", "/lab/via/v/info", "").body.len(), bytes);
    // All but what is taken at the first moment.
    let least = Duration::from_secs_f64((bytes as f64 - 1_000.0) / 20_000.0);
    assert!(begin.elapsed() >= least, "{bytes} bytes in {:?}", begin.elapsed());
    node.set("v", r#"{"slow_bytes_per_s":18446744073709551615}"#);
    assert_eq!(node.ask("GET", "/lab/via/v/info", "").body.len(), bytes);
}

/// What a slow visitor does not take stays in the server's log: what the server has sent is little more than what was taken.
#[test]
fn the_lab_holds_little_for_a_slow_visitor() {
    let node = Node::start();
    node.set("v", r#"{"slow_bytes_per_s":1000}"#);
    let mut slow = node.connect();
    slow.request("GET", "/lab/via/v/channels/chat?transport=sse&client=slow", "");
    slow.read_to(HELLO);
    for _ in 0..100 {
        node.publish("chat", &"z".repeat(60_000));
    }
    let sent = || {
        let report = node.json("GET", "/traffic?client=slow", "");
        report["clients"][0]["transports"]["sse"]["bytes_down"].as_u64().unwrap()
    };
    wait_until("the server has begun", || sent() > 60_000);
    for _ in 0..20 {
        node.json("GET", "/lab/clock", "");
    }
    // The kernel holds some between the two: far less than the six million that were published.
    assert!(sent() < 1_500_000, "{}", sent());
    node.set("v", "{}");
    for _ in 0..100 {
        slow.read_to(&"z".repeat(60_000));
    }
}

#[test]
fn faults_end_by_themselves() {
    let node = Node::with(|config| config.times.lab_faults_ms = 1_000);
    // Again, if the machine was so slow that they had ended before they were felt.
    let is_cut = |_| {
        let shown = node.set("v", r#"{"cut":true,"delay_ms":100}"#);
        assert!((1..=1_000).contains(&shown["ends_in_ms"].as_u64().unwrap()), "{shown}");
        let mut cut = node.connect();
        cut.request("GET", "/lab/via/v/info", "");
        cut.ends_by_reset()
    };
    assert!((0..3).any(is_cut));
    wait_until("the end of the faults", || node.json("GET", "/lab/network/v", "")["cut"] == false);
    assert_eq!(node.ask("GET", "/lab/via/v/info", "").status, 200);
    // Also for a connection that was there all the time.
    let mut dropped = node.connect();
    dropped.stream_via("w", "chat");
    let mut is_in_time = false;
    while !is_in_time {
        let begin = Instant::now();
        node.set("w", r#"{"drop":true}"#);
        node.publish("chat", "vanishes");
        is_in_time = begin.elapsed() < Duration::from_millis(500);
    }
    assert!(dropped.ends_by_reset());
    // Nobody comes any more: nobody is remembered.
    wait_until("the visitor is forgotten", || {
        node.json("GET", "/lab/network/v", "")["connections_total"] == 0
    });
}

#[test]
fn networks_are_bounded() {
    let node = Node::with(|config| {
        config.limits.lab_visitor_connections_max = 2;
        config.limits.lab_connections_max = 3;
        config.limits.lab_visitors_max = 2;
    });
    let mut streams: Vec<_> = (0..3).map(|_| node.connect()).collect();
    streams[0].stream_via("v", "chat");
    streams[1].stream_via("v", "chat");
    let full = |limit: &str| (429, "lab_full".to_owned(), limit.to_owned());
    assert_eq!(node.ask("GET", "/lab/via/v/info", "").problem(), full("lab_visitor_connections_max"));
    streams[2].stream_via("w", "chat");
    assert_eq!(node.ask("GET", "/lab/via/w/info", "").problem(), full("lab_connections_max"));
    // Who only passes takes nobody's place.
    for visitor in ["x", "y", "x"] {
        assert_eq!(node.set(visitor, "{}")["visitor"], visitor);
    }
    assert_eq!(node.ask("PUT", "/lab/network/v", "{}").problem(), full("lab_visitors_max"));
    drop(streams);
    wait_until("room", || node.ask("GET", "/lab/via/v/info", "").status == 200);
    assert_eq!(node.ask("PUT", "/lab/network/x", r#"{"delay_ms":10001}"#).problem().2, "lab_delay_ms_max");
    assert_eq!(node.ask("PUT", "/lab/network/v", r#"{"slow":1}"#).problem().1, "invalid_json");
}

#[test]
fn a_server_that_goes_away_waits_for_no_fault() {
    let node = Node::with(|config| config.times.drain_ms_max = 60_000);
    let (mut dropped, mut delayed) = (node.connect(), node.connect());
    dropped.stream_via("v", "chat");
    node.set("v", r#"{"drop":true}"#);
    node.publish("chat", "vanishes");
    delayed.stream_via("w", "chat");
    node.set("w", r#"{"delay_ms":10000}"#);
    node.json("POST", "/lab/runs", r#"{"visitor":"v","rate":1,"seconds":60}"#);
    assert!(node.stops_within(Duration::from_secs(20)));
    delayed.read_to("event: problem");
    assert!(!delayed.ends_by_reset());
}
