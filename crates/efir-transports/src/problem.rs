//! How a refusal leaves as an HTTP answer (docs/protocol.md §7). The codes and their JSON are those of the core.

use bytes::Bytes;
use efir_core::{
    Action, Code, Problem,
    wire::{Control, Form, sse},
};
use http::{
    HeaderValue, Response, StatusCode,
    header::{self, HeaderName},
    request::Parts,
};

use crate::{head, query::Query, request, site::Site};

/// A problem with what its HTTP answer says besides.
#[derive(Debug)]
pub(crate) struct Refused {
    problem: Problem,
    allow: Option<&'static str>,
}

impl Refused {
    pub(crate) fn with_allow(problem: Problem, methods: &'static str) -> Self {
        Self { problem, allow: Some(methods) }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, allow: None }
    }
}

/// The answer to a request that is refused for a reason outside of this crate (a connection limit, an overload), in the way of
/// the transport that was asked for.
pub fn refusal(site: &Site, parts: &Parts, problem: Problem) -> Response<Bytes> {
    answer(site, parts, &problem.into())
}

pub(crate) fn answer(site: &Site, parts: &Parts, refused: &Refused) -> Response<Bytes> {
    site.hub().counters().refuse(&refused.problem);
    let is_temporary = !matches!(refused.problem.row().action, Action::Stop | Action::RefreshToken);
    let mut response = if is_temporary && wants_event_stream(parts) {
        event_stream(site, &refused.problem)
    } else {
        plain(refused)
    };
    site.policy().cors(parts).apply(response.headers_mut());
    if parts.method == http::Method::HEAD {
        head::strip_body(&mut response);
    }
    response
}

fn plain(refused: &Refused) -> Response<Bytes> {
    whole(&refused.problem, refused.allow)
}

/// The answer that says a problem, with the methods that there are.
pub(crate) fn whole(problem: &Problem, allow: Option<&'static str>) -> Response<Bytes> {
    let mut response = Response::new(problem.to_json());
    *response.status_mut() =
        StatusCode::from_u16(problem.row().status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    let mut say = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, "application/problem+json");
    say(header::CACHE_CONTROL, "no-store");
    if let Some(methods) = allow {
        say(header::ALLOW, methods);
    }
    if problem.code == Code::UpgradeRequired {
        say(header::CONNECTION, "upgrade");
        say(header::UPGRADE, "websocket");
        say(header::SEC_WEBSOCKET_VERSION, efir_ws::handshake::VERSION);
    }
    if problem.row().status == StatusCode::UNAUTHORIZED.as_u16() {
        // RFC 6750 §3: without an error where nothing was shown.
        let challenge = match problem.code {
            Code::TokenExpired => "Bearer realm=\"efir\", error=\"invalid_token\"",
            _ => "Bearer realm=\"efir\"",
        };
        say(header::WWW_AUTHENTICATE, challenge);
    }
    if problem.row().action == Action::RetryLater {
        let seconds = problem.retry_after_ms.unwrap_or(1_000).div_ceil(1_000);
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The answer where a held poll ended without one.
pub(crate) fn overloaded() -> Response<Bytes> {
    plain(
        &Problem::new(Code::Overloaded, "the request ended without an answer")
            .with_retry_after_ms(1_000)
            .into(),
    )
}

/// The id of the event that tells an EventSource that its ticket is over. No message has it.
pub(crate) const OVER: &str = "ticket-0";

/// Tells an EventSource that its ticket is over. It comes back with [`OVER`] and is then told to stop.
pub(crate) fn over(site: &Site, problem: &Problem) -> Response<Bytes> {
    site.hub().counters().refuse(problem);
    let mut response = event_stream(site, problem);
    let mut body = format!("id: {OVER}\n").into_bytes();
    body.extend_from_slice(response.body());
    *response.body_mut() = body.into();
    response
}

/// Tells an EventSource to stop.
pub(crate) fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// EventSource gives up for good on any status but 200, so what is temporary is an event, and the browser comes back.
fn event_stream(site: &Site, problem: &Problem) -> Response<Bytes> {
    let times = site.hub().times();
    let ms = problem.retry_after_ms.unwrap_or_else(|| crate::stream::retry_ms(times));
    let mut body = sse::retry(ms).plain().to_vec();
    body.extend_from_slice(&Control::Problem(problem).encode(Form::Sse).plain());
    let mut response = Response::new(Bytes::from(body));
    *response.headers_mut() = head::stream("text/event-stream");
    response
}

pub(crate) fn wants_event_stream(parts: &Parts) -> bool {
    let chosen = request::negotiate(parts, &Query::parse(parts.uri.query()));
    chosen.is_ok_and(|row| row.choice == crate::Choice::Accept("text/event-stream"))
        && !matches!(parts.method, http::Method::PUT | http::Method::DELETE)
        && (parts.method != http::Method::POST || parts.uri.path() == "/subscribe")
}
