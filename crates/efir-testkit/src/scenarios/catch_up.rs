//! What was published while nobody read.

use std::{future::poll_fn, pin::Pin, task::Poll};

use anyhow::Result;

use super::{live::until_told, scenarios};
use crate::{
    readers::Begin,
    room::{Cell, Room, texts},
    witness::Witness,
};

scenarios! { "catch_up";
    Rows after_a_cursor: "D4", "D8";
    Rows after_the_last: "D4", "D7";
    Rows from_the_start: "D4";
    Rows the_last_few: "D4";
    Rows more_than_one_reply: "D4";
    Rows cut_at_every_message: "D4", "D8";
    Rows a_storm_of_returns: "D4", "D7", "D8";
    Rows with_the_token_that_was_told: "D4";
    Rows old_cursors_do_not_expire: "D4", "D8";
}

async fn after_a_cursor(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut cursors = Vec::new();
    for text in texts(1..=5) {
        cursors.push(room.publish(&text).await?.position);
    }
    let mut reader = room.witness("reader")?;
    reader.open_after(&cursors[1]).await?;
    reader.texts(texts(3..=5)).await?;
    room.publish("m6").await?;
    reader.text("m6").await?;
    reader.settle().await?;
    room.close().await
}

async fn after_the_last(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish("m1").await?;
    let last = room.publish("m2").await?.position;
    let mut reader = room.witness("reader")?;
    reader.open_after(&last).await?;
    reader.settle().await?;
    room.publish("m3").await?;
    reader.text("m3").await?;
    reader.settle().await?;
    room.close().await
}

async fn from_the_start(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish_inside(texts(1..=4))?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Start).await?;
    reader.texts(texts(1..=4)).await?;
    room.publish("m5").await?;
    reader.text("m5").await?;
    reader.settle().await?;
    room.close().await
}

async fn the_last_few(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish_inside(texts(1..=7))?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Last(3)).await?;
    reader.texts(texts(5..=7)).await?;
    room.publish("m8").await?;
    reader.text("m8").await?;
    reader.settle().await?;
    // More than there are is all there are.
    let mut greedy = room.witness("greedy reader")?;
    greedy.open(&Begin::Last(50)).await?;
    greedy.texts(texts(1..=8)).await?;
    greedy.settle().await?;
    room.close().await
}

/// A thousand and more: several answers of a poll, several pulls of a stream.
async fn more_than_one_reply(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish_inside(texts(1..=1_300))?;
    let mut aim = room.aim(cell.row()?, room.channels(cell.row()?))?;
    aim.limit = Some(400);
    let mut reader = Witness::new("reader", aim, room.history.clone());
    reader.open(&Begin::Start).await?;
    reader.texts(texts(1..=1_300)).await?;
    reader.settle().await?;
    room.close().await
}

async fn cut_at_every_message(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    room.publish_inside(texts(1..=6))?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Start).await?;
    for text in texts(1..=6) {
        reader.text(&text).await?;
        reader.reopen().await?;
    }
    // Between the end of replay and the first live message.
    reader.reopen().await?;
    room.publish("m7").await?;
    reader.text("m7").await?;
    reader.settle().await?;
    room.close().await
}

/// All readers lose their connections at once, much is published meanwhile and while they return, and all return at once.
async fn a_storm_of_returns(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut readers = Vec::new();
    for n in 1..=READERS {
        let mut reader = room.witness(&format!("reader {n}"))?;
        reader.open(&Begin::Now).await?;
        readers.push(reader);
    }
    room.publish("m1").await?;
    for reader in &mut readers {
        reader.text("m1").await?;
    }
    readers.iter_mut().for_each(Witness::cut);
    room.publish_inside(texts(2..=150))?;
    let returning = readers.iter_mut().map(|reader| -> Pending<'_> { Box::pin(reader.reopen()) });
    let (returned, published) = tokio::join!(all_of(returning.collect()), async {
        tokio::task::yield_now().await;
        room.publish_inside(texts(151..=160))
    });
    returned?;
    published?;
    room.publish("m161").await?;
    let reading = readers.iter_mut().map(|reader| -> Pending<'_> {
        Box::pin(async {
            reader.texts(texts(2..=161)).await?;
            reader.settle().await
        })
    });
    all_of(reading.collect()).await?;
    room.close().await
}

/// Few enough for every cell, and more than one worker, one turn or one shared answer.
const READERS: usize = 16;

type Pending<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Goes on with all of them until the last is done; fails as soon as one does.
async fn all_of(mut futures: Vec<Pending<'_>>) -> Result<()> {
    poll_fn(|context| {
        let mut failed = None;
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if futures.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

/// What the server itself gave as the place to go on, with nothing of our own making.
async fn with_the_token_that_was_told(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    until_told(&mut reader, 2).await?;
    room.publish_to("side", "s1").await?;
    reader.text("s1").await?;
    room.publish("m1").await?;
    reader.text("m1").await?;
    // The token follows the messages: at the end of the batch, after the flush, or with the next heartbeat.
    let before = reader.told();
    for _ in 0..4 {
        if reader.told() != before || cell.row()?.kind.is_poll() {
            break;
        }
        reader.event(std::time::Duration::from_millis(400)).await?;
    }
    reader.settle().await?;
    let token = reader.told().ok_or_else(|| anyhow::anyhow!("no token was told"))?;
    reader.cut();
    room.publish("m2").await?;
    room.publish_to("side", "s2").await?;
    reader.open(&Begin::Resume(token)).await?;
    let mut seen = vec![reader.message().await?.text(), reader.message().await?.text()];
    seen.sort();
    crate::room::same("what came after the token", seen, vec![Some("m2".into()), Some("s2".into())])?;
    reader.settle().await?;
    room.close().await
}

async fn old_cursors_do_not_expire(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let first = room.publish("m1").await?.position;
    room.publish_inside(texts(2..=20))?;
    // Twice after the same cursor: reading moves nothing on the server.
    for name in ["first time", "second time"] {
        let mut reader = room.witness(name)?;
        reader.open_after(&first).await?;
        reader.texts(texts(2..=20)).await?;
        reader.settle().await?;
    }
    room.close().await
}
