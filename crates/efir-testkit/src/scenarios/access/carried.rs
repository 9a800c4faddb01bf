//! How a request carries what it shows: a header, a subprotocol, a command of the socket, or a ticket in the URL.

use anyhow::{Context, Result, ensure};
use efir_access::Action;
use efir_client::Event;
use http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
use serde_json::json;

use super::{code, grant, granted};
use crate::{
    access::token,
    ask::Ask,
    room::{Cell, same},
};

const READ: [Action; 2] = [Action::Subscribe, Action::History];

/// What is worth nothing is refused wherever it is shown, also where nothing would have been needed, and never shown again.
pub(super) async fn tokens_of_all_kinds_that_are_worth_nothing(cell: Cell) -> Result<()> {
    let room = granted(&cell).await?;
    let good = grant(&room, "a", &READ)?;
    let other = grant(&room, "b", &READ)?;
    let three = "a token has three parts";
    let (said, _) = other.rsplit_once('.').context(three)?;
    let (_, signature) = good.rsplit_once('.').context(three)?;
    let forged = format!("{said}.{signature}");
    let over = token("a", 0, "**", &READ)?;
    for (shown, code, reason) in [
        ("nonsense", "unauthorized", "malformed"),
        (forged.as_str(), "unauthorized", "bad_signature"),
        (over.as_str(), "token_expired", "expired"),
        ("", "unauthorized", "malformed"),
    ] {
        let ask = Ask::get(room.path("")).with("authorization", format!("Bearer {shown}"));
        let problem = room.ask(ask).await?.problem(code)?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(reason), "{shown:?}: {detail}");
        ensure!(shown.is_empty() || !problem.to_string().contains(shown), "the token is shown: {problem}");
    }
    let both = Ask::get(room.path("?ticket=x")).with("authorization", format!("Bearer {good}"));
    room.ask(both).await?.problem("conflicting_request")?;
    let twice = Ask::get(room.path("")).with("authorization", format!("Bearer {good}"));
    room.ask(twice.with("authorization", "Bearer x")).await?.problem("conflicting_request")?;
    let cookie = Ask::get(room.path("")).with("cookie", format!("token={good}; authorization=Bearer {good}"));
    room.ask(cookie).await?.problem("unauthorized")?;
    let scheme = Ask::get(room.path("")).with("authorization", format!("bearer  {good}"));
    same("the scheme in any case", room.ask(scheme).await?.status, 200)?;
    room.close().await
}

/// URLs end up in logs and histories.
pub(super) async fn a_token_in_a_url_is_refused(cell: Cell) -> Result<()> {
    let room = granted(&cell).await?;
    let good = grant(&room, "a", &READ)?;
    for name in ["token", "access_token", "jwt"] {
        let problem =
            room.ask(Ask::get(room.path(&format!("?{name}={good}")))).await?.problem("invalid_request")?;
        ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("/tickets")), "{problem}");
        ensure!(!problem.to_string().contains(&good), "{problem}");
    }
    room.close().await
}

/// A page's WebSocket has no header of its own: the token is a subprotocol, or the first command; later it is said anew.
pub(super) async fn a_socket_says_who_it_is_later(cell: Cell) -> Result<()> {
    let room = granted(&cell).await?;
    let offered = format!("efir, efir.token.{}", grant(&room, "a", &READ)?);
    let by_protocol = room.client_with([(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(&offered)?)])?;
    let mut socket = by_protocol.socket().await?;
    let chosen = socket.head().headers.get(SEC_WEBSOCKET_PROTOCOL).cloned();
    same("the protocol that is no secret", chosen, Some(HeaderValue::from_static("efir")))?;
    socket.subscribe(&room.channel, None).await?;

    let mut socket = room.client()?.socket().await?;
    let refused = socket.subscribe(&room.channel, None).await.err().context("a stranger reads")?;
    same("a stranger", refused.code(), Some("unauthorized"))?;
    same(
        "a bad one",
        socket.authorize("x").await.err().and_then(|error| error.code().map(str::to_owned)),
        Some("unauthorized".into()),
    )?;
    let reply = socket.authorize(&token("a", 2, "**", &READ)?).await?;
    same("user", reply.user.as_deref(), Some("a"))?;
    ensure!(reply.expires.is_some_and(|expires| expires > crate::access::now_ms()), "{reply:?}");
    socket.subscribe(&room.channel, None).await?;
    let other = socket.authorize(&token("b", 60, "**", &READ)?).await;
    same(
        "another user",
        other.err().and_then(|error| error.code().map(str::to_owned)),
        Some("forbidden".into()),
    )?;
    socket.authorize(&token("a", 3, "**", &READ)?).await?;
    // The first token ends, the second holds a second longer, and says so.
    let problem = loop {
        match socket.next().await?.context("the socket ended in silence")? {
            Event::Problem(problem) => break problem,
            Event::Heartbeat(_) | Event::Hello(_) => {}
            other => anyhow::bail!("{other:?}"),
        }
    };
    code(&problem, "token_expired")?;
    room.close().await
}

/// An `EventSource` sends no header, so it shows a ticket that reads and does nothing else.
pub(super) async fn a_ticket_is_for_an_event_source(cell: Cell) -> Result<()> {
    let room = granted(&cell).await?;
    let bearer =
        format!("Bearer {}", token("a", 60, "**", &[Action::Subscribe, Action::History, Action::Publish])?);
    let body = json!({"channels": [room.channel]}).to_string();
    let origin = "http://localhost:5173";
    let make = Ask::json("/tickets", &body);
    room.ask(make.clone()).await?.problem("unauthorized")?;
    let make = make.with("authorization", bearer.clone());
    let made = room.ask(make.clone().with("origin", origin)).await?.json()?;
    let ticket = made["ticket"].as_str().context("no ticket")?.to_owned();
    ensure!(made["expires"].as_u64().is_some_and(|expires| expires > crate::access::now_ms()), "{made}");
    let read = |query: &str| Ask::get(room.path(&format!("?ticket={ticket}{query}")));
    same("its own page", room.ask(read("").with("origin", origin)).await?.status, 200)?;
    room.ask(read("").with("origin", "http://localhost:9")).await?.problem("unauthorized")?;
    room.ask(read("")).await?.problem("unauthorized")?;
    room.ask(Ask::get(format!("/channels/side?ticket={ticket}")).with("origin", origin))
        .await?
        .problem("forbidden")?;
    let publish = Ask::text(room.path(&format!("?ticket={ticket}")), "x").with("origin", origin);
    room.ask(publish).await?.problem("forbidden")?;
    let own = room.ask(make.clone()).await?.json()?;
    let own = own["ticket"].as_str().context("no ticket")?;
    same("no origin", room.ask(Ask::get(room.path(&format!("?ticket={own}")))).await?.status, 200)?;
    let broken = Ask::get(room.path(&format!("?ticket={own}x")));
    room.ask(broken).await?.problem("unauthorized")?;

    // A ticket ends with its token: an event says so, and who comes back with the mark of that is told to stop.
    let short = format!("Bearer {}", token("a", 1, "**", &READ)?);
    let made = room.ask(Ask::json("/tickets", &body).with("authorization", short)).await?.json()?;
    let short = made["ticket"].as_str().context("no ticket")?.to_owned();
    let stream = |id: Option<&str>| {
        let ask = Ask::get(room.path(&format!("?ticket={short}"))).with("accept", "text/event-stream");
        id.map_or(ask.clone(), |id| ask.with("last-event-id", id))
    };
    let end_ms = made["expires"].as_u64().context("no end")?;
    while crate::access::now_ms() < end_ms {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let told = room.ask(stream(None)).await?;
    let text = String::from_utf8_lossy(&told.body).into_owned();
    same("told", told.status, 200)?;
    ensure!(
        text.contains("event: problem") && text.contains("token_expired") && text.contains("id: ticket-0"),
        "{text}"
    );
    same("to stop", room.ask(stream(Some("ticket-0"))).await?.status, 204)?;
    room.close().await
}
