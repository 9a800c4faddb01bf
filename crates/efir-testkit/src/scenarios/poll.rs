//! Polls: what stands around a batch, how a hold ends, and what becomes of the connection.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{publish::until_nobody_reads, scenarios};
use crate::{
    ask::{Answer, Ask},
    raw::Raw,
    readers::{Begin, Kind, Row},
    room::{Cell, Room, same, texts},
};

scenarios! { "poll";
    Rows pages: "D4", "wire";
    Rows large_batches: "D4", "wire";
    Rows link_leads_on: "wire";
    Rows held_until_the_end: "D10", "wire";
    Rows held_until_a_message: "D7", "wire";
    Rows held_then_dropped: "D10";
    Carriers abort_by_reset: "D10";
    Carriers abort_by_closing: "D10";
    Carriers hold_is_clamped: "wire";
    Carriers short_poll_headers: "wire";
    Carriers not_modified: "wire";
    Carriers limits_of_a_batch: "wire";
    Carriers connection_is_reused_after_a_long_poll: "wire";
    Carriers requests_behind_held_polls: "wire";
    Carriers requests_behind_answers_that_wait: "wire";
    Carriers half_closed_after_the_request: "wire";
    Carriers connection_is_reused_after_not_modified: "wire";
}

fn target(room: &Room, row: Row, query: &str) -> String {
    match row.is_several {
        true => {
            let channel = efir_client::encode_channel(&room.channel);
            format!("/subscribe?channel={channel}&channel=side&{query}")
        }
        false => room.path(&format!("?{query}")),
    }
}

fn messages(answer: &Answer) -> Result<Vec<String>> {
    let batch = answer.json()?;
    let messages = batch["messages"].as_array().context("messages")?;
    Ok(messages.iter().map(|message| message["data"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Larger than what an answer has in one piece: some messages are large, some are not.
async fn large_batches(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let wanted: Vec<String> =
        (1..=40).map(|n| format!("{n} {}", "x".repeat([0, 600, 9_000][n % 3]))).collect();
    room.publish_inside(wanted.clone())?;
    let wait = if row.kind == Kind::LongPoll { "&wait=0.05" } else { "" };
    let query = format!("after=start&limit=100{wait}");
    let answer = room.ask(Ask::get(target(&room, row, &query))).await?;
    same("status", answer.status, 200)?;
    ensure!(answer.header("efir-cursor").is_some(), "no cursor in the head");
    same("messages", messages(&answer)?, wanted)?;
    room.close().await
}

/// `more` says that a further read gives something at once, and only then.
async fn pages(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    room.publish_inside(texts(1..=5))?;
    let wait = if row.kind == Kind::LongPoll { "&wait=0.05" } else { "" };
    let mut query = format!("after=start&limit=2{wait}");
    let mut seen = Vec::new();
    loop {
        let answer = room.ask(Ask::get(target(&room, row, &query))).await?;
        let (batch, page) = (answer.json()?, messages(&answer)?);
        // A channel among several gets its share of the limit.
        let is_fitting =
            if row.is_several { (1..=2).contains(&page.len()) } else { page.len() == 2 || seen.len() == 4 };
        ensure!(is_fitting, "a page of {} messages", page.len());
        seen.extend(page);
        query = format!("after={}&limit=2{wait}", batch["cursor"].as_str().context("cursor")?);
        same("more", (seen.len(), batch["more"].as_bool()), (seen.len(), Some(seen.len() < 5)))?;
        if seen.len() >= 5 {
            break;
        }
    }
    same("messages", seen, texts(1..=5).collect())?;
    let answer = room.ask(Ask::get(target(&room, row, &query))).await?;
    let batch = answer.json()?;
    same("the end", (messages(&answer)?.len(), batch["more"].as_bool()), (0, Some(false)))?;
    room.close().await
}

async fn link_leads_on(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let wait = if row.kind == Kind::LongPoll { "&wait=0.1" } else { "" };
    room.publish("m1").await?;
    let mut answer = room.ask(Ask::get(target(&room, row, &format!("after=start&limit=10{wait}")))).await?;
    same("first", messages(&answer)?, vec!["m1".to_owned()])?;
    for n in 2..=4 {
        let text = format!("m{n}");
        room.publish(&text).await?;
        let next = answer.next().context("no Link with rel=next")?;
        ensure!(next.starts_with('/'), "the link is {next:?}");
        ensure!(next.contains("limit=10"), "the link lost its limit: {next:?}");
        ensure!(row.kind != Kind::LongPoll || next.contains("wait="), "the link lost its wait: {next:?}");
        answer = room.ask(Ask::get(next)).await?;
        same("what the link leads to", messages(&answer)?, vec![text])?;
        let batch = answer.json()?;
        same("Efir-Cursor", answer.header("efir-cursor"), batch["cursor"].as_str())?;
    }
    room.close().await
}

async fn held_until_the_end(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let begun = Instant::now();
    let answer = room.ask(Ask::get(target(&room, cell.row()?, "wait=0.12"))).await?;
    same("status", answer.status, 200)?;
    ensure!(begun.elapsed() >= Duration::from_millis(115), "held for {:?} only", begun.elapsed());
    same("messages", messages(&answer)?, Vec::<String>::new())?;
    let batch = answer.json()?;
    same("more", batch["more"].as_bool(), Some(false))?;
    ensure!(batch.get("gap").is_none() && batch.get("gaps").is_none(), "a gap: {batch}");
    same("Cache-Control", answer.header("cache-control"), Some("no-store"))?;
    same("Efir-Cursor", answer.header("efir-cursor"), batch["cursor"].as_str())?;
    let length = answer.header("content-length").map(str::to_owned);
    same("Content-Length", length, Some(answer.body.len().to_string()))?;
    ensure!(answer.next().is_some_and(|next| next.contains("wait=")), "Link: {:?}", answer.header("link"));
    room.close().await
}

async fn held_until_a_message(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let ask = Ask::get(target(&room, cell.row()?, "wait=30"));
    let before = room.node.joins().count(&room.channel);
    let (address, carrier) = (room.node.address(), cell.carrier);
    let held = tokio::spawn(async move { ask.send(address, carrier).await });
    room.node.joins().wait(&room.channel, before + 1).await?;
    room.publish("at last").await?;
    let answer = held.await??;
    same("messages", messages(&answer)?, vec!["at last".to_owned()])?;
    // Everything that is there comes in one answer.
    room.publish_inside(texts(1..=30))?;
    let cursor = answer.json()?["cursor"].as_str().context("cursor")?.to_owned();
    let query = format!("wait=30&after={cursor}");
    let rest = room.ask(Ask::get(target(&room, cell.row()?, &query))).await?;
    same("all that is there", messages(&rest)?, texts(1..=30).collect())?;
    room.close().await
}

async fn held_then_dropped(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    same("subscribers", room.node.joins().count(&room.channel), 1)?;
    reader.cut();
    until_nobody_reads(&room).await?;
    room.close().await
}

/// A poll that hangs, on a bare connection.
async fn hanging(room: &Room) -> Result<Raw> {
    let address = room.node.address();
    let before = room.node.joins().count(&room.channel);
    let raw = Raw::send(address, &Ask::get(room.path("?wait=60")).bytes(address)).await?;
    room.node.joins().wait(&room.channel, before + 1).await?;
    Ok(raw)
}

async fn abort_by_reset(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    hanging(&room).await?.reset()?;
    until_nobody_reads(&room).await?;
    room.close().await
}

async fn abort_by_closing(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    drop(hanging(&room).await?);
    until_nobody_reads(&room).await?;
    room.close().await
}

async fn hold_is_clamped(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        (settings.times.hold_ms_min, settings.times.hold_ms, settings.times.hold_ms_max) = (60, 90, 120);
    })
    .await?;
    for (wait, ms) in [("0", 60), ("0.001", 60), ("100000", 120), ("0.1", 100)] {
        let begun = Instant::now();
        let answer = room.ask(Ask::get(room.path(&format!("?wait={wait}")))).await?;
        same("status", answer.status, 200)?;
        let took = begun.elapsed().as_millis();
        ensure!((ms - 5..ms + 2_000).contains(&took), "wait={wait} took {took} ms");
    }
    for wait in ["abc", "-1", "NaN", "inf", "1e400"] {
        room.ask(Ask::get(room.path(&format!("?wait={wait}"))))
            .await?
            .problem("invalid_request")
            .with_context(|| format!("wait={wait:?}"))?;
    }
    let preferred = room.ask(Ask::get(room.path("")).with("prefer", "respond-async, wait=100")).await?;
    same("Preference-Applied", preferred.header("preference-applied"), Some("wait=0.12"))?;
    let named = room.ask(Ask::get(room.path("?transport=long-poll"))).await?;
    same("without a wait", (named.status, named.header("preference-applied")), (200, None))?;
    room.close().await
}

async fn short_poll_headers(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let receipt = room.publish("m1").await?;
    let answer = room.ask(Ask::get(room.path(""))).await?;
    same("Cache-Control", answer.header("cache-control"), Some("private, no-cache"))?;
    let tag = format!("\"{}\"", receipt.position);
    same("ETag", answer.header("etag").map(|tag| tag.trim_start_matches("W/")), Some(tag.as_str()))?;
    same("Efir-Cursor", answer.header("efir-cursor"), Some(receipt.position.as_str()))?;
    same("Retry-After", answer.header("retry-after"), Some("2"))?;
    for name in ["Accept", "Prefer", "Origin"] {
        ensure!(answer.lists("vary", name), "Vary: {}", answer.list("vary"));
    }
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!(kind.starts_with("application/json"), "type {kind:?}");
    let batch = answer.json()?;
    let keys: Vec<&str> = batch.as_object().context("a batch")?.keys().map(String::as_str).collect();
    let text = answer.text();
    ensure!(text.starts_with("{\"channel\":"), "the order of keys: {text}");
    same("keys", keys.len(), 4)?;
    room.close().await
}

async fn not_modified(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let position = room.publish("m1").await?.position;
    let path = room.path(&format!("?after={position}"));
    for tags in
        [format!("\"{position}\""), format!("W/\"{position}\""), format!("\"x\", \"{position}\""), "*".into()]
    {
        let answer = room.ask(Ask::get(&path).with("if-none-match", &tags)).await?;
        same("status", (tags.as_str(), answer.status), (tags.as_str(), 304))?;
        ensure!(answer.body.is_empty(), "304 with a body");
        ensure!(answer.header("etag").is_some(), "304 without its tag");
        same("Efir-Cursor", answer.header("efir-cursor"), Some(position.as_str()))?;
    }
    let other = room.ask(Ask::get(&path).with("if-none-match", "\"other-1\"")).await?;
    same("status of another tag", other.status, 200)?;
    room.publish("m2").await?;
    let tag = format!("\"{position}\"");
    let news = room.ask(Ask::get(&path).with("if-none-match", &tag)).await?;
    same("status with a message", (news.status, messages(&news)?.len()), (200, 1))?;
    // A gap is news, too.
    let gap = room.ask(Ask::get(room.path("?after=lost-0")).with("if-none-match", "*")).await?;
    same("status with a gap", gap.status, 200)?;
    room.close().await
}

async fn limits_of_a_batch(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.batch_messages_max = 50;
        settings.limits.batch_messages_default = 10;
        settings.limits.batch_bytes_max = 20_000;
    })
    .await?;
    room.publish_inside(texts(1..=80))?;
    for (query, first, count) in [
        ("", "m71", 10),
        ("?limit=3", "m78", 3),
        ("?limit=1000", "m31", 50),
        ("?after=start", "m1", 10),
        ("?after=start&limit=1000", "m1", 50),
        ("?last=4", "m77", 4),
    ] {
        let seen = messages(&room.ask(Ask::get(room.path(query))).await?)?;
        same("messages", (query, seen.first().map(String::as_str), seen.len()), (query, Some(first), count))?;
    }
    for query in ["?limit=x", "?limit=-1", "?limit=", "?last=x", "?last=-1", "?after=start&last=2"] {
        let answer = room.ask(Ask::get(room.path(query))).await?;
        same("status", (query, answer.status), (query, 400))?;
        let code = if query.contains('&') { "conflicting_request" } else { "invalid_request" };
        answer.problem(code).with_context(|| query.to_owned())?;
    }
    // One message always fits.
    room.publish_to("wide", &"x".repeat(60_000)).await?;
    room.publish_to("wide", &"y".repeat(60_000)).await?;
    let answer = room.ask(Ask::get("/channels/wide?after=start")).await?;
    same("wide messages", (messages(&answer)?.len(), answer.json()?["more"].as_bool()), (1, Some(true)))?;
    room.close().await
}

async fn connection_is_reused_after_a_long_poll(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let mut raw = hanging(&room).await?;
    for round in 1..=3 {
        room.publish(&format!("m{round}")).await?;
        let answer = raw.answer_to("GET").await?;
        same("the held answer", messages(&answer)?, vec![format!("m{round}")])?;
        ensure!(!answer.lists("connection", "close"), "the server wants to close: {answer:?}");
        // Other requests in between, one of them pipelined behind the next poll.
        raw.write(&Ask::get(room.path("?limit=1")).bytes(address)).await?;
        same("a short poll", raw.answer_to("GET").await?.status, 200)?;
        let cursor = answer.header("efir-cursor").context("a cursor")?.to_owned();
        let before = room.node.joins().count(&room.channel);
        raw.write(&Ask::get(room.path(&format!("?wait=60&after={cursor}"))).bytes(address)).await?;
        room.node.joins().wait(&room.channel, before + 1).await?;
    }
    // What is written behind a held poll is answered after it.
    raw.write(&Ask::get("/info").bytes(address)).await?;
    ensure!(raw.is_silent(Duration::from_millis(40)).await, "the answer behind overtakes the held one");
    room.publish("m4").await?;
    same("the held answer", messages(&raw.answer_to("GET").await?)?, vec!["m4".to_owned()])?;
    same("the one behind it", raw.answer_to("GET").await?.status, 200)?;
    // A hold that ends by its time leaves the connection as well.
    raw.write(&Ask::get(room.path("?wait=0.05")).bytes(address)).await?;
    same("an empty answer", messages(&raw.answer_to("GET").await?)?.len(), 0)?;
    raw.write(&Ask::text(room.path(""), "m5").bytes(address)).await?;
    same("a publish", raw.answer_to("POST").await?.status, 200)?;
    room.close().await
}

/// While large answers wait in a full socket, requests of every kind come behind them: each is answered, in order, and none is
/// taken for another.
async fn requests_behind_answers_that_wait(cell: Cell) -> Result<()> {
    const ROUNDS: usize = 40;
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let large = "x".repeat(60_000);
    room.publish_inside((0..16).map(|_| large.clone()))?;
    let mut raw = Raw::connect_narrow(address).await?;
    let held = Ask::get(room.path("?after=start&limit=16&wait=5")).bytes(address);
    // Longer than what is parsed without the library, so that the connection changes hands.
    let odd = Ask::get(room.path("?last=1")).with("x-long", "y".repeat(9_000)).bytes(address);
    // A body that would be a request, were its head lost.
    let trap = String::from_utf8_lossy(&Ask::get(room.path("?last=1")).bytes(address)).into_owned();
    let publish = Ask::text("/channels/side", &trap).bytes(address);
    raw.write(&held).await?;
    raw.write(&publish).await?;
    raw.write(&odd).await?;
    raw.write(&held).await?;
    for _ in 0..ROUNDS {
        raw.write(&publish).await?;
    }
    same("the first answer", messages(&raw.answer_to("GET").await?)?.len(), 16)?;
    same("a publish", raw.answer_to("POST").await?.json()?["offset"].as_u64(), Some(1))?;
    same("an odd request", messages(&raw.answer_to("GET").await?)?.len(), 1)?;
    same("the second answer", messages(&raw.answer_to("GET").await?)?.len(), 16)?;
    for round in 0..ROUNDS {
        let offset = raw.answer_to("POST").await?.json()?["offset"].as_u64();
        same("a publish", offset, Some(round as u64 + 2))?;
    }
    room.close().await
}

/// A client that says with its FIN that it asks for nothing more still gets all that it asked for.
async fn half_closed_after_the_request(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let large = "x".repeat(60_000);
    room.publish_inside((0..16).map(|_| large.clone()))?;
    for query in ["?after=start&limit=16", "?after=start&limit=16&wait=5"] {
        let mut raw = Raw::connect_narrow(address).await?;
        raw.write(&Ask::get(room.path(query)).bytes(address)).await?;
        raw.shut_down().await?;
        same(query, messages(&raw.answer_to("GET").await?)?.len(), 16)?;
        same("behind it", raw.to_end().await?.len(), 0)?;
    }
    room.close().await
}

async fn requests_behind_held_polls(cell: Cell) -> Result<()> {
    const POLLS: usize = 60;
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let body = "x".repeat(60_000);
    // All in one breath: each poll leaves HTTP's hands and comes back, with everything behind it still unread.
    let mut bytes = Vec::new();
    for _ in 0..POLLS {
        bytes.extend_from_slice(&Ask::get(room.path("?wait=0.01")).bytes(address));
    }
    bytes.extend_from_slice(&Ask::text(room.path(""), &body).bytes(address));
    bytes.extend_from_slice(&Ask::get(room.path("?after=start")).bytes(address));
    let mut raw = Raw::connect(address).await?;
    raw.write(&bytes).await?;
    for _ in 0..POLLS {
        same("an empty answer", messages(&raw.answer_to("GET").await?)?.len(), 0)?;
    }
    same("a publish", raw.answer_to("POST").await?.status, 200)?;
    same("what was published", messages(&raw.answer_to("GET").await?)?, vec![body])?;
    room.close().await
}

async fn connection_is_reused_after_not_modified(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let address = room.node.address();
    let position = room.publish("m1").await?.position;
    let mut raw = Raw::connect(address).await?;
    for _ in 0..3 {
        let ask = Ask::get(room.path(&format!("?after={position}")))
            .with("if-none-match", format!("\"{position}\""));
        raw.write(&ask.bytes(address)).await?;
        same("status", raw.answer_to("GET").await?.status, 304)?;
        raw.write(&Ask::get(room.path("")).bytes(address)).await?;
        same("messages", messages(&raw.answer_to("GET").await?)?, vec!["m1".to_owned()])?;
        raw.write(&Ask::new("HEAD", room.path("")).bytes(address)).await?;
        same("HEAD", raw.answer_to("HEAD").await?.status, 200)?;
    }
    room.close().await
}
