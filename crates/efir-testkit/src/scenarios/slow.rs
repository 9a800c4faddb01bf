//! Readers that do not read delay nobody, and get everything or a gap when they read again.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context, Result, ensure};
use efir_client::Event;

use super::{
    floods::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame},
    publish::until_nobody_reads,
    scenarios,
};
use crate::{
    ask::{Ask, PATIENCE},
    raw::{Raw, frame_bytes, upgrade},
    readers::{Begin, Kind},
    room::{Cell, Room, texts},
};

scenarios! { "slow";
    Rows others_get_all_of_ten_thousand: "D9", "D1";
    Rows catches_up_with_all_that_is_kept: "D9", "D4";
    Rows gets_one_gap_where_it_fell_out: "D9", "D5";
    Rows is_cut_without_progress: "D9";
}

/// Between two messages that a server writes as far as it can.
const PACE: Duration = Duration::from_millis(10);

/// Messages of a length: together more than the buffers of a reader that does not read take, even when they are compressed
/// (to about two thirds).
pub(super) fn long_texts(range: RangeInclusive<u64>, bytes: usize) -> impl Iterator<Item = String> {
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(bytes * 2 / 3).collect();
    texts(range).map(move |text| format!("{text} {noise}{}", "x".repeat(bytes - noise.len())))
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
        _ if row.is_deflated => upgrade(ask).with("Sec-WebSocket-Extensions", "permessage-deflate"),
        _ => upgrade(ask),
    })
}

/// A client with a small receive buffer that has asked, and has read the head and `bytes` more.
pub(super) async fn stalled(room: &Room, bytes: usize) -> Result<Raw> {
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
    // Ten megabytes: more than the kernel's buffers take for those who do not read, and all of it kept for those who do.
    let room = Room::with(&cell, |settings| settings.limits.retention_bytes_max = 64 << 20).await?;
    let mut readers = [room.witness("reader a")?, room.witness("reader b")?];
    for reader in &mut readers {
        reader.open(&Begin::Now).await?;
    }
    // One reads nothing, the other stops in the middle of a frame.
    let stalled = if cell.carrier.is_http2() {
        Stalled::H2c(stalled_streams(&room).await?)
    } else {
        Stalled::Raw(Box::new([stalled(&room, 0).await?, stalled(&room, 37).await?]))
    };
    for n in 0..10 {
        room.publish_inside(long_texts(n * 1_000 + 1..=(n + 1) * 1_000, 1_000))?;
        tokio::task::yield_now().await;
    }
    for reader in &mut readers {
        reader.texts(long_texts(1..=10_000, 1_000)).await?;
        reader.settle().await?;
    }
    drop(stalled);
    room.close().await
}

async fn is_cut_without_progress(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.times.stall_ms_max = 300;
        settings.limits.retention_bytes_max = 64 << 20;
    })
    .await?;
    let is_http2 = cell.carrier.is_http2();
    let stalled = if is_http2 { stalled_stream(&room).await? } else { stalled(&room, 0).await? };
    room.publish_inside(long_texts(1..=10_000, 1_000))?;
    until_nobody_reads(&room).await?;
    drop(stalled);
    room.close().await
}

/// A client that has asked over HTTP/2, reads frames, and opens no window for what it is owed.
async fn stalled_stream(room: &Room) -> Result<Raw> {
    let ask = request(room)?;
    let literal = |index: &[u8], name: &str, value: &str| {
        let sized = |text: &str| [&[u8::try_from(text.len()).unwrap_or(0)], text.as_bytes()].concat();
        let name = if name.is_empty() { Vec::new() } else { sized(name) };
        [index.to_vec(), name, sized(value)].concat()
    };
    let is_websocket = room.cell.row()?.kind.is_websocket();
    let method = if is_websocket { "CONNECT" } else { "GET" };
    let mut block = block(room, method, &ask.target);
    if is_websocket {
        block.extend(literal(&[0], ":protocol", "websocket"));
        block.extend(literal(&[0], "sec-websocket-version", "13"));
    }
    for (name, value) in ask.headers.iter().filter(|(name, _)| name == "accept") {
        block.extend(literal(&[0], name, value));
    }
    let before = room.node.joins().count(&room.channel);
    let mut raw = Raw::connect_http2(room.node.address()).await?;
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let flags = if is_websocket { END_HEADERS } else { END_HEADERS | END_STREAM };
    raw.write(&[PREFACE, &no_window, &frame(HEADERS, flags, 1, &block)].concat()).await?;
    while raw.http2_frame().await?.0 != HEADERS {}
    if room.cell.row()?.kind == Kind::Socket {
        let command = format!("{{\"id\":1,\"subscribe\":{{\"channel\":{:?}}}}}", room.channel);
        raw.write(&frame(DATA, 0, 1, &frame_bytes(0x81, command.as_bytes()))).await?;
    }
    room.node.joins().wait(&room.channel, before + 1).await?;
    Ok(raw)
}

/// Held only to stay open.
enum Stalled {
    #[expect(dead_code, reason = "kept open, never read")]
    Raw(Box<[Raw; 2]>),
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
    let room = Room::with(&cell, |settings| settings.limits.retention_bytes_max = 64 << 20).await?;
    let mut reader = room.witness("slow reader")?;
    reader.open(&Begin::Now).await?;
    // 12 MB of which nothing is read while they are published: more than buffers on the way take.
    room.publish_inside(long_texts(1..=3_000, 4_000))?;
    reader.texts(long_texts(1..=3_000, 4_000)).await?;
    room.publish("live again").await?;
    reader.text("live again").await?;
    reader.settle().await?;
    room.close().await
}

async fn gets_one_gap_where_it_fell_out(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.retention_messages_max = 60;
        settings.limits.message_bytes_max = 1 << 20;
    })
    .await?;
    let mut reader = room.witness("slow reader")?;
    reader.open(&Begin::Now).await?;
    // So slowly that the server keeps up, and so much that at last no buffer on the way takes any more.
    for n in 0..30 {
        room.publish_inside(long_texts(n * 2 + 1..=n * 2 + 2, 400_000))?;
        tokio::time::sleep(PACE).await;
    }
    // Now it stands still, and everything that it was owed goes.
    room.publish_inside(texts(61..=200))?;
    let mut gaps = 0;
    while reader.cursor().rsplit('-').next() != Some("200") {
        match reader.event(PATIENCE).await?.context("the slow reader gets nothing more")? {
            Event::Gap(_) => gaps += 1,
            Event::Closed(closed) => anyhow::bail!("closed: {closed:?}"),
            _ => {}
        }
    }
    ensure!(gaps == 1, "{gaps} gaps up to {}", reader.cursor());
    reader.settle().await?;
    room.close().await
}
