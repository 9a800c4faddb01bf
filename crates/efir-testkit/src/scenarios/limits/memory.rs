//! Memory in all, on a process of its own: many begun messages, or answers that are not taken, of which each is within its limit.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::{
    super::floods::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, block, frame},
    limit_of,
};
use crate::{
    ask::{Ask, PATIENCE, check_problem},
    binary::Binary,
    carrier::Carrier,
    raw::{Raw, frame_bytes},
    room::{Cell, Room, same},
};

/// What the process may take. Without anybody it takes some 20 MiB.
const MEMORY_BYTES: usize = 80 << 20;
/// A command that is within `command_bytes_max`.
const BEGUN_BYTES: usize = 380_000;
/// Of one that is a debtor, too, and a small one.
const SMALL_BYTES: usize = 20_000;
/// Between two looks at whether it is enough.
const AT_ONCE: usize = 20;
/// So many of them are twice too many.
const ATTACKERS: usize = 2 * MEMORY_BYTES / BEGUN_BYTES;

const ACK: u8 = 1;
/// Of a begun message over HTTP/2; two are within the windows of a connection and its streams.
const TUNNEL_BYTES: usize = 200_000;
/// A connection of HTTP/2 keeps a MiB of answers; so many are more than twice too many.
const ANSWERED: usize = 2 * MEMORY_BYTES / (1 << 20);

pub(super) async fn memory_in_all(cell: Cell) -> Result<()> {
    if cell.carrier.is_http2() {
        answers_in_all(&cell).await?;
        tunnels_in_all(&cell).await
    } else {
        messages_in_all().await
    }
}

/// Sockets over HTTP/2, some to a connection, each with a begun message that is within its limit.
async fn tunnels_in_all(cell: &Cell) -> Result<()> {
    const SOCKETS: u32 = 2;
    let bound = MEMORY_BYTES.to_string();
    let variables = [("EFIR_LIMITS__MEMORY_BYTES_MAX", &*bound), ("EFIR_TIMES__BODY_MAX", "10m")];
    let binary = Binary::start_with(&variables).await?;
    let address = binary.address();
    let room = Room::open(cell).await?;
    let websocket = b"\x00\x09:protocol\x09websocket\x00\x15sec-websocket-version\x0213";
    let request = [block(&room, "CONNECT", "/socket"), websocket.to_vec()].concat();
    let begun = frame_bytes(0x81, &vec![b'x'; BEGUN_BYTES]);
    let pieces = |n| begun[..TUNNEL_BYTES].chunks(16_000).flat_map(move |piece| frame(DATA, 0, n, piece));
    let mut attackers = Vec::new();
    while attackers.len() < ATTACKERS && !is_overloaded(address).await? {
        let mut raw = Raw::connect_http2(address).await?;
        raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        while raw.http2_frame().await?.0 != SETTINGS {}
        // The server's windows are in force from here on.
        raw.write(&frame(SETTINGS, ACK, 0, &[])).await?;
        for n in (0..SOCKETS).map(|n| 2 * n + 1) {
            raw.write(&frame(HEADERS, END_HEADERS, n, &request)).await?;
            while !matches!(raw.http2_frame().await?, (HEADERS, _, stream, _) if stream == n) {}
            raw.write(&pieces(n).collect::<Vec<_>>()).await?;
        }
        attackers.push(raw);
    }
    until(address, true).await?;
    until(address, false).await?;
    let count = attackers.len();
    let is_told = any_of(attackers, |mut raw| async move {
        loop {
            let Ok((kind, _, _, payload)) = raw.http2_frame().await else { return false };
            if kind == DATA && String::from_utf8_lossy(&payload).contains("\"overloaded\"") {
                return true;
            }
        }
    });
    ensure!(is_told.await, "none of {count} debtors was told");
    room.close().await
}

/// Many connections of HTTP/2, each with answers that are not taken and within their limit.
async fn answers_in_all(cell: &Cell) -> Result<()> {
    let bound = MEMORY_BYTES.to_string();
    let binary = Binary::start_with(&[("EFIR_LIMITS__MEMORY_BYTES_MAX", &*bound)]).await?;
    let address = binary.address();
    let mut reader = Raw::websocket(address, "/channels/a").await?;
    reader.object().await?;
    // So small that an answer is a copy of them.
    let texts = "x".repeat(100);
    for _ in 0..200 {
        let published = Ask::text("/channels/b", &texts).send(address, Carrier::H1).await?;
        same("published", published.status, 200)?;
    }
    let room = Room::open(cell).await?;
    let request = block(&room, "GET", "/channels/b?after=start&limit=1000");
    let asked = (0..50).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &request));
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let begin = [PREFACE, &no_window, &asked.collect::<Vec<_>>()].concat();
    let mut attackers = Vec::new();
    while attackers.len() < ANSWERED && !is_overloaded(address).await? {
        for _ in 0..AT_ONCE {
            let mut raw = Raw::connect_http2(address).await?;
            if raw.pour(&begin).await? {
                attackers.push(raw);
            }
        }
    }
    until(address, true).await?;
    until(address, false).await?;
    let count = attackers.len();
    let is_ended = any_of(attackers, |mut raw| async move {
        while raw.http2_frame().await.is_ok_and(|frame| frame.0 != GOAWAY) {}
        true
    });
    ensure!(is_ended.await, "none of {count} debtors was ended");
    let published = Ask::text("/channels/a", "still here").send(address, Carrier::H1).await?;
    same("published", published.status, 200)?;
    while !reader.object().await?.to_string().contains("still here") {}
    room.close().await
}

/// Whether it is so of one of them, who are all heard at once: what each has to take first may be much.
async fn any_of<F>(attackers: Vec<Raw>, is_so: impl Fn(Raw) -> F) -> bool
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut heard: JoinSet<bool> = attackers.into_iter().map(is_so).collect();
    let any = async {
        while let Some(is_so) = heard.join_next().await {
            if is_so.unwrap_or(false) {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(PATIENCE, any).await.unwrap_or(false)
}

async fn messages_in_all() -> Result<()> {
    let bound = MEMORY_BYTES.to_string();
    // Nobody is late here, however slow the machine.
    let variables = [("EFIR_LIMITS__MEMORY_BYTES_MAX", &*bound), ("EFIR_TIMES__BODY_MAX", "10m")];
    let binary = Binary::start_with(&variables).await?;
    let address = binary.address();
    let info = Ask::get("/info").send(address, Carrier::H1).await?.json()?;
    same("told", info["limits"]["memory_bytes_max"].as_u64(), Some(MEMORY_BYTES as u64))?;
    let mut reader = Raw::websocket(address, "/channels/a").await?;
    reader.object().await?;

    let begin = |bytes| {
        let mut frame = frame_bytes(0x81, &vec![b'x'; bytes]);
        frame.truncate(frame.len() - 1);
        frame
    };
    let mut small = Vec::new();
    for _ in 0..AT_ONCE {
        let mut raw = Raw::websocket(address, "/socket").await?;
        raw.write(&begin(SMALL_BYTES)).await?;
        small.push(raw);
    }
    let begun = begin(BEGUN_BYTES);
    let (mut attackers, mut told) = (Vec::new(), 0);
    for _ in 0..ATTACKERS {
        let mut raw = Raw::websocket(address, "/socket").await?;
        // Whoever was cut meanwhile cannot be written to.
        if raw.write(&begun).await.is_ok() {
            attackers.push(raw);
        }
        ensure!(!is_overloaded(address).await?, "others are refused");
    }
    for raw in &mut attackers {
        told += usize::from(is_told(raw).await?);
    }
    ensure!(told > 0, "none of {} debtors was told", attackers.len());
    for raw in &mut small {
        ensure!(!is_told(raw).await?, "somebody with {SMALL_BYTES} bytes was cut beside larger ones");
    }
    let published = Ask::text("/channels/a", "still here").send(address, Carrier::H1).await?;
    same("published", published.status, 200)?;
    while !reader.object().await?.to_string().contains("still here") {}
    Ok(())
}

/// Whether somebody was told that there is no memory for it; who was not is still there, or was cut while its bytes were under way.
async fn is_told(raw: &mut Raw) -> Result<bool> {
    let mut is_told = false;
    while !raw.is_silent(Duration::ZERO).await {
        let Ok(frame) = raw.frame().await else { break };
        if let Some((code, _)) = frame.close() {
            same("close code", code, 1013)?;
            break;
        }
        let object: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        if let Some(problem) = object.get("problem") {
            check_problem(problem)?;
            same("code", problem["code"].as_str(), Some("overloaded"))?;
            same("limit", limit_of(problem), Some("memory_bytes_max"))?;
            is_told = true;
        }
    }
    Ok(is_told)
}

/// Whether a publish is refused for want of memory.
async fn is_overloaded(address: SocketAddr) -> Result<bool> {
    let answer = Ask::text("/channels/probe", "x").send(address, Carrier::H1).await?;
    if answer.status == 200 {
        return Ok(false);
    }
    same("status", answer.status, 503)?;
    let problem = answer.problem("overloaded")?;
    same("limit", limit_of(&problem), Some("memory_bytes_max"))?;
    ensure!(answer.header("retry-after").is_some(), "no Retry-After");
    Ok(true)
}

async fn until(address: SocketAddr, wanted: bool) -> Result<()> {
    let due = tokio::time::Instant::now() + PATIENCE;
    while is_overloaded(address).await? != wanted {
        ensure!(tokio::time::Instant::now() < due, "overloaded does not become {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
