//! Every refusal, at every place where it can happen.

use anyhow::{Context, Result, ensure};
use efir_client::Event;

use super::scenarios;
use crate::{
    ask::{Ask, PATIENCE, check_problem},
    raw::Raw,
    readers::{Begin, Kind},
    room::{Cell, Room, same},
};

scenarios! { "errors";
    Rows bad_channel_name: "wire";
    Carriers bad_channel_name_to_publish: "wire";
    Carriers bad_channel_name_on_a_websocket: "wire";
    Carriers good_channel_names: "wire";
    Rows too_many_channels: "wire";
    Rows bad_parameters: "wire";
    Carriers body_too_large: "wire";
    Carriers channels_of_no_name: "wire";
    Carriers too_many_connections: "wire";
}

/// Names as they stand in a path, and what the problem must say.
const BAD_NAMES: &[(&str, &str)] = &[
    ("%2E%2E%2F", "/"),
    ("a%2Fb", "/"),
    ("%00", "U+0000"),
    ("a%0Ab", "U+000A"),
    ("%C2%85", "U+0085"),
    ("%7F", "U+007F"),
    ("%FF", "UTF-8"),
    ("%D0", "UTF-8"),
    // e with a combining accent; its NFC form is one character.
    ("cafe%CC%81", "café"),
    ("%D0%B8%CC%86", "й"),
];

async fn bad_channel_name(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    if row.kind.is_websocket() {
        return bad_name_over_frames(room).await;
    }
    let long = "x".repeat(256);
    for (name, hint) in BAD_NAMES.iter().copied().chain([(long.as_str(), "255")]) {
        let wait = if row.kind == Kind::LongPoll { "&wait=30" } else { "" };
        let target = match row.is_several {
            true => format!("/subscribe?channel={name}{wait}"),
            false => format!("/channels/{name}?{}", wait.trim_start_matches('&')),
        };
        let ask = match row.kind {
            Kind::Sse => Ask::get(target).with("accept", "text/event-stream"),
            Kind::HttpStream => Ask::get(target).with("accept", "application/x-ndjson"),
            _ => Ask::get(target),
        };
        let detail =
            if row.is_several { told_in_band(&room, ask).await } else { told_as_answer(&room, ask).await };
        let detail = detail.with_context(|| format!("channel {name}"))?;
        ensure!(detail.contains(hint), "{name}: the detail does not say {hint:?}: {detail}");
    }
    room.close().await
}

async fn told_as_answer(room: &Room, ask: Ask) -> Result<String> {
    let answer = room.ask(ask).await?;
    same("status", answer.status, 400)?;
    let problem = answer.problem("invalid_channel")?;
    Ok(problem["detail"].as_str().unwrap_or_default().to_owned())
}

/// One channel of several: 400 when no good one is left, otherwise in the batch or stream.
async fn told_in_band(room: &Room, ask: Ask) -> Result<String> {
    if room.cell.row()?.kind.is_poll() {
        let answer = room.ask(ask).await?;
        if answer.status == 400 {
            return Ok(answer.problem("invalid_channel")?["detail"].as_str().unwrap_or_default().to_owned());
        }
        same("status", answer.status, 200)?;
        let problem = answer.json()?["problems"][0].clone();
        check_problem(&problem)?;
        return Ok(problem["detail"].as_str().unwrap_or_default().to_owned());
    }
    if room.cell.carrier.is_http2() {
        // HEAD tells the status; the text is that of the same code over HTTP/1.1.
        let answer = room.ask(Ask { method: "HEAD".into(), ..ask.clone() }).await?;
        if answer.status == 200 {
            return in_band_over_h2(room, &ask).await;
        }
        return told_as_answer(room, ask).await;
    }
    let address = room.node.address();
    let mut raw = Raw::send(address, &ask.bytes(address)).await?;
    let answer = raw.head("GET").await?;
    let text =
        if answer.status == 200 { raw.body_until("invalid_channel").await? } else { raw.body_rest().await? };
    ensure!(text.contains("\"invalid_channel\""), "{} {text}", answer.status);
    Ok(text)
}

async fn in_band_over_h2(room: &Room, ask: &Ask) -> Result<String> {
    let name = ask.target.split("channel=").nth(1).unwrap_or_default();
    // The client's own encoding leads to the same bytes only for UTF-8.
    let Some(decoded) = decoded(name) else { return Ok(format!("{name}: UTF-8")) };
    let transport = match room.cell.row()?.kind {
        Kind::Sse => efir_client::Transport::Sse,
        _ => efir_client::Transport::HttpStream,
    };
    let mut stream = room.client()?.open(&efir_client::Read::channels(transport, [decoded])).await?;
    loop {
        match tokio::time::timeout(PATIENCE, stream.next()).await??.context("the stream ends")? {
            Event::Problem(problem) => {
                same("code", problem.code.as_str(), "invalid_channel")?;
                return Ok(problem.detail);
            }
            Event::Message(message) => anyhow::bail!("{message:?}"),
            _ => {}
        }
    }
}

fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

async fn bad_name_over_frames(room: Room) -> Result<()> {
    let row = room.cell.row()?;
    for (name, hint) in
        [("a/b", "/"), ("a\nb", "U+000A"), ("cafe\u{301}", "café"), ("..", ".."), ("", "1 byte")]
    {
        let code_and_detail = if row.kind == Kind::Socket {
            let refused = room.client()?.socket().await?.subscribe(name, None).await.err();
            let problem = refused.as_ref().and_then(efir_client::ClientError::problem).cloned();
            problem.map(|problem| (problem.code, problem.detail))
        } else if name.is_empty() || name == ".." {
            continue;
        } else {
            let read = match row.is_several {
                true => efir_client::Read::channels(efir_client::Transport::WebSocket, [name]),
                false => efir_client::Read::channel(efir_client::Transport::WebSocket, name),
            };
            let mut stream = room.client()?.open(&read).await?;
            loop {
                match tokio::time::timeout(PATIENCE, stream.next()).await??.context("the socket ends")? {
                    Event::Problem(problem) => break Some((problem.code, problem.detail)),
                    Event::Closed(closed) => anyhow::bail!("{name:?}: {closed:?}"),
                    _ => {}
                }
            }
        };
        let (code, detail) = code_and_detail.with_context(|| format!("{name:?} was not refused"))?;
        same("code", (name, code.as_str()), (name, "invalid_channel"))?;
        ensure!(detail.contains(hint), "{name:?}: the detail does not say {hint:?}: {detail}");
    }
    room.close().await
}

async fn bad_channel_name_to_publish(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let long = "x".repeat(256);
    for (name, hint) in BAD_NAMES.iter().copied().chain([(long.as_str(), "255"), ("%2E%2E", "..")]) {
        let answer = room.ask(Ask::text(format!("/channels/{name}"), "m")).await?;
        let problem = answer.problem("invalid_channel").with_context(|| format!("channel {name}"))?;
        ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains(hint)), "{problem}");
    }
    let mut socket = room.client()?.socket().await?;
    for name in ["", "..", "a/b", "a\u{0}", "cafe\u{301}"] {
        let refused = socket.publish(name, "1", None).await.err();
        let code = refused.as_ref().and_then(efir_client::ClientError::code);
        same("code", (name, code), (name, Some("invalid_channel")))?;
    }
    room.close().await
}

/// The handshake succeeds, so that page code sees the reason, and then the socket is closed with it.
async fn bad_channel_name_on_a_websocket(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    for (name, hint) in BAD_NAMES {
        let mut raw = Raw::websocket(room.node.address(), &format!("/channels/{name}")).await?;
        let (code, reason, objects) = raw.closed().await?;
        same("close code", (*name, code), (*name, 1008))?;
        ensure!(!reason.is_empty(), "{name}: no reason");
        let [object] = objects.as_slice() else { anyhow::bail!("{name}: {objects:?}") };
        let problem = &object["problem"];
        check_problem(problem)?;
        same("code", problem["code"].as_str(), Some("invalid_channel"))?;
        ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains(hint)), "{problem}");
    }
    room.close().await
}

/// Names that are unusual and good: in the path, in the query, in JSON.
async fn good_channel_names(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let longest = "я".repeat(127);
    for name in ["общий-чат", "a b+c", "%", "a:b:c", "...", "?&=#", "café", "👋", "~", "\\", longest.as_str()]
    {
        let encoded = efir_client::encode_channel(name);
        let reply = room.ask(Ask::text(format!("/channels/{encoded}"), "m1")).await?;
        same("status", (name, reply.status), (name, 200))?;
        same("channel", reply.json()?["channel"].as_str(), Some(name))?;
        let batch = room.ask(Ask::get(format!("/subscribe?channel={encoded}&after=start"))).await?.json()?;
        same("channel", batch["messages"][0]["channel"].as_str(), Some(name))?;
        let mut socket = room.client()?.socket().await?;
        let cursor = socket.subscribe(name, Some("start")).await?;
        ensure!(cursor.ends_with("-0"), "{name}: {cursor}");
    }
    // A plus is a plus in a path and a space in a query.
    let plus = room.ask(Ask::text("/channels/a+b", "m")).await?.json()?;
    same("channel", plus["channel"].as_str(), Some("a+b"))?;
    room.close().await
}

async fn too_many_channels(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.subscribe_channels_max = 3;
        settings.limits.socket_channels_max = 3;
    })
    .await?;
    let row = cell.row()?;
    if row.kind == Kind::Socket {
        let mut socket = room.client()?.socket().await?;
        for n in 0..3 {
            socket.subscribe(&format!("c{n}"), None).await?;
        }
        let refused = socket.subscribe("c3", None).await.err();
        same("code", refused.as_ref().and_then(efir_client::ClientError::code), Some("too_many_channels"))?;
        // One less makes room for another.
        socket.unsubscribe("c0").await?;
        socket.subscribe("c3", None).await?;
        return room.close().await;
    }
    if !row.is_several {
        return one_channel_is_never_too_many(room).await;
    }
    if row.kind == Kind::WebSocket {
        let read = efir_client::Read::channels(efir_client::Transport::WebSocket, ["a", "b", "c", "d"]);
        let mut stream = room.client()?.open(&read).await?;
        let first = stream.next().await?;
        ensure!(
            matches!(&first, Some(Event::Problem(problem)) if problem.code == "too_many_channels"),
            "{first:?}"
        );
        return room.close().await;
    }
    let wait = if row.kind == Kind::LongPoll { "&wait=30" } else { "" };
    let ask = Ask::get(format!("/subscribe?channel=a&channel=b&channel=c&channel=d{wait}"));
    let ask = match row.kind {
        Kind::Sse => ask.with("accept", "text/event-stream"),
        Kind::HttpStream => ask.with("accept", "application/x-ndjson"),
        _ => ask,
    };
    let problem = room.ask(ask).await?.problem("too_many_channels")?;
    let wanted = serde_json::json!({"name": "subscribe_channels_max", "value": 3});
    same("limit", &problem["limit"], &wanted)?;
    room.close().await
}

async fn one_channel_is_never_too_many(room: Room) -> Result<()> {
    let mut readers = Vec::new();
    for n in 0..6 {
        let mut reader = room.witness(&format!("reader {n}"))?;
        reader.open(&Begin::Now).await?;
        readers.push(reader);
    }
    room.publish("m1").await?;
    for reader in &mut readers {
        reader.text("m1").await?;
    }
    room.close().await
}

async fn bad_parameters(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let base = match (row.kind, row.is_several) {
        (Kind::Socket, _) => "/socket?".to_owned(),
        (_, true) => format!("/subscribe?channel={}&", efir_client::encode_channel(&room.channel)),
        (_, false) => room.path("?"),
    };
    let wait = if row.kind == Kind::LongPoll { "&wait=30" } else { "" };
    let queries: &[&str] = match row.kind {
        Kind::Socket => &["client=%20"],
        _ => &["limit=0", "last=two", "client=%20", "payload=xml", "ack=maybe"],
    };
    for query in queries {
        let target = format!("{base}{query}{wait}");
        if row.kind.is_websocket() {
            refused_socket(&room, &target).await.with_context(|| target.clone())?;
            continue;
        }
        let ask = match row.kind {
            Kind::Sse => Ask::get(&target).with("accept", "text/event-stream"),
            Kind::HttpStream => Ask::get(&target).with("accept", "application/x-ndjson"),
            _ => Ask::get(&target),
        };
        let answer = room.ask(ask).await?;
        same("status", (target.as_str(), answer.status), (target.as_str(), 400))?;
        answer.problem("invalid_request").with_context(|| target.clone())?;
    }
    room.close().await
}

/// Before or after the handshake, but with the code.
async fn refused_socket(room: &Room, target: &str) -> Result<()> {
    if room.cell.carrier.is_http2() {
        return Ok(());
    }
    let address = room.node.address();
    let mut raw = Raw::send(address, &crate::raw::upgrade(Ask::get(target)).bytes(address)).await?;
    let answer = raw.answer_to("GET").await?;
    if answer.status != 101 {
        return answer.problem("invalid_request").map(drop);
    }
    let (_, _, objects) = raw.closed().await?;
    same(
        "code",
        objects.first().and_then(|object| object["problem"]["code"].as_str()),
        Some("invalid_request"),
    )
}

/// Refused by its declared length, and refused when it turns out to be too long; the connection is not used for the rest.
async fn body_too_large(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.message_bytes_max = 1_000).await?;
    let answer = room.ask(Ask::text(room.path(""), &"x".repeat(1_001))).await?;
    same("status", answer.status, 413)?;
    answer.problem("payload_too_large")?;
    if !cell.carrier.is_http2() {
        let address = room.node.address();
        // Declared, but never sent: the answer does not wait for it.
        let declared = Ask::new("POST", room.path("")).with("content-length", "100000000");
        let mut raw = Raw::send(address, &declared.bytes(address)).await?;
        raw.answer_to("POST").await?.problem("payload_too_large")?;
        let chunked = Ask::new("POST", room.path("")).with("transfer-encoding", "chunked");
        let mut raw = Raw::send(address, &chunked.bytes(address)).await?;
        for _ in 0..3 {
            raw.write(format!("190\r\n{}\r\n", "x".repeat(400)).as_bytes()).await?;
        }
        raw.answer_to("POST").await?.problem("payload_too_large")?;
        let mut raw = Raw::send(address, &chunked.bytes(address)).await?;
        raw.write(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n").await?;
        same("a body in chunks", raw.answer_to("POST").await?.status, 200)?;
    }
    let last = room.ask(Ask::get(room.path("?last=5"))).await?.json()?;
    let count = usize::from(!cell.carrier.is_http2());
    same("what was appended", last["messages"].as_array().map(Vec::len), Some(count))?;
    room.close().await
}

async fn channels_of_no_name(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let empty = room.ask(Ask::get("/channels/")).await?;
    ensure!(matches!(empty.status, 400 | 404), "status {}", empty.status);
    ensure!(
        empty.problem("invalid_channel").is_ok() || empty.problem("not_found").is_ok(),
        "{}",
        empty.text()
    );
    let blank = room.ask(Ask::get("/subscribe?channel=")).await?;
    ensure!(blank.text().contains("invalid_channel"), "{}", blank.text());
    room.close().await
}

/// Temporary: EventSource, which gives up on any status but 200, is told inside of its stream.
async fn too_many_connections(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.connections_max = 16).await?;
    let address = room.node.address();
    let mut held = Vec::new();
    for _ in 0..16 {
        let ask = Ask::get(room.path("")).with("accept", "application/x-ndjson");
        let mut raw = Raw::send(address, &ask.bytes(address)).await?;
        same("status", raw.head("GET").await?.status, 200)?;
        raw.body_until("hello").await?;
        held.push(raw);
    }
    let refused = room.ask(Ask::get(room.path(""))).await?;
    same("status", refused.status, 503)?;
    let problem = refused.problem("too_many_connections")?;
    same("limit", problem["limit"]["value"].as_u64(), Some(16))?;
    ensure!(refused.header("retry-after").is_some(), "no Retry-After");
    let stream = room.ask(Ask::get(room.path("")).with("accept", "text/event-stream")).await?;
    same("status of SSE", stream.status, 200)?;
    let text = stream.text();
    ensure!(text.contains("retry:") && text.contains("event: problem"), "SSE: {text:?}");
    ensure!(text.contains("too_many_connections"), "SSE: {text:?}");
    // Who was there before is not disturbed, and a place that becomes free is given again.
    drop(held.pop());
    let due = tokio::time::Instant::now() + PATIENCE;
    // Those that are far too many are not even answered.
    while !room.ask(Ask::get(room.path(""))).await.is_ok_and(|answer| answer.status == 200) {
        ensure!(tokio::time::Instant::now() < due, "the place does not become free");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    room.publish_inside(["still here".to_owned()])?;
    for raw in &mut held {
        raw.body_until("still here").await?;
    }
    room.node.stop().await
}
