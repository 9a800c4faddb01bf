//! Sending: what is answered, what is refused, and that a retry does not say it twice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use efir_client::{Event, Payload, Transport};
use serde_json::{Value, json};

use super::scenarios;
use crate::{
    ask::{Ask, PATIENCE},
    raw::Raw,
    readers::{Begin, Kind, ROWS, Row},
    room::{Cell, Room, same},
};

scenarios! { "publish";
    Carriers reply_has_everything: "D2", "wire";
    Carriers content_types: "wire";
    Carriers refused_payloads: "D2", "wire";
    Carriers idempotent_retry: "D3";
    Carriers key_conflict: "D3";
    Carriers keys_are_checked: "wire";
    Carriers full_key_table: "D3";
    Carriers key_outlives_its_message: "D3";
    Carriers retry_over_a_socket: "D3";
    Carriers pipelined_over_http: "D1";
    Carriers pipelined_over_a_websocket: "D1";
    Carriers pipelined_over_a_socket: "D1";
    Rows subscribers_are_counted: "wire";
}

fn plain(kind: Kind) -> Row {
    ROWS.iter().find(|row| row.kind == kind && !row.is_several).copied().unwrap_or(ROWS[0])
}

async fn reply_has_everything(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    for (method, offset) in [("POST", 1), ("PUT", 2)] {
        let ask = Ask { method: method.into(), ..Ask::text(room.path(""), "Привет") };
        let answer = room.ask(ask).await?;
        same("status", answer.status, 200)?;
        let reply = answer.json()?;
        let epoch = reply["epoch"].as_str().context("epoch")?.to_owned();
        let position = format!("{epoch}-{offset}");
        let wanted = json!({
            "channel": room.channel, "position": position, "offset": offset, "epoch": epoch,
            "durability": "memory", "duplicate": false, "subscribers": 0,
        });
        same("reply", &reply, &wanted)?;
        same("Efir-Cursor", answer.header("efir-cursor"), Some(position.as_str()))?;
        let kind = answer.header("content-type").unwrap_or_default();
        ensure!(kind.starts_with("application/json"), "type {kind:?}");
    }
    room.close().await
}

/// What a body is by its type: JSON, text or bytes.
async fn content_types(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let table: &[(Option<&str>, &[u8], Value)] = &[
        (Some("application/json"), b"{\"a\": 1}", json!({"data": {"a": 1}})),
        (Some("application/json; charset=utf-8"), b"[]", json!({"data": []})),
        (Some("application/cloudevents+json"), b"{\"a\":2}", json!({"data": {"a": 2}})),
        (Some("APPLICATION/JSON"), b"1", json!({"data": 1})),
        (Some("text/plain"), b"{\"a\":1}", json!({"data": "{\"a\":1}"})),
        (Some("text/plain;charset=UTF-8"), "Привет".as_bytes(), json!({"data": "Привет"})),
        (Some("text/html"), b"<b>", json!({"data": "<b>"})),
        (Some("application/x-www-form-urlencoded"), "a=b&в=г".as_bytes(), json!({"data": "a=b&в=г"})),
        (Some("application/x-www-form-urlencoded"), &[0xff, 0x00], json!({"bytes": "/wA="})),
        (None, b"plain", json!({"data": "plain"})),
        (None, &[0xfe], json!({"bytes": "/g=="})),
        (None, b"", json!({"data": ""})),
        (Some("application/octet-stream"), b"abc", json!({"bytes": "YWJj"})),
        (Some("image/png"), &[0x89], json!({"bytes": "iQ=="})),
        (Some("application/octet-stream"), b"", json!({"bytes": ""})),
    ];
    for (n, (kind, body, wanted)) in table.iter().enumerate() {
        let mut ask = Ask { body: Bytes::from_static(body), ..Ask::new("POST", room.path("")) };
        if let Some(kind) = kind {
            ask = ask.with("content-type", *kind);
        }
        let answer = room.ask(ask).await?;
        same("status", (n, answer.status), (n, 200))?;
        let batch = room.ask(Ask::get(room.path("?last=1"))).await?.json()?;
        let mut message = batch["messages"][0].clone();
        let object = message.as_object_mut().context("a message")?;
        for known in ["channel", "position", "time"] {
            object.remove(known);
        }
        same("the message", (n, &message), (n, wanted))?;
    }
    room.close().await
}

async fn refused_payloads(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let deep = "[".repeat(129) + &"]".repeat(129);
    let table: &[(&str, &[u8], &str)] = &[
        ("application/json", b"", "invalid_json"),
        ("application/json", b"{", "invalid_json"),
        ("application/json", b"{\"a\":1,}", "invalid_json"),
        ("application/json", b"{} {}", "invalid_json"),
        ("application/json", b"01", "invalid_json"),
        ("application/json", b"NaN", "invalid_json"),
        ("application/json", b"\"a\nb\"", "invalid_json"),
        ("application/json", &[b'"', 0xff, b'"'], "invalid_json"),
        ("application/json", b"\xef\xbb\xbf{}", "invalid_json"),
        ("application/json", deep.as_bytes(), "invalid_json"),
        ("text/plain", &[0xff], "invalid_utf8"),
        ("text/plain", &[0xd0], "invalid_utf8"),
    ];
    for (kind, body, code) in table {
        let body = Bytes::copy_from_slice(body);
        let answer = room.ask(Ask::post(room.path(""), kind, body.clone())).await?;
        // Not UTF-8 inside JSON may be told as the one or the other.
        let is_either = body.contains(&0xff) && answer.problem("invalid_utf8").is_ok();
        if !is_either {
            answer.problem(code).with_context(|| format!("{body:?}"))?;
        }
    }
    let ok = "[".repeat(128) + &"]".repeat(128);
    same("depth 128", room.ask(Ask::json("/channels/deep", &ok)).await?.status, 200)?;
    // The declared length is enough to refuse it, and so is what comes without a declared length.
    let max = room.node.settings().limits.message_bytes_max;
    let large = Ask::text(room.path(""), &"x".repeat(max + 1));
    let problem = room.ask(large).await?.problem("payload_too_large")?;
    same("limit", &problem["limit"], &json!({"name": "message_bytes_max", "value": max}))?;
    let head = room.ask(Ask::get(room.path(""))).await?.json()?;
    same("what was appended", head["messages"].as_array().map(Vec::len), Some(0))?;
    room.close().await
}

async fn idempotent_retry(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let writer = room.writer("writer");
    let mut reader = room.witness_of("reader", plain(Kind::Sse))?;
    reader.open(&Begin::Now).await?;
    let first = writer.publish(&room.channel, "m1".into(), Some("key-1")).await?;
    same("duplicate", first.duplicate, false)?;
    writer.publish(&room.channel, "m2".into(), Some("key-2")).await?;
    for _ in 0..3 {
        let again = writer.publish(&room.channel, "m1".into(), Some("key-1")).await?;
        same("the retry", (again.duplicate, again.position.as_str()), (true, first.position.as_str()))?;
    }
    // A key belongs to its channel, and no key is no retry.
    let elsewhere = writer.publish("elsewhere", "m1".into(), Some("key-1")).await?;
    same("duplicate elsewhere", elsewhere.duplicate, false)?;
    let keyless = writer.publish(&room.channel, "m1".into(), None).await?;
    same("offset without a key", keyless.offset, 3)?;
    reader.texts(["m1".into(), "m2".into(), "m1".to_owned()]).await?;
    reader.settle().await?;
    room.close().await
}

async fn key_conflict(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let writer = room.writer("writer");
    let first = writer.publish(&room.channel, "m1".into(), Some("k")).await?;
    let others = [Payload::Text("m2".into()), Payload::Json("\"m1 \"".into()), Payload::Bytes("m1".into())];
    for other in others {
        let shown = format!("{other:?}");
        let refused = writer.publish(&room.channel, other, Some("k")).await.err();
        let code = refused.as_ref().and_then(efir_client::ClientError::code);
        same("code", (shown.as_str(), code), (shown.as_str(), Some("key_conflict")))?;
    }
    let again = writer.publish(&room.channel, "m1".into(), Some("k")).await?;
    same("the first is still known", again.position, first.position)?;
    let batch = room.ask(Ask::get(room.path(""))).await?.json()?;
    same("what was appended", batch["messages"].as_array().map(Vec::len), Some(1))?;
    let answer = room.ask(Ask::text(room.path(""), "m3").with("idempotency-key", "k")).await?;
    same("status", answer.status, 409)?;
    answer.problem("key_conflict")?;
    room.close().await
}

async fn keys_are_checked(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let long = "k".repeat(129);
    for key in ["", "with space", long.as_str(), "ключ"] {
        let answer = room.ask(Ask::text(room.path(""), "m").with("idempotency-key", key)).await?;
        answer.problem("invalid_key").with_context(|| format!("key {key:?}"))?;
    }
    let longest = "k".repeat(128);
    for key in ["!", "~", "a/b\"c", longest.as_str()] {
        let answer = room.ask(Ask::text(room.path(""), "m").with("idempotency-key", key)).await?;
        same("status", (key, answer.status), (key, 200))?;
    }
    room.close().await
}

async fn full_key_table(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.keys_max = 3).await?;
    let writer = room.writer("writer");
    for n in 1..=3 {
        writer.publish(&room.channel, format!("m{n}").as_str().into(), Some(&format!("k{n}"))).await?;
    }
    let answer = room.ask(Ask::text(room.path(""), "m4").with("idempotency-key", "k4")).await?;
    same("status", answer.status, 503)?;
    let problem = answer.problem("key_window_full")?;
    same("action", problem["action"].as_str(), Some("retry_later"))?;
    ensure!(answer.header("retry-after").is_some(), "no Retry-After");
    // Nothing is forgotten early, and what has no key needs no place.
    let again = writer.publish(&room.channel, "m1".into(), Some("k1")).await?;
    same("the first key", (again.duplicate, again.offset), (true, 1))?;
    let keyless = writer.publish(&room.channel, "m4".into(), None).await?;
    same("offset without a key", keyless.offset, 4)?;
    room.close().await
}

/// A key is remembered for its time although its message is trimmed, and not longer.
async fn key_outlives_its_message(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.retention_messages_max = 1;
        settings.limits.key_window_ms = 1_000;
    })
    .await?;
    let ask = |text: &str| Ask::text(room.path(""), text).with("idempotency-key", "k");
    room.ask(ask("m1")).await?;
    room.publish("m2").await?;
    let again = room.ask(ask("m1")).await?.json()?;
    same("the retry", (again["duplicate"].as_bool(), again["offset"].as_u64()), (Some(true), Some(1)))?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let late = room.ask(ask("m1")).await?.json()?;
    same("past the window", (late["duplicate"].as_bool(), late["offset"].as_u64()), (Some(false), Some(3)))?;
    room.node.stop().await
}

async fn retry_over_a_socket(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = room.client()?.socket().await?;
    let first = socket.publish(&room.channel, "{\"n\":1}", Some("k")).await?;
    let again = socket.publish(&room.channel, "{\"n\":1}", Some("k")).await?;
    same("the retry", (again.duplicate, &again.position), (true, &first.position))?;
    let refused = socket.publish(&room.channel, "{\"n\":2}", Some("k")).await.err();
    same("code", refused.as_ref().and_then(efir_client::ClientError::code), Some("key_conflict"))?;
    // The key is the same one, however it is sent.
    let over_http =
        room.ask(Ask::json(room.path(""), "{\"n\":1}").with("idempotency-key", "k")).await?.json()?;
    same(
        "over HTTP",
        (over_http["duplicate"].as_bool(), over_http["offset"].as_u64()),
        (Some(true), Some(1)),
    )?;
    room.close().await
}

const PIPELINED: u64 = 1_000;

async fn pipelined_over_http(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness_of("reader", plain(Kind::WebSocket))?;
    reader.open(&Begin::Now).await?;
    let (address, writer) = (room.node.address(), room.writer("pipe"));
    let mut bytes = Vec::new();
    let mut ops = Vec::new();
    for n in 1..=PIPELINED {
        bytes.extend(Ask::text(room.path(""), &format!("m{n}")).bytes(address));
        ops.push(writer.begin(&room.channel, None, format!("text:m{n}")));
    }
    let mut raw = Raw::connect(address).await?;
    // Written in pieces that do not end where requests do.
    for piece in bytes.chunks(10_007) {
        raw.write(piece).await?;
    }
    let mut answers = Vec::new();
    while answers.len() < ops.len() {
        answers.push(raw.answer_to("POST").await?);
    }
    for (n, (answer, op)) in answers.iter().zip(ops).enumerate() {
        let reply = answer.json()?;
        same("offset", reply["offset"].as_u64(), Some(n as u64 + 1))?;
        writer.accepted(op, reply["position"].as_str().unwrap_or_default(), false)?;
    }
    reader.texts((1..=PIPELINED).map(|n| format!("m{n}"))).await?;
    reader.settle().await?;
    room.close().await
}

async fn pipelined_over_a_websocket(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let read = efir_client::Read::channel(Transport::WebSocket, room.channel.clone()).acks();
    let mut socket = room.client()?.open(&read).await?;
    let writer = room.writer("pipe");
    let mut ops = Vec::new();
    for n in 1..=PIPELINED {
        ops.push(writer.begin(&room.channel, None, format!("text:m{n}")));
        socket.send_text(&format!("m{n}")).await?;
    }
    let (mut acked, mut received) = (0, 0);
    let due = tokio::time::Instant::now() + PATIENCE;
    while acked < PIPELINED || received < PIPELINED {
        ensure!(tokio::time::Instant::now() < due, "only {acked} acks and {received} messages come");
        let event = tokio::time::timeout(PATIENCE, socket.next()).await??;
        match event.context("the socket ended")? {
            Event::Ack(ack) => {
                acked += 1;
                same("ordinal and offset", (ack.ordinal, ack.receipt.offset), (acked, acked))?;
                writer.accepted(ops[acked as usize - 1], &ack.receipt.position, false)?;
            }
            // Its own messages come back to it, as to everybody.
            Event::Message(message) => {
                received += 1;
                same("message", message.text(), Some(format!("m{received}")))?;
            }
            Event::Problem(problem) => anyhow::bail!("{problem:?}"),
            _ => {}
        }
    }
    room.close().await
}

async fn pipelined_over_a_socket(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = room.client()?.socket().await?;
    let writer = room.writer("pipe");
    let channel = serde_json::to_string(&room.channel)?;
    let mut ops = Vec::new();
    for n in 1..=PIPELINED {
        ops.push(writer.begin(&room.channel, None, format!("text:m{n}")));
        let command = format!("{{\"id\":{n},\"publish\":{{\"channel\":{channel},\"text\":\"m{n}\"}}}}");
        socket.send_raw(&command).await?;
    }
    for n in 1..=PIPELINED {
        let reply = loop {
            if let Event::Reply(reply) =
                tokio::time::timeout(PATIENCE, socket.next()).await??.context("the socket ended")?
            {
                break reply;
            }
        };
        same("id", reply.id.as_ref(), n.to_string().as_bytes())?;
        let receipt: Value =
            serde_json::from_slice(&reply.outcome.map_err(|problem| anyhow::anyhow!("{problem}"))?)?;
        same("offset", receipt["offset"].as_u64(), Some(n))?;
        writer.accepted(ops[n as usize - 1], receipt["position"].as_str().unwrap_or_default(), false)?;
    }
    room.close().await
}

/// Streams and held polls count; who has gone does not.
async fn subscribers_are_counted(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let kind = cell.row()?.kind;
    // The connection is made before, so that a hold lasts longer than the publish.
    room.publish_to("elsewhere", "m0").await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let wanted = u64::from(kind != Kind::ShortPoll);
    same("subscribers", room.publish("m1").await?.subscribers, wanted)?;
    reader.text("m1").await?;
    reader.cut();
    until_nobody_reads(&room).await?;
    room.close().await
}

/// Publishes until nobody is counted any more; it need not take longer than the news of a closed connection.
pub(super) async fn until_nobody_reads(room: &Room) -> Result<()> {
    let due = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let subscribers = room.publish("is anybody there?").await?.subscribers;
        if subscribers == 0 {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < due, "{subscribers} are still counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
