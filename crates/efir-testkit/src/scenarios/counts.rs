//! What a node counts is what happened: messages that went out, responses that are open, gaps that were told.

use anyhow::{Result, ensure};
use efir_core::GapReason;
use efir_engine::{Counts, Transport};

use super::scenarios;
use crate::{
    ask::PATIENCE,
    readers::{Begin, Kind},
    room::{Cell, Room, texts},
};

scenarios! { "counts";
    Rows what_goes_out: "wire";
    Rows what_is_missing: "D5", "wire";
}

/// As what a row's messages are counted.
fn counted(cell: &Cell) -> Result<Transport> {
    Ok(match cell.row()?.kind {
        Kind::ShortPoll => Transport::ShortPoll,
        Kind::LongPoll => Transport::LongPoll,
        Kind::Sse => Transport::Sse,
        Kind::HttpStream => Transport::HttpStream,
        Kind::WebSocket | Kind::Socket => Transport::WebSocket,
    })
}

/// Waits until the counters stand so: what is on its way is counted when the client may have it already.
async fn until(room: &Room, what: &str, is_so: impl Fn(&Counts) -> bool) -> Result<()> {
    let waited = async {
        while !is_so(&room.node.hub().counters().sum()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let is_in_time = tokio::time::timeout(PATIENCE, waited).await.is_ok();
    ensure!(is_in_time, "{what}: {:?}", room.node.hub().counters().sum());
    Ok(())
}

async fn what_goes_out(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let transport = counted(&cell)?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    room.publish("m1").await?;
    reader.text("m1").await?;
    room.publish_inside(texts(2..=9))?;
    reader.texts(texts(2..=9)).await?;
    until(&room, "nine deliveries", |counts| counts.deliveries[transport as usize] == 9).await?;
    let counts = room.node.hub().counters().sum();
    ensure!(counts.deliveries.iter().sum::<u64>() == 9, "by another transport: {counts:?}");
    ensure!(counts.publishes == 9 && counts.publish_bytes == 18 && counts.duplicates == 0, "{counts:?}");
    ensure!(counts.opened[transport as usize] > 0 && counts.gaps.iter().sum::<u64>() == 0, "{counts:?}");
    reader.cut();
    until(&room, "nothing is open", |counts| Transport::ALL.iter().all(|one| counts.open(*one) == 0)).await?;
    room.close().await
}

async fn what_is_missing(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_messages_max = 5).await?;
    let first = room.publish("m1").await?.position;
    room.publish_inside(texts(2..=12))?;
    let mut reader = room.witness("reader")?;
    reader.open_after(&first).await?;
    reader.gap().await?;
    reader.texts(texts(8..=12)).await?;
    let trimmed = GapReason::ALL.iter().position(|reason| *reason == GapReason::Trimmed).unwrap_or_default();
    let counts = room.node.hub().counters().sum();
    ensure!(counts.gaps[trimmed] == 1 && counts.gaps.iter().sum::<u64>() == 1, "{counts:?}");
    room.close().await
}
