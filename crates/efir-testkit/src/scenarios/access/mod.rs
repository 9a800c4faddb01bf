//! Who may do what, on every transport: what is refused and in which words, what ends when a token does, and what is judged again.

use anyhow::{Context, Result, bail, ensure};
use efir_access::{Action, Audience, Pattern, Rule};
use efir_client::{Client, ClientError, Event, Problem, Read, Socket, Subscription, Transport};
use http::HeaderValue;

use super::scenarios;
use crate::{
    access::{Closed, token},
    ask::PATIENCE,
    readers::{Kind, Row},
    room::{Cell, Room, same},
};

mod carried;
mod kept;
mod lasting;
mod rights;

use carried::{
    a_socket_says_who_it_is_later, a_ticket_is_for_an_event_source, a_token_in_a_url_is_refused,
    tokens_of_all_kinds_that_are_worth_nothing,
};
use kept::{
    a_channel_keeps_as_long_as_its_rule_says, each_channel_keeps_what_its_rule_says,
    new_rules_hold_for_what_is_kept_already,
};
use lasting::{
    a_key_that_is_exchanged_ends_who_came_by_it, a_revoked_user_is_ended,
    a_ticket_ends_with_the_key_of_its_token, a_token_that_ended_while_its_reader_was_away,
    a_token_that_ends_stops_delivery, closing_ends_those_who_came_before,
    rules_that_change_end_what_they_no_longer_allow, who_may_no_longer_be_there_is_put_out,
};
use rights::{
    a_grant_reads_and_publishes, a_rule_may_allow_less, history_needs_its_right, one_denied_among_several,
    presence_needs_its_right, without_a_token,
};

scenarios! { "access";
    Rows without_a_token: "D11";
    Rows a_grant_reads_and_publishes: "D11";
    Rows one_denied_among_several: "D11";
    Rows history_needs_its_right: "D11", "D5";
    Rows a_token_that_ends_stops_delivery: "D11";
    Rows a_token_that_ended_while_its_reader_was_away: "D11", "D4";
    Rows rules_that_change_end_what_they_no_longer_allow: "D11";
    Rows closing_ends_those_who_came_before: "D11";
    Rows a_revoked_user_is_ended: "D11";
    Rows a_key_that_is_exchanged_ends_who_came_by_it: "D11";
    Rows each_channel_keeps_what_its_rule_says: "D5", "D11";
    Rows a_channel_keeps_as_long_as_its_rule_says: "D5", "D11";
    Rows new_rules_hold_for_what_is_kept_already: "D5", "D11";
    Carriers a_ticket_ends_with_the_key_of_its_token: "D11";
    Carriers who_may_no_longer_be_there_is_put_out: "D11", "D12";
    Carriers presence_needs_its_right: "D11", "D12";
    Carriers a_rule_may_allow_less: "D11";
    Carriers tokens_of_all_kinds_that_are_worth_nothing: "D11";
    Carriers a_token_in_a_url_is_refused: "wire";
    Carriers a_socket_says_who_it_is_later: "D11", "wire";
    Carriers a_ticket_is_for_an_event_source: "D11", "wire";
}

/// A node where everything needs a grant.
async fn granted(cell: &Cell) -> Result<Room> {
    closed(cell, Closed::everywhere(Audience::Grant)?).await
}

async fn closed(cell: &Cell, closed: Closed) -> Result<Room> {
    Room::with(cell, |settings| settings.access = Some(closed)).await
}

/// One rule with the same audience for everything, on these channels.
fn rule(channels: &str, audience: Audience) -> Result<Rule> {
    Ok(Rule::new(vec![Pattern::parse(channels)?], audience))
}

/// A token for the room's channel.
fn grant(room: &Room, user: &str, may: &[Action]) -> Result<String> {
    token(user, 60, &room.channel, may)
}

/// A client that shows a token with each request.
fn client_with(room: &Room, token: &str) -> Result<Client> {
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
    room.client_with([(http::header::AUTHORIZATION, bearer)])
}

/// A reader of one response, whatever carries it.
enum Reading {
    Response(Box<Subscription>),
    Socket(Box<Socket>),
}

impl Reading {
    /// Begins to read the channels of the row as it reads them.
    async fn begin(room: &Room, client: &Client, row: Row, after: Option<&str>) -> Result<Self, ClientError> {
        if row.kind == Kind::Socket {
            let mut socket = client.socket().await?;
            for channel in room.channels(row) {
                socket.subscribe(&channel, after).await?;
            }
            return Ok(Self::Socket(Box::new(socket)));
        }
        let transport = transport(row.kind);
        let mut read = match row.is_several {
            true => Read::channels(transport, room.channels(row)),
            false => Read::channel(transport, room.channel.clone()),
        };
        if let Some(after) = after {
            read = read.after(after);
        }
        if row.kind == Kind::LongPoll {
            read = read.wait(PATIENCE);
        }
        Ok(Self::Response(Box::new(client.open(&read).await?)))
    }

    /// The next thing that says something; `None` at the end.
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let next = async {
                match self {
                    Self::Response(response) => response.next().await,
                    Self::Socket(socket) => socket.next().await,
                }
            };
            let event = tokio::time::timeout(PATIENCE, next).await.context("nothing comes")?;
            match event {
                Ok(Some(Event::Hello(_) | Event::Heartbeat(_) | Event::Retry(_) | Event::Cursor(_))) => {}
                Ok(event) => return Ok(event),
                Err(error) => match error.problem() {
                    Some(problem) => return Ok(Some(Event::Problem(problem.clone()))),
                    None => return Err(error.into()),
                },
            }
        }
    }

    /// The problem that comes next.
    async fn problem(&mut self) -> Result<Problem> {
        match self.next().await? {
            Some(Event::Problem(problem)) => Ok(problem),
            other => bail!("{other:?} instead of a problem"),
        }
    }

    /// The text of the message that comes next.
    async fn text(&mut self) -> Result<String> {
        match self.next().await? {
            Some(Event::Message(message)) => Ok(message.text().unwrap_or_default()),
            other => bail!("{other:?} instead of a message"),
        }
    }

    /// Nothing but the end comes.
    async fn ends(&mut self) -> Result<()> {
        match self.next().await? {
            None | Some(Event::Closed(_)) => Ok(()),
            other => bail!("{other:?} instead of the end"),
        }
    }
}

/// The problem by which a held poll is answered when this happens meanwhile.
async fn poll_ends(
    room: &Room,
    client: &Client,
    row: Row,
    meanwhile: impl Future<Output = Result<()>>,
) -> Result<Problem> {
    let joined = room.node.joins().count(&room.channel);
    let happens = async {
        room.node.joins().wait(&room.channel, joined + 1).await?;
        meanwhile.await
    };
    let (begun, happened) = tokio::join!(Reading::begin(room, client, row, None), happens);
    happened?;
    let refusal = begun.err().context("the poll was answered")?;
    refusal.problem().cloned().with_context(|| format!("{refusal} is no refusal"))
}

/// With which code reading is refused, at the door or in the socket.
async fn refused(room: &Room, client: &Client, row: Row, after: Option<&str>) -> Result<Problem> {
    if row.kind == Kind::Socket {
        let mut socket = client.socket().await?;
        let refusal = socket.subscribe(&room.channel, after).await.err().context("nothing is refused")?;
        if let Some(problem) = refusal.problem() {
            return Ok(problem.clone());
        }
        let told = Reading::Socket(Box::new(socket)).problem().await;
        return told.with_context(|| format!("subscribing failed with {refusal}"));
    }
    match Reading::begin(room, client, row, after).await {
        Err(error) => error.problem().cloned().with_context(|| format!("{error} is no refusal")),
        Ok(mut reading) => reading.problem().await,
    }
}

fn transport(kind: Kind) -> Transport {
    match kind {
        Kind::ShortPoll => Transport::ShortPoll,
        Kind::LongPoll => Transport::LongPoll,
        Kind::Sse => Transport::Sse,
        Kind::HttpStream => Transport::HttpStream,
        Kind::WebSocket | Kind::Socket => Transport::WebSocket,
    }
}

fn code(problem: &Problem, wanted: &str) -> Result<()> {
    ensure!(!problem.detail.is_empty(), "no words for {}", problem.code);
    same("code", problem.code.as_str(), wanted)
}
