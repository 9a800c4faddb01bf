//! Corner cases that other servers got wrong, as far as no other topic has them. docs/reliability.md lists all of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::scenarios;
use crate::{
    ask::Ask,
    history::Place,
    readers::Begin,
    room::{Cell, Room, same, texts},
};

scenarios! { "corner";
    Rows the_old_response_is_still_open: "D4", "D8";
    Rows same_offset_of_another_epoch: "D5", "D6";
    Rows ages_while_it_reads: "D5", "D4";
    Rows members_between_messages: "D1", "D12";
    Rows a_retry_across_a_crash: "D3", "D6";
    Rows cut_in_the_middle_of_a_gap_and_its_replay: "D4", "D5";
    Rows the_last_message_expired: "D5", "D6";
    Carriers a_key_after_its_window: "D3";
}

/// Somebody comes back while the response that was taken for dead is still open: nothing is divided between the two.
async fn the_old_response_is_still_open(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut old = room.witness("old response")?;
    old.open(&Begin::Now).await?;
    room.publish("m1").await?;
    old.text("m1").await?;
    let mut new = room.witness("new response")?;
    new.open_after(old.cursor()).await?;
    for text in texts(2..=3) {
        room.publish(&text).await?;
        old.text(&text).await?;
        new.text(&text).await?;
    }
    old.cut();
    room.publish("m4").await?;
    new.text("m4").await?;
    new.settle().await?;
    old.reopen().await?;
    old.text("m4").await?;
    old.settle().await?;
    room.close().await
}

/// As many messages stand in the new epoch as the cursor has of the old one: none of them is taken for known.
async fn same_offset_of_another_epoch(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    room.publish_inside(texts(1..=3))?;
    reader.texts(texts(1..=3)).await?;
    reader.settle().await?;
    let after = reader.cursor().to_owned();
    drop(reader);
    let room = room.restart().await?;
    let others = || (1..=3).map(|n| format!("n{n}"));
    room.publish_inside(others())?;
    let mut reader = room.witness("reader again")?;
    reader.open_after(&after).await?;
    let gap = reader.gap().await?;
    same("reason", gap.reason.as_str(), "epoch_changed")?;
    reader.texts(others()).await?;
    let (before, now) = (place(&after)?, place(reader.cursor())?);
    same("the offset", now.offset, before.offset)?;
    ensure!(now.epoch != before.epoch, "the epoch is still {}", now.epoch);
    reader.settle().await?;
    room.close().await
}

/// What a reader has, may expire under its feet: that is no gap.
async fn ages_while_it_reads(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_ms_max = AGE_MS).await?;
    room.keeps_by_age();
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    for text in texts(1..=2) {
        room.publish(&text).await?;
        reader.text(&text).await?;
        tokio::time::sleep(Duration::from_millis(AGE_MS + 50)).await;
        room.sweep();
        reader.settle().await?;
    }
    // The cursor still holds, although nothing is left around it.
    let (last, epoch) = (place(reader.cursor())?, place(reader.cursor())?.epoch);
    reader.reopen().await?;
    let third = room.publish("m3").await?;
    reader.text("m3").await?;
    same("the position", place(&third.position)?, Place { epoch, offset: last.offset + 1 })?;
    reader.settle().await?;
    room.close().await
}

/// Long enough to read a message on a busy machine, and short enough to wait for.
const AGE_MS: u64 = 600;

/// Who comes and goes is told elsewhere: it takes no position of the channel, and no message its place.
async fn members_between_messages(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    for (n, text) in (1..).zip(texts(1..=4)) {
        let member = room.path("/presence?member=anna");
        let method = if n % 2 == 1 { "PUT" } else { "DELETE" };
        same("status", room.ask(Ask::new(method, member)).await?.status, 200)?;
        same("the offset", room.publish(&text).await?.offset, n)?;
        reader.text(&text).await?;
        // Away between a message and the next change of members.
        reader.reopen().await?;
    }
    reader.settle().await?;
    room.close().await
}

/// A publish whose answer was lost with the server: the retry is a new publish, and its position says so.
async fn a_retry_across_a_crash(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let first = room.writer("writer").publish(&room.channel, "m1".into(), Some("k")).await?;
    reader.text("m1").await?;
    let after = reader.cursor().to_owned();
    drop(reader);
    let room = room.restart().await?;
    let again = room.writer("writer").publish(&room.channel, "m1".into(), Some("k")).await?;
    same("duplicate", again.duplicate, false)?;
    ensure!(place(&again.position)?.epoch != place(&first.position)?.epoch, "one epoch: {again:?}");
    let third = room.writer("writer").publish(&room.channel, "m1".into(), Some("k")).await?;
    same("the next retry", (third.duplicate, &third.position), (true, &again.position))?;
    let mut reader = room.witness("reader again")?;
    reader.open_after(&after).await?;
    reader.gap().await?;
    reader.text("m1").await?;
    reader.settle().await?;
    room.close().await
}

/// Cut right behind the gap, and then after each message that follows it: neither is told twice, and none is left out.
async fn cut_in_the_middle_of_a_gap_and_its_replay(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_messages_max = 4).await?;
    let first = room.publish("m1").await?.position;
    room.publish_inside(texts(2..=10))?;
    let mut reader = room.witness("reader")?;
    reader.open_after(&first).await?;
    let gap = reader.gap().await?;
    same("resume_from", place(&gap.resume_from)?.offset, 6)?;
    reader.reopen().await?;
    for text in texts(7..=10) {
        reader.text(&text).await?;
        reader.reopen().await?;
    }
    room.publish("m11").await?;
    reader.text("m11").await?;
    reader.settle().await?;
    room.close().await
}

/// An empty channel that once had messages: whoever has them all misses nothing, and whoever lacks one is told.
async fn the_last_message_expired(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_ms_max = 60).await?;
    room.keeps_by_age();
    let first = room.publish("m1").await?.position;
    let second = room.publish("m2").await?.position;
    tokio::time::sleep(Duration::from_millis(130)).await;
    room.sweep();
    let mut complete = room.witness("reader of all")?;
    complete.open_after(&second).await?;
    complete.settle().await?;
    let mut late = room.witness("reader who lacks one")?;
    late.open_after(&first).await?;
    let gap = late.gap().await?;
    same("reason", gap.reason.as_str(), "expired")?;
    same("resume_from", gap.resume_from.as_str(), second.as_str())?;
    late.settle().await?;
    room.close().await
}

/// Past its window a key is free again, also for another payload.
async fn a_key_after_its_window(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.key_window_ms = 300).await?;
    let ask = |text: &str| Ask::text(room.path(""), text).with("idempotency-key", "k");
    let first = room.ask(ask("m1")).await?.json()?;
    same("offset", first["offset"].as_u64(), Some(1))?;
    tokio::time::sleep(Duration::from_millis(350)).await;
    let other = room.ask(ask("m2")).await?.json()?;
    same(
        "another payload",
        (other["duplicate"].as_bool(), other["offset"].as_u64()),
        (Some(false), Some(2)),
    )?;
    // It is that one's key now.
    room.ask(ask("m1")).await?.problem("key_conflict")?;
    room.node.stop().await
}

fn place(position: &str) -> Result<Place> {
    Place::parse(position).with_context(|| format!("{position} is no position"))
}
