//! How responses, servers and channels end.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use efir_client::Event;

use super::scenarios;
use crate::{
    ask::{Answer, Ask, PATIENCE},
    history::Place,
    readers::{Begin, Kind},
    room::{Cell, Room, same},
};

scenarios! { "life";
    Rows rotation: "D4", "D7";
    Rows drain_tells: "wire";
    Rows after_drain_nobody_is_kept: "wire";
    Carriers new_requests_while_draining: "wire";
    Rows idle_channel_leaves_a_stub: "D6", "D1";
    Carriers reading_creates_nothing: "D6";
    Carriers evicted_stub_gets_a_new_epoch: "D6", "D5";
}

async fn rotation(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        (settings.times.rotation_ms_min, settings.times.rotation_ms_max) = (60, 140);
    })
    .await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let mut sent = 0;
    for _ in 0..3 {
        // Reads on over the end of the response, publishing all the time.
        loop {
            sent += 1;
            room.publish(&format!("m{sent}")).await?;
            match next_or_end(&mut reader).await? {
                Some(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                None => break,
            }
        }
        reader.reopen().await?;
    }
    sent += 1;
    room.publish(&format!("m{sent}")).await?;
    while reader.cursor() != last_of(&room, sent) {
        ensure!(next_or_end(&mut reader).await?.is_some(), "the stream ended again");
    }
    reader.settle().await?;
    room.close().await
}

fn last_of(room: &Room, offset: u64) -> String {
    let name = efir_core::ChannelName::parse(&room.channel);
    name.map(|name| room.node.hub().position(&name)).map_or(String::new(), |position| {
        let place = Place { epoch: position.epoch.to_string(), offset };
        place.to_string()
    })
}

async fn next_or_end(reader: &mut crate::witness::Witness) -> Result<Option<Event>> {
    match reader.event(PATIENCE).await? {
        Some(Event::Problem(problem)) => bail!("a problem: {problem:?}"),
        event => Ok(event),
    }
}

/// Each transport has its own way of being told; none loses anything by it.
async fn drain_tells(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let kind = cell.row()?.kind;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    if kind != Kind::LongPoll {
        room.publish("m1").await?;
        reader.text("m1").await?;
    }
    let Room { node, .. } = room;
    // Each is told a time of its own, so that not all come back at once.
    let times = node.settings().times.clone();
    let is_spread = |after: Duration| {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        (times.retry_ms_min..=times.retry_ms_max).contains(&after)
    };
    let stopping = tokio::spawn(node.stop());
    if kind == Kind::LongPoll {
        // The held poll is answered with the cursor that it can go elsewhere with.
        let event = reader.event(PATIENCE).await?.context("the held poll is not answered")?;
        let Event::BatchEnd(end) = &event else { bail!("{event:?}") };
        ensure!(end.cursor.is_some(), "{event:?}");
        ensure!(end.retry_after.is_some_and(is_spread), "{event:?}");
    } else {
        let seen = reader.end().await?;
        let problem = seen.iter().find_map(|event| match event {
            Event::Problem(problem) => Some(problem),
            _ => None,
        });
        let problem = problem.with_context(|| format!("no problem is told: {seen:?}"))?;
        same("code", problem.code.as_str(), "draining")?;
        same("action", problem.action.as_str(), "retry_later")?;
        ensure!(problem.retry_after().is_some_and(is_spread), "{problem:?}");
        if kind.is_websocket() {
            let closed = seen.last();
            ensure!(matches!(closed, Some(Event::Closed(closed)) if closed.code == 1001), "{closed:?}");
        }
        if kind == Kind::Sse {
            let has_retry = seen.iter().any(|event| matches!(event, Event::Retry(_)));
            ensure!(has_retry, "no retry: before the end: {seen:?}");
        }
    }
    drop(reader);
    tokio::time::timeout(PATIENCE, stopping).await.context("the server does not end")??
}

async fn after_drain_nobody_is_kept(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.times.drain_ms_max = 5_000).await?;
    let (address, probe) = (room.node.address(), Ask::get(room.path("")));
    let epoch = Place::parse(&room.publish("m1").await?.position).context("a position")?.epoch;
    let is_it = |answer: &Answer| answer.next().is_some_and(|next| next.contains(&epoch));
    ensure!(is_it(&probe.send(address, cell.carrier).await?), "its answers do not tell who it is");
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let begun = std::time::Instant::now();
    let drain_max = Duration::from_millis(room.node.settings().times.drain_ms_max);
    let Room { node, .. } = room;
    let stopping = tokio::spawn(node.stop());
    // The reader reads on until it is told; then it goes, as every client does.
    while let Ok(Ok(Some(event))) = tokio::time::timeout(PATIENCE, reader.event(PATIENCE)).await {
        if matches!(event, Event::Closed(_) | Event::BatchEnd(_)) {
            break;
        }
    }
    drop(reader);
    tokio::time::timeout(PATIENCE, stopping).await.context("the server does not end")???;
    ensure!(begun.elapsed() < drain_max, "the drain waited for its end: {:?}", begun.elapsed());
    // Its port may belong to the server of another test by now, or to this very attempt to connect.
    if let Ok(answer) = probe.send(address, cell.carrier).await {
        ensure!(!is_it(&answer), "it still listens: {answer:?}");
    }
    Ok(())
}

/// Over a connection that is still open, a node on its way out sends new streams elsewhere and answers what is short.
async fn new_requests_while_draining(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish("m1").await?;
    room.node.drain_only();
    let stream = room.ask(Ask::get(room.path("")).with("accept", "text/event-stream")).await?;
    same("status of SSE", stream.status, 200)?;
    let text = stream.text();
    ensure!(text.contains("event: problem") && text.contains("\"draining\""), "SSE: {text:?}");
    ensure!(text.contains("retry:"), "SSE has no retry: {text:?}");
    let poll = room.ask(Ask::get(room.path("?wait=5"))).await?;
    ensure!(poll.header("retry-after").is_some(), "a long poll has no Retry-After: {poll:?}");
    if poll.status == 503 {
        poll.problem("draining")?;
    } else {
        same("status of a long poll", poll.status, 200)?;
    }
    let short = room.ask(Ask::get(room.path(""))).await?;
    same("status of a short poll", short.status, 200)?;
    room.check()
}

/// Put away once everything in it has expired, and made again: offsets go on, the epoch stays, nobody is told a gap.
async fn idle_channel_leaves_a_stub(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.retention_ms_max = 400;
        settings.limits.key_window_ms = 400;
    })
    .await?;
    room.keeps_by_age();
    let first = Place::parse(&room.publish("m1").await?.position).context("a position")?;
    // One is connected all the time, the other comes when everything has expired; neither has missed anything.
    let mut early = room.witness("early reader")?;
    early.open_after(&first.to_string()).await?;
    tokio::time::sleep(Duration::from_millis(450)).await;
    room.sweep();
    let mut reader = room.witness("reader")?;
    reader.open_after(&first.to_string()).await?;
    reader.settle().await?;
    let second = room.publish("m2").await?;
    same("position", second.position, first.plus(1).to_string())?;
    for reader in [&mut early, &mut reader] {
        reader.text("m2").await?;
        reader.settle().await?;
    }
    room.close().await
}

async fn reading_creates_nothing(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.channels_max = 2).await?;
    for n in 0..20 {
        let answer = room.ask(Ask::get(format!("/channels/never-{n}"))).await?;
        same("status", answer.status, 200)?;
        let cursor = answer.json()?["cursor"].as_str().unwrap_or_default().to_owned();
        ensure!(cursor.ends_with("-0"), "a channel never published to stands at 0, not {cursor}");
    }
    for n in 0..2 {
        room.publish_to(&format!("used-{n}"), "m1").await?;
    }
    let full = room.ask(Ask::text("/channels/one-too-many", "m1")).await?;
    full.problem("channels_full")?;
    ensure!(full.header("retry-after").is_some(), "no Retry-After");
    // Those that are there go on.
    room.publish_to("used-0", "m2").await?;
    room.close().await
}

async fn evicted_stub_gets_a_new_epoch(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.retention_ms_max = 400;
        settings.limits.key_window_ms = 400;
        settings.limits.stubs_max = 2;
    })
    .await?;
    let mut firsts = Vec::new();
    for n in 0..6 {
        firsts.push(room.publish_to(&format!("idle-{n}"), "m1").await?.position);
    }
    tokio::time::sleep(Duration::from_millis(450)).await;
    room.sweep();
    let mut kept = 0;
    for (n, first) in firsts.iter().enumerate() {
        let receipt =
            room.ask(Ask::text(format!("/channels/idle-{n}"), "again")).await?.json().context("a receipt")?;
        let (first, position) = (Place::parse(first), receipt["position"].as_str().and_then(Place::parse));
        let (first, position) = (first.context("a position")?, position.context("a position")?);
        if position.epoch == first.epoch {
            same("the offset goes on", position.offset, 2)?;
            kept += 1;
            continue;
        }
        let batch = room.ask(Ask::get(format!("/channels/idle-{n}?after={first}"))).await?.json()?;
        same("the gap's reason", batch["gap"]["reason"].as_str(), Some("epoch_changed"))?;
        same("what is read behind it", batch["messages"][0]["data"].as_str(), Some("again"))?;
    }
    ensure!(kept <= 2, "{kept} of 2 stubs were kept");
    Ok(())
}
