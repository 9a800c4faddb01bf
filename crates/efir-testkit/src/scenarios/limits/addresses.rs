//! Connections by address: how many, and whose they are when a proxy stands in front.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::limit_of;
use crate::{
    ask::{Answer, Ask, PATIENCE},
    node::Settings,
    raw::Raw,
    room::{Cell, Room, same},
};

/// Connections of an address in these scenarios.
const MAX: usize = 4;

/// Programs of this machine are strangers here.
fn strangers(settings: &mut Settings) {
    settings.limits.address_connections_max = MAX;
    settings.trust.unlimited.clear();
}

fn stream(room: &Room) -> Ask {
    Ask::get(room.path("")).with("accept", "application/x-ndjson")
}

/// A stream over HTTP/1.1 that is open.
async fn held(address: SocketAddr, before: &[u8], ask: &Ask) -> Result<Raw> {
    let mut raw = Raw::connect_behind(before, address).await?;
    raw.write(&ask.bytes(address)).await?;
    same("status", raw.head("GET").await?.status, 200)?;
    raw.body_until("hello").await?;
    Ok(raw)
}

fn check_refusal(answer: &Answer) -> Result<()> {
    same("status", answer.status, 503)?;
    let problem = answer.problem("too_many_connections")?;
    same("limit", limit_of(&problem), Some("address_connections_max"))?;
    same("value", problem["limit"]["value"].as_u64(), Some(MAX as u64))?;
    ensure!(answer.header("retry-after").is_some(), "no Retry-After");
    Ok(())
}

/// The answer to somebody who may be one too many. Those that are far too many get none, and the ends of those before may not have
/// been noticed yet.
async fn asked(room: &Room, ask: Ask) -> Result<Answer> {
    let due = tokio::time::Instant::now() + PATIENCE;
    loop {
        match room.ask(ask.clone()).await {
            Err(_) if tokio::time::Instant::now() < due => tokio::time::sleep(Duration::from_millis(5)).await,
            answered => return answered,
        }
    }
}

/// Asks until there is room again.
async fn until_welcome(room: &Room, ask: &Ask) -> Result<()> {
    let due = tokio::time::Instant::now() + PATIENCE;
    while !room.ask(ask.clone()).await.is_ok_and(|answer| answer.status == 200) {
        ensure!(tokio::time::Instant::now() < due, "the place does not become free");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

pub(super) async fn connections_of_an_address(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, strangers).await?;
    let address = room.node.address();
    let mut streams = Vec::new();
    for _ in 0..MAX {
        streams.push(held(address, b"", &stream(&room)).await?);
    }
    check_refusal(&asked(&room, Ask::get(room.path(""))).await?)?;
    // Neither a request that the HTTP library reads nor the page is another way in.
    let odd = Ask::get(room.path("")).with("expect", "nothing");
    check_refusal(&asked(&room, odd).await?)?;
    check_refusal(&asked(&room, Ask::get("/")).await?)?;
    let told = asked(&room, Ask::get(room.path("")).with("accept", "text/event-stream")).await?;
    same("status of SSE", told.status, 200)?;
    ensure!(told.text().contains("event: problem") && told.text().contains("retry:"), "{}", told.text());
    drop(streams.pop());
    until_welcome(&room, &Ask::get(room.path(""))).await?;
    room.publish_inside(["still here".to_owned()])?;
    for stream in &mut streams {
        stream.body_until("still here").await?;
    }
    room.node.stop().await
}

pub(super) async fn a_stranger_says_nothing_of_itself(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, strangers).await?;
    let address = room.node.address();
    let mut streams = Vec::new();
    let as_other = |n: usize| {
        let client = format!("203.0.113.{n}");
        stream(&room).with("x-forwarded-for", client.clone()).with("forwarded", format!("for={client}"))
    };
    for n in 0..MAX {
        streams.push(held(address, b"", &as_other(n)).await?);
    }
    check_refusal(&asked(&room, as_other(MAX)).await?)?;
    drop(streams);
    room.node.stop().await
}

pub(super) async fn behind_a_trusted_proxy(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        strangers(settings);
        settings.trust.proxies = vec!["127.0.0.0/8".parse().unwrap_or_else(|()| unreachable!("a network"))];
    })
    .await?;
    let address = room.node.address();
    let by = |ask: Ask, chain: &str| ask.with("x-forwarded-for", chain);
    let mut streams = Vec::new();
    for n in 0..MAX {
        // What stands left of the client is its own invention.
        let chain = format!("203.0.113.{n}, 192.0.2.1");
        streams.push(held(address, b"", &by(stream(&room), &chain)).await?);
    }
    check_refusal(&asked(&room, by(Ask::get(room.path("")), "192.0.2.1")).await?)?;
    check_refusal(&asked(&room, by(Ask::get(room.path("")), "192.0.2.2, 192.0.2.1, 127.0.0.9")).await?)?;
    let other = room.ask(by(Ask::get(room.path("")), "192.0.2.1, 192.0.2.2")).await?;
    same("another client by the same proxy", other.status, 200)?;
    drop(streams.pop());
    until_welcome(&room, &by(Ask::get(room.path("")), "192.0.2.1")).await?;
    // An answer that is whole takes its place for as long as it takes only, also on a connection that goes on.
    let mut kept = Raw::connect(address).await?;
    for _ in 0..3 * MAX {
        kept.write(&by(Ask::get(room.path("")), "192.0.2.7").bytes(address)).await?;
        same("status", kept.answer_to("GET").await?.status, 200)?;
    }
    room.node.stop().await
}

/// A header of version 2 for a client with an IPv4 address.
fn header(client: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(client);
    bytes.extend([127, 0, 0, 1, 0x30, 0x39, 0, 80]);
    bytes
}

pub(super) async fn proxy_protocol(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        strangers(settings);
        settings.trust.proxies = vec!["127.0.0.0/8".parse().unwrap_or_else(|()| unreachable!("a network"))];
        settings.has_proxy_protocol = true;
    })
    .await?;
    let address = room.node.address();
    let (one, other) = (header([192, 0, 2, 1]), header([192, 0, 2, 2]));
    let mut streams = Vec::new();
    for _ in 0..MAX {
        // The header is believed; what stands in the request of a client is not.
        streams.push(held(address, &one, &stream(&room).with("x-forwarded-for", "203.0.113.9")).await?);
    }
    let by = async |header: &[u8]| {
        let mut raw = Raw::connect_behind(header, address).await?;
        raw.write(&Ask::get(room.path("")).bytes(address)).await?;
        raw.answer_to("GET").await
    };
    check_refusal(&by(&one).await?)?;
    same("another client", by(&other).await?.status, 200)?;
    // In pieces, as networks like to bring it.
    if !cell.carrier.is_tls() {
        let mut raw = Raw::connect(address).await?;
        for piece in other.chunks(5) {
            raw.write(piece).await?;
            tokio::task::yield_now().await;
        }
        raw.write(&Ask::get("/info").bytes(address)).await?;
        same("status", raw.answer_to("GET").await?.status, 200)?;
    }
    for nonsense in [&Ask::get("/info").bytes(address)[..], b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n\r\n"] {
        // In cleartext, also where TLS would be next.
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(nonsense).await?;
        let mut said = Vec::new();
        // Whoever is not listened to may be told so by a reset.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await?;
        ensure!(said.is_empty(), "an answer to whoever says not whose it is: {said:?}");
    }
    drop(streams);
    room.node.stop().await
}
