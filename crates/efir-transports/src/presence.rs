//! `PUT` and `DELETE` of `/channels/{channel}/presence`: entering for a while and leaving, for those who do not enter by reading
//! (docs/protocol.md §9.3). Reading there is in [`crate::place`], as of every channel.

use bytes::Bytes;
use efir_access::Action;
use efir_core::{ChannelName, Code, MemberId, Problem, Who};
use efir_engine::{Hub, Via};
use http::{Response, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    access, head,
    place::channel_name,
    problem::Refused,
    publish::{BodyMost, collect},
    query::Query,
    reply::Reply,
    request::{self, entering},
    site::Site,
};

/// Bytes of the JSON body of a `PUT`: the largest name and data, escaped, fit well.
pub(crate) const MEMBER_BYTES_MAX: usize = 32 * 1024;
/// Its name in problems.
pub(crate) const MEMBER_LIMIT: &str = "presence_body_bytes_max";

/// What a member says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    name: Option<String>,
    #[serde(default, deserialize_with = "entering::present")]
    data: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Attendance<'a> {
    channel: &'a str,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ms: Option<u64>,
}

/// Enters, changes what the member says, and renews its lease.
pub(crate) async fn put<B>(site: &Site, parts: &Parts, name: &[u8], body: B) -> Result<Reply, Refused>
where
    B: http_body::Body<Data = Bytes>,
{
    let (hub, query) = (site.hub(), Query::parse(parts.uri.query()));
    let channel = channel_name(name)?;
    let (client, member) = (request::check_client(&query)?, member(&query)?);
    let transport = transport(&query)?;
    if let Some(visitor) = access::visitor(site, parts, &query)? {
        visitor.judge(Action::Presence, &channel)?;
    }
    let body = collect(parts, body, body_most(hub)).await?;
    let said = Said::parse(&body)?;
    let who = said.who(&member, hub).map_err(|problem| problem.with_channel(channel.clone()))?;
    let lease_ms = hub.times().presence_lease_ms;
    let entered = hub.enter_for(&channel, &who, Via { client, transport }, lease_ms);
    let count = entered.map_err(|error| error.problem().with_channel(channel.clone()))?;
    Ok(answer(&channel, count, Some(lease_ms)))
}

/// Leaves at once.
pub(crate) async fn delete<B>(site: &Site, parts: &Parts, name: &[u8], body: B) -> Result<Reply, Refused>
where
    B: http_body::Body<Data = Bytes>,
{
    let (hub, query) = (site.hub(), Query::parse(parts.uri.query()));
    let channel = channel_name(name)?;
    let (client, member) = (request::check_client(&query)?, member(&query)?);
    if let Some(visitor) = access::visitor(site, parts, &query)? {
        visitor.judge(Action::Presence, &channel)?;
    }
    // A body that nobody reads would be taken for the next request.
    collect(parts, body, body_most(hub)).await?;
    let count = hub.leave(&channel, &member, client);
    Ok(answer(&channel, count, None))
}

fn body_most(hub: &Hub) -> BodyMost {
    BodyMost::new(hub, MEMBER_BYTES_MAX, MEMBER_LIMIT)
}

fn member(query: &Query<'_>) -> Result<MemberId, Problem> {
    let id = query.one("member")?.ok_or_else(|| entering::missing("presence"))?;
    MemberId::parse(id).map_err(|error| error.problem())
}

/// By what the member reads meanwhile, as it says.
fn transport(query: &Query<'_>) -> Result<Option<&'static str>, Problem> {
    let Some(name) = query.one("transport")? else { return Ok(None) };
    let row = crate::transport(name);
    row.map(|row| Some(row.name))
        .ok_or_else(|| Problem::new(Code::InvalidRequest, "`transport` is the name of no transport"))
}

impl Said {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|error| {
            let detail = format!(r#"the body must look like {{"name":"Anna","data":{{}}}}: {error}"#);
            Problem::new(Code::InvalidMember, detail)
        })
    }

    fn who(&self, member: &MemberId, hub: &Hub) -> Result<Who, Problem> {
        let data = self.data.as_ref().map(|data| data.get());
        let who = entering::say(member.as_str(), self.name.as_deref(), data, hub.limits());
        who.map_err(|error| error.problem())
    }
}

fn answer(channel: &ChannelName, count: u64, lease_ms: Option<u64>) -> Reply {
    let attendance = Attendance { channel: channel.as_str(), count, lease_ms };
    // Strings and numbers always serialise.
    let body: Bytes = serde_json::to_vec(&attendance).unwrap_or_default().into();
    let response: Response<Bytes> = head::json(body, "no-store");
    Reply::Whole(response)
}
