//! The lab's URLs: clock, runs, networks; and what is said to a request that did not come through `/lab/via` as it should.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use bytes::Bytes;
use efir_core::{Code, Problem};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde::Serialize;

use super::{Lab, check_visitor, network::Faults, runs::Plan, via::own_target, visitors::in_ms};

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 4_096;

const PATHS: [&str; 7] = [
    "/lab/clock",
    "/lab/runs",
    "/lab/runs/{id}",
    "/lab/network/{visitor}",
    "/lab/via",
    "/lab/via/",
    "/lab/via/{*rest}",
];

/// One of the lab's URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Clock,
    Runs,
    Run(&'a str),
    Network(&'a str),
    Via,
}

/// The routes.
pub(crate) fn router(lab: Arc<Lab>) -> Router {
    PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, any(answer))).with_state(lab)
}

fn place(path: &str) -> Place<'_> {
    match path.strip_prefix("/lab/").and_then(|path| path.split_once('/').or(Some((path, "")))) {
        Some(("clock", _)) => Place::Clock,
        Some(("runs", "")) => Place::Runs,
        Some(("runs", id)) => Place::Run(id),
        Some(("network", visitor)) => Place::Network(visitor),
        _ => Place::Via,
    }
}

impl Place<'_> {
    fn methods(self) -> &'static str {
        match self {
            Self::Clock => "GET, HEAD, OPTIONS",
            Self::Runs => "POST, OPTIONS",
            Self::Run(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::Network(_) => "GET, HEAD, PUT, OPTIONS",
            Self::Via => "GET, HEAD, POST, PUT, DELETE, QUERY, CONNECT, OPTIONS",
        }
    }
}

async fn answer(State(lab): State<Arc<Lab>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let place = place(parts.uri.path());
    if parts.method == Method::OPTIONS && place != Place::Via {
        return lab.site.policy().preflight(&parts, place.methods()).map(Body::from);
    }
    let mut response = match lab.answer(place, &parts, body).await {
        Ok(response) => response,
        Err(problem) => {
            let allow = (problem.code == Code::MethodNotAllowed).then(|| place.methods());
            let mut response = efir_transports::refusal(&lab.site, &parts, problem);
            if let Some(methods) = allow {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            response
        }
    };
    lab.site.policy().share(&parts, response.headers_mut());
    response.map(Body::from)
}

impl Lab {
    async fn answer(
        &self,
        place: Place<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<http::Response<Bytes>, Problem> {
        self.check_on(parts)?;
        let method = parts.method.as_str();
        if !place.methods().split(", ").any(|known| known == method) {
            let (path, methods) = (parts.uri.path(), place.methods());
            let detail = format!("{method} is not among the methods of {path}: {methods}");
            return Err(Problem::new(Code::MethodNotAllowed, detail));
        }
        if !parts.method.is_safe() {
            self.site.policy().check_origin(parts)?;
        }
        let hub = self.site.hub();
        match (place, method) {
            (Place::Clock, _) => Ok(json(StatusCode::OK, &ClockReport { time: self.clock.now_ms() })),
            (Place::Runs, _) => {
                let body = collect(body).await?;
                let (visitor, plan) = Plan::parse(&body, hub.limits(), hub.times())?;
                let run = self.runs.begin((&visitor, plan), hub, self.clock)?;
                Ok(json(StatusCode::CREATED, &run))
            }
            (Place::Run(id), "DELETE") => Ok(json(StatusCode::OK, &self.runs.end(id)?)),
            (Place::Run(id), _) => Ok(json(StatusCode::OK, &self.runs.report(id)?)),
            (Place::Network(visitor), method) => {
                check_visitor(visitor)?;
                if method != "PUT" {
                    return Ok(json(StatusCode::OK, &self.visitors.report(visitor)));
                }
                let faults = Faults::parse(&collect(body).await?, hub.times())?;
                let ends = in_ms(hub.times().lab_faults_ms);
                Ok(json(StatusCode::OK, &self.visitors.set(visitor, faults, ends)?))
            }
            (Place::Via, _) => Err(self.why_not_via(parts)),
        }
    }

    /// Why a request stands here and not in its visitor's network.
    fn why_not_via(&self, parts: &Parts) -> Problem {
        let path = parts.uri.path();
        let Some((visitor, rest)) = own_target(path) else {
            let detail = "the server through a visitor's network is at /lab/via/VISITOR/…";
            return Problem::new(Code::NotFound, detail);
        };
        if let Err(problem) = check_visitor(visitor) {
            return problem;
        }
        if own_target(rest).is_some() {
            return Problem::new(
                Code::InvalidRequest,
                "one visitor's network does not lead through another's",
            );
        }
        if parts.version == http::Version::HTTP_2 {
            let detail =
                "through a visitor's network the lab carries HTTP/1.1 only; open an HTTP/1.1 connection";
            return Problem::new(Code::InvalidRequest, detail);
        }
        match self.visitors.check_room(visitor) {
            Err(problem) => problem,
            // The request began behind another one that was not answered yet, or in pieces.
            Ok(()) => {
                let detail = "a request into a visitor's network stands at the beginning of what its connection sends, with its \
                              first line whole, and behind nothing that waits for an answer; send it on a new connection";
                Problem::new(Code::InvalidRequest, detail)
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct ClockReport {
    time: f64,
}

fn json(status: StatusCode, content: &impl Serialize) -> http::Response<Bytes> {
    // Strings, numbers and structs of them always serialise.
    let text = serde_json::to_vec(content).unwrap_or_default();
    let mut response = http::Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let detail = format!("the body did not come whole, or has more than {BODY_BYTES_MAX} bytes");
        Problem::new(Code::PayloadTooLarge, detail).with_limit("lab_body_bytes_max", BODY_BYTES_MAX as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (path, expected) in [
            ("/lab/clock", Place::Clock),
            ("/lab/runs", Place::Runs),
            ("/lab/runs/x", Place::Run("x")),
            ("/lab/network/v", Place::Network("v")),
            ("/lab/via", Place::Via),
            ("/lab/via/v/channels/chat", Place::Via),
        ] {
            assert_eq!(place(path), expected, "{path}");
        }
    }
}
