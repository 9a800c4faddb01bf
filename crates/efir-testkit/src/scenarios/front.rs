//! What only a proxy in front can spoil: patience, names, sizes, who is asking. See [`crate::front`].

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use efir_client::Event;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::scenarios;
use crate::{
    ask::Ask,
    front::{self, Front, Program, paper},
    node::Settings,
    raw::{Raw, upgrade},
    readers::Begin,
    room::{Cell, Room, same},
};

scenarios! { "front";
    Rows outlives_the_patience_of_the_proxy: "D10";
    Rows silence_is_cut: "D10";
    Carriers the_longest_hold: "wire";
    Rows the_largest_message: "D8";
    Carriers names_come_through: "wire";
    Carriers host_and_origin: "wire";
    Carriers nobody_forges_an_address: "wire";
    Carriers each_client_has_an_address_of_its_own: "wire";
}

/// The times of the proxy and of efir are divided by this: two minutes become two seconds.
const SHORTER: u32 = 60;
/// The longest that a proxy of the papers waits for a byte.
const PATIENCE_OF_PROXIES: Duration = Duration::from_millis(120_000 / SHORTER as u64);

fn program() -> Result<Program> {
    front::chosen()?.context("this scenario needs a proxy")
}

/// Times divided like those of the proxy.
fn divided(settings: &mut Settings) {
    settings.front_shorter = SHORTER;
    let times = &mut settings.times;
    let usual = efir_core::Times::default();
    times.heartbeat_ms = usual.heartbeat_ms / u64::from(SHORTER);
    times.ping_ms = usual.ping_ms / u64::from(SHORTER);
    times.hold_ms_max = usual.hold_ms_max / u64::from(SHORTER);
}

/// A stream on which nothing is published lives longer than any proxy waits for a byte, by its heartbeats.
async fn outlives_the_patience_of_the_proxy(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, divided).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let due = tokio::time::Instant::now() + 2 * PATIENCE_OF_PROXIES;
    let mut beats = 0;
    while let Some(event) = reader.event(due.saturating_duration_since(tokio::time::Instant::now())).await? {
        beats += u32::from(matches!(event, Event::Heartbeat(_)));
        ensure!(
            matches!(event, Event::Heartbeat(_) | Event::Hello(_) | Event::Cursor(_)),
            "unexpected: {event:?}"
        );
    }
    ensure!(tokio::time::Instant::now() >= due, "the proxy ended it after {beats} heartbeats");
    room.publish("late").await?;
    reader.text("late").await?;
    reader.settle().await?;
    room.close().await
}

/// The same without heartbeats: the proxy gives up, so that it is them that keep a stream alive.
async fn silence_is_cut(cell: Cell) -> Result<()> {
    let change = |settings: &mut Settings| {
        divided(settings);
        settings.times.heartbeat_ms = 60_000;
        settings.times.ping_ms = 60_000;
    };
    let room = Room::with(&cell, change).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    // An end without a proper one is an end, too.
    match reader.end().await {
        Ok(_) => {}
        Err(error) => ensure!(!format!("{error:#}").contains("does not end"), "{error:#}"),
    }
    reader.cut();
    room.publish("meanwhile").await?;
    reader.reopen().await?;
    reader.text("meanwhile").await?;
    room.close().await
}

/// A poll that waits as long as one may is answered by efir, not by the proxy.
async fn the_longest_hold(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, divided).await?;
    let answer = room.ask(Ask::get(room.path("?wait=110"))).await?;
    same("status", answer.status, 200)?;
    ensure!(answer.header("efir-cursor").is_some(), "{answer:?}");
    room.close().await
}

async fn the_largest_message(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let most = room.node.settings().limits.message_bytes_max;
    let text = "я".repeat(most / 2);
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    room.publish(&text).await?;
    reader.text(&text).await?;
    let answer = room.ask(Ask::text(room.path(""), &format!("{text}!"))).await?;
    let problem = answer.problem("payload_too_large")?;
    same("limit", &problem["limit"]["name"], &"message_bytes_max".into())?;
    room.publish("small").await?;
    reader.text("small").await?;
    reader.settle().await?;
    room.close().await
}

/// Names that a proxy might decode, normalise or cut.
async fn names_come_through(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    for name in [
        "общий-чат",
        "ночь:Ёлка №5",
        "a b",
        "100%",
        "a%2Fb",
        "a+b",
        "a?b=c&d",
        "a#b",
        "a;b",
        "\"'<>\\",
        "a..b",
        "👋🏽",
        "世界",
    ] {
        let path = format!("/channels/{}", efir_client::encode_channel(name));
        let told = room.ask(Ask::text(path.clone(), "m")).await?.json()?;
        same("published in", told["channel"].as_str(), Some(name))?;
        let read = room.ask(Ask::get(format!("{path}?after=start"))).await?.json()?;
        same("read from", read["messages"][0]["channel"].as_str(), Some(name))?;
        let query = format!("/subscribe?channel={}&last=1", efir_client::encode_channel(name));
        let read = room.ask(Ask::get(query)).await?.json()?;
        same("named in a query", read["messages"][0]["channel"].as_str(), Some(name))?;
        let beginning = format!("{}-0", told["epoch"].as_str().unwrap_or_default());
        let body = serde_json::json!({ "channels": [{ "channel": name, "after": beginning }] }).to_string();
        let read = room.ask(Ask::json("/subscribe", &body)).await?.json()?;
        same("named in a body", read["messages"][0]["channel"].as_str(), Some(name))?;
    }
    room.close().await
}

/// The site's name reaches efir, which is told by the paper to answer for it, and its pages may open sockets; those of the other scheme may
/// not, where the proxy says by which it was asked. Others may not either.
async fn host_and_origin(cell: Cell) -> Result<()> {
    let settings = paper::settings(program()?)?;
    ensure!(settings.contains(&format!("hosts = [\"{}\"]", paper::SITE)), "{settings}");
    let room = Room::with(&cell, |settings| settings.hosts = vec![paper::SITE.into()]).await?;
    let (own, other) = if cell.carrier.is_tls() { ("https", "http") } else { ("http", "https") };
    // The PROXY protocol says addresses only, as efir reads it.
    let of_other = if program()? == Program::HaproxyV2 { 101 } else { 403 };
    for (host, origin, wanted) in [
        (paper::SITE, format!("{own}://{}", paper::SITE), 101),
        (paper::SITE, format!("{other}://{}", paper::SITE), of_other),
        (paper::SITE, "https://evil.example".into(), 403),
        (paper::SITE, format!("https://{}.evil.example", paper::SITE), 403),
        ("evil.example", "https://evil.example".into(), 421),
    ] {
        let ask = upgrade(Ask::get(room.path("")).with("host", host).with("origin", &origin));
        // From an address that is no proxy's: by the PROXY protocol efir takes the visitor's for that of the connection.
        let visitor = Ipv4Addr::new(127, 77, 0, 1);
        let mut raw = Raw::connect_from(visitor.into(), room.node.address()).await?;
        raw.write(&ask.bytes(room.node.address())).await?;
        same(
            "status",
            (host, origin.as_str(), raw.head("GET").await?.status),
            (host, origin.as_str(), wanted),
        )?;
    }
    room.close().await
}

/// Whoever says that he comes from elsewhere is not believed: efir is told the address that the proxy saw, and nothing else.
async fn nobody_forges_an_address(cell: Cell) -> Result<()> {
    let (server, seen) = mirror().await?;
    let front = Front::start(program()?, server, 1).await?;
    let forged = FORGED.join("\r\n");
    let request = format!("GET /info HTTP/1.1\r\nHost: {}\r\n{forged}\r\n\r\n", paper::SITE);
    let answer = Raw::send(front.address(), request.as_bytes()).await?.answer_to("GET").await?;
    same("status", answer.status, 200)?;
    let head = seen.await?;
    let values = |name: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .collect()
    };
    same("X-Forwarded-For", values("x-forwarded-for"), vec!["127.0.0.1".to_owned()])?;
    same(
        "X-Forwarded-Proto",
        values("x-forwarded-proto"),
        vec![if cell.carrier.is_tls() { "https" } else { "http" }.to_owned()],
    )?;
    same("Host", values("host"), vec![paper::SITE.to_owned()])
}

const FORGED: [&str; 4] = [
    "Forwarded: for=192.0.2.1",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-For: 192.0.2.2",
    "X-Forwarded-Proto: https",
];

/// Connections are counted by the address of the client, whatever the client says, and not by that of the proxy. `Forwarded`, which
/// no proxy of the papers writes, is handed on by all of them and read by nobody.
async fn each_client_has_an_address_of_its_own(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.address_connections_max = 2;
        settings.trust.unlimited.clear();
    })
    .await?;
    let (here, there) = (Ipv4Addr::new(127, 77, 0, 1), Ipv4Addr::new(127, 77, 0, 2));
    let mut open = Vec::new();
    for (source, wanted) in [(here, 200), (here, 200), (here, 503), (there, 200), (there, 200), (there, 503)]
    {
        let forged = FORGED.iter().filter_map(|line| line.split_once(": "));
        let plain = Ask::get(room.path("")).with("accept", "application/x-ndjson");
        let stream = forged.fold(plain, |ask, (name, value)| ask.with(name, value));
        let mut raw = Raw::connect_from(source.into(), room.node.address()).await?;
        raw.write(&stream.bytes(room.node.address())).await?;
        same("status", (source, raw.head("GET").await?.status), (source, wanted))?;
        open.push(raw);
    }
    room.close().await
}

/// Stands for efir: answers one request, and says what its head was.
async fn mirror() -> Result<(SocketAddr, tokio::sync::oneshot::Receiver<String>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        let _ = tell.send(String::from_utf8_lossy(&head).into_owned());
        anyhow::Ok(())
    });
    Ok((address, told))
}
