//! `POST /tickets`: what an `EventSource` shows instead of a token, because it cannot send one (docs/protocol.md §11). A ticket reads the
//! channels that it was made for, from pages of the origin that asked for it, until its time is over.

use bytes::Bytes;
use efir_access::{Action, Actions, Caller};
use efir_core::{ChannelName, Code, Problem};
use efir_engine::clock;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::{
    head,
    place::{Call, readable_name},
    problem::Refused,
    publish::{BodyMost, collect},
    query::Query,
    reply::Reply,
};

/// Bytes of the JSON body: a hundred names, escaped, fit well.
pub(crate) const TICKETS_BYTES_MAX: usize = 256 * 1024;
/// Its name in problems.
pub(crate) const TICKETS_LIMIT: &str = "tickets_body_bytes_max";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    channels: Vec<String>,
}

#[derive(Serialize)]
struct Issued<'a> {
    ticket: &'a str,
    /// In ms since 1970 UTC.
    expires: u64,
}

/// Makes a ticket for the channels that the user may read.
pub(crate) async fn issue<B>(call: &Call<'_>, parts: &Parts, body: B) -> Result<Reply, Refused>
where
    B: http_body::Body<Data = Bytes>,
{
    let visitor = crate::access::visitor(call.site, parts, &Query::parse(parts.uri.query()))?;
    let Some(visitor) = visitor else {
        let detail = "everybody may read here: no ticket is needed";
        return Err(Problem::new(Code::NotFound, detail).into());
    };
    let Caller::User(user) = &visitor.caller else {
        let detail = "a ticket is made for a user: send the user's token as 'Authorization: Bearer TOKEN'";
        return Err(Problem::new(Code::Unauthorized, detail).into());
    };
    let body = collect(parts, body, BodyMost::new(call.site.hub(), TICKETS_BYTES_MAX, TICKETS_LIMIT)).await?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidRequest } else { Code::InvalidJson };
        Problem::new(code, format!(r#"the body must look like {{"channels":["chat"]}}: {error}"#))
    })?;
    let mut allowed: Vec<(ChannelName, Actions)> = Vec::with_capacity(wanted.channels.len().min(100));
    for name in &wanted.channels {
        let channel = readable_name(name.as_bytes())?;
        visitor.judge(Action::Subscribe, &channel)?;
        let mut may = Actions::default().with(Action::Subscribe);
        if visitor.judge(Action::History, &channel).is_ok() {
            may = may.with(Action::History);
        }
        allowed.push((channel, may));
    }
    let Some(tickets) = call.site.access().tickets() else {
        return Err(Problem::new(Code::NotFound, "this server gives no tickets").into());
    };
    let ticket = tickets
        .issue(user, &allowed, call.site.policy().foreign_origin(parts), clock::now_ms())
        .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
    let issued = Issued { ticket: &ticket.text, expires: ticket.expires_ms };
    // A text and a number always serialise.
    let json = serde_json::to_vec(&issued).unwrap_or_default();
    Ok(Reply::Whole(head::json(json.into(), "no-store")))
}
