//! What a bug in the server ends: the connection or the request that it came up on. The bug is planted: a hook that only tests set
//! panics in the middle of a join, on the server's own threads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use efir_client::Event;
use efir_engine::{OwnRetention, RetentionRules, Seam};

use super::{scenarios, seam::seams};
use crate::{
    ask::{Ask, PATIENCE},
    harness::Planted,
    history::History,
    readers::{Begin, Kind, Row},
    room::{Cell, Room, same},
    witness::Witness,
};

scenarios! { "bugs";
    Rows a_panic_ends_what_it_came_up_on: "wire";
    Carriers a_panic_in_a_request_is_an_answer: "wire", "D2";
    Carriers a_panic_of_a_sweep_ends_that_sweep: "wire";
}

/// Readers beside it: on each of the two workers there is one.
const BESIDE: usize = 8;

/// The next join of this channel panics at this seam.
fn plant(room: &Room, channel: &str, seam: Seam) -> Arc<AtomicBool> {
    let sprung = Arc::new(AtomicBool::new(false));
    let (springing, wanted) = (Arc::clone(&sprung), channel.to_owned());
    room.node.joins().hook(move |at, channel| {
        if at == seam && channel == wanted && !springing.swap(true, Ordering::SeqCst) {
            std::panic::panic_any(Planted);
        }
    });
    sprung
}

fn reader_of(room: &Room, row: Row, channel: &str, history: History) -> Result<Witness> {
    let mut channels = vec![channel.to_owned()];
    if row.is_several {
        channels.push(format!("{channel} too"));
    }
    Ok(Witness::new(&format!("reader of {channel}"), room.aim(row, channels)?, history))
}

/// What comes up to its end, which it must come to.
async fn end_of(reader: &mut Witness) -> Result<Vec<Event>> {
    let to_its_end = async {
        let mut seen = Vec::new();
        if reader.open(&Begin::Now).await.is_err() {
            return seen;
        }
        while let Ok(Some(event)) = reader.event(2 * PATIENCE).await {
            let is_last = matches!(event, Event::Closed(_));
            seen.push(event);
            if is_last {
                break;
            }
        }
        seen
    };
    tokio::time::timeout(PATIENCE, to_its_end).await.context("its connection does not end")
}

/// A message that is published now has no reader.
async fn nobody_reads(room: &Room, channel: &str) -> Result<()> {
    for _ in 0..200 {
        if room.publish_to(channel, "to nobody").await?.subscribers == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the one that ended is still counted among the readers of {channel:?}")
}

async fn a_panic_ends_what_it_came_up_on(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let mut beside = Vec::new();
    for n in 0..BESIDE {
        let mut reader = room.witness(&format!("beside {n}"))?;
        reader.open(&Begin::Now).await?;
        beside.push(reader);
    }
    for (count, seam) in seams(cell.carrier, row).into_iter().enumerate() {
        let channel = format!("doomed at {seam:?}");
        let sprung = plant(&room, &channel, seam);
        let mut reader = reader_of(&room, row, &channel, History::default())?;
        let ended = end_of(&mut reader).await.with_context(|| format!("at {seam:?}"))?;
        ensure!(sprung.load(Ordering::SeqCst), "no join passes {seam:?}");
        // A handshake is refused as every request is; where a write has just gone out nothing is added to it; and a reader of `/socket` does
        // not come back from its subscribe.
        let is_told = !matches!(seam, Seam::Resolved | Seam::Written);
        if row.kind == Kind::WebSocket && is_told {
            let last = ended.last();
            ensure!(matches!(last, Some(Event::Closed(end)) if end.code == 1011), "{seam:?}: {ended:?}");
        }
        same("panics that were counted", room.node.hub().counters().sum().panics, count as u64 + 1)?;
        nobody_reads(&room, &channel).await?;

        let text = format!("after {seam:?}");
        room.publish(&text).await?;
        for reader in &mut beside {
            reader.text(&text).await?;
        }
        // Nothing of the one that ended is left in the way of the next one.
        let mut again = reader_of(&room, row, &channel, room.history.clone())?;
        again.open(&Begin::Now).await?;
        room.publish_to(&channel, "again").await?;
        again.text("again").await?;
    }
    for reader in &mut beside {
        reader.settle().await?;
    }
    room.close().await
}

async fn a_panic_in_a_request_is_an_answer(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let sprung = plant(&room, "doomed", Seam::Resolved);
    let answer = room.ask(Ask::get("/channels/doomed?wait=5")).await?;
    answer.problem("internal")?;
    ensure!(sprung.load(Ordering::SeqCst), "nothing panicked");
    // Of an event stream too, whose client would never come back after another status.
    let sprung = plant(&room, "doomed", Seam::Resolved);
    let answer =
        room.ask(Ask::get("/channels/doomed?transport=sse").with("accept", "text/event-stream")).await?;
    same("status of an event stream", answer.status, 200)?;
    ensure!(answer.text().contains("internal") && answer.text().contains("retry:"), "{}", answer.text());
    ensure!(sprung.load(Ordering::SeqCst), "nothing panicked");
    same("panics that were counted", room.node.hub().counters().sum().panics, 2)?;
    room.publish_to("doomed", "after").await?;
    let answer = room.ask(Ask::get("/channels/doomed")).await?;
    ensure!(answer.status == 200 && answer.text().contains("after"), "{}", answer.text());
    room.close().await
}

/// Waits until nothing is kept any more, which only a sweep brings about: nobody asks.
async fn until_all_has_aged(room: &Room) -> Result<()> {
    let aged = async {
        while room.node.hub().stock().channels > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let stock = || room.node.hub().stock();
    tokio::time::timeout(PATIENCE, aged).await.with_context(|| format!("it is kept for ever: {:?}", stock()))
}

/// Whoever sweeps asks once more what a channel keeps when the rules have changed, and the rules panic.
async fn a_panic_of_a_sweep_ends_that_sweep(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.retention_ms_max = 300).await?;
    let channels: Vec<String> = (0..40).map(|n| format!("doomed {n}")).collect();
    for channel in &channels {
        room.publish_to(channel, "ages").await?;
    }
    let sprung = Arc::new(AtomicBool::new(false));
    let springing = Arc::clone(&sprung);
    let own = OwnRetention { age_ms_max: 250, ..OwnRetention::NODE };
    room.node.hub().keep_by(Some(RetentionRules::new(vec![own], move |_| {
        if !springing.swap(true, Ordering::SeqCst) {
            std::panic::panic_any(Planted);
        }
        Some(0)
    })));
    until_all_has_aged(&room).await?;
    ensure!(sprung.load(Ordering::SeqCst), "nothing panicked");
    same("panics that were counted", room.node.hub().counters().sum().panics, 1)?;
    // Not only what was there then.
    for channel in &channels {
        room.publish_to(channel, "ages, too").await?;
    }
    until_all_has_aged(&room).await?;
    same("panics that were counted", room.node.hub().counters().sum().panics, 1)?;
    room.close().await
}
