//! Which of our URLs a request is for, and which methods it has there.

use bytes::Bytes;
use efir_core::{ChannelName, ChannelNameError, Code, Problem};
use http::{Method, request::Parts};

use crate::{
    access::{self, Visitor},
    guarded::Guard,
    info,
    policy::{self, Cors},
    presence,
    problem::{self, Refused},
    publish::{self, BodyMost, collect},
    query::{Query, decode_path},
    reply::{CarrierHint, Reply},
    request::{self, Channels, ReadRequest, Wanted},
    site::Site,
    socket, tickets,
    upgrade::{self, Upgrade},
    websocket,
};

/// Bytes of a body that a read ignores; more is refused instead of being read.
pub(crate) const IGNORED_BYTES_MAX: usize = 65_536;
/// Its name in problems.
pub(crate) const IGNORED_LIMIT: &str = "ignored_body_bytes_max";
/// Bytes of the JSON body of `/subscribe`: 100 names of 255 bytes with their cursors fit well.
pub(crate) const SUBSCRIBE_BYTES_MAX: usize = 1_048_576;
/// Its name in problems.
pub(crate) const SUBSCRIBE_LIMIT: &str = "subscribe_body_bytes_max";

/// What every step of an answer may look at.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) site: &'a Site,
    pub(crate) cors: Cors,
    pub(crate) hint: CarrierHint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    /// `/channels/{channel}`, with the name as it stands in the path.
    Channel(&'a str),
    /// `/channels/{channel}/presence`.
    Presence(&'a str),
    Subscribe,
    Socket,
    Tickets,
    Info,
    /// Below one of our paths, but nothing.
    Nowhere,
}

pub(crate) fn owns(path: &str) -> bool {
    place(path).is_some()
}

fn place(path: &str) -> Option<Place<'_>> {
    let (first, rest) = match path.strip_prefix('/')?.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path.strip_prefix('/')?, None),
    };
    let place = match (first, rest) {
        ("channels", Some(name)) if !name.contains('/') => Place::Channel(name),
        ("channels", Some(rest)) => match rest.strip_suffix("/presence") {
            Some(name) if !name.contains('/') => Place::Presence(name),
            _ => Place::Nowhere,
        },
        ("subscribe", None) => Place::Subscribe,
        ("socket", None) => Place::Socket,
        ("tickets", None) => Place::Tickets,
        ("info", None) => Place::Info,
        ("channels" | "subscribe" | "socket" | "tickets" | "info", _) => Place::Nowhere,
        _ => return None,
    };
    Some(place)
}

impl Place<'_> {
    fn methods(self) -> &'static str {
        match self {
            Self::Channel(_) => "GET, HEAD, POST, PUT, OPTIONS",
            Self::Presence(_) => "GET, HEAD, PUT, DELETE, OPTIONS",
            Self::Subscribe => "GET, HEAD, POST, QUERY, OPTIONS",
            Self::Socket => "GET, OPTIONS",
            Self::Tickets => "POST, OPTIONS",
            Self::Info | Self::Nowhere => "GET, HEAD, OPTIONS",
        }
    }

    fn has(self, method: &Method) -> bool {
        // An extended CONNECT (RFC 8441) is the GET of a WebSocket over HTTP/2.
        let name =
            if method == Method::CONNECT && !matches!(self, Self::Info) { "GET" } else { method.as_str() };
        self.methods().split(", ").any(|known| known == name)
    }
}

pub(crate) async fn answer<B>(call: &Call<'_>, parts: &mut Parts, body: B) -> Result<Reply, Refused>
where
    B: http_body::Body<Data = Bytes>,
{
    call.site.policy().check_host(parts)?;
    let uri = parts.uri.clone();
    let path = uri.path();
    let place = place(path).unwrap_or(Place::Nowhere);
    if place == Place::Nowhere {
        let detail =
            format!("there is nothing under {path:?}; a channel is /channels/NAME, the name percent-encoded");
        return Err(Problem::new(Code::NotFound, detail).into());
    }
    if parts.method == Method::OPTIONS {
        return Ok(Reply::Whole(call.cors.preflight(place.methods())));
    }
    if !place.has(&parts.method) {
        let detail = format!("{} is not among the methods of {path:?}: {}", parts.method, place.methods());
        return Err(Refused::with_allow(Problem::new(Code::MethodNotAllowed, detail), place.methods()));
    }
    if parts.method == Method::CONNECT && !upgrade::is_asked(parts) {
        // A 200 to a CONNECT would say that a tunnel is open (RFC 8441 §4).
        let detail = "CONNECT is answered for the protocol websocket only";
        return Err(Refused::with_allow(Problem::new(Code::MethodNotAllowed, detail), place.methods()));
    }
    if policy::is_unsafe(&parts.method) {
        call.site.policy().check_origin(parts)?;
    }
    match place {
        Place::Channel(name) => {
            let name = decode_path(name);
            match parts.method.as_str() {
                "POST" | "PUT" => publish::publish(call.site, parts, &name, body).await,
                _ => read(call, parts, Channels::One(&name), body).await,
            }
        }
        Place::Presence(name) => {
            let name = decode_path(name);
            match parts.method.as_str() {
                "PUT" => presence::put(call.site, parts, &name, body).await,
                "DELETE" => presence::delete(call.site, parts, &name, body).await,
                _ => read(call, parts, Channels::Members(&name), body).await,
            }
        }
        Place::Subscribe if matches!(parts.method.as_str(), "POST" | "QUERY") => {
            // Whoever shows something worthless is told so before a body is read.
            access::visitor(call.site, parts, &Query::parse(uri.query()))?;
            let most = BodyMost::new(call.site.hub(), SUBSCRIBE_BYTES_MAX, SUBSCRIBE_LIMIT);
            let bytes = collect(parts, body, most).await?;
            let wanted = Wanted::parse(&bytes)?;
            read(call, parts, Channels::Listed(&wanted), http_body_util::Empty::<Bytes>::new()).await
        }
        Place::Subscribe => read(call, parts, Channels::FromQuery, body).await,
        Place::Socket => socket::begin(call, parts),
        Place::Tickets => tickets::issue(call, parts, body).await,
        Place::Info | Place::Nowhere => {
            request::check_client(&Query::parse(parts.uri.query()))?;
            Ok(Reply::Whole(info::response(call.site)))
        }
    }
}

async fn read<B>(
    call: &Call<'_>,
    parts: &mut Parts,
    channels: Channels<'_>,
    body: B,
) -> Result<Reply, Refused>
where
    B: http_body::Body<Data = Bytes>,
{
    let uri = parts.uri.clone();
    let query = Query::parse(uri.query());
    let transport = request::negotiate(parts, &query)?;
    let visitor = access::visitor(call.site, parts, &query);
    let upgrade = if transport.choice == crate::Choice::Upgrade {
        call.site.policy().check_origin(parts)?;
        Some(Upgrade::accept(parts, call)?)
    } else {
        if let Err(problem) = visitor {
            return refuse_reader(call, parts, problem);
        }
        // A body that nobody reads would be taken for the next request once the connection is ours.
        if !body.is_end_stream() {
            let most = BodyMost::new(call.site.hub(), IGNORED_BYTES_MAX, IGNORED_LIMIT);
            collect(parts, body, most).await?;
        }
        None
    };
    // A request understood is large, so it is moved once.
    let refused = match ReadRequest::parse(call, parts, &query, channels, transport) {
        Ok(mut asked) => match admit(call, parts, visitor, &mut asked) {
            Ok(()) => {
                asked.upgrade = upgrade;
                return begin(call, asked);
            }
            Err(problem) => problem,
        },
        Err(problem) => problem,
    };
    match upgrade {
        // A page sees nothing of a refused handshake, so it is told in the socket.
        Some(upgrade) => Ok(websocket::refuse(call.site, &call.cors, upgrade, refused)),
        None => Err(refused.into()),
    }
}

/// Whether what a request wants may be had now, by whoever asks. What may not be had of several channels is told in the answer.
fn admit(
    call: &Call<'_>,
    parts: &Parts,
    visitor: Result<Option<Box<Visitor>>, Problem>,
    asked: &mut ReadRequest,
) -> Result<(), Problem> {
    // Entering is more than reading, which is left to CORS: others see it.
    if asked.entering.is_some() {
        call.site.policy().check_initiator(parts)?;
    }
    if let Some(visitor) = visitor? {
        visitor.admit(call.site.hub(), asked)?;
        asked.visitor = Some(visitor);
    }
    // What there is may still be read; what lasts is new.
    if asked.transport.choice != crate::Choice::Otherwise {
        call.site.hub().check_room()?;
    }
    Ok(())
}

fn begin(call: &Call<'_>, asked: ReadRequest) -> Result<Reply, Refused> {
    asked.scope.bad().iter().for_each(|problem| call.site.hub().counters().refuse(problem));
    let guard = asked.visitor.clone().map(|visitor| {
        let entered = asked.entering.iter().flat_map(|entering| entering.channels.iter().cloned());
        Guard { visitor, entered: entered.collect() }
    });
    let mut reply = (asked.transport.begin)(call.site, asked)?;
    if let (Reply::Held(held), Some(guard)) = (&mut reply, guard) {
        held.guard(guard);
    }
    Ok(reply)
}

/// Whoever reads by what is worth nothing. An EventSource tells its page nothing of a refusal, and gives up for good: where its ticket is
/// over it is told in an event, and, when it comes back with the mark of that, to stop (204).
fn refuse_reader(call: &Call<'_>, parts: &Parts, problem: Problem) -> Result<Reply, Refused> {
    let is_over = problem.code == Code::TokenExpired && problem::wants_event_stream(parts);
    if !is_over {
        return Err(problem.into());
    }
    let is_told =
        parts.headers.get("last-event-id").is_some_and(|id| id.as_bytes() == problem::OVER.as_bytes());
    let mut response = match is_told {
        true => problem::no_content(),
        false => problem::over(call.site, &problem),
    };
    call.cors.apply(response.headers_mut());
    Ok(Reply::Whole(response))
}

/// The name of a channel that may be published to, with the refused text in the problem.
pub(crate) fn channel_name(bytes: &[u8]) -> Result<ChannelName, Problem> {
    ChannelName::parse_bytes(bytes).map_err(|error| invalid_channel(bytes, &error))
}

/// The name of a channel that may be read: also the log of a channel's members.
pub(crate) fn readable_name(bytes: &[u8]) -> Result<ChannelName, Problem> {
    ChannelName::parse_readable_bytes(bytes).map_err(|error| invalid_channel(bytes, &error))
}

fn invalid_channel(bytes: &[u8], error: &ChannelNameError) -> Problem {
    let written = String::from_utf8_lossy(bytes);
    let shown: String = written.chars().take(64).collect();
    // A name within the length comes back whole, so that a client knows which of its channels is meant.
    let known: String = written.chars().take(255).collect();
    Problem::new(Code::InvalidChannel, format!("{shown:?}: {error}")).with_channel(known)
}

/// Only the server writes into a log of members.
pub(crate) fn read_only() -> Problem {
    let detail =
        "the log of a channel's members is written by the server; enter the channel to be told there";
    Problem::new(Code::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let table = [
            ("/channels/chat", Some(Place::Channel("chat"))),
            ("/channels/a%2Fb", Some(Place::Channel("a%2Fb"))),
            ("/channels/", Some(Place::Channel(""))),
            ("/channels", Some(Place::Nowhere)),
            ("/channels/a/b", Some(Place::Nowhere)),
            ("/channels/a/presence", Some(Place::Presence("a"))),
            ("/channels/presence", Some(Place::Channel("presence"))),
            ("/channels/presence/presence", Some(Place::Presence("presence"))),
            ("/channels/a%2Fpresence", Some(Place::Channel("a%2Fpresence"))),
            ("/channels/a/b/presence", Some(Place::Nowhere)),
            ("/channels/a/presence/", Some(Place::Nowhere)),
            ("/channels/a/presence/presence", Some(Place::Nowhere)),
            ("/subscribe", Some(Place::Subscribe)),
            ("/subscribe/", Some(Place::Nowhere)),
            ("/socket", Some(Place::Socket)),
            ("/tickets", Some(Place::Tickets)),
            ("/info", Some(Place::Info)),
            ("/", None),
            ("", None),
            ("/channelsx/chat", None),
            ("/assets/channels/chat", None),
        ];
        for (path, expected) in table {
            assert_eq!(place(path), expected, "{path}");
            assert_eq!(owns(path), expected.is_some(), "{path}");
        }
    }

    #[test]
    fn methods() {
        let query = Method::from_bytes(b"QUERY").unwrap();
        assert!(Place::Subscribe.has(&query));
        assert!(!Place::Channel("a").has(&query));
        assert!(Place::Channel("a").has(&Method::CONNECT));
        assert!(Place::Channel("a").has(&Method::PUT));
        assert!(!Place::Channel("a").has(&Method::DELETE));
        assert!(Place::Presence("a").has(&Method::DELETE) && Place::Presence("a").has(&Method::CONNECT));
        assert!(!Place::Presence("a").has(&Method::POST));
        assert!(!Place::Socket.has(&Method::HEAD));
        assert!(!Place::Info.has(&Method::CONNECT));
    }
}
