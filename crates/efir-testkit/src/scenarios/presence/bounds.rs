//! Where presence says no: to whom, in which words, and that whoever is in a channel stays there.

use anyhow::{Context, Result, ensure};
use efir_client::{Event, Read, Transport, Who};
use serde_json::json;

use super::{Watcher, open, path, row_of};
use crate::{
    ask::Ask,
    readers::Kind,
    room::{Cell, Room, same},
};

/// Whoever polls is in its channel by one lease, also while the node has no room for another.
pub(super) async fn a_full_node_keeps_who_is_in(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.presence_leases_max = 1).await?;
    let put = Ask::new("PUT", path(&room, "?member=a&client=t&transport=long-poll"));
    same("the only place", room.ask(put).await?.status, 200)?;
    for _ in 0..3 {
        let answer = room.ask(Ask::get(room.path("?wait=0.05&member=a&client=t"))).await?;
        same("a poll of who is in", answer.status, 200)?;
        for other in ["?member=b", "?member=b&wait=0.05", "?member=a&client=other"] {
            let problem = room.ask(Ask::get(room.path(other))).await?.problem("presence_full")?;
            same("the limit", problem["limit"]["name"].as_str(), Some("presence_leases_max"))?;
            ensure!(problem["retry_after_ms"].is_u64(), "{problem}");
        }
    }
    same("who is in", room.client()?.presence(&room.channel).await?.count, 1)?;
    room.close().await
}

/// Anybody may end a member's leases, also those of a socket; `enter` on the same socket brings the member back.
pub(super) async fn a_socket_enters_again(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let mut watcher = Watcher::open(&room, row_of(Kind::HttpStream)?).await?;
    let mut socket = room.client()?.socket().await?;
    let anna = Who::new("a").name("Аня");
    for _ in 0..2 {
        same("in", socket.enter(&room.channel, &anna).await?.count, 1)?;
        watcher.has(&["a"]).await?;
        let gone = room.ask(Ask::new("DELETE", path(&room, "?member=a"))).await?.json()?;
        same("put out", gone["count"].as_u64(), Some(0))?;
        watcher.has(&[]).await?;
    }
    same("in again", socket.enter(&room.channel, &Who::new("a")).await?.count, 1)?;
    same("as another", socket.enter(&room.channel, &Who::new("b")).await?.count, 1)?;
    watcher.has(&["b"]).await?;
    same("left", socket.leave(&room.channel).await?.count, 0)?;
    watcher.has(&[]).await?;
    room.close().await
}

/// A page of a foreign origin may set off reads that it cannot see the answer of; nobody becomes a member by them.
pub(super) async fn foreign_pages_enter_nowhere(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let channel = efir_client::encode_channel(&room.channel);
    let body = json!({"channels": [{"channel": room.channel, "enter": true}], "member": {"id": "x"}});
    let entering = [
        Ask::get(room.path("?member=x")),
        Ask::get(room.path("?member=x&wait=0.02")),
        Ask::get(room.path("?member=x")).with("accept", "text/event-stream"),
        Ask::get(room.path("?member=x&transport=http-stream")),
        Ask::get(path(&room, "?member=x")),
        Ask::get(format!("/subscribe?channel=side&enter={channel}&member=x")),
        Ask { body: body.to_string().into(), ..Ask::new("QUERY", "/subscribe") }
            .with("content-type", "application/json"),
        Ask::text("/subscribe", &body.to_string()),
        Ask::new("PUT", path(&room, "?member=x")),
    ];
    for ask in entering {
        let what = format!("{} {}", ask.method, ask.target);
        let foreign = ask.clone().with("origin", "https://evil.example").with("sec-fetch-site", "cross-site");
        room.ask(foreign).await?.problem("origin_refused").with_context(|| what.clone())?;
        let is_read = matches!(ask.method.as_str(), "GET" | "QUERY");
        for site in ["cross-site", "same-site"].into_iter().filter(|_| is_read) {
            let silent = ask.clone().with("sec-fetch-site", site);
            room.ask(silent).await?.problem("origin_refused").with_context(|| format!("{site} {what}"))?;
        }
    }
    let read = Ask::get(path(&room, "")).with("sec-fetch-site", "cross-site");
    let state = room.ask(read).await?.json()?;
    same("nobody is in, and reading is free", state["presence"]["count"].as_u64(), Some(0))?;
    for (n, site) in [None, Some("none"), Some("same-origin")].into_iter().enumerate() {
        let ask = Ask::get(path(&room, &format!("?member=own{n}")));
        let ask = if let Some(site) = site { ask.with("sec-fetch-site", site) } else { ask };
        let state = room.ask(ask).await?.json()?;
        same("in", state["presence"]["count"].as_u64(), Some(n as u64 + 1))?;
    }
    let other_port = Ask::get(path(&room, "?member=own3")).with("origin", "http://localhost:5173");
    let state = room.ask(other_port.with("sec-fetch-site", "same-site")).await?.json()?;
    same("an origin that may", state["presence"]["count"].as_u64(), Some(4))?;
    room.close().await
}

/// The states of one response have room for so many bytes of members; of the logs that are left the client is told, and they come with
/// the next response.
pub(super) async fn states_are_bounded_together(cell: Cell) -> Result<()> {
    const LOGS: usize = 5;
    let room = Room::with(&cell, |settings| settings.limits.presence_states_bytes_max = 2_500).await?;
    let logs: Vec<String> = (0..LOGS).map(|n| format!("big{n}/presence")).collect();
    for n in 0..LOGS {
        let large = Who::new("a").data(json!("x".repeat(1_000)));
        room.client()?.enter(&format!("big{n}"), &large).await?;
    }
    let named: String =
        logs.iter().map(|log| format!("&channel={}", efir_client::encode_channel(log))).collect();
    let mut target = format!("/subscribe?client=t{named}");
    let mut told = Vec::new();
    for (states, refused) in [(2, 3), (2, 1), (1, 0)] {
        let answer = room.ask(Ask::get(target.clone())).await?.json()?;
        let problems = answer["problems"].as_array().cloned().unwrap_or_default();
        same("refused", problems.len(), refused)?;
        for problem in &problems {
            same("code", problem["code"].as_str(), Some("presence_full"))?;
            same(
                "limit",
                problem["limit"].clone(),
                json!({"name": "presence_states_bytes_max", "value": 2_500}),
            )?;
            ensure!(problem["action"] == "retry_later" && problem["retry_after_ms"].is_u64(), "{problem}");
            ensure!(logs.iter().any(|log| problem["channel"] == log.as_str()), "{problem}");
        }
        let presence = answer["presence"].as_array().context("states")?;
        same("states", presence.len(), states)?;
        told.extend(presence.iter().filter_map(|state| state["channel"].as_str().map(str::to_owned)));
        let after = answer["cursor"].as_str().context("a token")?;
        target = format!("/subscribe?client=t{named}&after={after}");
    }
    same("all of them, one after the other", told, (0..LOGS).map(|n| format!("big{n}")).collect())?;
    for transport in [Transport::HttpStream, Transport::Sse, Transport::WebSocket] {
        let mut stream = room.client()?.open(&Read::channels(transport, logs.clone())).await?;
        let (mut states, mut problems) = (0, 0);
        while states + problems < LOGS {
            match stream.next().await?.context("the stream ended")? {
                Event::Presence(_) => states += 1,
                Event::Problem(problem) => {
                    same("code", problem.code.as_str(), "presence_full")?;
                    ensure!(problem.channel.is_some(), "{problem:?}");
                    problems += 1;
                }
                _ => {}
            }
        }
        same("states and problems", (states, problems), (2, 3))?;
    }
    room.close().await?;
    let room = Room::with(&cell, |settings| settings.limits.presence_states_bytes_max = 1).await?;
    room.client()?.enter(&room.channel, &Who::new("a").data(json!("x".repeat(1_000)))).await?;
    let state = room.client()?.presence(&room.channel).await?;
    same("one always fits", state.members.map(|members| members.len()), Some(1))?;
    room.close().await
}

/// Who asks for several channels enters all of them or none: nobody sees a member come who is refused.
pub(super) async fn a_refused_member_is_seen_nowhere(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.presence_leases_max = 2).await?;
    let channel = efir_client::encode_channel(&room.channel);
    let place = room.client()?.enter("other", &Who::new("b")).await?;
    same("one place is left", place.count, 1)?;
    let before = room.client()?.presence(&room.channel).await?;
    for (n, more) in ["", "&wait=0.02", "&transport=sse", "&transport=http-stream"].into_iter().enumerate() {
        let query = format!("channel=side&enter={channel}&enter=side&member=a{n}{more}");
        // On a stream the refusal is said in-band, because a browser's EventSource would give up otherwise.
        let answer = room.ask(Ask::get(format!("/subscribe?{query}"))).await?;
        let said = String::from_utf8_lossy(&answer.body);
        ensure!(said.contains("presence_full") && said.contains("presence_leases_max"), "{said}");
        let after = room.client()?.presence(&room.channel).await?;
        same(more, (after.count, after.cursor), (0, before.cursor.clone()))?;
    }
    let query = format!("channel=side&enter={channel}&enter=other&member=b&client=t");
    room.ask(Ask::get(format!("/subscribe?{query}"))).await?.problem("presence_full")?;
    let query = format!("channel=side&enter={channel}&member=b");
    same("one fits", room.ask(Ask::get(format!("/subscribe?{query}"))).await?.status, 200)?;
    room.close().await
}
