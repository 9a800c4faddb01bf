//! `/socket`: commands, replies, and refusals that concern one command only.

use anyhow::{Context, Result, ensure};
use efir_client::{Event, Socket};
use serde_json::{Value, json};

use super::scenarios;
use crate::{
    ask::PATIENCE,
    room::{Cell, Room, same, texts},
};

scenarios! { "socket";
    Carriers reply_precedes_messages: "D7";
    Carriers unsubscribe_ends_messages: "wire";
    Carriers commands: "wire";
    Carriers publish_without_id: "wire";
    Carriers history: "D4", "wire";
    Carriers refusals: "wire";
    Carriers malformed_commands: "wire";
    Carriers subscribe_again: "D7";
    Carriers many_channels: "D1";
}

/// The next object of the socket that is neither hello nor heartbeat, as JSON.
async fn next(socket: &mut Socket) -> Result<Event> {
    loop {
        let event = tokio::time::timeout(PATIENCE, socket.next()).await.context("nothing comes")??;
        match event.context("the socket ended")? {
            Event::Hello(_) | Event::Heartbeat(_) => {}
            event => return Ok(event),
        }
    }
}

/// Sends a command and gives its reply; fails on anything else in between.
async fn call(socket: &mut Socket, command: &Value) -> Result<Value> {
    socket.send_raw(&command.to_string()).await?;
    match next(socket).await? {
        Event::Reply(reply) => {
            same("id", &serde_json::from_slice::<Value>(&reply.id)?, &command["id"])?;
            let body = reply.outcome.map_err(|problem| anyhow::anyhow!("{command}: {problem}"))?;
            Ok(serde_json::from_slice(&body)?)
        }
        other => anyhow::bail!("{command}: instead of a reply came {other:?}"),
    }
}

/// Sends a frame and gives the code with which it is refused.
async fn refused(socket: &mut Socket, frame: &str) -> Result<efir_client::Problem> {
    socket.send_raw(frame).await?;
    match next(socket).await? {
        Event::Reply(reply) => match reply.outcome {
            Err(problem) => Ok(problem),
            Ok(body) => anyhow::bail!("{frame} was answered with {body:?}"),
        },
        Event::Problem(problem) => Ok(problem),
        other => anyhow::bail!("{frame}: {other:?}"),
    }
}

async fn text_of(socket: &mut Socket) -> Result<(String, String)> {
    match next(socket).await? {
        Event::Message(message) => Ok((message.channel.clone(), message.text().unwrap_or_default())),
        other => anyhow::bail!("instead of a message came {other:?}"),
    }
}

async fn open(room: &Room) -> Result<Socket> {
    let mut socket = room.client()?.socket().await?;
    match tokio::time::timeout(PATIENCE, socket.next()).await?? {
        Some(Event::Hello(hello)) => {
            let limits = &room.node.settings().limits;
            same("channels_max", hello.channels_max, Some(limits.socket_channels_max as u64))?;
            same("heartbeat_ms", hello.heartbeat_ms, Some(room.node.settings().times.heartbeat_ms))?;
            ensure!(hello.cursor.is_none() && hello.channel.is_none(), "{hello:?}");
        }
        other => anyhow::bail!("not hello: {other:?}"),
    }
    Ok(socket)
}

/// However fast messages come, the reply to `subscribe` stands before the first of its channel.
async fn reply_precedes_messages(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = open(&room).await?;
    let (hub, writer) = (room.node.hub().clone(), room.writer("flood"));
    room.node.joins().hook(move |_, channel| {
        let op = writer.begin(channel, None, "text:in the join".into());
        if let Ok(receipt) = hub.publish_text(channel, "in the join") {
            let _ = writer.accepted(op, &receipt.position.to_string(), false);
        }
    });
    for n in 0..20 {
        let channel = format!("c{n}");
        let old = room.publish_to(&channel, "old").await?.position;
        let reply =
            call(&mut socket, &json!({"id": n, "subscribe": {"channel": channel, "after": "start"}})).await?;
        same("channel", reply["channel"].as_str(), Some(channel.as_str()))?;
        let start = old.replace("-1", "-0");
        same("the join cursor", reply["cursor"].as_str(), Some(start.as_str()))?;
        same("the first message", text_of(&mut socket).await?, (channel.clone(), "old".into()))?;
        // Those from within the join follow; the last one published ends them.
        room.publish_to(&channel, "last").await?;
        while text_of(&mut socket).await?.1 != "last" {}
    }
    room.close().await
}

async fn unsubscribe_ends_messages(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = open(&room).await?;
    for (id, channel) in [(1, "left"), (2, "kept")] {
        call(&mut socket, &json!({"id": id, "subscribe": {"channel": channel}})).await?;
    }
    room.publish_to("left", "m1").await?;
    same("before", text_of(&mut socket).await?.1, "m1".to_owned())?;
    let reply = call(&mut socket, &json!({"id": 3, "unsubscribe": {"channel": "left"}})).await?;
    same("reply", &reply, &json!({"channel": "left"}))?;
    same("subscribers", room.publish_to("left", "m2").await?.subscribers, 0)?;
    room.publish_to("kept", "m3").await?;
    same("after", text_of(&mut socket).await?, ("kept".into(), "m3".into()))?;
    // Back again where it was.
    call(&mut socket, &json!({"id": 4, "subscribe": {"channel": "left", "last": 1}})).await?;
    same("what was missed", text_of(&mut socket).await?.1, "m2".to_owned())?;
    room.close().await
}

async fn commands(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = open(&room).await?;
    call(&mut socket, &json!({"id": "s", "subscribe": {"channel": "c"}})).await?;
    let payloads = [
        (json!({"data": {"n": 1.5, "t": "Привет"}}), json!({"data": {"n": 1.5, "t": "Привет"}})),
        (json!({"data": null}), json!({"data": null})),
        (json!({"text": "Привет, 世界 👋"}), json!({"data": "Привет, 世界 👋"})),
        (json!({"text": ""}), json!({"data": ""})),
        (json!({"bytes": "AP8="}), json!({"bytes": "AP8="})),
    ];
    for (n, (payload, wanted)) in payloads.iter().enumerate() {
        let mut fields = payload.clone();
        fields["channel"] = "c".into();
        socket.send_raw(&json!({"id": n, "publish": fields}).to_string()).await?;
        // The message and the reply may come in either order; both come.
        let (mut reply, mut message) = (None, None);
        while reply.is_none() || message.is_none() {
            match next(&mut socket).await? {
                Event::Reply(answer) => {
                    same("id", answer.id.as_ref(), n.to_string().as_bytes())?;
                    let body = answer.outcome.map_err(|problem| anyhow::anyhow!("{payload}: {problem}"))?;
                    reply = Some(serde_json::from_slice::<Value>(&body)?);
                }
                Event::Message(got) => message = Some(serde_json::from_slice::<Value>(&got.raw)?),
                other => anyhow::bail!("{other:?}"),
            }
        }
        let (reply, message) = (reply.context("reply")?, message.context("message")?);
        same("offset", reply["offset"].as_u64(), Some(n as u64 + 1))?;
        same("durability", reply["durability"].as_str(), Some("memory"))?;
        same("subscribers", reply["subscribers"].as_u64(), Some(1))?;
        same("position", &message["position"], &reply["position"])?;
        let key = if wanted.get("data").is_some() { "data" } else { "bytes" };
        same("payload", (&message[key], message.get("data").is_some()), (&wanted[key], key == "data"))?;
    }
    let pong = call(&mut socket, &json!({"id": 100, "ping": {}})).await?;
    ensure!(pong["time"].is_u64(), "{pong}");
    room.close().await
}

/// A publish that nobody waits for is answered only when it is refused.
async fn publish_without_id(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = open(&room).await?;
    for command in
        [json!({"publish": {"channel": "c", "data": 1}}), json!({"publish": {"channel": "c", "text": "2"}})]
    {
        socket.send_raw(&command.to_string()).await?;
    }
    let refused =
        refused(&mut socket, &json!({"publish": {"channel": "a/b", "data": 1}}).to_string()).await?;
    same("code", refused.code.as_str(), "invalid_channel")?;
    let batch = call(&mut socket, &json!({"id": 1, "history": {"channel": "c", "after": "start"}})).await?;
    same("messages", batch["messages"].as_array().map(Vec::len), Some(2))?;
    room.close().await
}

async fn history(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish_inside(texts(1..=5))?;
    let mut socket = open(&room).await?;
    let channel = room.channel.clone();
    let data = |batch: &Value| -> Vec<String> {
        let messages = batch["messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|message| message["data"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let newest = call(&mut socket, &json!({"id": 1, "history": {"channel": channel, "last": 2}})).await?;
    same("the newest", data(&newest), texts(4..=5).collect())?;
    let first = json!({"id": 2, "history": {"channel": channel, "after": "start", "limit": 3}});
    let page = call(&mut socket, &first).await?;
    same("the first page", (data(&page), page["more"].as_bool()), (texts(1..=3).collect(), Some(true)))?;
    let second = json!({"id": 3, "history": {"channel": channel, "after": page["cursor"], "limit": 3}});
    let page = call(&mut socket, &second).await?;
    same("the second page", (data(&page), page["more"].as_bool()), (texts(4..=5).collect(), Some(false)))?;
    let lost =
        call(&mut socket, &json!({"id": 4, "history": {"channel": channel, "after": "lost-3"}})).await?;
    same("a gap", lost["gap"]["reason"].as_str(), Some("epoch_changed"))?;
    same("behind the gap", data(&lost), texts(1..=5).collect())?;
    // Reading is not subscribing.
    same("subscribers", room.publish("m6").await?.subscribers, 0)?;
    room.close().await
}

async fn refusals(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.message_bytes_max = 1_000).await?;
    let mut socket = open(&room).await?;
    call(&mut socket, &json!({"id": 0, "subscribe": {"channel": "c"}})).await?;
    let large = "x".repeat(1_001);
    let table = [
        (json!({"id": 1, "frobnicate": {}}), "unknown_command"),
        (json!({"id": 2, "subscribe": {"channel": "c"}}), "already_subscribed"),
        (json!({"id": 3, "unsubscribe": {"channel": "never"}}), "not_subscribed"),
        (json!({"id": 4, "subscribe": {"channel": "a/b"}}), "invalid_channel"),
        (json!({"id": 5, "unsubscribe": {"channel": ""}}), "invalid_channel"),
        (json!({"id": 6, "history": {"channel": ".."}}), "invalid_channel"),
        (json!({"id": 7, "publish": {"channel": "\u{1}", "data": 1}}), "invalid_channel"),
        (json!({"id": 8, "subscribe": {"channel": "d", "after": "x"}}), "invalid_cursor"),
        (json!({"id": 9, "history": {"channel": "d", "after": "E-01"}}), "invalid_cursor"),
        (
            json!({"id": 10, "subscribe": {"channel": "d", "after": "start", "last": 1}}),
            "conflicting_request",
        ),
        (json!({"id": 11, "publish": {"channel": "c", "text": large}}), "payload_too_large"),
        (json!({"id": 12, "publish": {"channel": "c", "bytes": "not base64"}}), "invalid_command"),
        (json!({"id": 13, "publish": {"channel": "c"}}), "invalid_command"),
        (json!({"id": 14, "publish": {"channel": "c", "data": 1, "text": "t"}}), "invalid_command"),
        (json!({"id": 15, "publish": {"channel": "c", "data": 1, "key": "two words"}}), "invalid_key"),
        (json!({"id": 16, "subscribe": {}}), "invalid_command"),
        (json!({"id": 17, "subscribe": "c"}), "invalid_command"),
        (json!({"id": 18, "subscribe": {"channel": 7}}), "invalid_command"),
        (json!({"id": 19, "subscribe": {"channel": "d", "limit": 5}}), "invalid_command"),
        (json!({"id": "text", "history": {"channel": "c", "limit": -1}}), "invalid_command"),
    ];
    for (command, code) in table {
        socket.send_raw(&command.to_string()).await?;
        let event = next(&mut socket).await?;
        let Event::Reply(reply) = event else { anyhow::bail!("{command}: {event:?}") };
        same("id", &serde_json::from_slice::<Value>(&reply.id)?, &command["id"])?;
        let Err(problem) = reply.outcome else { anyhow::bail!("{command} was not refused") };
        same("code", (command.to_string(), problem.code.as_str()), (command.to_string(), code))?;
        ensure!(!problem.detail.is_empty(), "{command}: no detail");
    }
    // Nothing of it harmed the rest.
    room.publish_to("c", "still here").await?;
    same("message", text_of(&mut socket).await?.1, "still here".to_owned())?;
    room.close().await
}

async fn malformed_commands(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = open(&room).await?;
    for (frame, codes) in [
        ("", &["invalid_json"][..]),
        ("{", &["invalid_json"]),
        ("not json", &["invalid_json"]),
        ("[]", &["invalid_command"]),
        ("7", &["invalid_command"]),
        ("{}", &["invalid_command"]),
        ("{\"id\":1}", &["invalid_command"]),
        ("{\"id\":{},\"ping\":{}}", &["invalid_command"]),
        ("{\"id\":1,\"ping\":{},\"history\":{}}", &["invalid_command"]),
    ] {
        let problem = refused(&mut socket, frame).await?;
        ensure!(codes.contains(&problem.code.as_str()), "{frame}: {problem:?}");
        let again = serde_json::to_value(&problem)?;
        ensure!(again["action"] == "stop", "{frame}: {problem:?}");
    }
    call(&mut socket, &json!({"id": 1, "ping": {}})).await?;
    room.close().await
}

/// Unsubscribed and subscribed again with what it has, while messages come: nothing is lost or repeated.
async fn subscribe_again(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = open(&room).await?;
    let (hub, channel) = (room.node.hub().clone(), "c");
    let mut cursor = String::from("start");
    let mut got = 0;
    for round in 0..10 {
        let subscribe = json!({"id": round, "subscribe": {"channel": channel, "after": cursor}});
        call(&mut socket, &subscribe).await?;
        for n in 0..5 {
            hub.publish_text(channel, &format!("m{}", round * 5 + n + 1))
                .map_err(|problem| anyhow::anyhow!("{problem}"))?;
        }
        socket.send_raw(&json!({"id": "gone", "unsubscribe": {"channel": channel}}).to_string()).await?;
        loop {
            match next(&mut socket).await? {
                Event::Message(message) => {
                    got += 1;
                    same("message", message.text(), Some(format!("m{got}")))?;
                    cursor = message.position;
                }
                Event::Reply(_) => break,
                other => anyhow::bail!("{other:?}"),
            }
        }
    }
    call(&mut socket, &json!({"id": "rest", "subscribe": {"channel": channel, "after": cursor}})).await?;
    while got < 50 {
        got += 1;
        same("message", text_of(&mut socket).await?.1, format!("m{got}"))?;
    }
    room.close().await
}

async fn many_channels(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut socket = open(&room).await?;
    for n in 0..300 {
        let command = json!({"id": n, "subscribe": {"channel": format!("c{n}")}});
        socket.send_raw(&command.to_string()).await?;
    }
    for n in 0..300 {
        let event = next(&mut socket).await?;
        let Event::Reply(reply) = event else { anyhow::bail!("{event:?}") };
        same("id", reply.id.as_ref(), n.to_string().as_bytes())?;
    }
    for n in (0..300).rev() {
        room.node.publish_inside(&format!("c{n}"), &format!("m{n}"))?;
    }
    let mut seen: Vec<u32> = Vec::new();
    for _ in 0..300 {
        let (channel, text) = text_of(&mut socket).await?;
        same("its channel", channel.trim_start_matches('c'), text.trim_start_matches('m'))?;
        seen.push(channel.trim_start_matches('c').parse()?);
    }
    seen.sort_unstable();
    same("each once", seen, (0..300).collect())?;
    room.close().await
}
