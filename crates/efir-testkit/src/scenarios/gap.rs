//! What is no longer there is said, before anything later, and only then.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use efir_client::Event;

use super::scenarios;
use crate::{
    ask::{Ask, PATIENCE, check_problem},
    history::Place,
    raw::Raw,
    readers::{Begin, Kind, token},
    room::{Cell, Room, same, texts},
};

scenarios! { "gap";
    Rows trimmed: "D5";
    Rows at_the_edge_of_what_is_kept: "D5";
    Rows trimmed_by_bytes: "D5";
    Rows expired: "D5";
    Rows position_ahead: "D5";
    Rows unknown_epoch: "D5", "D6";
    Rows unknown_epoch_before_the_first_message: "D5";
    Rows while_it_was_away_twice: "D5", "D4";
    Rows last_event_id: "D5", "wire";
    Rows malformed_cursor_is_refused: "wire";
}

fn place(position: &str) -> Result<Place> {
    Place::parse(position).with_context(|| format!("{position} is no position"))
}

async fn trimmed(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_messages_max = 5).await?;
    let second = {
        room.publish("m1").await?;
        room.publish("m2").await?.position
    };
    room.publish_inside(texts(3..=12))?;
    let mut reader = room.witness("reader")?;
    reader.open_after(&second).await?;
    let gap = reader.gap().await?;
    let second = place(&second)?;
    same("reason", gap.reason.as_str(), "trimmed")?;
    same("after", gap.after.as_deref(), Some(second.to_string().as_str()))?;
    same("resume_from", gap.resume_from, second.plus(5).to_string())?;
    same("epoch", gap.epoch, second.epoch)?;
    reader.texts(texts(8..=12)).await?;
    room.publish("m13").await?;
    reader.text("m13").await?;
    reader.settle().await?;
    room.close().await
}

async fn at_the_edge_of_what_is_kept(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_messages_max = 4).await?;
    let first = place(&room.publish("m1").await?.position)?;
    room.publish_inside(texts(2..=10))?;
    // Kept are 7..=10: the cursor 6 has lost nothing, the cursor 5 has lost 6, the cursor 0 everything before 7.
    for (after, has_gap, rest) in
        [(6, false, 7..=10), (5, true, 7..=10), (0, true, 7..=10), (7, false, 8..=10)]
    {
        let mut reader = room.witness(&format!("reader after {after}"))?;
        let cursor = first.plus(after - 1).to_string();
        reader.open_after(&cursor).await?;
        if has_gap {
            let gap = reader.gap().await?;
            same("resume_from", gap.resume_from, first.plus(5).to_string())?;
        }
        reader.texts(texts(rest)).await?;
        reader.settle().await?;
    }
    room.close().await
}

async fn trimmed_by_bytes(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_bytes_max = 20_000).await?;
    room.keeps_by_age();
    let first = room.publish("first").await?.position;
    for n in 0..40 {
        room.publish(&format!("{n} {}", "x".repeat(2_000))).await?;
    }
    let mut reader = room.witness("reader")?;
    reader.open_after(&first).await?;
    let gap = reader.gap().await?;
    same("reason", gap.reason.as_str(), "trimmed")?;
    let gone = place(&gap.resume_from)?.offset;
    ensure!((25..41).contains(&gone), "of 40 messages of 2 KB, {gone} are gone, with 20 KB kept");
    for _ in gone..41 {
        reader.message().await?;
    }
    reader.settle().await?;
    room.close().await
}

async fn expired(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_ms_max = 60).await?;
    room.keeps_by_age();
    let first = room.publish("m1").await?.position;
    room.publish_inside(texts(2..=3))?;
    tokio::time::sleep(Duration::from_millis(130)).await;
    room.sweep();
    let mut reader = room.witness("reader")?;
    reader.open_after(&first).await?;
    let gap = reader.gap().await?;
    same("reason", gap.reason.as_str(), "expired")?;
    same("resume_from", gap.resume_from, place(&first)?.plus(2).to_string())?;
    room.publish("m4").await?;
    reader.text("m4").await?;
    reader.settle().await?;
    room.close().await
}

async fn position_ahead(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let first = place(&room.publish("m1").await?.position)?;
    room.publish("m2").await?;
    for offset in [3, 1_000, (1 << 53) - 1] {
        let mut reader = room.witness(&format!("reader of {offset}"))?;
        reader.open_after(&Place { offset, ..first.clone() }.to_string()).await?;
        let gap = reader.gap().await?;
        same("reason", gap.reason.as_str(), "position_ahead")?;
        same("resume_from", gap.resume_from, Place { offset: 0, ..first.clone() }.to_string())?;
        reader.texts(texts(1..=2)).await?;
        reader.settle().await?;
    }
    room.close().await
}

async fn unknown_epoch(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish_inside(texts(1..=3))?;
    for cursor in ["0000000000a-2", "foreign.one_x~y-7", "lost-0"] {
        let mut reader = room.witness(&format!("reader of {cursor}"))?;
        reader.open_after(cursor).await?;
        let gap = reader.gap().await?;
        same("reason", gap.reason.as_str(), "epoch_changed")?;
        ensure!(gap.resume_from.ends_with("-0"), "reading goes on from the start: {gap:?}");
        // Not from now: everything of the epoch in force.
        reader.texts(texts(1..=3)).await?;
        reader.settle().await?;
    }
    room.close().await
}

async fn unknown_epoch_before_the_first_message(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open_after("0000000000a-5").await?;
    let gap = reader.gap().await?;
    same("reason", gap.reason.as_str(), "epoch_changed")?;
    room.publish("m1").await?;
    reader.text("m1").await?;
    reader.settle().await?;
    room.close().await
}

async fn while_it_was_away_twice(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_messages_max = 3).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    room.publish("m1").await?;
    reader.text("m1").await?;
    for absence in 0..2 {
        reader.cut();
        room.publish_inside((0..10).map(|n| format!("away {absence} {n}")))?;
        reader.reopen().await?;
        reader.gap().await?;
        reader.texts((7..10).map(|n| format!("away {absence} {n}"))).await?;
        // Cut right behind the gap, before more was read: the gap is not told again.
        reader.reopen().await?;
    }
    reader.settle().await?;
    room.close().await
}

/// `Last-Event-ID` beats the query, and a malformed one is a gap and not an error.
async fn last_event_id(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let mut positions = Vec::new();
    for text in texts(1..=3) {
        positions.push(room.publish(&text).await?.position);
    }
    let in_form = |cursor: &str| match row.is_several {
        true => token(&[(room.channel.clone(), cursor.to_owned())]),
        false => Ok(cursor.to_owned()),
    };
    let client = room.client()?;
    let read = |id: String| {
        let read = match row.is_several {
            true => efir_client::Read::channels(efir_client::Transport::Sse, room.channels(row)),
            false => efir_client::Read::channel(efir_client::Transport::Sse, room.channel.clone()),
        };
        read.last_event_id(id)
    };
    let beaten = read(in_form(&positions[1])?).after(in_form(&positions[0])?);
    let mut stream = client.open(&beaten).await?;
    same("the first message", next_text(&mut stream).await?.as_str(), "m3")?;
    for malformed in ["not a cursor", "x", "a-01", "e-9007199254740992", "e-18446744073709551615"] {
        let mut stream = client.open(&read(malformed.into())).await?;
        same("status", stream.head().status.as_u16(), 200)?;
        let gap = loop {
            match tokio::time::timeout(PATIENCE, stream.next()).await?? {
                Some(Event::Gap(gap)) => break gap,
                Some(Event::Message(message)) => anyhow::bail!("{malformed}: {message:?} without a gap"),
                Some(_) => {}
                None => anyhow::bail!("{malformed}: the stream ends"),
            }
        };
        same("reason", gap.reason.as_str(), "epoch_changed")?;
    }
    room.close().await
}

async fn next_text(stream: &mut efir_client::Subscription) -> Result<String> {
    loop {
        match tokio::time::timeout(PATIENCE, stream.next()).await?? {
            Some(Event::Message(message)) => return Ok(message.text().unwrap_or_default()),
            Some(Event::Gap(gap)) => anyhow::bail!("a gap: {gap:?}"),
            Some(_) => {}
            None => anyhow::bail!("the stream ends"),
        }
    }
}

const MALFORMED: &[&str] = &[
    "x",
    "-1",
    "E-",
    "E-01",
    "E--1",
    "E-1x",
    "E-9007199254740992",
    "E-18446744073709551615",
    "E-18446744073709551616",
    "%D1%8D-1",
    "E%201-1",
    "",
];

async fn malformed_cursor_is_refused(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let channel = efir_client::encode_channel(&room.channel);
    let long = format!("{}-1", "e".repeat(if row.is_several { 4_095 } else { 127 }));
    for cursor in MALFORMED.iter().copied().chain([long.as_str()]) {
        let query = format!("after={cursor}{}", if row.kind == Kind::LongPoll { "&wait=5" } else { "" });
        let target = match row.is_several {
            true => format!("/subscribe?channel={channel}&channel=side&{query}"),
            false => format!("/channels/{channel}?{query}"),
        };
        let ask = match row.kind {
            Kind::Sse => Ask::get(target).with("accept", "text/event-stream"),
            Kind::HttpStream => Ask::get(target).with("accept", "application/x-ndjson"),
            _ => Ask::get(target),
        };
        if row.kind == Kind::WebSocket {
            refused_in_the_socket(&room, ask).await.with_context(|| format!("after={cursor}"))?;
        } else {
            room.ask(ask).await?.problem("invalid_cursor").with_context(|| format!("after={cursor}"))?;
        }
    }
    room.close().await
}

/// Page code sees nothing of a refused handshake, so it is told after it.
async fn refused_in_the_socket(room: &Room, ask: Ask) -> Result<()> {
    if room.cell.carrier.is_http2() {
        let row = room.cell.row()?;
        let read = match row.is_several {
            true => efir_client::Read::channels(efir_client::Transport::WebSocket, room.channels(row)),
            false => efir_client::Read::channel(efir_client::Transport::WebSocket, room.channel.clone()),
        };
        let mut stream = room.client()?.open(&read.after("x")).await?;
        let first = stream.next().await?;
        ensure!(
            matches!(&first, Some(Event::Problem(problem)) if problem.code == "invalid_cursor"),
            "{first:?}"
        );
        let closed = stream.next().await?;
        ensure!(matches!(&closed, Some(Event::Closed(closed)) if closed.code == 1008), "{closed:?}");
        return Ok(());
    }
    let mut raw = Raw::connect(room.node.address()).await?;
    raw.upgrade(room.node.address(), ask).await?;
    let (code, _, objects) = raw.closed().await?;
    same("close code", code, 1008)?;
    let [object] = objects.as_slice() else { anyhow::bail!("one problem, not {objects:?}") };
    same("code", object["problem"]["code"].as_str(), Some("invalid_cursor"))?;
    check_problem(&object["problem"])
}
