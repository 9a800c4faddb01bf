//! permessage-deflate (RFC 7692): what is agreed, what is compressed, and what comes of messages that lie about it. That everything
//! else stays as it is, the rows `websocket-deflate` and `socket-deflate` of the other topics show.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::scenarios;
use crate::{
    ask::{Ask, check_problem},
    raw::{Frame, Opcode, Raw, TEXT_COMPRESSED, deflated, frame_bytes, upgrade},
    room::{Cell, Room, same},
};

scenarios! { "deflate";
    Carriers offers: "wire";
    Carriers one_frame_for_all: "D8", "wire";
    Carriers small_windows: "D8", "wire";
    Carriers publishing: "D1", "wire";
    Carriers plain_and_empty: "D1", "wire";
    Carriers pipelined: "D1", "wire";
    Carriers commands: "wire";
    Carriers bad_messages: "D2", "wire";
    Carriers bombs: "D2", "wire";
    Carriers switched_off: "wire";
}

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

async fn open(room: &Room, query: &str) -> Result<Raw> {
    let (raw, agreed) = Raw::websocket_with(room.node.address(), &room.path(query), OFFER).await?;
    same("what is agreed", agreed.as_deref(), Some(AGREED))?;
    Ok(raw)
}

/// A text that compression makes shorter.
fn long(word: &str) -> String {
    std::iter::repeat_n(word, 120).collect::<Vec<_>>().join(" ")
}

async fn offers(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let with_window = format!("{AGREED}; server_max_window_bits=11");
    for (offer, wanted) in [
        (OFFER, Some(AGREED)),
        ("permessage-deflate", Some(AGREED)),
        ("x-webkit-deflate-frame, permessage-deflate; client_no_context_takeover", Some(AGREED)),
        ("permessage-deflate; server_max_window_bits=11", Some(with_window.as_str())),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Some(AGREED)),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; level=9", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("x-other", None),
    ] {
        for target in [room.path(""), "/subscribe?channel=a&channel=b".into(), "/socket".into()] {
            let (mut raw, agreed) = Raw::websocket_with(room.node.address(), &target, offer).await?;
            same(offer, agreed.as_deref(), wanted)?;
            ensure!(raw.object().await?.get("hello").is_some(), "{offer}: hello is plain and comes first");
        }
    }
    // What is no list of extensions at all fails the handshake (RFC 6455 §9.1).
    let ask = upgrade(Ask::get(room.path(""))).with("Sec-WebSocket-Extensions", "permessage-deflate; =");
    room.ask(ask).await?.problem("invalid_request")?;
    let info = room.ask(Ask::get("/info")).await?.json()?;
    same("/info", info["websocket_deflate"].as_bool(), Some(true))?;
    room.close().await
}

/// The same bytes for everybody who takes them; short messages and control objects are plain.
async fn one_frame_for_all(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut readers = [open(&room, "").await?, open(&room, "").await?];
    let mut plain = Raw::websocket(room.node.address(), &room.path("")).await?;
    for text in [long("Привет"), "short".into(), long("мир")] {
        room.publish(&text).await?;
        let wanted = plain.message_frame().await?;
        ensure!(wanted.is(Opcode::Text), "nothing was agreed: {wanted:?}");
        let frames = [readers[0].message_frame().await?, readers[1].message_frame().await?];
        same("the frames of two readers", &frames[0], &frames[1])?;
        same("object", frames[0].object()?, wanted.object()?)?;
        same("text", frames[0].object()?["data"].as_str(), Some(text.as_str()))?;
        same("compressed", frames[0].is_compressed(), text != "short")?;
        let (found, most) = (frames[0].payload.len(), wanted.payload.len());
        ensure!(
            if frames[0].is_compressed() { found < most / 4 } else { found == most },
            "{found} of {most}"
        );
    }
    // What was written before comes in the same form.
    let mut late = open(&room, "?after=start").await?;
    for is_compressed in [true, false, true] {
        same("compressed", late.message_frame().await?.is_compressed(), is_compressed)?;
    }
    room.close().await
}

/// A client with a small window gets what fits it, and the rest plain.
async fn small_windows(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let offer = "permessage-deflate; server_max_window_bits=10";
    let (mut raw, _) = Raw::websocket_with(room.node.address(), &room.path(""), offer).await?;
    for (text, is_compressed) in [("a".repeat(800), true), ("a".repeat(2_000), false)] {
        room.publish(&text).await?;
        let frame = raw.message_frame().await?;
        same("compressed", frame.is_compressed(), is_compressed)?;
        same("text", frame.object()?["data"].as_str(), Some(text.as_str()))?;
    }
    room.close().await
}

/// Compressed messages in one frame and in several, with and without a final block, empty ones among them.
async fn publishing(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "").await?;
    let text = long("Привет");
    let bytes = deflated(text.as_bytes())?;
    raw.write(&frame_bytes(TEXT_COMPRESSED, &bytes)).await?;
    same("text", &data(&mut raw).await?, &json!(text))?;
    // RSV1 stands on the first frame only (RFC 7692 §6.1); a ping may come in between.
    raw.write(&frame_bytes(0x41, &bytes[..9])).await?;
    raw.send_frame(Opcode::Ping, b"still there?").await?;
    raw.write(&frame_bytes(0x00, b"")).await?;
    raw.write(&frame_bytes(0x80, &bytes[9..])).await?;
    while !raw.frame().await?.is(Opcode::Pong) {}
    same("text in pieces", &data(&mut raw).await?, &json!(text))?;
    raw.write(&frame_bytes(TEXT_COMPRESSED, &[0])).await?;
    same("nothing", &data(&mut raw).await?, &json!(""))?;
    // The example of RFC 7692 §7.2.3.4: a stream that ends with a final block.
    raw.write(&frame_bytes(TEXT_COMPRESSED, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])).await?;
    same("a final block", &data(&mut raw).await?, &json!("Hello"))?;
    raw.write(&frame_bytes(0xc2, &deflated(&[0, 255])?)).await?;
    same("bytes", &raw.message_frame().await?.object()?["bytes"], &json!("AP8="))?;
    // Nothing obliges a client to compress.
    raw.send_frame(Opcode::Text, b"plain").await?;
    same("plain", &data(&mut raw).await?, &json!("plain"))?;
    for byte in frame_bytes(TEXT_COMPRESSED, &deflated("по одному".as_bytes())?) {
        raw.write(&[byte]).await?;
    }
    same("byte by byte", &data(&mut raw).await?, &json!("по одному"))?;
    room.close().await
}

/// What is empty need not be compressed where compression was agreed: many a client leaves it as it is.
async fn plain_and_empty(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "").await?;
    for _ in 0..100 {
        raw.send_frame(Opcode::Text, b"").await?;
        same("text", &data(&mut raw).await?, &json!(""))?;
        raw.send_frame(Opcode::Binary, b"").await?;
        same("bytes", &raw.message_frame().await?.object()?["bytes"], &json!(""))?;
        raw.write(&[frame_bytes(0x01, b""), frame_bytes(0x00, b""), frame_bytes(0x80, b"")].concat()).await?;
        same("in pieces", &data(&mut raw).await?, &json!(""))?;
        raw.write(&frame_bytes(TEXT_COMPRESSED, &[0])).await?;
        same("compressed", &data(&mut raw).await?, &json!(""))?;
    }
    room.close().await
}

async fn data(raw: &mut Raw) -> Result<Value> {
    Ok(raw.message_frame().await?.object()?["data"].clone())
}

/// A thousand at once: each is published, in order, and every one comes back.
async fn pipelined(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "").await?;
    let texts: Vec<String> = (1..=1_000).map(|n| long(&format!("n{n}"))).collect();
    let mut wire = Vec::new();
    for text in &texts {
        wire.extend(frame_bytes(TEXT_COMPRESSED, &deflated(text.as_bytes())?));
    }
    raw.write(&wire).await?;
    for (n, text) in texts.iter().enumerate() {
        let object = raw.message_frame().await?.object()?;
        same("text", object["data"].as_str(), Some(text.as_str()))?;
        let position = object["position"].as_str().unwrap_or_default();
        ensure!(position.ends_with(&format!("-{}", n + 1)), "{position} is not the {n}th");
    }
    room.close().await
}

async fn commands(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let (mut raw, agreed) = Raw::websocket_with(room.node.address(), "/socket", OFFER).await?;
    same("what is agreed", agreed.as_deref(), Some(AGREED))?;
    let subscribe = json!({"id": 1, "subscribe": {"channel": "a"}}).to_string();
    raw.write(&frame_bytes(TEXT_COMPRESSED, &deflated(subscribe.as_bytes())?)).await?;
    let text = long("Привет");
    let publish = json!({"id": 2, "publish": {"channel": "a", "text": text}}).to_string();
    raw.write(&frame_bytes(TEXT_COMPRESSED, &deflated(publish.as_bytes())?)).await?;
    // Replies go by on the way, and are plain.
    let frame = raw.message_frame().await?;
    same("text", frame.object()?["data"].as_str(), Some(text.as_str()))?;
    same("compressed", frame.is_compressed(), true)?;
    // A page of history is a reply.
    raw.send_frame(Opcode::Text, br#"{"id":3,"history":{"channel":"a","after":"start"}}"#).await?;
    let reply = raw.object_past_heartbeats().await?;
    same("history", reply["reply"]["messages"][0]["data"].as_str(), Some(text.as_str()))?;
    room.close().await
}

/// What is no DEFLATE stream, or inflates to no UTF-8, ends the connection as RFC 6455 §7.4.1 says.
async fn bad_messages(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let hello = deflated(long("hello").as_bytes())?;
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("no block type has these bits", frame_bytes(TEXT_COMPRESSED, &[0xff; 8]), 1007),
        ("cut", frame_bytes(TEXT_COMPRESSED, &hello[..hello.len() - 3]), 1007),
        ("after the end", frame_bytes(TEXT_COMPRESSED, &[0xf3, 0x48, 0x05, 0x00, 0x00, 1, 2]), 1007),
        ("not UTF-8", frame_bytes(TEXT_COMPRESSED, &deflated(&[b'a', 0xff])?), 1007),
        ("a compressed ping", frame_bytes(0xc9, b""), 1002),
        (
            "RSV1 on a continuation",
            [frame_bytes(0x41, &hello[..5]), frame_bytes(0xc0, &hello[5..])].concat(),
            1002,
        ),
        ("RSV2", frame_bytes(0xe1, &hello), 1002),
    ];
    for (name, bytes, wanted) in table {
        let mut raw = open(&room, "").await?;
        raw.write(&bytes).await?;
        let problem = closed_with(&mut raw, wanted).await.context(name)?;
        ensure!(
            problem["code"].as_str().is_some_and(|code| code.starts_with("invalid_")),
            "{name}: {problem}"
        );
        raw.to_end().await?;
    }
    // No context is kept: a message that refers to the one before it refers to nothing.
    let mut raw = open(&room, "").await?;
    raw.write(&frame_bytes(TEXT_COMPRESSED, &hello)).await?;
    same("the first", data(&mut raw).await?.as_str(), Some(long("hello").as_str()))?;
    raw.write(&frame_bytes(TEXT_COMPRESSED, &[0xf2, 0x00, 0x11, 0x00, 0x00])).await?;
    closed_with(&mut raw, 1007).await?;
    let batch = room.ask(Ask::get(room.path("?after=start"))).await?.json()?;
    same("what was published", batch["messages"].as_array().map(Vec::len), Some(1))?;
    room.close().await
}

/// Reads on to the close frame, checks its code, and gives the problem that came before it.
async fn closed_with(raw: &mut Raw, wanted: u16) -> Result<Value> {
    let (code, _, objects) = raw.closed().await?;
    same("close code", code, wanted)?;
    let problem = objects.iter().find_map(|object| object.get("problem")).context("no problem in-band")?;
    check_problem(problem)?;
    Ok(problem.clone())
}

/// The limit holds for what a message is when it is inflated, to the byte; what inflates a thousand times is not inflated beyond it.
async fn bombs(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.message_bytes_max = 10_000).await?;
    let bomb = deflated(&vec![b'x'; 4 << 20])?;
    ensure!(bomb.len() < 10_000, "the bomb has {} bytes", bomb.len());
    let half = bomb.len() / 2;
    let over = deflated(&[b'x'; 10_001])?;
    for (name, bytes) in [
        ("one byte too much", frame_bytes(TEXT_COMPRESSED, &over)),
        ("a bomb", frame_bytes(TEXT_COMPRESSED, &bomb)),
        ("a bomb in pieces", [frame_bytes(0x41, &bomb[..half]), frame_bytes(0x80, &bomb[half..])].concat()),
        ("a bomb of bytes", frame_bytes(0xc2, &bomb)),
    ] {
        let mut raw = open(&room, "").await?;
        raw.write(&frame_bytes(TEXT_COMPRESSED, &deflated(&[b'x'; 10_000])?)).await?;
        same(name, data(&mut raw).await?.as_str().map(str::len), Some(10_000))?;
        raw.write(&bytes).await?;
        let problem = closed_with(&mut raw, 1009).await.context(name)?;
        same("code", problem["code"].as_str(), Some("payload_too_large"))?;
        let wanted = json!({"name": "message_bytes_max", "value": 10_000});
        same("limit", &problem["limit"], &wanted)?;
        raw.to_end().await?;
    }
    // Its head is enough to refuse what is too long even deflated.
    let mut raw = open(&room, "").await?;
    raw.write(&[TEXT_COMPRESSED, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]).await?;
    closed_with(&mut raw, 1009).await?;
    room.close().await
}

async fn switched_off(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.has_websocket_deflate = false).await?;
    let (mut raw, agreed) = Raw::websocket_with(room.node.address(), &room.path(""), OFFER).await?;
    same("what is agreed", agreed, None)?;
    room.publish(&long("Привет")).await?;
    let frame: Frame = raw.message_frame().await?;
    same("compressed", frame.is_compressed(), false)?;
    raw.write(&frame_bytes(TEXT_COMPRESSED, &deflated(b"x")?)).await?;
    closed_with(&mut raw, 1002).await?;
    let info = room.ask(Ask::get("/info")).await?.json()?;
    same("/info", info["websocket_deflate"].as_bool(), Some(false))?;
    room.close().await
}
