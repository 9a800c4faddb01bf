//! Where replay ends and live begins: a publish at every point of a join, by hooks and at random.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, ensure};
use efir_engine::Seam;

use super::scenarios;
use crate::{
    carrier::Carrier,
    readers::{Begin, Kind, Row},
    room::{Cell, Room, Writer},
    witness::Witness,
};

scenarios! { "seam";
    Rows publish_at_every_point_of_a_join: "D7";
    Rows random_publishes_around_a_join: "D7", "D1", "D4";
}

/// Joins that each cell makes at random: 27 cells (nine rows by three carriers) make 2,025.
const RANDOM_JOINS: u32 = 75;

/// The seams that a carrier passes.
pub(super) fn seams(carrier: Carrier, row: Row) -> Vec<Seam> {
    if row.kind == Kind::Socket {
        // It joins by a command: what stands after the cursor is read when the connection comes round again.
        return vec![Seam::Resolved, Seam::Watched];
    }
    // A polled body does not know when its bytes are written, and a held poll is over once it is.
    let has_written = Carrier::SLAB.contains(&carrier) && !row.kind.is_poll();
    Seam::ALL.into_iter().filter(|seam| *seam != Seam::Written || has_written).collect()
}

/// A reader of a channel that no other join has had.
fn fresh(room: &Room, row: Row, channel: &str) -> Result<Witness> {
    let mut channels = vec![channel.to_owned()];
    if row.is_several {
        channels.push(format!("{channel} too"));
    }
    Ok(Witness::new(&format!("reader of {channel}"), room.aim(row, channels)?, room.history.clone()))
}

/// Publishes from a server's thread, in the middle of a join.
fn publish_in_between(writer: &Writer, hub: &efir_engine::Hub, channel: &str, text: &str) {
    let op = writer.begin(channel, None, format!("text:{text}"));
    if let Ok(receipt) = hub.publish_text(channel, text) {
        let _ = writer.accepted(op, &receipt.position.to_string(), false);
    }
}

async fn publish_at_every_point_of_a_join(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    for seam in seams(cell.carrier, row) {
        for is_new in [true, false] {
            let channel = format!("{seam:?} {}", if is_new { "new" } else { "old" });
            let mut begin = Begin::Now;
            if !is_new {
                let first = room.publish_to(&channel, "before").await?;
                begin = Begin::After(vec![(channel.clone(), first.position)]);
            }
            let passed = Arc::new(AtomicBool::new(false));
            let (hub, writer) = (room.node.hub().clone(), room.writer("in between"));
            let (passing, wanted) = (Arc::clone(&passed), channel.clone());
            room.node.joins().hook(move |at, channel| {
                if at == seam && channel == wanted && !passing.swap(true, Ordering::SeqCst) {
                    publish_in_between(&writer, &hub, channel, "in between");
                }
            });
            let mut reader = fresh(&room, row, &channel)?;
            reader.open(&begin).await?;
            reader.text("in between").await?;
            ensure!(passed.load(Ordering::SeqCst), "no join passes {seam:?}");
            room.publish_to(&channel, "after").await?;
            reader.text("after").await?;
            reader.settle().await?;
        }
    }
    room.close().await
}

async fn random_publishes_around_a_join(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let row = cell.row()?;
    let mut random = fastrand::Rng::with_seed(cell.seed);
    for round in 0..RANDOM_JOINS {
        let channel = format!("round {round}");
        let begin = random_history(&room, &channel, &mut random).await?;
        let hooked = hook_random_publishes(&room, &channel, random.u64(..));
        let (writer, quick) = (room.writer_apart("beside")?, random.u32(0..6));
        let beside = tokio::spawn({
            let (channel, mut random) = (channel.clone(), random.fork());
            async move {
                for n in 0..quick {
                    for _ in 0..random.u32(0..200) {
                        tokio::task::yield_now().await;
                    }
                    writer.publish(&channel, format!("beside {n}").as_str().into(), None).await?;
                }
                anyhow::Ok(())
            }
        });
        let mut reader = fresh(&room, row, &channel)?;
        reader.open(&begin).await?;
        beside.await??;
        hooked.end();
        room.publish_to(&channel, "the end").await?;
        // Whatever is lost or repeated before it shows in the history; nothing can come after it.
        while reader.message().await?.text().as_deref() != Some("the end") {}
        if round % 8 == 0 {
            reader.settle().await?;
        }
    }
    room.close().await
}

/// Some messages that stand there before, and where to begin.
async fn random_history(room: &Room, channel: &str, random: &mut fastrand::Rng) -> Result<Begin> {
    let mut positions = Vec::new();
    for n in 0..random.usize(0..4) {
        positions.push(room.publish_to(channel, &format!("before {n}")).await?.position);
    }
    Ok(match (random.u8(0..4), positions.is_empty()) {
        (0, _) | (1 | 2, true) => Begin::Now,
        (1 | 2, false) => {
            let position = positions[random.usize(..positions.len())].clone();
            Begin::After(vec![(channel.to_owned(), position)])
        }
        _ => Begin::Start,
    })
}

/// What the hook of a round still does.
#[derive(Clone)]
struct Hooked(Arc<Mutex<(fastrand::Rng, u32)>>);

impl Hooked {
    /// Nothing is published in between any more.
    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = u32::MAX;
    }
}

/// At each seam of this channel's joins: nothing, one message or two; no more than eight in all.
fn hook_random_publishes(room: &Room, channel: &str, seed: u64) -> Hooked {
    let (hub, writer, wanted) = (room.node.hub().clone(), room.writer("in between"), channel.to_owned());
    let hooked = Hooked(Arc::new(Mutex::new((fastrand::Rng::with_seed(seed), 0))));
    let state = hooked.clone();
    room.node.joins().hook(move |_, channel| {
        let mut state = state.0.lock().unwrap_or_else(PoisonError::into_inner);
        if channel != wanted || state.1 > 8 {
            return;
        }
        for _ in 0..state.0.u32(0..3) {
            state.1 += 1;
            publish_in_between(&writer, &hub, channel, &format!("in between {}", state.1));
        }
    });
    hooked
}
