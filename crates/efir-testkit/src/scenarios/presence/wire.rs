//! Presence as it is asked for by hand: `PUT` and `DELETE`, the commands of `/socket`, the body of `/subscribe`, and what is refused.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use efir_client::{Client, Event, Who};
use serde_json::json;

use super::{Watcher, log, open, path, row_of};
use crate::{
    ask::{Ask, PATIENCE},
    readers::Kind,
    room::{Cell, Room, same},
};

pub(super) async fn commands_of_a_socket(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let mut socket = room.client()?.socket().await?;
    let entered = socket.enter(&room.channel, &Who::new("a").name("Аня")).await?;
    same(
        "the reply",
        (entered.channel.as_str(), entered.count, entered.lease_ms),
        (room.channel.as_str(), 1, None),
    )?;
    let mut other = room.client()?.socket().await?;
    same("two of them", other.enter(&room.channel, &Who::new("b")).await?.count, 2)?;
    let mut watcher = Watcher::open(&room, row_of(Kind::Socket)?).await?;
    watcher.has(&["a", "b"]).await?;
    socket.enter(&room.channel, &Who::new("c")).await?;
    watcher.has(&["b", "c"]).await?;
    same("leaving", socket.leave(&room.channel).await?.count, 1)?;
    same("leaving again", socket.leave(&room.channel).await?.count, 1)?;
    watcher.has(&["b"]).await?;
    other.enter("side", &Who::new("b")).await?;
    other.close(1000, "bye").await?;
    watcher.has(&[]).await?;
    let closed = Instant::now();
    while room.client()?.presence("side").await?.count > 0 {
        ensure!(closed.elapsed() < PATIENCE, "the socket leaves only one channel");
    }
    let history =
        socket.call(&efir_client::Command::History { channel: log(&room), after: None, limit: None }).await?;
    let history: serde_json::Value = serde_json::from_slice(&history)?;
    same("the state in a history", history["presence"]["count"].as_u64(), Some(0))?;
    room.close().await
}

pub(super) async fn a_lease_by_put(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let mut watcher = Watcher::open(&room, row_of(Kind::Sse)?).await?;
    let put =
        |query: &str| Ask { body: "{\"name\":\"Аня\"}".into(), ..Ask::new("PUT", path(&room, query)) };
    let query = "?member=a&client=tab&transport=sse";
    let answer = room.ask(put(query)).await?.json()?;
    let wanted = json!({"channel": room.channel, "count": 1, "lease_ms": 400});
    same("the reply", answer, wanted)?;
    watcher.has(&["a"]).await?;
    same(
        "transports",
        watcher.member("a").map(|member| member.transports.clone()),
        Some(vec!["sse".into()]),
    )?;
    // Renewed, it lasts longer than one lease.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        room.ask(put(query)).await?.json()?;
    }
    let state = room.client()?.presence(&room.channel).await?;
    same("renewed without a word", state.cursor, watcher.cursor.clone())?;
    watcher.has(&[]).await?;
    room.ask(put(query)).await?.json()?;
    room.ask(put("?member=a&client=other")).await?.json()?;
    let gone = room.ask(Ask::new("DELETE", path(&room, "?member=a&client=tab"))).await?;
    same("the other tab stays", gone.json()?["count"].as_u64(), Some(1))?;
    let gone = room.ask(Ask::new("DELETE", path(&room, "?member=a&client=other"))).await?;
    same("nobody stays", gone.json()?["count"].as_u64(), Some(0))?;
    let again = room.ask(Ask::new("DELETE", path(&room, "?member=a"))).await?;
    same("leaving twice is no error", again.status, 200)?;
    let bare = room.ask(Ask::new("PUT", path(&room, "?member=b"))).await?;
    same("a body is not needed", bare.json()?["count"].as_u64(), Some(1))?;
    room.close().await
}

pub(super) async fn refusals_of_presence(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let long = "%D0%B6".repeat(65);
    let big = format!("%22{}%22", "x".repeat(1_023));
    for (query, code) in [
        ("?member=a%20b".to_owned(), "invalid_member"),
        (format!("?member={}", "x".repeat(65)), "invalid_member"),
        (format!("?member=a&name={long}"), "invalid_member"),
        (format!("?member=a&data={big}"), "invalid_member"),
        ("?member=a&data=%7Bno".to_owned(), "invalid_member"),
        ("?member=a&member=b".to_owned(), "conflicting_request"),
    ] {
        let answer = room.ask(Ask::get(room.path(&query))).await?;
        let problem = answer.problem(code).with_context(|| query.clone())?;
        let has_limit = query.contains("name=") || query.contains("data=%22");
        ensure!(problem["limit"].is_object() == has_limit, "{query}: {problem}");
    }
    room.ask(Ask::get("/subscribe?channel=a&enter=a")).await?.problem("invalid_member")?;
    for (method, query, body, code) in [
        ("PUT", "", "{}", "invalid_member"),
        ("PUT", "?member=a", "{", "invalid_member"),
        ("PUT", "?member=a", "{\"nickname\":1}", "invalid_member"),
        ("PUT", "?member=a&transport=pigeon", "", "invalid_request"),
        ("DELETE", "", "", "invalid_member"),
        ("POST", "", "hello", "method_not_allowed"),
    ] {
        let ask = Ask { body: body.into(), ..Ask::new(method, path(&room, query)) };
        room.ask(ask).await?.problem(code).with_context(|| format!("{method} {query} {body}"))?;
    }
    let slash = format!("{}%2Fpresence", room.path(""));
    room.ask(Ask::get(slash.clone())).await?.problem("invalid_channel")?;
    room.ask(Ask::text(slash, "x")).await?.problem("invalid_channel")?;
    let mut socket = room.client()?.socket().await?;
    let refused = socket.publish(&log(&room), "1", None).await;
    same(
        "publishing to the log",
        refused.err().and_then(|error| error.code().map(str::to_owned)),
        Some("forbidden".into()),
    )?;
    for bad in [Who::new(""), Who::new("a").name("ж".repeat(65))] {
        let refused = socket.enter(&room.channel, &bad).await.err();
        same(
            "entering",
            refused.and_then(|error| error.code().map(str::to_owned)),
            Some("invalid_member".into()),
        )?;
    }
    let state = room.client()?.presence(&room.channel).await?;
    same("nobody is in", (state.count, state.cursor.ends_with("-0")), (0, true))?;
    refused_frames(&room, room.client()?).await?;
    room.close().await
}

/// What is sent on the WebSocket of a log of members is refused, frame by frame.
async fn refused_frames(room: &Room, client: Client) -> Result<()> {
    let read = efir_client::Read::channel(efir_client::Transport::WebSocket, log(room));
    let mut socket = client.open(&read).await?;
    let said = socket.send_text("hello").await;
    ensure!(said.is_ok(), "{said:?}");
    loop {
        match socket.next().await?.context("the socket ended")? {
            Event::Problem(problem) => {
                same("code", problem.code.as_str(), "forbidden")?;
                return same("ordinal", problem.ordinal, Some(1));
            }
            Event::Message(message) => bail!("a message: {message:?}"),
            _ => {}
        }
    }
}

/// Whoever follows the link stays the member that it is.
pub(super) async fn link_keeps_the_member(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let link = |answer: &crate::ask::Answer| -> Result<String> {
        let link = answer.header("link").context("a link")?.to_owned();
        let url = link.strip_prefix('<').and_then(|link| link.split_once('>')).context("a URL")?;
        Ok(url.0.to_owned())
    };
    let answer = room.ask(Ask::get(path(&room, "?member=a&name=%D0%90%D0%BD%D1%8F&client=t"))).await?;
    same("in the state", answer.json()?["presence"]["members"][0]["name"].as_str(), Some("Аня"))?;
    let next = link(&answer)?;
    ensure!(
        next.contains("/presence?after=") && next.contains("&member=a") && next.contains("&name="),
        "{next}"
    );
    let tag = answer.header("etag").context("an ETag")?.to_owned();
    let again = room.ask(Ask::get(path(&room, "?member=a&client=t")).with("if-none-match", tag)).await?;
    same("a state is never 304", again.status, 200)?;
    let answer = room.ask(Ask::get(next)).await?;
    ensure!(answer.json()?.get("presence").is_none(), "a state after a cursor");
    let answer = room.ask(Ask::get(path(&room, "?wait=5"))).await?;
    same("a long poll tells the state at once", answer.json()?["presence"]["count"].as_u64(), Some(1))?;
    same("which nobody keeps", answer.header("cache-control"), Some("no-store"))?;
    room.close().await
}

/// `/subscribe` with a body: what is read and what is entered are said channel by channel.
pub(super) async fn several_in_one_body(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    room.publish("m1").await?;
    let body = json!({
        "channels": [{"channel": room.channel, "enter": true}, log(&room), "side/presence"],
        "member": {"id": "a", "name": "Аня", "data": [1]},
    });
    let answer = room.ask(Ask::json("/subscribe?wait=5&client=t", &body.to_string())).await?.json()?;
    let states = answer["presence"].as_array().context("states")?.clone();
    same("two states", states.len(), 2)?;
    same(
        "the first",
        (states[0]["channel"].as_str(), states[0]["count"].as_u64()),
        (Some(room.channel.as_str()), Some(1)),
    )?;
    same("the member", states[0]["members"][0]["data"].clone(), json!([1]))?;
    same(
        "the second",
        (states[1]["channel"].as_str(), states[1]["count"].as_u64()),
        (Some("side"), Some(0)),
    )?;
    same("no messages from before", answer["messages"].as_array().map(Vec::len), Some(0))?;
    let after = answer["cursor"].as_str().context("a token")?.to_owned();
    room.client()?.enter("side", &Who::new("b")).await?;
    room.publish("m2").await?;
    let query: Vec<String> = [room.channel.clone(), log(&room), "side/presence".into()]
        .iter()
        .map(|channel| format!("channel={}", efir_client::encode_channel(channel)))
        .collect();
    let answer = room.ask(Ask::get(format!("/subscribe?{}&after={after}", query.join("&")))).await?.json()?;
    let messages = answer["messages"].as_array().context("messages")?.clone();
    ensure!(messages.iter().any(|message| message["data"] == "m2"), "{answer}");
    ensure!(messages.iter().any(|message| message["data"]["enter"]["id"] == "b"), "{answer}");
    ensure!(answer.get("presence").is_none(), "a state after a cursor");
    room.close().await
}
