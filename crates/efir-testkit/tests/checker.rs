//! Whether the checker sees what it must: faults planted into histories of real runs, and a reader with a planted fault
//! against a real server.

use anyhow::{Context, Result, ensure};
use efir_client::Event;
use efir_testkit::{
    carrier::Carrier,
    checker::{Summary, check, planted::FAULTS},
    history::{Entry, from_lines, to_lines},
    readers::{Begin, Later, ROWS, Reader, Row, reader},
    room::{Cell, Room, texts},
    witness::Witness,
};

fn cell(row: Row) -> Cell {
    Cell { row: Some(row), other: None, carrier: Carrier::H1, seed: 0 }
}

/// A run with everything that a fault needs a place in: live messages, a cut, a retry, a trim, a restart.
async fn recorded(row: Row) -> Result<Vec<Entry>> {
    let room = Room::with(&cell(row), |settings| settings.limits.retention_messages_max = 6).await?;
    let mut witness = room.witness("reader")?;
    witness.open(&Begin::Now).await?;
    for text in texts(1..=3) {
        room.publish(&text).await?;
        witness.text(&text).await?;
    }
    let writer = room.writer("writer");
    for _ in 0..2 {
        writer.publish(&room.channel, "m4".into(), Some("key")).await?;
    }
    witness.text("m4").await?;
    witness.reopen().await?;
    for text in texts(5..=7) {
        room.publish(&text).await?;
        witness.text(&text).await?;
    }
    witness.settle().await?;
    witness.cut();
    for text in texts(8..=20) {
        room.publish(&text).await?;
    }
    witness.reopen().await?;
    witness.gap().await?;
    witness.texts(texts(15..=20)).await?;
    witness.settle().await?;
    let after = witness.cursor().to_owned();
    drop(witness);
    let room = room.restart().await?;
    for text in texts(1..=2) {
        room.publish(&text).await?;
    }
    let mut witness = room.witness("reader after the restart")?;
    witness.open_after(&after).await?;
    witness.gap().await?;
    witness.texts(texts(1..=2)).await?;
    witness.settle().await?;
    let history = room.history.entries();
    room.close().await?;
    Ok(history)
}

#[tokio::test]
async fn faults_planted_into_real_histories_are_seen() -> Result<()> {
    let mut placed = vec![0; FAULTS.len()];
    for row in ROWS {
        let history = recorded(*row).await?;
        // As a tool would hand it over.
        let history = from_lines(&to_lines(&history)?)?;
        ensure!(check(&history).is_empty(), "{row}: {:?}", check(&history));
        for (fault, placed) in FAULTS.iter().zip(&mut placed) {
            if let Some(spoiled) = (fault.plant)(&history) {
                *placed += 1;
                ensure!(!check(&spoiled).is_empty(), "{row}: not seen: {}", fault.name);
            }
        }
    }
    for (fault, placed) in FAULTS.iter().zip(placed) {
        ensure!(placed > 0, "no history has a place for: {}", fault.name);
    }
    Ok(())
}

/// The command that judges files says of each fault what the checker says of it.
#[tokio::test]
async fn faults_planted_into_files_are_seen_by_the_command() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("efir-judge-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let row = ROWS.first().context("there are transports")?;
    let good = recorded(*row).await?;
    let file = folder.join("history.jsonl");
    ensure!(judged(&file, &good)? == (true, Summary::of(&good, &[])), "a good file is not passed");
    for fault in FAULTS {
        let Some(spoiled) = (fault.plant)(&good) else { continue };
        let (is_held, summary) = judged(&file, &spoiled)?;
        ensure!(!is_held, "not seen in a file: {}", fault.name);
        ensure!(summary == Summary::of(&spoiled, &check(&spoiled)), "{}: {summary:?}", fault.name);
    }
    std::fs::write(&file, "{\"actor\":\"a\"}\n")?;
    let refused = std::process::Command::new(env!("CARGO_BIN_EXE_efir-judge")).arg(&file).output()?;
    ensure!(refused.status.code() == Some(2), "what is no history is not judged: {refused:?}");
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// What `efir-judge` says of a history in a file.
fn judged(file: &std::path::Path, entries: &[Entry]) -> Result<(bool, Summary)> {
    std::fs::write(file, to_lines(entries)?)?;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_efir-judge")).arg(file).output()?;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let count = |name: &str| said[name].as_u64().with_context(|| format!("no {name} in {said}"));
    let summary = Summary {
        publishes: count("publishes")?,
        accepted: count("accepted")?,
        received: count("received")?,
        gaps: count("gaps")?,
        lost: count("lost")?,
        duplicated: count("duplicated")?,
        reordered: count("reordered")?,
        silent_gaps: count("silent_gaps")?,
        other: count("other")?,
    };
    Ok((output.status.success(), summary))
}

/// Begins where it likes, whatever cursor it is given.
struct Careless {
    reader: Box<dyn Reader>,
    begin: Begin,
}

impl Reader for Careless {
    fn open<'a>(&'a mut self, begin: &'a Begin) -> Later<'a, ()> {
        let begin = if matches!(begin, Begin::After(_) | Begin::Resume(_)) { &self.begin } else { begin };
        self.reader.open(begin)
    }

    fn next(&mut self) -> Later<'_, Option<Event>> {
        self.reader.next()
    }

    fn close(&mut self) {
        self.reader.close();
    }

    fn cursor(&self) -> Option<String> {
        self.reader.cursor()
    }
}

/// The scenario of a cable that is cut and plugged in again, over a reader that resumes at `begin`.
async fn resumed_at(row: Row, begin: Begin) -> Result<Vec<Entry>> {
    let room = Room::open(&cell(row)).await?;
    let aim = room.aim(row, room.channels(row))?;
    let careless = Careless { reader: reader(aim.clone()), begin };
    let mut witness = Witness::over(Box::new(careless), "careless reader", aim, room.history.clone());
    witness.open(&Begin::Now).await?;
    for text in texts(1..=2) {
        room.publish(&text).await?;
        witness.text(&text).await?;
    }
    witness.cut();
    room.publish("m3").await?;
    witness.reopen().await?;
    room.publish("m4").await?;
    while witness.message().await?.text().as_deref() != Some("m4") {}
    let history = room.history.entries();
    room.node.stop().await?;
    Ok(history)
}

#[tokio::test]
async fn a_reader_that_ignores_its_cursor_fails_on_every_transport() -> Result<()> {
    for row in ROWS {
        for begin in [Begin::Start, Begin::Now] {
            let history = resumed_at(*row, begin.clone()).await?;
            ensure!(!check(&history).is_empty(), "{row} that begins at {begin:?} is not seen: {history:#?}");
        }
    }
    Ok(())
}

/// The same scenario with a reader that keeps its cursor, so that the fault is what the checker saw.
#[tokio::test]
async fn a_reader_that_keeps_its_cursor_passes_it() -> Result<()> {
    for row in ROWS {
        let room = Room::open(&cell(*row)).await?;
        let mut witness = room.witness("careful reader")?;
        witness.open(&Begin::Now).await?;
        for text in texts(1..=2) {
            room.publish(&text).await?;
            witness.text(&text).await?;
        }
        witness.cut();
        room.publish("m3").await?;
        witness.reopen().await?;
        room.publish("m4").await?;
        witness.texts(texts(3..=4)).await?;
        room.close().await?;
    }
    Ok(())
}
