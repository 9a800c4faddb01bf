//! Requests that do not come to an end, and heads that are too large.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{
    super::floods::{DATA, END_HEADERS, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, frame},
    limit_of,
};
use crate::{
    ask::{Ask, PATIENCE},
    carrier::Carrier,
    raw::{Raw, frame_bytes},
    room::{Cell, Room, same},
};

/// Between two bytes of somebody who hopes to stay for ever.
const DRIP: Duration = Duration::from_millis(10);

pub(super) async fn slow_body(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        // The time for all of it is long: it is the pace that ends it.
        settings.limits.body_bytes_per_s_min = 50_000;
        (settings.times.body_ms_max, settings.times.body_grace_ms) = (4_000, 50);
    })
    .await?;
    let address = room.node.address();
    let ask = Ask::text(room.path(""), "").with("content-length", "60000");
    let mut raw = Raw::send(address, &ask.bytes(address)).await?;
    drip(&mut raw).await?;
    let answer = raw.answer_to("POST").await?;
    same("status", answer.status, 408)?;
    let problem = answer.problem("request_timeout")?;
    same("limit", limit_of(&problem), Some("body_bytes_per_s_min"))?;
    room.close().await
}

/// Sends byte after byte until something comes back.
async fn drip(raw: &mut Raw) -> Result<()> {
    while raw.is_silent(DRIP).await {
        if raw.write(b"x").await.is_err() {
            break;
        }
    }
    Ok(())
}

pub(super) async fn slow_message(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.times.heartbeat_ms = 60_000;
        settings.times.ping_ms = 60_000;
        settings.times.body_ms_max = 150;
    })
    .await?;
    let address = room.node.address();
    for target in [room.path(""), "/socket".into()] {
        let mut raw = Raw::websocket(address, &target).await?;
        raw.object().await?;
        raw.write(&frame_bytes(0x82, &[b'x'; 60_000])[..100]).await?;
        drip(&mut raw).await?;
        let (code, _, objects) = raw.closed().await?;
        same("close code", code, 1008)?;
        let problem = objects.iter().find_map(|object| object.get("problem"));
        let problem = problem.ok_or_else(|| anyhow::anyhow!("no problem before the end: {objects:?}"))?;
        same("code", problem["code"].as_str(), Some("request_timeout"))?;
        same("limit", limit_of(problem), Some("body_ms_max"))?;
    }
    room.close().await
}

pub(super) async fn head_too_large(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.headers_max = 60).await?;
    let many = (0..100).fold(Ask::get(room.path("")), |ask, n| ask.with(&format!("x-{n}"), "y"));
    let answer = room.ask(many).await?;
    same("status", answer.status, 431)?;
    same("limit", limit_of(&answer.problem("head_too_large")?), Some("headers_max"))?;
    if cell.carrier == Carrier::H1 {
        let address = room.node.address();
        let long = Ask::get(room.path("")).with("x", "y".repeat(70_000)).bytes(address);
        let endless = &long[..long.len() - 4];
        for (bytes, piece) in [(&long[..], long.len()), (endless, endless.len()), (endless, 8_000)] {
            let mut raw = Raw::connect(address).await?;
            for piece in bytes.chunks(piece) {
                // What comes after the answer meets nobody.
                if raw.write(piece).await.is_err() {
                    break;
                }
            }
            let answer = raw.answer_to("GET").await?;
            same("status", answer.status, 431)?;
            same("limit", limit_of(&answer.problem("head_too_large")?), Some("head_bytes_max"))?;
            let is_whole = bytes.len() == long.len();
            ensure!(is_whole || answer.lists("connection", "close"), "who knows what comes next");
        }
    }
    same("others", room.ask(Ask::get("/info")).await?.status, 200)?;
    room.close().await
}

/// A connection of HTTP/2 that carries nothing ends; one with a stream on which nothing happens does not.
pub(super) async fn idle_http2(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.times.idle_ms_max = 100).await?;
    let address = room.node.address();
    let connect = async || -> Result<_> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let shaken =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        anyhow::Ok((shaken.0, tokio::spawn(shaken.1)))
    };
    let get = |target: &str, accept: &str| {
        let request = http::Request::get(format!("http://{address}{target}")).header("accept", accept);
        request.body(Full::new(Bytes::new()))
    };
    let (mut busy, _driver) = connect().await?;
    let response = busy.send_request(get(&room.path(""), "application/x-ndjson")?).await?;
    same("status", response.status().as_u16(), 200)?;
    let mut stream = response.into_body();
    let (mut idle, driver) = connect().await?;
    let response = idle.send_request(get("/info", "*/*")?).await?;
    response.into_body().collect().await?;
    // The client keeps its end; it is the server that has enough.
    tokio::time::timeout(PATIENCE, driver).await.context("a connection that carries nothing stays")???;
    ensure!(idle.is_closed(), "the client may still ask");
    room.publish_inside(["still here".to_owned()])?;
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("still here") {
        let frame = tokio::time::timeout(PATIENCE, stream.frame()).await?.context("the stream ended")??;
        said.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
    }
    room.node.stop().await
}

/// A WebSocket keeps its connection of HTTP/2 (RFC 8441) as long as it is open, and not longer.
pub(super) async fn idle_http2_behind_a_socket(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.times.idle_ms_max = 100).await?;
    let address = room.node.address();
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let mut raw = Raw::connect_http2(address).await?;
    let websocket = b"\x00\x09:protocol\x09websocket\x00\x15sec-websocket-version\x0213";
    let request = [block(&room, "CONNECT", &room.path("")), websocket.to_vec()].concat();
    raw.write(&[&begin[..], &frame(HEADERS, END_HEADERS, 1, &request)].concat()).await?;
    // In the static table of RFC 7541: 200.
    while !matches!(raw.http2_frame().await?, (HEADERS, _, 1, head) if head.starts_with(&[0x88])) {}
    let mut unused = Raw::connect_http2(address).await?;
    unused.write(&begin).await?;
    while unused.http2_frame().await.context("a connection that carries nothing stays")?.0 != GOAWAY {}
    room.publish_inside(["still here".to_owned()])?;
    loop {
        let (kind, _, _, payload) = raw.http2_frame().await?;
        ensure!(kind != GOAWAY, "the connection ends below its socket");
        if kind == DATA && String::from_utf8_lossy(&payload).contains("still here") {
            break;
        }
    }
    raw.write(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await?;
    while raw.http2_frame().await.context("a connection stays behind its socket")?.0 != GOAWAY {}
    room.node.stop().await
}
