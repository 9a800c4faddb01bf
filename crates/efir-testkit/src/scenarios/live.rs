//! What is published while somebody reads.

use std::time::Duration;

use anyhow::{Result, ensure};
use efir_client::Event;

use super::scenarios;
use crate::{
    ask::PATIENCE,
    readers::Begin,
    room::{Cell, Room, same, texts},
    witness::Witness,
};

scenarios! { "live";
    Rows receive: "D4", "D7", "D8";
    Rows dropped_before_the_first_message: "D4", "D7";
    Rows two_cuts_without_a_message: "D4";
    Rows two_subscribers_see_one_order: "D1";
    Rows hello_and_heartbeat: "D10";
    Rows messages_of_several_channels: "D1", "D4";
    Rows bad_channel_among_several: "wire";
    Rows other_channels_stay_silent: "D1";
}

async fn receive(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    for text in ["one", "Привет, мир", "three"] {
        room.publish(text).await?;
        let message = reader.text(text).await?;
        same("channel", message.channel.as_str(), &room.channel)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as u64;
        ensure!(message.time_ms.abs_diff(now) < 10_000, "time {} against {now}", message.time_ms);
    }
    reader.settle().await?;
    room.close().await
}

/// Reads events until the server has told where the reader stands in each of its channels.
pub(super) async fn until_told(reader: &mut Witness, channels: usize) -> Result<()> {
    while reader.cursors().len() < channels {
        ensure!(reader.event(PATIENCE).await?.is_some(), "the server does not tell the cursor");
    }
    Ok(())
}

async fn dropped_before_the_first_message(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let token = told_after_nothing(&mut reader).await?;
    reader.cut();
    room.publish("while it was away").await?;
    resume(&mut reader, token).await?;
    reader.text("while it was away").await?;
    room.publish("live").await?;
    reader.text("live").await?;
    reader.settle().await?;
    room.close().await
}

/// The cursor or token that the server told to a reader that has got no message.
async fn told_after_nothing(reader: &mut Witness) -> Result<Option<String>> {
    loop {
        match reader.event(PATIENCE).await? {
            Some(Event::Hello(_) | Event::BatchEnd(_)) => return Ok(reader.told()),
            Some(Event::Heartbeat(_)) => {}
            other => anyhow::bail!("wanted hello or the end of a batch, got {other:?}"),
        }
    }
}

async fn resume(reader: &mut Witness, token: Option<String>) -> Result<()> {
    match token {
        Some(token) => reader.open(&Begin::Resume(token)).await,
        None => reader.reopen().await,
    }
}

async fn two_cuts_without_a_message(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish("before").await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    for _ in 0..2 {
        let token = told_after_nothing(&mut reader).await?;
        reader.cut();
        resume(&mut reader, token).await?;
    }
    let token = told_after_nothing(&mut reader).await?;
    reader.cut();
    room.publish("at last").await?;
    resume(&mut reader, token).await?;
    reader.text("at last").await?;
    reader.settle().await?;
    room.close().await
}

async fn two_subscribers_see_one_order(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut readers = [room.witness("reader a")?, room.witness("reader b")?];
    for reader in &mut readers {
        reader.open(&Begin::Now).await?;
    }
    let mut publishing = Vec::new();
    for who in ["x", "y", "z"] {
        let (writer, channel) = (room.writer_apart(who)?, room.channel.clone());
        publishing.push(tokio::spawn(async move {
            for n in 0..20 {
                writer.publish(&channel, format!("{who}{n}").as_str().into(), None).await?;
            }
            anyhow::Ok(())
        }));
    }
    let mut seen = [Vec::new(), Vec::new()];
    for (reader, seen) in readers.iter_mut().zip(&mut seen) {
        for _ in 0..60 {
            seen.push(reader.message().await?.text().unwrap_or_default());
        }
    }
    for publisher in publishing {
        publisher.await??;
    }
    for reader in &mut readers {
        reader.settle().await?;
    }
    let [a, b] = seen;
    same("the order of the two", &a, &b)?;
    for who in ["x", "y", "z"] {
        let own: Vec<String> = a.iter().filter(|text| text.starts_with(who)).cloned().collect();
        let sent: Vec<String> = (0..20).map(|n| format!("{who}{n}")).collect();
        same("the order of one sender", own, sent)?;
    }
    room.close().await
}

async fn hello_and_heartbeat(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish("before").await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let hello = reader.hello().await?;
    let is_socket = cell.row()?.kind == crate::readers::Kind::Socket;
    if !is_socket {
        same("heartbeat_ms", hello.heartbeat_ms, Some(room.node.settings().times.heartbeat_ms))?;
        ensure!(hello.cursor.is_some(), "hello has no cursor");
    }
    let first = reader.heartbeat().await?;
    ensure!(is_socket || first.cursor == hello.cursor, "{first:?} stands elsewhere than {hello:?}");
    room.publish("live").await?;
    reader.text("live").await?;
    let later = reader.heartbeat().await?;
    ensure!(later.time >= first.time, "the clock runs backwards");
    if !is_socket {
        ensure!(later.cursor != first.cursor, "the heartbeat after a message has its old cursor");
    }
    reader.settle().await?;
    room.close().await
}

async fn messages_of_several_channels(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let channels = vec![room.channel.clone(), "side".into(), "третий".into()];
    let aim = room.aim(row, channels.clone())?;
    let mut reader = Witness::new("reader", aim, room.history.clone());
    reader.open(&Begin::Now).await?;
    for n in 0..10 {
        for channel in &channels {
            room.publish_to(channel, &format!("{channel} {n}")).await?;
        }
    }
    for _ in 0..30 {
        let message = reader.message().await?;
        ensure!(message.text().is_some_and(|text| text.starts_with(&message.channel)), "{message:?}");
    }
    reader.settle().await?;
    // Away and back: each channel goes on where it stood.
    reader.cut();
    for channel in &channels {
        room.publish_to(channel, &format!("{channel} while away")).await?;
    }
    reader.reopen().await?;
    for _ in &channels {
        reader.message().await?;
    }
    reader.settle().await?;
    room.close().await
}

async fn bad_channel_among_several(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    if row.kind == crate::readers::Kind::Socket {
        return bad_channel_on_a_socket(room).await;
    }
    let bad = "bad\u{7}name";
    let aim = room.aim(row, vec![room.channel.clone(), bad.into(), "side".into()])?;
    let mut reader = Witness::new("reader", aim, room.history.clone());
    room.publish("before").await?;
    reader.open(&Begin::Start).await?;
    let problem = loop {
        match reader.event(PATIENCE).await? {
            Some(Event::Problem(problem)) => break problem,
            Some(Event::Closed(closed)) => anyhow::bail!("closed: {closed:?}"),
            Some(_) => {}
            None => anyhow::bail!("no problem is told"),
        }
    };
    same("code", problem.code.as_str(), "invalid_channel")?;
    ensure!(problem.detail.contains("U+0007"), "the detail does not say what is wrong: {problem:?}");
    drop(reader);
    // The others are read as if the bad one had not been asked for.
    let aim = room.aim(row, vec![room.channel.clone(), "side".into(), bad.into()])?;
    let mut reader = Witness::new("another reader", aim, room.history.clone());
    reader.open(&Begin::Start).await?;
    let mut seen = Vec::new();
    room.publish_to("side", "aside").await?;
    let due = tokio::time::Instant::now() + PATIENCE;
    while seen.len() < 2 && tokio::time::Instant::now() < due {
        if let Some(Event::Message(message)) = reader.event(Duration::from_secs(1)).await? {
            seen.push(message.text().unwrap_or_default());
        }
    }
    seen.sort();
    same("messages of the good channels", seen, vec!["aside".into(), "before".to_owned()])?;
    room.close().await
}

async fn bad_channel_on_a_socket(room: Room) -> Result<()> {
    let mut socket = room.client()?.socket().await?;
    let refused = socket.subscribe("bad\u{7}name", None).await.err();
    same("code", refused.as_ref().and_then(efir_client::ClientError::code), Some("invalid_channel"))?;
    socket.subscribe(&room.channel, None).await?;
    room.publish("still here").await?;
    loop {
        if let Some(Event::Message(message)) = socket.next().await? {
            same("message", message.text().as_deref(), Some("still here"))?;
            break;
        }
    }
    room.close().await
}

async fn other_channels_stay_silent(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    for text in texts(1..=5) {
        room.publish_to("elsewhere", &text).await?;
    }
    room.publish("here").await?;
    reader.text("here").await?;
    reader.settle().await?;
    room.close().await
}
