//! What a request for reading means: which transport, which channels from where, how long, how much (docs/protocol.md §3).
//!
//! Pure: parts of a request go in, a [`ReadRequest`] or the problem comes out. Who may ask is decided in [`crate::policy`].

mod channels;
pub(crate) mod entering;

use bytes::BytesMut;
use efir_core::{Code, Problem, Times};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

pub(crate) use channels::{Channels, Scope, Wanted, start};
use entering::Entering;

use crate::{
    Choice, TRANSPORTS, TransportRow,
    access::Visitor,
    place::Call,
    policy::Cors,
    query::{self, Query},
    transport,
    upgrade::{self, Upgrade},
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Bytes of `client=`.
const CLIENT_BYTES_MAX: usize = 64;
/// Bytes of a `Link` header; a longer one is left out, for proxies refuse long headers.
const LINK_BYTES_MAX: usize = 4_096;

/// A request for reading, understood.
#[derive(Debug)]
pub(crate) struct ReadRequest {
    pub(crate) transport: &'static TransportRow,
    pub(crate) scope: Scope,
    pub(crate) wait: Wait,
    /// `limit=`, at least 1.
    pub(crate) limit: Option<usize>,
    pub(crate) sent: Sent,
    pub(crate) client: Option<Box<str>>,
    /// The channels of which the reader is a member as long as it reads.
    pub(crate) entering: Option<Box<Entering>>,
    pub(crate) is_head: bool,
    pub(crate) if_none_match: Option<HeaderValue>,
    pub(crate) next: Next,
    pub(crate) cors: Cors,
    pub(crate) upgrade: Option<Upgrade>,
    /// Who asks, where not everybody may read.
    pub(crate) visitor: Option<Box<Visitor>>,
}

/// How long a long poll hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) ms: u64,
    /// It was asked for by `Prefer`, which is answered.
    pub(crate) is_preferred: bool,
}

/// What becomes of that which the client sends on a channel's WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    /// Text frames are JSON.
    pub(crate) is_json: bool,
    /// Each frame is acknowledged.
    pub(crate) is_acknowledged: bool,
    /// It is refused: a log of members is read.
    pub(crate) is_refused: bool,
}

/// The URL that reads on, but for its cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    path: String,
    rest: String,
}

impl ReadRequest {
    /// Understands everything but the handshake and who asks, which the caller puts in.
    ///
    /// # Errors
    /// The first thing that is wrong with the whole request. What is wrong with one channel of several is kept in the scope.
    pub(crate) fn parse(
        call: &Call<'_>,
        parts: &Parts,
        query: &Query,
        wanted: Channels<'_>,
        transport: &'static TransportRow,
    ) -> Result<Self, Problem> {
        let (limits, times) = (call.site.hub().limits(), call.site.hub().times());
        let client = check_client(query)?.map(Box::from);
        let limit = count(query, "limit")?;
        if limit == Some(0) {
            return Err(invalid("limit", "0", "a number from 1 on"));
        }
        let sent = Sent {
            is_json: one_of(query, "payload", &["text", "json"])? == Some(1),
            is_acknowledged: one_of(query, "ack", &["0", "1"])? == Some(1),
            is_refused: matches!(wanted, Channels::Members(_)),
        };
        let wait = wait(parts, query, times)?;
        let is_head = parts.method == http::Method::HEAD;
        let entering = if is_head { None } else { Entering::parse(query, wanted, limits)? };
        let scope = wanted.resolve(parts, query, limits)?;
        let next = Next::new(query, &scope, wait.filter(|_| transport.choice == Choice::Wait));
        let next = if entering.is_some() { next.with_member(query) } else { next };
        Ok(Self {
            transport,
            scope,
            wait: wait.unwrap_or(Wait { ms: clamp(times.hold_ms, times), is_preferred: false }),
            limit,
            sent,
            client,
            entering,
            is_head,
            if_none_match: parts.headers.get(header::IF_NONE_MATCH).cloned(),
            next,
            cors: call.cors.clone(),
            upgrade: None,
            visitor: None,
        })
    }
}

impl Wait {
    /// In seconds, as `wait=` is written.
    pub(crate) fn seconds(self) -> String {
        let (whole, ms) = (self.ms / 1_000, self.ms % 1_000);
        if ms == 0 { whole.to_string() } else { format!("{whole}.{ms:03}").trim_end_matches('0').to_owned() }
    }
}

impl Next {
    fn new(query: &Query, scope: &Scope, wait: Option<Wait>) -> Self {
        let mut rest = String::with_capacity(32);
        let mut keep = |name: &str, value: &str| {
            rest.push('&');
            rest.push_str(name);
            rest.push('=');
            query::encode_into(value, &mut rest);
        };
        let mut path = String::with_capacity(64);
        match scope {
            Scope::One { channel, .. } => {
                path.push_str("/channels/");
                match channel.members_of() {
                    Some(channel) => {
                        query::encode_into(channel.as_str(), &mut path);
                        path.push_str("/presence");
                    }
                    None => query::encode_into(channel.as_str(), &mut path),
                }
            }
            Scope::Several { channels, .. } => {
                path.push_str("/subscribe");
                channels.iter().for_each(|(channel, _)| keep("channel", channel.as_str()));
            }
        }
        for name in ["limit", "client", "transport"] {
            if let Ok(Some(value)) = query.one(name) {
                keep(name, value);
            }
        }
        if let Some(wait) = wait {
            keep("wait", &wait.seconds());
        }
        Self { path, rest }
    }

    /// Keeps who reads, so that whoever follows the link stays a member.
    fn with_member(mut self, query: &Query) -> Self {
        for name in ["member", "name", "data", "enter"] {
            for value in query.all(name).filter_map(|value| std::str::from_utf8(value).ok()) {
                self.rest.push('&');
                self.rest.push_str(name);
                self.rest.push('=');
                query::encode_into(value, &mut self.rest);
            }
        }
        self
    }

    /// The `Link` header to the read after `cursor`; `None` where it would be too long to pass proxies.
    pub(crate) fn link(&self, cursor: &str) -> Option<HeaderValue> {
        let length = self.path.len() + self.rest.len() + cursor.len() + 24;
        if length > LINK_BYTES_MAX {
            return None;
        }
        let mut link = BytesMut::with_capacity(length);
        for part in ["<", &self.path, "?after=", cursor, &self.rest, ">; rel=\"next\""] {
            link.extend_from_slice(part.as_bytes());
        }
        HeaderValue::from_maybe_shared(link.freeze()).ok()
    }
}

/// Chooses the transport.
///
/// # Errors
/// A contradiction, or a name that is no transport.
pub(crate) fn negotiate(parts: &Parts, query: &Query) -> Result<&'static TransportRow, Problem> {
    let is_upgrade = upgrade::is_asked(parts);
    let Some(name) = query.one("transport")? else { return chosen(parts, query, is_upgrade) };
    let Some(row) = transport(name) else {
        let names: Vec<_> = TRANSPORTS.iter().map(|row| row.name).collect();
        return Err(invalid("transport", name, &format!("one of {}", names.join(", "))));
    };
    let conflict = |other: &str| {
        Err(Problem::new(
            Code::ConflictingRequest,
            format!("`transport={name}` and {other} contradict each other"),
        ))
    };
    match row.choice {
        Choice::Upgrade if !is_upgrade => {
            Err(Problem::new(Code::UpgradeRequired, "`transport=websocket` needs a WebSocket handshake"))
        }
        Choice::Upgrade => Ok(row),
        _ if is_upgrade => conflict("`Upgrade: websocket`"),
        Choice::Otherwise if query.one("wait")?.is_some() => conflict("`wait`"),
        _ => Ok(row),
    }
}

fn chosen(parts: &Parts, query: &Query, is_upgrade: bool) -> Result<&'static TransportRow, Problem> {
    let choice = if is_upgrade {
        Choice::Upgrade
    } else if let Some(accepted) = accepted(&parts.headers) {
        accepted
    } else if query.one("wait")?.is_some() || preferred_wait(&parts.headers).is_some() {
        Choice::Wait
    } else {
        Choice::Otherwise
    };
    let row = TRANSPORTS.iter().find(|row| row.choice == choice);
    row.ok_or_else(|| Problem::new(Code::InvalidRequest, "no transport answers this request"))
}

/// The first media type of `Accept` that chooses a transport; `q=0` refuses one.
fn accepted(headers: &HeaderMap) -> Option<Choice> {
    let accept = upgrade::joined(headers, header::ACCEPT);
    accept.split(',').find_map(|range| {
        let mut fields = range.split(';').map(str::trim);
        let media = fields.next()?;
        let mut weights = fields
            .filter_map(|field| field.split_once('='))
            .filter(|(name, _)| name.eq_ignore_ascii_case("q"));
        if weights.any(|(_, weight)| weight.trim().parse().is_ok_and(|weight: f64| weight == 0.0)) {
            return None;
        }
        let is_chosen =
            |choice: &Choice| matches!(choice, Choice::Accept(own) if own.eq_ignore_ascii_case(media));
        TRANSPORTS.iter().map(|row| row.choice).find(is_chosen)
    })
}

/// `wait` in ms, within the limits; the query goes before the preference.
fn wait(parts: &Parts, query: &Query, times: &Times) -> Result<Option<Wait>, Problem> {
    if let Some(text) = query.one("wait")? {
        let ms = match text {
            "" => times.hold_ms,
            _ => seconds(text).ok_or_else(|| invalid("wait", text, "seconds, as 25 or 0.5"))?,
        };
        return Ok(Some(Wait { ms: clamp(ms, times), is_preferred: false }));
    }
    let preferred = preferred_wait(&parts.headers);
    Ok(preferred.map(|ms| Wait { ms: clamp(ms, times), is_preferred: true }))
}

fn clamp(ms: u64, times: &Times) -> u64 {
    ms.min(times.hold_ms_max).max(times.hold_ms_min)
}

/// `Prefer: wait=N` (RFC 7240 §4.3) in ms. A preference that makes no sense is ignored, as the RFC says.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let prefer = upgrade::joined(headers, PREFER);
    prefer.split([',', ';']).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| seconds(value.trim().trim_matches('"')))?
    })
}

/// Decimal seconds as ms.
fn seconds(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.bytes().any(|byte| byte != b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_decimal)?;
    // A conversion of a float to an integer saturates.
    Some((seconds * 1_000.0).round() as u64)
}

/// A number of messages; more digits than fit mean "very many".
pub(crate) fn count(query: &Query, name: &str) -> Result<Option<usize>, Problem> {
    let Some(text) = query.one(name)? else { return Ok(None) };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(name, text, "a number"));
    }
    Ok(Some(text.parse().unwrap_or(usize::MAX)))
}

/// The place of the value among those that are allowed.
fn one_of(query: &Query, name: &str, allowed: &[&str]) -> Result<Option<usize>, Problem> {
    let Some(text) = query.one(name)? else { return Ok(None) };
    let place = allowed.iter().position(|known| *known == text);
    place.map(Some).ok_or_else(|| invalid(name, text, &format!("one of {}", allowed.join(", "))))
}

pub(crate) fn check_client<'a>(query: &'a Query<'_>) -> Result<Option<&'a str>, Problem> {
    let Some(client) = query.one("client")? else { return Ok(None) };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    if client.is_empty() || client.len() > CLIENT_BYTES_MAX || !client.bytes().all(is_allowed) {
        return Err(invalid("client", client, &format!("1 to {CLIENT_BYTES_MAX} of A-Z a-z 0-9 . _ ~ -")));
    }
    Ok(Some(client))
}

/// The `client=` of a request, whose traffic is counted; `None` where there is none that is valid.
pub fn client_of<B>(request: &http::Request<B>) -> Option<String> {
    let query = Query::parse(request.uri().query());
    check_client(&query).ok().flatten().map(str::to_owned)
}

fn invalid(name: &str, value: &str, allowed: &str) -> Problem {
    let value: String = value.chars().take(64).collect();
    Problem::new(Code::InvalidRequest, format!("`{name}` is {value:?}; it may be {allowed}"))
}

#[cfg(test)]
mod tests;
