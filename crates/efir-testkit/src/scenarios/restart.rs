//! A server that remembers nothing: the epoch changes, and every reader is told.

use anyhow::{Context, Result};
use efir_client::Event;

use super::scenarios;
use crate::{
    ask::PATIENCE,
    binary::Binary,
    history,
    readers::Begin,
    room::{Cell, Room, Writer, same, texts},
};

scenarios! { "restart";
    Rows in_process: "D5", "D6";
    Rows killed: "D5", "D6";
}

async fn in_process(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    room.publish("m1").await?;
    room.publish("m2").await?;
    reader.texts(texts(1..=2)).await?;
    reader.settle().await?;
    let after = reader.cursor().to_owned();
    drop(reader);
    let room = room.restart().await?;
    let mut reader = room.witness("reader again")?;
    // Nothing was published yet: the gap does not wait for a message.
    reader.open_after(&after).await?;
    let gap = reader.gap().await?;
    same("reason", gap.reason.as_str(), "epoch_changed")?;
    room.publish("n1").await?;
    reader.text("n1").await?;
    reader.settle().await?;
    let mut late = room.witness("late reader")?;
    late.open_after(&after).await?;
    late.gap().await?;
    late.text("n1").await?;
    late.settle().await?;
    room.close().await
}

/// The real binary, ended by SIGKILL with an open reader, and started again on the same port.
async fn killed(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let mut binary = Binary::start().await?;
    let client = binary.client(cell.carrier)?;
    let mut aim = room.aim(row, room.channels(row))?;
    (aim.client, aim.joins) = (client.clone(), None);
    let mut reader = crate::witness::Witness::new("reader", aim, room.history.clone());
    let writer = Writer::with_client(&room, "writer", client.clone());
    for n in 1..=3 {
        writer.publish(&room.channel, format!("m{n}").as_str().into(), None).await?;
    }
    reader.open(&Begin::Start).await?;
    reader.texts(texts(1..=3)).await?;
    binary.kill().await?;
    room.history.record("server", history::Event::Lost);
    let known = reader.cursors().len();
    reader.cut();
    binary.start_again(&client).await?;
    writer.publish(&room.channel, "n1".into(), None).await?;
    reader.reopen().await?;
    // Each channel whose cursor is known says it for itself, also the one that has no message.
    let mut gaps = 0;
    let mut has_message = false;
    while gaps < known || !has_message {
        match reader.event(PATIENCE).await?.context("not every channel tells its gap")? {
            Event::Gap(gap) => {
                same("reason", gap.reason.as_str(), "epoch_changed")?;
                gaps += 1;
            }
            Event::Message(message) => has_message = message.text().as_deref() == Some("n1"),
            _ => {}
        }
    }
    writer.publish(&room.channel, "n2".into(), None).await?;
    reader.text("n2").await?;
    reader.settle().await?;
    drop(reader);
    binary.kill().await?;
    room.close().await
}
