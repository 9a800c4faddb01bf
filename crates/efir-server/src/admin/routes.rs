//! What the admin listener answers, and to whom.

use std::{
    cell::{Cell, RefCell},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;
use efir_core::{Code, Problem};
use efir_engine::{Hub, clock};
use efir_transports::Policy;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use super::{
    Node,
    key::AdminKey,
    metrics::{self, Reading},
    process::Process,
    revocation::Revocation,
};
use crate::resident;

/// Between two lines of the log about refused requests.
const TELL_EACH: Duration = Duration::from_secs(1);
/// The media type of Prometheus' text.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes: method, path, whether everybody may ask.
const ROUTES: &[(&str, &str, Door)] = &[
    ("GET", "/livez", Door::Open),
    ("GET", "/readyz", Door::Open),
    ("GET", "/metrics", Door::Locked),
    ("POST", "/reload", Door::Locked),
    ("POST", "/revocations", Door::Locked),
];

/// Whether a route needs the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Probes have no key, and learn one word.
    Open,
    Locked,
}

/// Answers the operator.
pub(super) struct Desk {
    node: Node,
    key: Option<AdminKey>,
    /// Only names of this machine lead to a loopback address, unless somebody rebinds theirs.
    policy: Policy,
    refused: Cell<u64>,
    told: RefCell<Option<Instant>>,
}

impl Desk {
    pub(super) fn new(node: Node, key: Option<AdminKey>, is_loopback_bind: bool) -> Self {
        let policy = Policy { is_loopback_bind, ..Policy::default() };
        Self { node, key, policy, refused: Cell::new(0), told: RefCell::new(None) }
    }

    /// The channels of the node.
    pub(super) fn hub(&self) -> Hub {
        self.node.reloader.site().hub().clone()
    }

    /// Answers a request.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let Some((method, _, door)) = ROUTES.iter().find(|(_, known, _)| *known == path) else {
            let known: Vec<_> = ROUTES.iter().map(|(_, path, _)| *path).collect();
            let detail = format!("the admin listener has {}", known.join(", "));
            return refusal(&Problem::new(Code::NotFound, detail));
        };
        if let Err(problem) = self.policy.check_host(&parts).and_then(|()| from_no_page(&parts.headers)) {
            self.tell_refused();
            return refusal(&problem);
        }
        let is_head = parts.method == Method::HEAD && *method == "GET";
        if parts.method.as_str() != *method && !is_head {
            let detail = format!("{path} takes {method}");
            let mut response = refusal(&Problem::new(Code::MethodNotAllowed, detail));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(method));
            return response;
        }
        if *door == Door::Locked && !self.may(&parts.headers) {
            self.tell_refused();
            return unauthorized();
        }
        let response = match path {
            "/livez" => self.live(),
            "/readyz" => self.ready(),
            "/metrics" => text(StatusCode::OK, METRICS_TYPE, metrics::text(&self.reading())),
            "/revocations" => self.revoke(body).await.unwrap_or_else(|problem| refusal(&problem)),
            _ => self.reload(),
        };
        if is_head { response.map(|_| Bytes::new()) } else { response }
    }

    /// Whether the admin key is shown, or the key of a server that may administrate.
    fn may(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.key else { return true };
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let offered = lines.next().and_then(|line| {
            let (scheme, offered) = line.as_bytes().split_at_checked(b"Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(offered)
        });
        let (Some(offered), None) = (offered, lines.next()) else { return false };
        let is_server = || {
            let server = std::str::from_utf8(offered).ok().and_then(|offered| {
                let gate = self.node.reloader.site().access().gate();
                gate.identify_server(offered)
            });
            server.is_some_and(|server| server.is_admin)
        };
        key.is(offered) || is_server()
    }

    /// Whether the process is to be left alone: its workers turn.
    fn live(&self) -> Response<Bytes> {
        match self.node.pulses.hanging() {
            0 => word(StatusCode::OK, "live"),
            hanging => word(StatusCode::SERVICE_UNAVAILABLE, &format!("{hanging} workers hang")),
        }
    }

    /// Whether new clients are to come here.
    fn ready(&self) -> Response<Bytes> {
        if self.node.is_going() {
            return word(StatusCode::SERVICE_UNAVAILABLE, "draining");
        }
        if self.node.reloader.lacks_certificate() {
            // Where nobody is sent the authority cannot look either, and the certificate would never come.
            return word(StatusCode::OK, "ready, without a certificate yet");
        }
        word(StatusCode::OK, "ready")
    }

    fn reading(&self) -> Reading {
        let (site, pulses) = (self.node.reloader.site(), &self.node.pulses);
        let hub = site.hub();
        Reading {
            counts: hub.counters().sum(),
            stock: hub.stock(),
            process: Process::read(),
            started: self.node.started,
            connections: self.node.connections.load(Ordering::Relaxed) as u64,
            workers: pulses.workers() as u64,
            workers_hanging: pulses.hanging() as u64,
            is_draining: self.node.is_going(),
            revocations: self.node.revocations.len() as u64,
            memory_bytes: hub.memory_in_use() as u64,
            allocated_bytes: resident::allocated(),
            is_overloaded: hub.is_overloaded(),
            reloads: self.node.reloader.counts(),
            limits: hub.limits().values().map(|(_, value)| value).collect(),
            times: hub.times().values().map(|(_, value)| value).collect(),
        }
    }

    async fn revoke<B>(&self, body: B) -> Result<Response<Bytes>, Problem>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let revocation = Revocation::read(body).await?;
        let revoked = revocation.carry_out(&self.node.revocations, clock::now_ms())?;
        let site = self.node.reloader.site();
        if !site.access().is_open() {
            // Those who are connected are judged again.
            site.recheck();
        }
        Ok(json(StatusCode::OK, &revoked))
    }

    fn reload(&self) -> Response<Bytes> {
        match self.node.reloader.reload() {
            Ok(reloaded) => json(StatusCode::OK, &reloaded),
            Err(refused) => json(StatusCode::UNPROCESSABLE_ENTITY, &refused),
        }
    }

    /// Somebody who guesses keys may not fill the log.
    fn tell_refused(&self) {
        self.refused.set(self.refused.get() + 1);
        let mut told = self.told.borrow_mut();
        if told.is_some_and(|told| told.elapsed() < TELL_EACH) {
            return;
        }
        *told = Some(Instant::now());
        let times = self.refused.take();
        tracing::warn!(
            event = "admin_refused",
            times,
            "the admin listener was asked by somebody who may not"
        );
    }
}

/// No web page has anything to ask here, and a browser says whether it asks for one.
fn from_no_page(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"none") {
        return Err(Problem::new(Code::OriginRefused, "the admin listener does not answer web pages"));
    }
    Ok(())
}

fn text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn word(status: StatusCode, word: &str) -> Response<Bytes> {
    text(status, "text/plain; charset=utf-8", format!("{word}\n"))
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Bytes> {
    // Texts and lists always serialise.
    text(status, "application/json", serde_json::to_vec(value).unwrap_or_default())
}

fn refusal(problem: &Problem) -> Response<Bytes> {
    let status = StatusCode::from_u16(problem.row().status).unwrap_or(StatusCode::FORBIDDEN);
    text(status, "application/problem+json", problem.to_json())
}

fn unauthorized() -> Response<Bytes> {
    let detail = "this needs the admin key, as `Authorization: Bearer KEY`; it is the one in admin.key_file or EFIR_ADMIN__KEY";
    let mut response = refusal(&Problem::new(Code::Unauthorized, detail));
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"efir admin\""));
    response
}
