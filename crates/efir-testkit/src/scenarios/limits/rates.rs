//! Publishes a second: of a connection, of an address. What is refused was not published, and what is accepted later is.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::limit_of;
use crate::{
    ask::{Ask, PATIENCE, check_problem},
    raw::{Opcode, Raw},
    room::{Cell, Room, same},
};

/// Messages a second in these scenarios.
const RATE: u64 = 10;
/// Messages that are tried in one go.
const TRIED: u64 = 40;

/// How many of those that were accepted since `begin` the rate allows: what may come at once, and what the time brings.
fn check_count(accepted: u64, begin: Instant) -> Result<()> {
    let allowed = RATE + begin.elapsed().as_millis() as u64 * RATE / 1_000 + 1;
    ensure!((1..=allowed).contains(&accepted), "{accepted} were accepted; {allowed} are allowed");
    ensure!(accepted >= RATE.min(TRIED), "only {accepted} were accepted");
    Ok(())
}

fn check_refusal(problem: &Value, limit: &str) -> Result<Duration> {
    check_problem(problem)?;
    same("code", problem["code"].as_str(), Some("rate_limited"))?;
    same("limit", limit_of(problem), Some(limit))?;
    Ok(Duration::from_millis(problem["retry_after_ms"].as_u64().context("when to come back")?))
}

pub(super) async fn publishes_of_a_connection(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.connection_publishes_per_s_max = RATE;
        settings.trust.unlimited.clear();
    })
    .await?;
    let address = room.node.address();
    let mut raw = Raw::connect(address).await?;
    let begin = Instant::now();
    let (mut accepted, mut wait) = (0, None);
    for n in 0..TRIED {
        // Also those that the HTTP library reads belong to the connection.
        let ask = Ask::text(room.path(""), &format!("m{n}"));
        let ask = if n % 2 == 0 { ask } else { ask.with("expect", "nothing") };
        raw.write(&ask.bytes(address)).await?;
        let answer = raw.answer_to("POST").await?;
        if answer.status == 200 {
            accepted += 1;
        } else {
            same("status", answer.status, 429)?;
            let problem = answer.problem("rate_limited")?;
            wait = Some(check_refusal(&problem, "connection_publishes_per_s_max")?);
            ensure!(answer.header("retry-after").is_some(), "no Retry-After");
        }
    }
    check_count(accepted, begin)?;
    // Another connection has a purse of its own, and reading costs nothing.
    let other = room.ask(Ask::text(room.path(""), "other")).await?;
    same("another connection", other.status, 200)?;
    let page = room.ask(Ask::get(format!("{}?limit=1000", room.path("")))).await?;
    let kept = page.json()?["messages"].as_array().map_or(0, Vec::len) as u64;
    same("messages", kept, accepted + 1)?;
    tokio::time::sleep(wait.context("nothing was refused")?).await;
    raw.write(&Ask::text(room.path(""), "late").bytes(address)).await?;
    same("after the wait", raw.answer_to("POST").await?.status, 200)?;
    room.node.stop().await
}

pub(super) async fn publishes_of_an_address(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.user_publishes_per_s_max = RATE;
        settings.trust.unlimited.clear();
    })
    .await?;
    let begin = Instant::now();
    let (mut accepted, mut is_refused) = (0, false);
    for n in 0..TRIED {
        // Each by a connection of its own.
        let answer = room.ask(Ask::text(room.path(""), &format!("m{n}"))).await?;
        if answer.status == 200 {
            accepted += 1;
        } else {
            check_refusal(&answer.problem("rate_limited")?, "user_publishes_per_s_max")?;
            is_refused = true;
        }
    }
    ensure!(is_refused, "{TRIED} messages in {:?} and none was refused", begin.elapsed());
    check_count(accepted, begin)?;
    room.node.stop().await
}

pub(super) async fn publishes_on_a_socket(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        settings.limits.connection_bytes_per_s_max = 2_000;
        settings.limits.message_bytes_max = 1_000;
        settings.trust.unlimited.clear();
    })
    .await?;
    let address = room.node.address();
    let text = "x".repeat(900);
    // On the socket of a channel each message is refused by its number; on /socket by the id of its command.
    let mut channel = Raw::websocket(address, &format!("{}?ack=1", room.path(""))).await?;
    let mut socket = Raw::websocket(address, "/socket").await?;
    let command = format!(r#"{{"id":7,"publish":{{"channel":"{}","text":"{text}"}}}}"#, room.channel);
    for (raw, frame) in [(&mut channel, text.as_bytes()), (&mut socket, command.as_bytes())] {
        let due = tokio::time::Instant::now() + PATIENCE;
        let problem = loop {
            ensure!(tokio::time::Instant::now() < due, "nothing is refused");
            raw.send_frame(Opcode::Text, frame).await?;
            if let Some(problem) = refused(raw).await? {
                break problem;
            }
        };
        let wait = check_refusal(&problem, "connection_bytes_per_s_max")?;
        tokio::time::sleep(wait).await;
        raw.send_frame(Opcode::Text, frame).await?;
        ensure!(refused(raw).await?.is_none(), "refused after the wait that was asked for");
    }
    room.node.stop().await
}

/// The next answer to a publish: its problem, if it was refused.
async fn refused(raw: &mut Raw) -> Result<Option<Value>> {
    loop {
        let object = raw.object_past_heartbeats().await?;
        if object.get("ack").is_some() || object.get("reply").is_some() {
            return Ok(None);
        }
        if let Some(problem) = object.get("problem") {
            return Ok(Some(problem.clone()));
        }
    }
}
