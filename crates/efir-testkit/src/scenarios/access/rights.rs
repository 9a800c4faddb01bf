//! Rights: what a rule and a grant allow, and in which words the rest is refused.

use anyhow::{Result, ensure};
use efir_access::{Action, Audience, Pattern, Rule};
use efir_client::{Event, Payload};
use serde_json::json;

use super::{Reading, client_with, closed, code, grant, granted, refused, rule};
use crate::{
    access::{Closed, SERVER_KEY, now_ms, token},
    ask::Ask,
    readers::Kind,
    room::{Cell, Room, same},
};

const ALL: [Action; 4] = [Action::Subscribe, Action::Publish, Action::History, Action::Presence];

/// Nobody who shows nothing reads, publishes or enters, and each is told what to do.
pub(super) async fn without_a_token(cell: Cell) -> Result<()> {
    let room = granted(&cell).await?;
    let problem = refused(&room, &room.client()?, cell.row()?, None).await?;
    code(&problem, "unauthorized")?;
    same("action", problem.action.as_str(), "refresh_token")?;
    ensure!(problem.detail.contains("Authorization: Bearer"), "{}", problem.detail);
    for ask in [
        Ask::text(room.path(""), "x"),
        Ask::new("PUT", room.path("/presence?member=a")),
        Ask::get(room.path("/presence")),
    ] {
        let answer = room.ask(ask).await?;
        same("status", answer.status, 401)?;
        ensure!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")), "{answer:?}");
    }
    same("nobody needs a token to see what there is", room.ask(Ask::get("/info")).await?.status, 200)?;
    room.close().await
}

/// A user with a grant reads and publishes; who it is stands in the message, whatever the payload says.
pub(super) async fn a_grant_reads_and_publishes(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let room = granted(&cell).await?;
    let client = client_with(&room, &token("аня", 60, "**", &ALL)?)?;
    let first = client.publish(&room.channel, Payload::Text("m1".into()), None).await?;
    let joined = room.node.joins().count(&room.channel);
    let says = async {
        // A short poll reads what there is; all others what comes.
        if row.kind != Kind::ShortPoll {
            room.node.joins().wait(&room.channel, joined + 1).await?;
            client.publish(&room.channel, Payload::Text("m2".into()), None).await?;
        }
        anyhow::Ok(())
    };
    let (begun, said) = tokio::join!(Reading::begin(&room, &client, row, None), says);
    said?;
    let mut reading = begun?;
    match reading.next().await? {
        Some(Event::Message(message)) => same("from", message.from.as_deref(), Some("аня"))?,
        other => anyhow::bail!("{other:?} instead of a message"),
    }
    let other = client_with(&room, &token("боря", 60, "another", &ALL)?)?;
    code(&refused(&room, &other, row, None).await?, "forbidden")?;
    let refused_publish = other.publish(&room.channel, Payload::Text("x".into()), None).await;
    same(
        "publish",
        refused_publish.err().and_then(|error| error.code().map(str::to_owned)),
        Some("forbidden".into()),
    )?;
    let server = client_with(&room, SERVER_KEY)?;
    let receipt = server.publish(&room.channel, Payload::Text("m3".into()), None).await?;
    ensure!(receipt.offset > first.offset, "a backend publishes, too");
    room.close().await
}

/// What is denied of several is told by its name, and the rest is read.
pub(super) async fn one_denied_among_several(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let room = granted(&cell).await?;
    let client = client_with(&room, &grant(&room, "a", &ALL)?)?;
    client.publish(&room.channel, Payload::Text("m1".into()), None).await?;
    let channel = efir_client::encode_channel(&room.channel);
    for wait in ["", "&wait=0.05"] {
        let path = format!("/subscribe?channel={channel}&channel=side{wait}");
        let bearer = format!("Bearer {}", grant(&room, "a", &ALL)?);
        let batch = room.ask(Ask::get(path).with("authorization", bearer)).await?.json()?;
        same("told", batch["problems"][0]["channel"].as_str(), Some("side"))?;
        same("code", batch["problems"][0]["code"].as_str(), Some("forbidden"))?;
    }
    if row.kind.is_poll() {
        return room.close().await;
    }
    let mut reading = match row.kind {
        Kind::Socket => {
            let mut socket = client.socket().await?;
            let refused =
                socket.subscribe("side", None).await.err().and_then(|error| error.problem().cloned());
            same("told", refused.and_then(|problem| problem.channel).as_deref(), Some("side"))?;
            socket.subscribe(&room.channel, None).await?;
            Reading::Socket(Box::new(socket))
        }
        _ => Reading::begin(&room, &client, row, None).await?,
    };
    if row.is_several {
        let problem = reading.problem().await?;
        code(&problem, "forbidden")?;
        same("channel", problem.channel.as_deref(), Some("side"))?;
    }
    client.publish(&room.channel, Payload::Text("m2".into()), None).await?;
    same("the rest", reading.text().await?, "m2".into())?;
    room.close().await
}

/// Whoever may subscribe and not read the history gets nothing from before, but for what it missed a moment ago.
pub(super) async fn history_needs_its_right(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let room = Room::with(&cell, |settings| {
        settings.access = Closed::everywhere(Audience::Grant).ok();
        settings.times.replay_ms = 400;
    })
    .await?;
    let backend = client_with(&room, SERVER_KEY)?;
    let before = backend.publish(&room.channel, Payload::Text("m1".into()), None).await?;
    backend.publish(&room.channel, Payload::Text("m2".into()), None).await?;
    let client = client_with(&room, &token("a", 60, "**", &[Action::Subscribe])?)?;
    if !row.is_several {
        code(&refused(&room, &client, row, Some("start")).await?, "forbidden")?;
    }
    let old = format!("?after={}&wait=0.05", before.position);
    let read = |path: String| client_asks(&room, path, &[Action::Subscribe]);
    let recent = read(room.path(&old)).await?;
    same("what was missed a moment ago", recent["messages"][0]["data"].as_str(), Some("m2"))?;
    let begin_ms = now_ms();
    while now_ms() <= begin_ms + 450 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let late = read(room.path(&old)).await?;
    same("why", late["gap"]["reason"].as_str(), Some("denied"))?;
    same("nothing of it", late["messages"].as_array().map(Vec::len), Some(0))?;
    if !row.is_several && !row.kind.is_poll() {
        let mut reading = Reading::begin(&room, &client, row, Some(&before.position)).await?;
        match reading.next().await? {
            Some(Event::Gap(gap)) => same("reason", gap.reason.as_str(), "denied")?,
            other => anyhow::bail!("{other:?} instead of a gap"),
        }
        backend.publish(&room.channel, Payload::Text("m3".into()), None).await?;
        same("from now on", reading.text().await?, "m3".into())?;
    }
    room.close().await
}

async fn client_asks(room: &Room, path: String, may: &[Action]) -> Result<serde_json::Value> {
    let bearer = format!("Bearer {}", token("a", 60, "**", may)?);
    room.ask(Ask::get(path).with("authorization", bearer)).await?.json()
}

/// To be seen and to see who is there is a right of its own, by every way of entering.
pub(super) async fn presence_needs_its_right(cell: Cell) -> Result<()> {
    let room = granted(&cell).await?;
    let bearer = |may: &[Action]| Ok::<_, anyhow::Error>(format!("Bearer {}", grant(&room, "a", may)?));
    let reader = bearer(&[Action::Subscribe, Action::History])?;
    let members = room.path("/presence");
    for (ask, what) in [
        (Ask::get(members.clone()), "who is there"),
        (Ask::new("PUT", format!("{members}?member=a")), "entering"),
        (Ask::new("DELETE", format!("{members}?member=a")), "putting out"),
        (Ask::get(room.path("?member=a&wait=0.02")), "entering by reading"),
    ] {
        let problem = room.ask(ask.with("authorization", reader.clone())).await?.problem("forbidden")?;
        ensure!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("presence")),
            "{what}: {problem}"
        );
    }
    let socket = client_with(&room, &grant(&room, "a", &[Action::Subscribe])?)?.socket().await;
    let refused = socket?.enter(&room.channel, &efir_client::Who::new("a")).await;
    same(
        "by a socket",
        refused.err().and_then(|error| error.code().map(str::to_owned)),
        Some("forbidden".into()),
    )?;
    let member = bearer(&[Action::Presence])?;
    let entered = room
        .ask(Ask::new("PUT", format!("{members}?member=a")).with("authorization", member.clone()))
        .await?;
    same("entered", entered.json()?["count"].as_u64(), Some(1))?;
    let seen = room.ask(Ask::get(members).with("authorization", member)).await?.json()?;
    same("seen", seen["presence"]["count"].clone(), json!(1))?;
    room.close().await
}

/// Rules are read from above; a rule says how large its messages may be, and whether they say who sent them.
pub(super) async fn a_rule_may_allow_less(cell: Cell) -> Result<()> {
    let mut small = rule("small:*", Audience::Anyone)?;
    small.options.message_bytes_max = Some(3);
    let mut quiet = Rule::new(vec![Pattern::parse("quiet")?], Audience::Authenticated);
    quiet.options.from = efir_access::FromPolicy::None;
    let room = closed(&cell, Closed::of(vec![small, quiet, rule("news", Audience::Nobody)?])?).await?;
    same("fits", room.ask(Ask::text("/channels/small:a", "abc")).await?.status, 200)?;
    let problem = room.ask(Ask::text("/channels/small:a", "abcd")).await?.problem("payload_too_large")?;
    same("limit", problem["limit"]["value"].as_u64(), Some(3))?;
    let mut socket = room.client()?.socket().await?;
    let refused = socket.publish("small:a", "\"abcd\"", None).await;
    same(
        "on a socket",
        refused.err().and_then(|error| error.code().map(str::to_owned)),
        Some("payload_too_large".into()),
    )?;
    room.ask(Ask::text("/channels/news", "x")).await?.problem("forbidden")?;
    room.ask(Ask::text("/channels/other", "x")).await?.problem("forbidden")?;
    room.ask(Ask::text("/channels/quiet", "x")).await?.problem("unauthorized")?;
    let bearer = format!("Bearer {}", token("a", 60, "nothing", &ALL)?);
    let published = room.ask(Ask::text("/channels/quiet", "x").with("authorization", bearer.clone())).await?;
    same("with any token", published.status, 200)?;
    let read = room.ask(Ask::get("/channels/quiet").with("authorization", bearer)).await?.json()?;
    same("no name", read["messages"][0].get("from").cloned(), None)?;
    room.close().await
}
