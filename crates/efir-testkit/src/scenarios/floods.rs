//! HTTP/2 clients that send frames without end: each such connection ends, and nobody else notices. The frames are made by hand
//! (RFC 9113 §4); the names are those under which the attacks became known.

use anyhow::{Context, Result, ensure};

use super::scenarios;
use crate::{
    ask::{Ask, PATIENCE},
    raw::Raw,
    room::{Cell, Room, same},
};

scenarios! { "floods";
    Carriers rapid_reset_cve_2023_44487: "wire";
    Carriers made_you_reset_cve_2025_8671: "wire";
    Carriers continuation_rustsec_2024_0332: "wire";
    Carriers empty_data_rustsec_2026_0258: "wire";
    Carriers settings: "wire";
    Carriers pings: "wire";
    Carriers priorities: "wire";
    Carriers window_updates: "wire";
    Carriers head_without_end: "wire";
    Carriers answers_not_taken_cve_2019_9517: "wire";
    Carriers answers_never_taken: "wire";
    Carriers a_stream_never_taken: "wire";
    Carriers bodies_without_end: "wire";
}

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames in one write.
const AT_ONCE: usize = 500;
/// What a server that lets a flood go on would take.
const FRAMES_MAX: usize = 120_000;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block without compression (RFC 7541 §6.2.2), its pseudo-headers from the static table.
pub(super) fn block(room: &Room, method: &str, path: &str) -> Vec<u8> {
    let literal = |index: u8, value: &str| {
        [&[index, u8::try_from(value.len()).unwrap_or(0)], value.as_bytes()].concat()
    };
    let scheme = if room.cell.carrier.is_tls() { 0x87 } else { 0x86 };
    let authority = room.node.address().to_string();
    [literal(0x02, method), vec![scheme], literal(0x04, path), literal(0x01, &authority)].concat()
}

/// Begins a connection, sends `begin`, and then `next(n)` for n = 0, 1, 2 … until the server ends it. Meanwhile others are served.
async fn flood(room: &Room, begin: &[u8], mut next: impl FnMut(u32) -> Vec<u8>) -> Result<()> {
    let mut raw = Raw::connect_http2(room.node.address()).await?;
    raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), begin].concat()).await?;
    let mut sent = 0;
    while sent < FRAMES_MAX {
        let batch: Vec<u8> = (0..AT_ONCE).flat_map(|n| next((sent + n) as u32)).collect();
        if !raw.pour(&batch).await? {
            // Others do not even notice the last of it.
            return served(room, sent).await;
        }
        if sent.is_multiple_of(AT_ONCE * 20) {
            served(room, sent).await?;
        }
        sent += AT_ONCE;
    }
    anyhow::bail!("{sent} frames, and the server takes more")
}

async fn served(room: &Room, sent: usize) -> Result<()> {
    let text = format!("after {sent} frames");
    let published = room.ask(Ask::text("/channels/others", &text)).await?;
    same("a publish of somebody else", published.status, 200)?;
    let read = room.ask(Ask::get("/channels/others?last=1")).await?;
    ensure!(read.text().contains(&text), "somebody else reads {}", read.text());
    Ok(())
}

fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// Asks for a MiB on each of so many streams, and opens no window.
async fn ask_without_window(room: &Room, streams: u32) -> Result<Raw> {
    room.publish_inside((0..16).map(|_| "x".repeat(60_000)))?;
    let mut raw = Raw::connect_http2(room.node.address()).await?;
    let request = block(room, "GET", &format!("{}?after=start&limit=1000", room.path("")));
    let asked = (0..streams).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &request));
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    raw.write(&[PREFACE, &no_window, &asked.collect::<Vec<_>>()].concat()).await?;
    Ok(raw)
}

/// Many answers of a MiB, and no window: only the first ones are answered until somebody takes that.
async fn answers_not_taken_cve_2019_9517(cell: Cell) -> Result<()> {
    const STREAMS: u32 = 8;
    let room = Room::open(&cell).await?;
    let mut raw = ask_without_window(&room, STREAMS).await?;
    let mut begun = 0;
    while begun < 2 {
        begun += u32::from(raw.http2_frame().await?.0 == HEADERS);
    }
    // The others had the same time as those.
    served(&room, 0).await?;
    raw.write(&frame(PING, 0, 0, b"anything")).await?;
    loop {
        match raw.http2_frame().await?.0 {
            HEADERS => begun += 1,
            PING => break,
            _ => {}
        }
    }
    same("answers begun", begun, 2)?;
    let windows = (0..STREAMS).flat_map(|n| frame(WINDOW_UPDATE, 0, stream(n), &(8_u32 << 20).to_be_bytes()));
    let connection = frame(WINDOW_UPDATE, 0, 0, &(64_u32 << 20).to_be_bytes());
    raw.write(&[connection, windows.collect()].concat()).await?;
    let mut ended = 0;
    while ended < STREAMS {
        let (kind, flags, ..) = raw.http2_frame().await?;
        ended += u32::from(matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0);
    }
    room.close().await
}

/// As above, and nothing is ever taken: the connection does not hold its answers for good.
async fn answers_never_taken(cell: Cell) -> Result<()> {
    const STREAMS: u32 = 8;
    let room = Room::with(&cell, |settings| settings.times.stall_ms_max = 300).await?;
    let mut raw = ask_without_window(&room, STREAMS).await?;
    while raw.http2_frame().await.context("the connection stays")?.0 != GOAWAY {}
    // It says so, and does not wait for the client to leave.
    tokio::time::timeout(PATIENCE, async { while raw.http2_frame().await.is_ok() {} })
        .await
        .context("the connection is open behind its end")?;
    served(&room, 0).await?;
    room.close().await
}

/// A client that reads one of its streams and not another loses only that.
async fn a_stream_never_taken(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.times.stall_ms_max = 1_000).await?;
    let mut raw = Raw::connect_http2(room.node.address()).await?;
    let accept = b"\x00\x06accept\x14application/x-ndjson";
    let request = [block(&room, "GET", &room.path("")), accept.to_vec()].concat();
    let asked = (0..2).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &request));
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let window = [0, stream(1)].map(|n| frame(WINDOW_UPDATE, 0, n, &(1_u32 << 30).to_be_bytes())).concat();
    raw.write(&[PREFACE, &no_window, &asked.collect::<Vec<_>>(), &window].concat()).await?;
    let mut read = 0;
    loop {
        room.publish_inside(["a message".to_owned()])?;
        match raw.http2_frame().await? {
            (RST_STREAM, _, 1, _) => break,
            (DATA, _, 3, _) => read += 1,
            (DATA, ..) => anyhow::bail!("a stream without a window carries something"),
            (GOAWAY | RST_STREAM, ..) => anyhow::bail!("after {read} pieces more than that stream ends"),
            _ => {}
        }
    }
    room.publish_inside(["still here".to_owned()])?;
    loop {
        let (kind, _, stream, payload) = raw.http2_frame().await?;
        ensure!(kind != GOAWAY, "the connection ends with its stream");
        if (kind, stream) == (DATA, 3) && String::from_utf8_lossy(&payload).contains("still here") {
            break;
        }
    }
    room.node.stop().await
}

/// Begins a publish on each of many streams, and sends all of it but its end, as far as the window of the connection lets it; that opens
/// as bodies are read, and so stays behind.
async fn bodies_without_end(cell: Cell) -> Result<()> {
    const STREAMS: u32 = 60;
    const BODY_BYTES: u32 = 60_000;
    let room = Room::open(&cell).await?;
    let mut raw = Raw::connect_http2(room.node.address()).await?;
    raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
    let request = block(&room, "POST", &room.path(""));
    let (mut window, mut sent) = (65_535, 0);
    while sent < STREAMS {
        while window < BODY_BYTES {
            let Ok(came) = tokio::time::timeout(PATIENCE / 20, raw.http2_frame()).await else { break };
            if let (WINDOW_UPDATE, _, 0, more) = came? {
                window += more.iter().fold(0, |more, byte| more << 8 | u32::from(*byte));
            }
        }
        if window < BODY_BYTES {
            break;
        }
        let pieces = (0..4).flat_map(|_| frame(DATA, 0, stream(sent), &[b'x'; BODY_BYTES as usize / 4]));
        let opened = frame(HEADERS, END_HEADERS, stream(sent), &request);
        raw.write(&[opened, pieces.collect()].concat()).await?;
        (window, sent) = (window - BODY_BYTES, sent + 1);
    }
    // Half a MiB of bodies that are read, and as much that waits.
    ensure!(sent < STREAMS, "{sent} bodies of {BODY_BYTES} bytes are kept");
    served(&room, sent as usize).await?;
    room.close().await
}

/// Opens streams and resets each at once.
async fn rapid_reset_cve_2023_44487(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let request = block(&room, "GET", "/channels/a?wait=60");
    flood(&room, &[], |n| {
        let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &request);
        [opened, frame(RST_STREAM, 0, stream(n), &[0, 0, 0, 8])].concat()
    })
    .await?;
    room.close().await
}

/// Opens streams and makes the server reset them, by a window update of nothing (RFC 9113 §6.9).
async fn made_you_reset_cve_2025_8671(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let request = block(&room, "GET", "/channels/a?wait=60");
    flood(&room, &[], |n| {
        let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &request);
        [opened, frame(WINDOW_UPDATE, 0, stream(n), &[0; 4])].concat()
    })
    .await?;
    room.close().await
}

/// A head in pieces that never ends.
async fn continuation_rustsec_2024_0332(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let begin = frame(HEADERS, END_STREAM, 1, &block(&room, "GET", "/info"));
    flood(&room, &begin, |_| frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y")).await?;
    room.close().await
}

/// A body in pieces of nothing that never ends.
async fn empty_data_rustsec_2026_0258(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let begin = frame(HEADERS, END_HEADERS, 1, &block(&room, "POST", "/channels/a"));
    flood(&room, &begin, |_| frame(DATA, 0, 1, &[])).await?;
    room.close().await
}

async fn settings(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    flood(&room, &[], |n| frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0x10, n as u8])).await?;
    room.close().await
}

async fn pings(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    flood(&room, &[], |_| frame(PING, 0, 0, &[7; 8])).await?;
    room.close().await
}

async fn priorities(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    flood(&room, &[], |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 1])).await?;
    room.close().await
}

async fn window_updates(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    flood(&room, &[], |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await?;
    room.close().await
}

/// More header than a request may have is refused on its own stream, or ends the connection; both before it is all there.
async fn head_without_end(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let begin = frame(HEADERS, END_STREAM, 1, &block(&room, "GET", "/info"));
    let line = [b"\x00\x01x\x7f\x81\x7f".as_slice(), &[b'y'; 16_000]].concat();
    flood(&room, &begin, |_| frame(CONTINUATION, 0, 1, &line)).await.context("a head of 16 kB pieces")?;
    room.close().await
}
