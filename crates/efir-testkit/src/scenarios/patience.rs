//! Who reads slowly stays on its connection, however long a ping stands behind what it has not read; who reads nothing, or hardly anything,
//! does not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use super::{publish::until_nobody_reads, scenarios, slow};
use crate::{
    node::Settings,
    room::{Cell, Room, same},
};

scenarios! { "patience";
    Rows is_kept_while_it_reads_slowly: "D9", "D2";
    Rows is_kept_while_its_pong_has_to_wait: "D9", "D2";
    Rows is_cut_if_it_reads_byte_after_byte: "D9";
    Rows is_silent_if_it_reads_byte_after_byte: "D9";
}

/// A slow reader takes 1,024 bytes so often: at 40 KB a second a full socket wants nothing more for 1.6 s, and a ping comes after 10.
const PIECE: usize = 1_024;
const PACE: Duration = Duration::from_millis(25);
/// So long may nothing be taken, and nothing be heard.
const TIME_MS_MAX: u64 = 1_000;
/// How long it is slow.
const SLOW: Duration = Duration::from_millis(3_200);
/// Long enough that the end of it is none of this test.
const HOUR_MS: u64 = 3_600_000;
const MESSAGES: u64 = 300;
const MESSAGE_BYTES: usize = 4_000;

async fn is_kept_while_it_reads_slowly(cell: Cell) -> Result<()> {
    reads_slowly(&cell, |settings| {
        (settings.times.stall_ms_max, settings.times.silent_ms_max) = (TIME_MS_MAX, HOUR_MS);
    })
    .await
}

/// As above, with time to take something, so that only silence could end it.
async fn is_kept_while_its_pong_has_to_wait(cell: Cell) -> Result<()> {
    reads_slowly(&cell, |settings| {
        (settings.times.stall_ms_max, settings.times.silent_ms_max) = (HOUR_MS, TIME_MS_MAX);
    })
    .await
}

async fn reads_slowly(cell: &Cell, times: impl FnOnce(&mut Settings)) -> Result<()> {
    let room = owing(cell, times).await?;
    let mut raw = slow::stalled(&room, 0).await?;
    room.publish_inside(slow::long_texts(1..=MESSAGES, MESSAGE_BYTES))?;
    let begun = Instant::now();
    while begun.elapsed() < SLOW {
        let read = raw.some(PIECE).await.with_context(|| format!("after {:?}", begun.elapsed()))?;
        ensure!(read > 0, "ended after {:?}", begun.elapsed());
        tokio::time::sleep(PACE).await;
    }
    // One more is behind all that was owed.
    room.publish("the last").await?;
    in_order(&String::from_utf8_lossy(&raw.bytes_until("the last").await?))?;
    drop(raw);
    room.close().await
}

async fn is_cut_if_it_reads_byte_after_byte(cell: Cell) -> Result<()> {
    reads_hardly(&cell, |settings| settings.times.stall_ms_max = 300).await
}

/// As above, by its silence.
async fn is_silent_if_it_reads_byte_after_byte(cell: Cell) -> Result<()> {
    reads_hardly(&cell, |settings| {
        (settings.times.stall_ms_max, settings.times.silent_ms_max) = (HOUR_MS, 300);
    })
    .await
}

async fn reads_hardly(cell: &Cell, times: impl FnOnce(&mut Settings)) -> Result<()> {
    let room = owing(cell, times).await?;
    let mut raw = slow::stalled(&room, 0).await?;
    room.publish_inside(slow::long_texts(1..=MESSAGES, MESSAGE_BYTES))?;
    let reads = async {
        while raw.some(1).await? > 0 {
            tokio::time::sleep(PACE).await;
        }
        anyhow::bail!("it has come to the end of a megabyte byte by byte")
    };
    tokio::select! {
        ended = until_nobody_reads(&room) => ended?,
        read = reads => read?,
    }
    room.close().await
}

async fn owing(cell: &Cell, times: impl FnOnce(&mut Settings)) -> Result<Room> {
    Room::with(cell, |settings| {
        settings.limits.retention_bytes_max = 64 << 20;
        times(settings);
    })
    .await
}

/// Whether every message stands there once, one after the other.
fn in_order(read: &str) -> Result<()> {
    let mut rest = read;
    for n in 1..=MESSAGES {
        let mark = format!("m{n} ");
        let at = rest.find(&mark).with_context(|| format!("no {mark}behind the one before"))?;
        ensure!(!rest[..at].contains("\"gap\""), "a gap before {mark}");
        rest = &rest[at + mark.len()..];
    }
    // Each ends with more of these than half of two have.
    same("messages", read.matches(&"x".repeat(MESSAGE_BYTES / 4)).count() as u64, MESSAGES)
}
