//! What lasts is judged again: when a token ends, when somebody is revoked, and when the rules change.

use anyhow::{Context, Result, ensure};
use efir_access::{Action, Audience, Pattern, Rule};
use efir_client::{Payload, Read, Transport, Who};
use efir_core::ChannelName;

use super::{Reading, client_with, code, grant, granted};
use crate::{
    access::{Closed, SERVER_KEY, now_ms, token},
    ask::Ask,
    readers::Kind,
    room::{Cell, Room, same},
};

const READ: [Action; 3] = [Action::Subscribe, Action::Publish, Action::History];

/// Delivery stops when the token does, and the reader is told why. Short polls last no time: each is judged by itself.
pub(super) async fn a_token_that_ends_stops_delivery(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let room = granted(&cell).await?;
    let end_s = now_ms() / 1_000 + 2;
    let short = client_with(&room, &token("a", 2, "**", &READ)?)?;
    let lasting = client_with(&room, &token("b", 60, "**", &READ)?)?;
    if row.kind == Kind::ShortPoll {
        Reading::begin(&room, &short, row, None).await?;
        while now_ms() < (end_s + 1) * 1_000 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        code(&super::refused(&room, &short, row, None).await?, "token_expired")?;
        return room.close().await;
    }
    if row.kind.is_poll() {
        code(&super::poll_ends(&room, &short, row, async { Ok(()) }).await?, "token_expired")?;
        ensure!(now_ms() >= end_s * 1_000, "the token had not ended");
        return room.close().await;
    }
    let mut reading = Reading::begin(&room, &short, row, None).await?;
    lasting.publish(&room.channel, Payload::Text("m1".into()), None).await?;
    same("while it holds", reading.text().await?, "m1".into())?;
    let problem = reading.problem().await?;
    code(&problem, "token_expired")?;
    ensure!(now_ms() >= end_s * 1_000, "the token had not ended");
    lasting.publish(&room.channel, Payload::Text("m2".into()), None).await?;
    reading.ends().await?;
    room.close().await
}

/// A token that ended while its reader was away opens nothing any more; with the next one reading goes on where it stood.
pub(super) async fn a_token_that_ended_while_its_reader_was_away(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let room = granted(&cell).await?;
    let end_s = now_ms() / 1_000 + 2;
    let short = client_with(&room, &token("a", 2, "**", &READ)?)?;
    let lasting = client_with(&room, &token("b", 60, "**", &READ)?)?;
    let first = lasting.publish(&room.channel, Payload::Text("m1".into()), None).await?.position;
    let after = match row.is_several {
        true => crate::readers::token(&[(room.channel.clone(), first)])?,
        false => first,
    };
    while now_ms() < (end_s + 1) * 1_000 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    lasting.publish(&room.channel, Payload::Text("m2".into()), None).await?;
    code(&super::refused(&room, &short, row, Some(&after)).await?, "token_expired")?;
    let next = client_with(&room, &token("a", 60, "**", &READ)?)?;
    let mut reading = Reading::begin(&room, &next, row, Some(&after)).await?;
    same("where it stood", reading.text().await?, "m2".into())?;
    room.close().await
}

/// New rules hold for whoever is connected already.
pub(super) async fn rules_that_change_end_what_they_no_longer_allow(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let room = granted(&cell).await?;
    let client = client_with(&room, &grant(&room, "a", &READ)?)?;
    let side = client_with(&room, &token("b", 60, "**", &READ)?)?;
    let reader = if row.is_several { &side } else { &client };
    if row.kind == Kind::LongPoll {
        let closes = async { room.node.close_to(&Closed::everywhere(Audience::Nobody)?) };
        code(&super::poll_ends(&room, reader, row, closes).await?, "forbidden")?;
        return room.close().await;
    }
    let mut reading = Reading::begin(&room, reader, row, None).await?;
    if row.kind == Kind::ShortPoll {
        room.node.close_to(&Closed::everywhere(Audience::Nobody)?)?;
        code(&super::refused(&room, reader, row, None).await?, "forbidden")?;
        return room.close().await;
    }
    room.node.close_to(&Closed::everywhere(Audience::Grant)?)?;
    client.publish(&room.channel, Payload::Text("m1".into()), None).await?;
    same("rules that allow the same", reading.text().await?, "m1".into())?;
    room.node.close_to(&Closed::everywhere(Audience::Nobody)?)?;
    let problem = reading.problem().await?;
    code(&problem, "forbidden")?;
    ensure!(problem.channel.is_some(), "which channel?");
    room.close().await
}

/// A site that was open to everybody and is no longer sends those who read on to ask again.
pub(super) async fn closing_ends_those_who_came_before(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let room = Room::open(&cell).await?;
    let closes = || room.node.close_to(&Closed::everywhere(Audience::Nobody)?);
    if row.kind == Kind::LongPoll {
        let joined = room.node.joins().count(&room.channel);
        let client = room.client()?;
        let begun = async { Reading::begin(&room, &client, row, None).await };
        let closing = async {
            room.node.joins().wait(&room.channel, joined + 1).await?;
            closes()
        };
        let (begun, closed) = tokio::join!(begun, closing);
        closed?;
        ensure!(begun.is_ok(), "the poll is answered, and asked again");
    } else if row.kind == Kind::ShortPoll {
        closes()?;
    } else {
        let mut reading = Reading::begin(&room, &room.client()?, row, None).await?;
        room.publish("m1").await?;
        same("open", reading.text().await?, "m1".into())?;
        closes()?;
        code(&reading.problem().await?, "draining")?;
        reading.ends().await?;
    }
    code(&super::refused(&room, &room.client()?, row, None).await?, "forbidden")?;
    room.close().await
}

/// Who is revoked is ended, and not let in again.
pub(super) async fn a_revoked_user_is_ended(cell: Cell) -> Result<()> {
    let row = cell.row()?;
    let closed = Closed::everywhere(Audience::Grant)?;
    let room = super::closed(&cell, closed.clone()).await?;
    let (a, b) =
        (client_with(&room, &grant(&room, "a", &READ)?)?, client_with(&room, &grant(&room, "b", &READ)?)?);
    let row = crate::readers::Row { is_several: false, ..row };
    let revoke = || {
        closed.revocations.revoke_user("a", now_ms() + 60_000, now_ms())?;
        room.node.recheck();
        anyhow::Ok(())
    };
    let problem = match row.kind {
        Kind::ShortPoll => revoke().map(|()| None)?,
        Kind::LongPoll => Some(super::poll_ends(&room, &a, row, async { revoke() }).await?),
        _ => {
            let mut reading = Reading::begin(&room, &a, row, None).await?;
            revoke()?;
            Some(reading.problem().await?)
        }
    };
    if let Some(problem) = problem {
        code(&problem, "unauthorized")?;
        ensure!(problem.detail.contains("revoked"), "{}", problem.detail);
    }
    let problem = super::refused(&room, &a, row, None).await?;
    ensure!(problem.detail.contains("revoked"), "{}", problem.detail);
    b.publish(&room.channel, Payload::Text("m1".into()), None).await?;
    room.close().await
}

/// Whoever came by a token or a server key is gone with that key, and not let in again; the same keys in new rules end nobody.
pub(super) async fn a_key_that_is_exchanged_ends_who_came_by_it(cell: Cell) -> Result<()> {
    let row = crate::readers::Row { is_several: false, ..cell.row()? };
    let closed = Closed::everywhere(Audience::Grant)?;
    let room = super::closed(&cell, closed.clone()).await?;
    let (user, backend) = (client_with(&room, &grant(&room, "a", &READ)?)?, client_with(&room, SERVER_KEY)?);
    let exchange = || room.node.close_to(&closed.clone().with_other_keys());
    for client in [&user, &backend] {
        let problem = match row.kind {
            Kind::ShortPoll => exchange().map(|()| None)?,
            Kind::LongPoll => Some(super::poll_ends(&room, client, row, async { exchange() }).await?),
            _ => {
                let mut reading = Reading::begin(&room, client, row, None).await?;
                room.node.close_to(&closed)?;
                backend.publish(&room.channel, Payload::Text("m1".into()), None).await?;
                same("the same keys", reading.text().await?, "m1".into())?;
                exchange()?;
                let problem = reading.problem().await?;
                reading.ends().await?;
                Some(problem)
            }
        };
        if let Some(problem) = problem {
            code(&problem, "unauthorized")?;
            ensure!(problem.detail.contains("key_gone"), "{}", problem.detail);
        }
        let problem = match row.kind {
            // It is told at once: a command that crosses the end could lose what was told.
            Kind::Socket => Reading::Socket(Box::new(client.socket().await?)).problem().await?,
            _ => super::refused(&room, client, row, None).await?,
        };
        code(&problem, "unauthorized")?;
        room.node.close_to(&closed)?;
    }
    room.close().await
}

/// A ticket says whose it is by itself; what it was made from has to be in force all the same.
pub(super) async fn a_ticket_ends_with_the_key_of_its_token(cell: Cell) -> Result<()> {
    let closed = Closed::everywhere(Audience::Grant)?;
    let room = super::closed(&cell, closed.clone()).await?;
    let bearer = format!("Bearer {}", grant(&room, "a", &READ)?);
    let body = serde_json::json!({"channels": [room.channel]}).to_string();
    let made = room.ask(Ask::json("/tickets", &body).with("authorization", bearer)).await?.json()?;
    let ticket = made["ticket"].as_str().context("no ticket")?.to_owned();
    let read = Read::channel(Transport::Sse, room.channel.clone()).query("ticket", &ticket);
    let stranger = room.client()?;
    let mut reading = Reading::Response(Box::new(stranger.open(&read).await?));
    room.node.close_to(&closed.clone().with_other_keys())?;
    let problem = reading.problem().await?;
    code(&problem, "unauthorized")?;
    ensure!(problem.detail.contains("key_gone"), "{}", problem.detail);
    reading.ends().await?;
    let refused =
        room.ask(Ask::get(room.path(&format!("?ticket={ticket}")))).await?.problem("unauthorized")?;
    ensure!(refused["detail"].as_str().is_some_and(|detail| detail.contains("key_gone")), "{refused}");
    room.node.close_to(&closed)?;
    same("in force again", room.ask(Ask::get(room.path(&format!("?ticket={ticket}")))).await?.status, 200)?;
    room.close().await
}

/// Members are judged again, too: where everybody might be there, and where they lose the right to be seen and keep that to read.
pub(super) async fn who_may_no_longer_be_there_is_put_out(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let read = Read::channel(Transport::HttpStream, room.channel.clone()).member(&Who::new("a"));
    let stranger = room.client()?;
    let mut reading = Reading::Response(Box::new(stranger.open(&read).await?));
    let chat = ChannelName::parse(&room.channel)?;
    same("in", room.node.hub().member_count(&chat), 1)?;
    room.node.close_to(&Closed::everywhere(Audience::Grant)?)?;
    code(&reading.problem().await?, "draining")?;
    reading.ends().await?;

    let client = client_with(&room, &token("b", 60, "**", &[READ[0], READ[2], Action::Presence])?)?;
    let read = read.query("client", "b");
    let mut reading = Reading::Response(Box::new(client.open(&read).await?));
    let mut socket = client.socket().await?;
    socket.enter("side", &Who::new("b")).await?;
    let mut unseen = Rule::new(vec![Pattern::everything()], Audience::Anyone);
    unseen.presence = Audience::Nobody;
    room.node.close_to(&Closed::of(vec![unseen])?)?;
    let problem = reading.problem().await?;
    code(&problem, "forbidden")?;
    ensure!(problem.detail.contains("presence"), "{}", problem.detail);
    reading.ends().await?;
    match Reading::Socket(Box::new(socket)).problem().await? {
        problem if problem.channel.as_deref() == Some("side") => code(&problem, "forbidden")?,
        other => anyhow::bail!("{other:?}"),
    }
    same("put out of side", room.node.hub().member_count(&ChannelName::parse("side")?), 0)?;
    room.close().await
}
