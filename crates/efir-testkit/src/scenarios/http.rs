//! HTTP itself: versions, methods, negotiation, and streams byte for byte.

use anyhow::{Context, Result, ensure};

use super::scenarios;
use crate::{
    ask::{Answer, Ask},
    raw::{Raw, upgrade},
    room::{Cell, Room, same},
};

scenarios! { "http";
    Carriers negotiation: "wire";
    Carriers contradictions: "wire";
    Carriers upgrade_contradictions: "wire";
    Carriers wrong_methods: "wire";
    Carriers head: "wire";
    Carriers version_1_0: "wire";
    Carriers stream_headers: "wire";
    Carriers streams_byte_for_byte: "D8", "wire";
    Carriers subscribe_with_a_body: "D4", "wire";
    Carriers traffic_names_are_checked: "wire";
    Carriers what_is_told_of_the_server: "wire";
    Carriers half_a_request: "wire";
    Carriers lasting_answers_behind_short_ones: "wire";
}

/// What an answer is: the name of its transport, or its problem's code.
fn transport_of(answer: &Answer) -> String {
    let kind = answer.header("content-type").unwrap_or_default();
    let is_held = answer.header("cache-control") == Some("no-store");
    match kind.split(';').next().unwrap_or_default() {
        "text/event-stream" => "sse".into(),
        "application/x-ndjson" => "http-stream".into(),
        "application/problem+json" => answer
            .json()
            .ok()
            .and_then(|problem| problem["code"].as_str().map(str::to_owned))
            .unwrap_or_default(),
        _ if is_held => "long-poll".into(),
        _ => "short-poll".into(),
    }
}

/// Asks for a response that may never end, and says what it is.
async fn chosen(room: &Room, ask: Ask) -> Result<String> {
    // HEAD has the headers of the GET and ends; what is no stream must be asked for, because HEAD is never held.
    if room.cell.carrier.is_http2() {
        let answer = room.ask(Ask { method: "HEAD".into(), ..ask.clone() }).await?;
        let kind = transport_of(&answer);
        let is_stream = matches!(kind.as_str(), "sse" | "http-stream");
        return Ok(if is_stream { kind } else { transport_of(&room.ask(ask).await?) });
    }
    let address = room.node.address();
    let mut raw = Raw::send(address, &ask.bytes(address)).await?;
    let mut answer = raw.head(&ask.method).await?;
    if answer.header("content-type").is_some_and(|kind| kind.contains("json") && !kind.contains("ndjson")) {
        answer.body = raw.body_rest().await?.into();
    }
    Ok(transport_of(&answer))
}

/// A query, headers, and the transport that they choose.
type Choice<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// docs/protocol.md §3, in its order.
async fn negotiation(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let (sse, ndjson) = ("text/event-stream", "application/x-ndjson");
    let table: &[Choice<'_>] = &[
        ("", &[], "short-poll"),
        ("", &[("accept", "*/*")], "short-poll"),
        ("", &[("accept", "application/json")], "short-poll"),
        ("", &[("accept", sse)], "sse"),
        ("", &[("accept", "TEXT/EVENT-STREAM; charset=utf-8")], "sse"),
        ("", &[("accept", "text/html, text/event-stream;q=0.9, */*;q=0.1")], "sse"),
        ("", &[("accept", ndjson)], "http-stream"),
        ("", &[("accept", "application/x-ndjson, text/event-stream")], "http-stream"),
        ("", &[("accept", "text/event-stream, application/x-ndjson")], "sse"),
        ("?wait=0.05", &[], "long-poll"),
        ("", &[("prefer", "wait=0")], "long-poll"),
        ("?wait=0.05", &[("accept", "application/json")], "long-poll"),
        ("?transport=short-poll", &[("accept", sse)], "short-poll"),
        ("?transport=sse", &[], "sse"),
        ("?transport=sse", &[("accept", ndjson)], "sse"),
        ("?transport=http-stream", &[("accept", sse)], "http-stream"),
        ("?transport=long-poll&wait=0.05", &[("accept", sse)], "long-poll"),
        ("?transport=long-poll", &[], "long-poll"),
        ("?transport=carrier-pigeon", &[], "invalid_request"),
        ("?transport=SSE", &[], "invalid_request"),
        ("?transport=", &[], "invalid_request"),
    ];
    for (query, headers, wanted) in table {
        for path in [room.path(query), several(&room, query)] {
            let mut ask = Ask::get(path.clone());
            for (name, value) in *headers {
                ask = ask.with(name, *value);
            }
            let found = chosen(&room, ask).await.with_context(|| format!("{path} {headers:?}"))?;
            same(
                "the transport",
                (path.as_str(), headers, found.as_str()),
                (path.as_str(), headers, *wanted),
            )?;
        }
    }
    room.close().await
}

/// The same query on `/subscribe`.
pub(super) fn several(room: &Room, query: &str) -> String {
    let channel = efir_client::encode_channel(&room.channel);
    format!("/subscribe?channel={channel}&channel=side&{}", query.trim_start_matches('?'))
}

async fn contradictions(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let position = room.publish("m1").await?.position;
    let after_and_last = format!("?after={position}&last=2");
    let two_afters = format!("?after={position}&after=start");
    for query in [
        "?transport=short-poll&wait=25",
        "?transport=sse&transport=http-stream",
        "?after=start&last=1",
        "?wait=1&wait=2",
        after_and_last.as_str(),
        two_afters.as_str(),
    ] {
        let answer = room.ask(Ask::get(room.path(query))).await?;
        same("status", (query, answer.status), (query, 400))?;
        answer.problem("conflicting_request").with_context(|| query.to_owned())?;
    }
    for path in [room.path("?transport=websocket"), "/socket".into(), several(&room, "?transport=websocket")]
    {
        let answer = room.ask(Ask::get(path.clone())).await?;
        same("status", (path.as_str(), answer.status), (path.as_str(), 426))?;
        answer.problem("upgrade_required").with_context(|| path.clone())?;
        if !cell.carrier.is_http2() {
            ensure!(answer.lists("upgrade", "websocket"), "{path}: 426 without Upgrade (RFC 9110 §15.5.22)");
        }
    }
    // The same thing said twice is no contradiction.
    let agreed = room.ask(Ask::get(room.path("?wait=0.05")).with("prefer", "wait=1")).await?;
    same("query and Prefer", agreed.status, 200)?;
    room.close().await
}

async fn upgrade_contradictions(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    for query in ["?transport=sse", "?transport=short-poll", "?transport=long-poll"] {
        room.ask(upgrade(Ask::get(room.path(query))))
            .await?
            .problem("conflicting_request")
            .with_context(|| query.to_owned())?;
    }
    let version = Ask::get(room.path(""))
        .with("connection", "upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = room.ask(version.clone().with("sec-websocket-version", "8")).await?;
    same("status of version 8", answer.status, 426)?;
    same("Sec-WebSocket-Version", answer.header("sec-websocket-version"), Some("13"))?;
    for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ"] {
        let ask = Ask::get(room.path(""))
            .with("connection", "upgrade")
            .with("upgrade", "websocket")
            .with("sec-websocket-version", "13")
            .with("sec-websocket-key", key);
        same("status of a bad key", (key, room.ask(ask).await?.status), (key, 400))?;
    }
    let posted = upgrade(Ask::text(room.path(""), "m"));
    ensure!(room.ask(posted).await?.status != 101, "a POST was upgraded");
    room.close().await
}

async fn wrong_methods(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let channel = room.path("");
    for (method, path, allowed) in [
        ("DELETE", channel.as_str(), "GET, HEAD, POST, PUT, OPTIONS"),
        ("PATCH", channel.as_str(), "GET, HEAD, POST, PUT, OPTIONS"),
        ("QUERY", channel.as_str(), "GET, HEAD, POST, PUT, OPTIONS"),
        ("DELETE", "/subscribe?channel=a", "GET, HEAD, POST, QUERY, OPTIONS"),
        ("PUT", "/subscribe?channel=a", "GET, HEAD, POST, QUERY, OPTIONS"),
        ("POST", "/socket", "GET, OPTIONS"),
        ("POST", "/info", "GET, HEAD, OPTIONS"),
    ] {
        let answer = room.ask(Ask::new(method, path)).await?;
        same("status", (method, path, answer.status), (method, path, 405))?;
        answer.problem("method_not_allowed")?;
        let mut found: Vec<String> =
            answer.list("allow").split(',').map(|name| name.trim().to_owned()).collect();
        let mut wanted: Vec<String> = allowed.split(", ").map(str::to_owned).collect();
        found.sort();
        wanted.sort();
        same("Allow", (method, path, found), (method, path, wanted))?;
    }
    for path in ["/channels", "/channels/a/b", "/subscribe/", "/socket/x", "/info/x"] {
        let answer = room.ask(Ask::get(path)).await?;
        same("status", (path, answer.status), (path, 404))?;
        answer.problem("not_found").with_context(|| path.to_owned())?;
    }
    room.close().await
}

async fn head(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let position = room.publish("m1").await?.position;
    for (query, accept, kind) in [
        ("", "*/*", "application/json"),
        ("?wait=60", "*/*", "application/json"),
        ("", "text/event-stream", "text/event-stream"),
        ("", "application/x-ndjson", "application/x-ndjson"),
    ] {
        let answer = room.ask(Ask::new("HEAD", room.path(query)).with("accept", accept)).await?;
        same("status", (query, accept, answer.status), (query, accept, 200))?;
        ensure!(answer.body.is_empty(), "a body: {:?}", answer.body);
        ensure!(answer.header("content-type").is_some_and(|found| found.starts_with(kind)), "{answer:?}");
    }
    let short = room.ask(Ask::new("HEAD", room.path(""))).await?;
    same("Efir-Cursor", short.header("efir-cursor"), Some(position.as_str()))?;
    let bad = room.ask(Ask::new("HEAD", "/channels/..%2F")).await?;
    same("a bad name", (bad.status, bad.body.len()), (400, 0))?;
    same("/info", room.ask(Ask::new("HEAD", "/info")).await?.status, 200)?;
    room.close().await
}

/// nginx's old default towards backends: no chunk headers, and the end of the connection is the end of the body.
async fn version_1_0(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    room.publish("m1").await?;
    let request = |query: &str, headers: &str| {
        format!("GET {} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n", room.path(query)).into_bytes()
    };
    for query in ["", "?after=start&wait=5"] {
        let mut raw = Raw::send(address, &request(query, "")).await?;
        let answer = raw.answer_to("GET").await?;
        same("status", answer.status, 200)?;
        ensure!(answer.header("transfer-encoding").is_none(), "chunks for HTTP/1.0: {answer:?}");
        same("messages", answer.json()?["messages"].as_array().map(Vec::len), Some(1))?;
        same("what follows", raw.to_end().await?.len(), 0)?;
    }
    for (accept, mark) in
        [("text/event-stream", "data: {\"channel\""), ("application/x-ndjson", "\n{\"channel\"")]
    {
        let mut raw = Raw::send(address, &request("?after=start", &format!("Accept: {accept}\r\n"))).await?;
        let answer = raw.head("GET").await?;
        ensure!(answer.header("transfer-encoding").is_none(), "chunks for HTTP/1.0: {answer:?}");
        ensure!(answer.header("content-length").is_none(), "a length for a stream: {answer:?}");
        let text = raw.body_until("m1").await?;
        let first = if accept.starts_with("text") { "retry: " } else { "{\"hello\":" };
        ensure!(text.starts_with(first), "the body begins with {text:?}");
        ensure!(text.contains(mark), "no message in {text:?}");
        room.publish("m2").await?;
        raw.body_until("m2").await?;
        let batch = room.ask(Ask::get(room.path("?last=1"))).await?.json()?;
        ensure!(batch["messages"][0]["data"] == "m2", "{batch}");
        room.publish("m1").await?;
    }
    // Without a Host header, which HTTP/1.0 does not demand.
    let mut raw = Raw::send(address, b"GET /info HTTP/1.0\r\n\r\n").await?;
    same("status without Host", raw.answer_to("GET").await?.status, 200)?;
    // And with keep-alive asked for, as some old clients do.
    let mut raw = Raw::send(address, &request("", "Connection: keep-alive\r\n")).await?;
    same("status with keep-alive", raw.answer_to("GET").await?.status, 200)?;
    room.close().await
}

async fn stream_headers(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    for accept in ["text/event-stream", "application/x-ndjson"] {
        for path in [room.path(""), several(&room, "")] {
            let answer = room.ask(Ask::new("HEAD", path).with("accept", accept)).await?;
            same("Cache-Control", answer.header("cache-control"), Some("no-store"))?;
            same("X-Accel-Buffering", answer.header("x-accel-buffering"), Some("no"))?;
            same("Incremental", answer.header("incremental"), Some("?1"))?;
            for name in ["Accept", "Prefer", "Origin"] {
                ensure!(answer.lists("vary", name), "Vary: {}", answer.list("vary"));
            }
        }
    }
    room.close().await
}

/// docs/protocol.md §5.3 to the letter.
async fn streams_byte_for_byte(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let first = room.publish("m1").await?.position;
    let ask = Ask::get(room.path(&format!("?after={first}"))).with("accept", "text/event-stream");
    let mut sse = Raw::send(address, &ask.bytes(address)).await?;
    sse.head("GET").await?;
    let second = room.publish("строка").await?.position;
    let text = sse.body_until("строка\"}\n\n").await?;
    let time = time_of(&text)?;
    let (retry, rest) = text.split_once("\n\n").or_else(|| text.split_once('\n')).context("retry")?;
    let ms: u64 = retry.strip_prefix("retry: ").context("retry first")?.trim().parse()?;
    let times = &room.node.settings().times;
    ensure!((times.retry_ms_min..=times.retry_ms_max).contains(&ms), "retry: {ms}");
    let channel = &room.channel;
    let (head, tail) = rest.trim_start_matches('\n').split_once("\n\n").context("hello")?;
    let mut lines: Vec<&str> = head.lines().collect();
    lines.sort_unstable();
    let heartbeat = times.heartbeat_ms;
    let data =
        format!("data: {{\"channel\":\"{channel}\",\"cursor\":\"{first}\",\"heartbeat_ms\":{heartbeat}}}");
    same("hello", lines, vec![data.as_str(), "event: hello", format!("id: {first}").as_str()])?;
    let object = format!(
        "{{\"channel\":\"{channel}\",\"position\":\"{second}\",\"time\":{time},\"data\":\"строка\"}}"
    );
    let message = format!("id: {second}\ndata: {object}\n\n");
    ensure!(tail.ends_with(&message), "the message is {tail:?}, not {message:?}");

    let ask = Ask::get(room.path(&format!("?after={first}"))).with("accept", "application/x-ndjson");
    let mut lines = Raw::send(address, &ask.bytes(address)).await?;
    lines.head("GET").await?;
    let text = lines.body_until("строка\"}\n").await?;
    let hello = format!(
        "{{\"hello\":{{\"channel\":\"{channel}\",\"cursor\":\"{first}\",\"heartbeat_ms\":{heartbeat}}}}}\n"
    );
    same("NDJSON", text, format!("{hello}{object}\n"))?;
    room.close().await
}

fn time_of(text: &str) -> Result<&str> {
    let (_, rest) = text.rsplit_once("\"time\":").context("a time")?;
    rest.split_once(',').map(|(time, _)| time).context("a time")
}

/// `POST` and `QUERY` on `/subscribe` take each channel's own cursor.
async fn subscribe_with_a_body(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let first = room.publish("m1").await?.position;
    room.publish("m2").await?;
    room.publish_to("side", "s1").await?;
    let body = serde_json::json!({"channels": [
        {"channel": room.channel, "after": first}, {"channel": "side", "after": "start"}, "third"
    ]});
    for method in ["POST", "QUERY"] {
        let ask = Ask { method: method.into(), ..Ask::json("/subscribe?wait=5", &body.to_string()) };
        let answer = room.ask(ask).await?;
        same("status", (method, answer.status), (method, 200))?;
        let batch = answer.json()?;
        let mut seen: Vec<&str> = batch["messages"]
            .as_array()
            .context("messages")?
            .iter()
            .filter_map(|one| one["data"].as_str())
            .collect();
        seen.sort_unstable();
        same("messages", seen, vec!["m2", "s1"])?;
    }
    for (body, code) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_request"),
        ("{}", "invalid_request"),
        ("{\"channels\":[]}", "invalid_request"),
        ("{\"channels\":[1]}", "invalid_request"),
        ("{\"channels\":[{\"after\":\"start\"}]}", "invalid_request"),
        ("{\"channels\":[{\"channel\":\"a\",\"after\":\"x\"}]}", "invalid_cursor"),
    ] {
        let answer = room.ask(Ask::json("/subscribe", body)).await?;
        same("status", (body, answer.status), (body, 400))?;
        let is_json = code == "invalid_request" && answer.problem("invalid_json").is_ok();
        if !is_json {
            answer.problem(code).with_context(|| body.to_owned())?;
        }
    }
    let none = room.ask(Ask::get("/subscribe")).await?;
    none.problem("invalid_request")?;
    room.close().await
}

async fn traffic_names_are_checked(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let long = "c".repeat(65);
    for client in ["a%20b", "", "%D1%8F", long.as_str()] {
        room.ask(Ask::get(room.path(&format!("?client={client}"))))
            .await?
            .problem("invalid_request")
            .with_context(|| format!("client={client}"))?;
    }
    let longest = "c".repeat(64);
    for client in ["me", "A.b_c~d-9", longest.as_str()] {
        let answer = room.ask(Ask::get(room.path(&format!("?client={client}")))).await?;
        same("status", (client, answer.status), (client, 200))?;
    }
    room.close().await
}

async fn what_is_told_of_the_server(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let answer = room.ask(Ask::get("/info")).await?;
    same("status", answer.status, 200)?;
    let about = answer.json()?;
    let text = about.to_string();
    for name in ["short-poll", "long-poll", "sse", "http-stream", "websocket"] {
        ensure!(text.contains(&format!("\"{name}\"")), "/info does not name {name}: {text}");
    }
    let limits = &about["limits"];
    let max = room.node.settings().limits.message_bytes_max as u64;
    same("limits.message_bytes_max", limits["message_bytes_max"].as_u64(), Some(max))?;
    let heartbeat = &about["times"]["heartbeat_ms"];
    same("times.heartbeat_ms", heartbeat.as_u64(), Some(room.node.settings().times.heartbeat_ms))?;
    ensure!(about["version"].as_str().is_some_and(|version| !version.is_empty()), "no version: {text}");
    for row in efir_core::CODES {
        ensure!(text.contains(row.name), "/info does not name the code {}", row.name);
    }
    room.close().await
}

/// A client that stops in the middle of a head or body holds nothing up and publishes nothing.
async fn half_a_request(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let whole = Ask::text(room.path(""), "never sent as a whole").bytes(address);
    for length in [1, 10, whole.len() / 2, whole.len() - 1] {
        let mut raw = Raw::send(address, &whole[..length]).await?;
        raw.shut_down().await?;
        let end = raw.to_end().await?;
        ensure!(!end.starts_with(b"HTTP/1.1 200"), "half a request was accepted: {end:?}");
        Raw::send(address, &whole[..length]).await?.reset()?;
    }
    let batch = room.ask(Ask::get(room.path(""))).await?.json()?;
    same("what was published", batch["messages"].as_array().map(Vec::len), Some(0))?;
    // Byte by byte it is a request like any other.
    let mut raw = Raw::connect(address).await?;
    for byte in &whole {
        raw.write(std::slice::from_ref(byte)).await?;
    }
    same("status", raw.answer_to("POST").await?.status, 200)?;
    room.close().await
}

/// A connection whose next answer lasts still owes the ones before it: all requests stand in one write.
async fn lasting_answers_behind_short_ones(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    room.publish("m1").await?;
    let short = Ask::get(room.path("?after=start")).bytes(address);
    let lasting = [
        Ask::get(room.path("?after=start&wait=60")),
        Ask::get(room.path("?after=start")).with("accept", "text/event-stream"),
        Ask::get(room.path("?after=start")).with("accept", "application/x-ndjson"),
        upgrade(Ask::get(room.path("?after=start"))),
    ];
    for (n, last) in lasting.into_iter().enumerate() {
        let publish = Ask::text(format!("/channels/behind-{n}"), "m").bytes(address);
        let mut raw = Raw::send(address, &[short.clone(), publish, last.bytes(address)].concat()).await?;
        let first = raw.answer_to("GET").await?;
        ensure!(first.text().contains("\"m1\""), "the first answer: {first:?}");
        same("the publish", raw.answer_to("POST").await?.json()?["offset"].as_u64(), Some(1))?;
        let third = raw.head("GET").await?;
        if third.status == 101 {
            ensure!(raw.object().await?.get("hello").is_some(), "no hello");
            same("message", raw.object_past_heartbeats().await?["data"].as_str(), Some("m1"))?;
        } else {
            same("status", third.status, 200)?;
            raw.body_until("\"m1\"").await?;
        }
    }
    room.close().await
}
