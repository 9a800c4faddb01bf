//! Readers that do not read delay nobody, and get everything or a gap when they read again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use efir_client::Event;

use super::scenarios;
use crate::{
    ask::{Ask, PATIENCE},
    history::Place,
    raw::{Raw, upgrade},
    readers::{Begin, Kind},
    room::{Cell, Room, texts},
};

scenarios! { "slow";
    Rows others_get_all_of_ten_thousand: "D9", "D1";
    Rows catches_up_with_all_that_is_kept: "D9", "D4";
    Rows gets_one_gap_where_it_fell_out: "D9", "D5";
}

/// Messages of 100 bytes and more: ten thousand of them are more than any socket buffer takes.
fn long_texts(count: u64) -> impl Iterator<Item = String> {
    texts(1..=count).map(|text| format!("{text} {}", "x".repeat(400)))
}

/// What a transport's request looks like to a client that never reads, or reads half of it.
fn request(room: &Room) -> Result<Ask> {
    let row = room.cell.row()?;
    let target = match (row.kind, row.is_several) {
        (Kind::Socket, _) => "/socket".to_owned(),
        (_, true) => {
            format!("/subscribe?channel={}&channel=side", efir_client::encode_channel(&room.channel))
        }
        (_, false) => room.path(""),
    };
    let ask = Ask::get(target);
    Ok(match row.kind {
        Kind::Sse => ask.with("accept", "text/event-stream"),
        Kind::HttpStream => ask.with("accept", "application/x-ndjson"),
        _ => upgrade(ask),
    })
}

/// A client with a small receive buffer that has asked, and has read the head and `bytes` more.
async fn stalled(room: &Room, bytes: usize) -> Result<Raw> {
    let address = room.node.address();
    let mut raw = Raw::connect_narrow(address).await?;
    let before = room.node.joins().count(&room.channel);
    raw.write(&request(room)?.bytes(address)).await?;
    raw.head("GET").await?;
    if room.cell.row()?.kind == Kind::Socket {
        let command = format!("{{\"id\":1,\"subscribe\":{{\"channel\":{:?}}}}}", room.channel);
        raw.send_frame(crate::raw::Opcode::Text, command.as_bytes()).await?;
    }
    room.node.joins().wait(&room.channel, before + 1).await?;
    let mut left = bytes;
    while left > 0 {
        let read = raw.some(left).await?;
        ensure!(read > 0, "the server closed");
        left -= read;
    }
    Ok(raw)
}

async fn others_get_all_of_ten_thousand(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut readers = [room.witness("reader a")?, room.witness("reader b")?];
    for reader in &mut readers {
        reader.open(&Begin::Now).await?;
    }
    // One reads nothing, the other stops in the middle of a frame.
    let stalled = if cell.carrier == crate::carrier::Carrier::H2c {
        Stalled::H2c(stalled_streams(&room).await?)
    } else {
        Stalled::Raw([stalled(&room, 0).await?, stalled(&room, 37).await?])
    };
    for part in long_texts(10_000).collect::<Vec<_>>().chunks(1_000) {
        room.publish_inside(part.iter().cloned())?;
        tokio::task::yield_now().await;
    }
    for reader in &mut readers {
        reader.texts(long_texts(10_000)).await?;
        reader.settle().await?;
    }
    drop(stalled);
    room.close().await
}

/// Held only to stay open.
enum Stalled {
    #[expect(dead_code, reason = "kept open, never read")]
    Raw([Raw; 2]),
    #[expect(dead_code, reason = "kept open, never read")]
    H2c(Vec<crate::witness::Witness>),
}

/// Over HTTP/2 a reader stalls by leaving its window closed.
async fn stalled_streams(room: &Room) -> Result<Vec<crate::witness::Witness>> {
    let mut streams = Vec::new();
    for name in ["stalled a", "stalled b"] {
        let mut stream = room.witness(name)?;
        stream.open(&Begin::Now).await?;
        streams.push(stream);
    }
    Ok(streams)
}

async fn catches_up_with_all_that_is_kept(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("slow reader")?;
    reader.open(&Begin::Now).await?;
    // More than socket buffers and windows hold, less than is kept.
    let count = 6_000;
    for part in long_texts(count).collect::<Vec<_>>().chunks(500) {
        room.publish_inside(part.iter().cloned())?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    reader.texts(long_texts(count)).await?;
    room.publish("live again").await?;
    reader.text("live again").await?;
    reader.settle().await?;
    room.close().await
}

async fn gets_one_gap_where_it_fell_out(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_messages_max = 200).await?;
    let mut reader = room.witness("slow reader")?;
    reader.open(&Begin::Now).await?;
    let large: Vec<String> = texts(1..=600).map(|text| format!("{text} {}", "x".repeat(40_000))).collect();
    // 24 MB: no buffer takes them all, so that most of them are gone before they are read.
    room.publish_inside(large.iter().cloned())?;
    let mut gaps = 0;
    let last = loop {
        let event = reader.event(PATIENCE).await?.context("the slow reader gets nothing more")?;
        match event {
            Event::Gap(_) => gaps += 1,
            Event::Message(message) => {
                let place = Place::parse(&message.position).context("a position")?;
                if place.offset == 600 {
                    break place;
                }
            }
            Event::Closed(closed) => anyhow::bail!("closed: {closed:?}"),
            _ => {}
        }
    };
    ensure!(gaps == 1, "{gaps} gaps up to {last}");
    reader.settle().await?;
    room.close().await
}
