//! A reader that changes its transport between two messages and carries its cursor along.

use anyhow::Result;

use super::scenarios;
use crate::{
    readers::{Begin, Row},
    room::{Cell, Room, same, texts},
    witness::Witness,
};

scenarios! { "switch";
    Pairs mid_stream: "D8", "D4";
}

/// Both transports read the same channels; one that has a single channel reads only the first of them.
async fn mid_stream(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let (from, to) = (cell.row()?, cell.other.ok_or_else(|| anyhow::anyhow!("no transport to switch to"))?);
    let mut reader = room.witness_of("reader", from)?;
    reader.open(&Begin::Now).await?;
    room.publish_inside(texts(1..=4))?;
    // In the middle of what is there, so that the old transport has more under way.
    reader.texts(texts(1..=2)).await?;
    let mut reader = go_on(&room, &mut reader, "reader, switched", to).await?;
    room.publish_inside(texts(5..=6))?;
    reader.texts(texts(3..=6)).await?;
    let mut reader = go_on(&room, &mut reader, "reader, back", from).await?;
    room.publish("m7").await?;
    reader.text("m7").await?;
    reader.settle().await?;
    same("the cursor", reader.cursor().ends_with("-7"), true)?;
    room.close().await
}

async fn go_on(room: &Room, reader: &mut Witness, name: &str, row: Row) -> Result<Witness> {
    let after = reader.cursor().to_owned();
    reader.cut();
    let mut next = room.witness_of(name, row)?;
    next.open_after(&after).await?;
    Ok(next)
}
