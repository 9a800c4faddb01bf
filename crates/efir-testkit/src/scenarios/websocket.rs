//! WebSocket frames, good and bad (RFC 6455), and publishing with them.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::scenarios;
use crate::{
    ask::{Ask, check_problem},
    raw::{Opcode, Raw, frame_bytes},
    room::{Cell, Room, same},
};

scenarios! { "websocket";
    Carriers publishing_by_frames: "D1", "wire";
    Carriers acks_and_ordinals: "D2", "wire";
    Carriers json_frames: "wire";
    Carriers several_channels_only_read: "wire";
    Carriers fragments: "wire";
    Carriers many_fragments: "wire";
    Carriers ping_and_close: "wire";
    Carriers server_pings: "D10";
    Carriers bad_frames: "wire";
    Carriers bad_text: "wire";
    Carriers frame_too_large: "D2", "wire";
    Carriers frames_behind_the_handshake: "wire";
    Carriers byte_by_byte: "wire";
}

async fn open(room: &Room, query: &str) -> Result<Raw> {
    let mut raw = Raw::websocket(room.node.address(), &room.path(query)).await?;
    let hello = raw.object().await?;
    ensure!(hello.get("hello").is_some(), "hello comes first, not {hello}");
    Ok(raw)
}

/// What a message holds.
async fn payload(raw: &mut Raw) -> Result<serde_json::Value> {
    let mut object = raw.object_past_heartbeats().await?;
    let fields = object.as_object_mut().context("an object")?;
    for known in ["channel", "position", "time"] {
        ensure!(fields.remove(known).is_some(), "no {known}: {fields:?}");
    }
    Ok(object)
}

async fn publishing_by_frames(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "").await?;
    raw.send_frame(Opcode::Text, "Привет, 世界 👋".as_bytes()).await?;
    same("text", &payload(&mut raw).await?, &json!({"data": "Привет, 世界 👋"}))?;
    // Text is text, never sniffed.
    raw.send_frame(Opcode::Text, b"{\"a\":1}").await?;
    same("text", &payload(&mut raw).await?, &json!({"data": "{\"a\":1}"}))?;
    raw.send_frame(Opcode::Binary, &[0, 255]).await?;
    same("bytes", &payload(&mut raw).await?, &json!({"bytes": "AP8="}))?;
    raw.send_frame(Opcode::Text, b"").await?;
    same("nothing", &payload(&mut raw).await?, &json!({"data": ""}))?;
    room.close().await
}

async fn acks_and_ordinals(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.message_bytes_max = 100).await?;
    let mut raw = open(&room, "?ack=1&payload=json").await?;
    let frames = [("1", true), ("nonsense", false), ("\"two\"", true), ("{", false), ("[3]", true)];
    for (text, _) in frames {
        raw.send_frame(Opcode::Text, text.as_bytes()).await?;
    }
    let (mut offset, mut ordinal) = (0, 0);
    while ordinal < frames.len() as u64 {
        let object = raw.object_past_heartbeats().await?;
        if object.get("position").is_some() {
            continue;
        }
        ordinal += 1;
        if frames[ordinal as usize - 1].1 {
            offset += 1;
            let ack = &object["ack"];
            same("ack", (ack["ordinal"].as_u64(), ack["offset"].as_u64()), (Some(ordinal), Some(offset)))?;
            same("durability", ack["durability"].as_str(), Some("memory"))?;
        } else {
            let problem = &object["problem"];
            check_problem(problem)?;
            same(
                "problem",
                (problem["ordinal"].as_u64(), problem["code"].as_str()),
                (Some(ordinal), Some("invalid_json")),
            )?;
        }
    }
    room.close().await
}

async fn json_frames(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "?payload=json").await?;
    raw.send_frame(Opcode::Text, b"{\n\"n\": 9007199254740993}").await?;
    let frame = loop {
        let frame = raw.frame().await?;
        if String::from_utf8_lossy(&frame.payload).contains("position") {
            break frame;
        }
    };
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    ensure!(text.ends_with("\"data\":{ \"n\": 9007199254740993}}"), "{text}");
    raw.send_frame(Opcode::Text, b"{]").await?;
    let problem = raw.object_past_heartbeats().await?["problem"].clone();
    check_problem(&problem)?;
    same(
        "code and ordinal",
        (problem["code"].as_str(), problem["ordinal"].as_u64()),
        (Some("invalid_json"), Some(2)),
    )?;
    // A binary frame is bytes all the same.
    raw.send_frame(Opcode::Binary, &[1]).await?;
    same("bytes", &payload(&mut raw).await?, &json!({"bytes": "AQ=="}))?;
    room.close().await
}

async fn several_channels_only_read(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = Raw::websocket(room.node.address(), "/subscribe?channel=a&channel=b").await?;
    let hello = raw.object().await?;
    same("channels", hello["hello"]["channels"].as_array().map(Vec::len), Some(2))?;
    raw.send_frame(Opcode::Text, b"to whom?").await?;
    let problem = raw.object_past_heartbeats().await?["problem"].clone();
    check_problem(&problem)?;
    same("code", problem["code"].as_str(), Some("invalid_request"))?;
    room.publish_to("b", "m1").await?;
    same("message", raw.object_past_heartbeats().await?["data"].as_str(), Some("m1"))?;
    room.close().await
}

async fn fragments(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "").await?;
    let text = "Привет";
    // Cut inside a character, with a ping in between.
    raw.write(&frame_bytes(0x01, &text.as_bytes()[..3])).await?;
    raw.send_frame(Opcode::Ping, b"still there?").await?;
    raw.write(&frame_bytes(0x00, &text.as_bytes()[3..4])).await?;
    raw.write(&frame_bytes(0x00, b"")).await?;
    raw.write(&frame_bytes(0x80, &text.as_bytes()[4..])).await?;
    let mut has_pong = false;
    loop {
        let frame = raw.frame().await?;
        if frame.is(Opcode::Pong) {
            same("pong", &frame.payload[..], b"still there?")?;
            has_pong = true;
        } else if String::from_utf8_lossy(&frame.payload).contains("position") {
            ensure!(String::from_utf8_lossy(&frame.payload).ends_with("\"data\":\"Привет\"}"), "{frame:?}");
            break;
        }
    }
    ensure!(has_pong, "the ping was not answered before the message was complete");
    room.close().await
}

/// A message as large as it may be may come in pieces of 64 bytes, and of any size a small one in 4,096 pieces; in more it is refused.
async fn many_fragments(cell: Cell) -> Result<()> {
    for (bytes, fragments_max) in [(65_536, 4_096), (1 << 20, 16_384)] {
        let room = Room::with(&cell, |settings| settings.limits.message_bytes_max = bytes).await?;
        let info = room.ask(Ask::get("/info")).await?.json()?;
        same("/info", info["limits"]["fragments_max"].as_u64(), Some(fragments_max))?;
        let mut raw = open(&room, "").await?;
        let size = bytes / fragments_max as usize;
        let piece = vec![b'x'; size];
        let mut wire = frame_bytes(0x01, &piece);
        for _ in 2..fragments_max {
            wire.extend(frame_bytes(0x00, &piece));
        }
        raw.write(&wire).await?;
        raw.write(&frame_bytes(0x80, &piece)).await?;
        same("whole", payload(&mut raw).await?["data"].as_str().map(str::len), Some(bytes))?;
        let mut wire = frame_bytes(0x01, b"");
        for _ in 0..fragments_max {
            wire.extend(frame_bytes(0x00, b""));
        }
        raw.write(&wire).await?;
        let (code, _, objects) = raw.closed().await?;
        same("close code", code, 1009)?;
        let problem =
            objects.iter().find_map(|object| object.get("problem")).context("no problem in-band")?;
        check_problem(problem)?;
        same("limit", &problem["limit"], &json!({"name": "fragments_max", "value": fragments_max}))?;
        room.close().await?;
    }
    Ok(())
}

async fn ping_and_close(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "").await?;
    for payload in [&b""[..], b"x", &[7; 125]] {
        raw.send_frame(Opcode::Ping, payload).await?;
        let pong = loop {
            let frame = raw.frame().await?;
            if frame.is(Opcode::Pong) {
                break frame;
            }
        };
        same("pong", &pong.payload[..], payload)?;
    }
    raw.send_frame(Opcode::Pong, b"unasked").await?;
    raw.send_frame(Opcode::Close, &[&1000_u16.to_be_bytes()[..], "до свидания".as_bytes()].concat()).await?;
    let (code, _, _) = raw.closed().await?;
    same("close code", code, 1000)?;
    same("what follows", raw.to_end().await?.len(), 0)?;
    let mut raw = open(&room, "").await?;
    raw.send_frame(Opcode::Close, b"").await?;
    while !raw.frame().await?.is(Opcode::Close) {}
    room.close().await
}

async fn server_pings(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.times.ping_ms = 60).await?;
    let mut raw = open(&room, "").await?;
    for _ in 0..2 {
        let ping = loop {
            let frame = raw.frame().await?;
            if frame.is(Opcode::Ping) {
                break frame;
            }
        };
        raw.send_frame(Opcode::Pong, &ping.payload).await?;
    }
    // Whoever never answers is given up, and its place is free.
    let silent = Room::with(&cell, |settings| {
        (settings.times.ping_ms, settings.times.silent_ms_max) = (50, 150);
    })
    .await?;
    let mut raw = open(&silent, "").await?;
    while raw.frame().await.is_ok() {}
    super::publish::until_nobody_reads(&silent).await?;
    silent.close().await?;
    room.close().await
}

/// Bytes that break RFC 6455, and the close code that says so.
async fn bad_frames(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let unmasked = vec![0x81, 0x01, b'x'];
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", unmasked, 1002),
        ("reserved bit 1", frame_bytes(0xc1, b"x"), 1002),
        ("reserved bit 3", frame_bytes(0x91, b"x"), 1002),
        ("opcode 3", frame_bytes(0x83, b"x"), 1002),
        ("opcode 11", frame_bytes(0x8b, b"x"), 1002),
        ("a continuation of nothing", frame_bytes(0x80, b"x"), 1002),
        ("text within text", [frame_bytes(0x01, b"x"), frame_bytes(0x81, b"y")].concat(), 1002),
        ("a ping in pieces", frame_bytes(0x09, b"x"), 1002),
        ("a ping of 126 bytes", frame_bytes(0x89, &[0; 126]), 1002),
        ("a close of 1 byte", frame_bytes(0x88, b"x"), 1002),
        ("close code 1005", frame_bytes(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close code 999", frame_bytes(0x88, &999_u16.to_be_bytes()), 1002),
        ("a length of 2^63", [&[0x82, 0xff][..], &[0xff; 8], &[0; 4]].concat(), 1002),
        ("a close reason of bad UTF-8", frame_bytes(0x88, &[0x03, 0xe8, 0xff]), 1007),
    ];
    for (name, bytes, wanted) in table {
        let mut raw = open(&room, "").await?;
        raw.write(&bytes).await?;
        let (code, _, objects) = raw.closed().await.with_context(|| name.to_owned())?;
        let is_length = name.starts_with("a length") && code == 1009;
        ensure!(code == wanted || is_length, "{name}: closed with {code}, not {wanted}");
        for object in objects.iter().filter(|object| object.get("problem").is_some()) {
            check_problem(&object["problem"]).with_context(|| name.to_owned())?;
        }
        raw.to_end().await?;
    }
    let batch = room.ask(Ask::get(room.path(""))).await?.json()?;
    same("what was published", batch["messages"].as_array().map(Vec::len), Some(0))?;
    room.close().await
}

/// Bad UTF-8 fails at once, also inside a message that is not complete, and with the code in-band.
async fn bad_text(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    for bytes in [
        frame_bytes(0x81, &[0xff]),
        frame_bytes(0x81, &[b'a', 0xd0]),
        frame_bytes(0x81, &[0xed, 0xa0, 0x80]),
        frame_bytes(0x01, &[0xf5]),
        [frame_bytes(0x01, &[0xd0]), frame_bytes(0x80, b"x")].concat(),
    ] {
        let mut raw = open(&room, "").await?;
        raw.write(&bytes).await?;
        let (code, reason, _) = raw.closed().await?;
        same("close code", code, 1007)?;
        ensure!(!reason.is_empty(), "no reason");
    }
    room.close().await
}

/// Its head is enough to refuse it.
async fn frame_too_large(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.message_bytes_max = 1_000).await?;
    let mut raw = open(&room, "").await?;
    raw.send_frame(Opcode::Text, &[b'x'; 1_000]).await?;
    ensure!(
        payload(&mut raw).await?["data"].as_str().is_some_and(|data| data.len() == 1_000),
        "not the text"
    );
    raw.write(&[0x81, 0xfe, 0x03, 0xe9, 1, 2, 3, 4]).await?;
    let (code, _, objects) = raw.closed().await?;
    same("close code", code, 1009)?;
    let problem = objects.iter().find_map(|object| object.get("problem")).context("no problem in-band")?;
    check_problem(problem)?;
    same("code", problem["code"].as_str(), Some("payload_too_large"))?;
    let mut raw = open(&room, "").await?;
    raw.write(&frame_bytes(0x01, &[b'x'; 600])).await?;
    raw.write(&frame_bytes(0x80, &[b'x'; 600])).await?;
    same("close code of pieces", raw.closed().await?.0, 1009)?;
    room.close().await
}

/// What is written behind the handshake, before its answer, is not lost.
async fn frames_behind_the_handshake(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let mut bytes = crate::raw::upgrade(Ask::get(room.path("?ack=1"))).bytes(address);
    bytes.extend(frame_bytes(0x81, b"early"));
    let mut raw = Raw::send(address, &bytes).await?;
    same("status", raw.answer_to("GET").await?.status, 101)?;
    loop {
        let object = raw.object_past_heartbeats().await?;
        if let Some(ack) = object.get("ack") {
            same("ordinal", ack["ordinal"].as_u64(), Some(1))?;
            break;
        }
    }
    room.close().await
}

async fn byte_by_byte(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut raw = open(&room, "").await?;
    for byte in frame_bytes(0x81, "по одному".as_bytes()) {
        raw.write(&[byte]).await?;
    }
    same("text", &payload(&mut raw).await?, &json!({"data": "по одному"}))?;
    // A frame that stays half is nobody's message.
    raw.write(&frame_bytes(0x81, b"half a frame")[..9]).await?;
    raw.reset()?;
    super::publish::until_nobody_reads(&room).await?;
    let batch = room.ask(Ask::get(room.path("?after=start"))).await?;
    ensure!(!batch.text().contains("half"), "half a frame was published");
    room.node.stop().await
}
