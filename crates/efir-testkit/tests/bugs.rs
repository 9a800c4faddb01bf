//! Twenty bugs of a server, each planted on the way from a real one to real readers: the checker has to find every one of them in what
//! readers and publishers saw, on every transport. The same run without a bug passes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use efir_client::{Client, Payload};
use efir_core::ChannelName;
use efir_testkit::{
    carrier::Carrier,
    checker::{self, Violation},
    history::Entry,
    liar::{
        Liar,
        bugs::{BUGS, Bug},
    },
    readers::{Begin, Kind, ROWS, Row},
    room::{Cell, Room, Writer, texts},
    witness::Witness,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// How many messages the server of a run keeps.
const KEPT: usize = 6;
/// How long a reader waits for what a lying server may never send; nobody waits so long for an honest one.
const PATIENCE: Duration = Duration::from_millis(400);
const PATIENCE_HONEST: Duration = Duration::from_secs(20);
/// Runs at the same time: each has a server with two workers.
const AT_ONCE: usize = 24;

/// The rows that read one channel in one response or more, as the wire has them; a bug is planted in each of them.
fn rows() -> impl Iterator<Item = Row> {
    let is_plain = |row: &&Row| !row.is_several && !row.is_deflated && row.kind != Kind::Socket;
    ROWS.iter().filter(is_plain).copied()
}

/// What readers and publishers saw of a server with this bug: live messages, a retry, a cut, a trim, a loss of everything.
async fn seen(row: Row, bug: Option<&'static Bug>) -> Result<Vec<Entry>> {
    let cell = Cell { row: Some(row), other: None, carrier: Carrier::H1, seed: 0 };
    let room = Room::with(&cell, |settings| settings.limits.retention_messages_max = KEPT).await?;
    let patience = if bug.is_some() { PATIENCE } else { PATIENCE_HONEST };
    let liar = Liar::before(room.node.address(), bug).await?;
    let client = Client::new(&format!("http://{}", liar.address()))?;
    let writer = Writer::with_client(&room, "writer", client.clone());
    let mut reader = open(&room, row, &client, "reader", &Begin::Now).await?;
    for text in texts(1..=3) {
        publish(&writer, &room.channel, &text, None).await;
        read(&room, &mut reader, patience).await;
    }
    for _ in 0..2 {
        publish(&writer, &room.channel, "m4", Some("key")).await;
    }
    read(&room, &mut reader, patience).await;
    reader.cut();
    for text in texts(5..=7) {
        publish(&writer, &room.channel, &text, None).await;
    }
    come_back(&room, &mut reader, patience).await;
    reader.cut();
    for text in texts(8..=20) {
        publish(&writer, &room.channel, &text, None).await;
    }
    come_back(&room, &mut reader, patience).await;
    let after = reader.cursor().to_owned();
    drop(reader);
    let room = room.restart().await?;
    liar.stand_before(room.node.address());
    let client = Client::new(&format!("http://{}", liar.address()))?;
    let writer = Writer::with_client(&room, "writer", client.clone());
    for text in texts(1..=2) {
        publish(&writer, &room.channel, &text, None).await;
    }
    let begin = Begin::After(vec![(room.channel.clone(), after)]);
    let mut reader = open(&room, row, &client, "reader after the loss", &begin).await?;
    read(&room, &mut reader, patience).await;
    drop(reader.settle().await);
    let history = room.history.entries();
    room.node.stop().await?;
    Ok(history)
}

async fn open(room: &Room, row: Row, client: &Client, name: &str, begin: &Begin) -> Result<Witness> {
    let mut aim = room.aim(row, room.channels(row))?;
    aim.client = client.clone();
    let mut reader = Witness::new(name, aim, room.history.clone());
    // A reader that gives up is no finding: the checker has the word.
    drop(reader.open(begin).await);
    Ok(reader)
}

/// Whatever the answer is: it stands in the history.
async fn publish(writer: &Writer, channel: &str, text: &str, key: Option<&str>) {
    drop(writer.publish(channel, Payload::Text(text.into()), key).await);
}

/// Takes what comes until the reader stands at the end of its channel, or its patience is over.
async fn read(room: &Room, reader: &mut Witness, patience: Duration) {
    let Ok(name) = ChannelName::parse(&room.channel) else { return };
    let end = Instant::now() + patience;
    while reader.cursor() != room.node.hub().position(&name).to_string() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !matches!(reader.event(left).await, Ok(Some(_))) {
            return;
        }
    }
}

/// The reader comes back after its cursor, and takes everything.
async fn come_back(room: &Room, reader: &mut Witness, patience: Duration) {
    drop(reader.reopen().await);
    read(room, reader, patience).await;
    drop(reader.settle().await);
}

/// The verdict over one run.
async fn verdict(row: Row, bug: Option<&'static Bug>) -> Result<(Row, &'static str, Vec<Violation>)> {
    let history = seen(row, bug).await.with_context(|| format!("{row}: {:?}", bug.map(|bug| bug.name)))?;
    Ok((row, bug.map_or("none", |bug| bug.name), checker::check(&history)))
}

/// Whether a violation shows the bug: that something is missing in the end could be a slow machine, unless that is the bug.
fn is_proof(bug: &str, violation: &Violation) -> bool {
    violation.clause != "D4" || bug == "the newest messages are never delivered"
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_bug_of_a_server_is_found_on_every_transport() -> Result<()> {
    ensure!(BUGS.len() == 20, "{} bugs", BUGS.len());
    let mut runs = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for row in rows() {
        for bug in [None].into_iter().chain(BUGS.iter().map(Some)) {
            let places = Arc::clone(&places);
            runs.spawn(async move {
                let _place = places.acquire().await?;
                verdict(row, bug).await
            });
        }
    }
    let mut wrong = Vec::new();
    let mut table: Vec<(&str, Vec<String>)> = BUGS.iter().map(|bug| (bug.name, Vec::new())).collect();
    while let Some(ended) = runs.join_next().await {
        let (row, bug, found) = ended??;
        let cells = table.iter_mut().find(|(name, _)| *name == bug).map(|(_, cells)| cells);
        let Some(cells) = cells else {
            wrong.extend(found.first().map(|violation| format!("{row}, no bug: {violation}")));
            continue;
        };
        match found.iter().find(|violation| is_proof(bug, violation)) {
            Some(violation) => cells.push(format!("{row} {}", violation.clause)),
            None => wrong.push(format!("{row}: not found: {bug}: {found:?}")),
        }
    }
    for (name, mut cells) in table {
        cells.sort();
        println!("| {name} | {} |", cells.join(", "));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
