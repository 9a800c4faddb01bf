//! One server, seen from a client: publish, ask, and open reads. How a read's answer is understood is in
//! [`crate::transports`]; reconnecting is in [`crate::follow`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;

use crate::ANSWER_BYTES_MAX;
use crate::body::Body;
use crate::connection::{Connections, Lease};
use crate::encryption::Encryption;
use crate::error::ClientError;
use crate::follow::Follow;
use crate::following::Following;
use crate::presence::{Attendance, PresenceState, Who};
use crate::read::{Read, with_query};
use crate::socket::Socket;
use crate::subscription::Subscription;
use crate::target::Target;
use crate::transports;
use crate::wire::{self, Problem, Receipt};

/// Which HTTP the connections speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1: one connection an exchange, kept for the next.
    #[default]
    Http1,
    /// HTTP/2, over cleartext with prior knowledge and over TLS by agreement: all exchanges share one connection.
    H2c,
}

/// How a client connects and what it sends with each request.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Which HTTP the connections speak.
    pub version: HttpVersion,
    /// Sent with each request.
    pub headers: HeaderMap,
    /// `client=`: the name under which the server counts the traffic.
    pub client_id: Option<String>,
    /// The local address to connect from.
    pub source: Option<IpAddr>,
    /// Whom `https://` trusts; `None`: whom this machine trusts. The protocols are set by `version`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Whether WebSockets offer compression (permessage-deflate, RFC 7692).
    pub has_websocket_deflate: bool,
}

/// What to publish; it decides the Content-Type (docs/protocol.md §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Text.
    Text(String),
    /// JSON, sent as it is.
    Json(Bytes),
    /// Bytes.
    Bytes(Bytes),
}

/// A whole answer of the server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A client of one server. A clone is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    options: ClientOptions,
    connections: Arc<Connections>,
}

/// What a short poll of a log of members gives first.
#[derive(Deserialize)]
struct PresenceAnswer {
    presence: PresenceState,
}

/// An answer whose body is still to come.
pub(crate) struct Opened {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

impl Client {
    /// A client of the server at `base_url`: `http://host[:port][/prefix]`. Connects with the first request.
    ///
    /// # Errors
    /// Where the URL is not of that form.
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        Self::with_options(base_url, ClientOptions::default())
    }

    /// As [`Client::new`], with options.
    ///
    /// # Errors
    /// Where the URL is not of that form; for `https://` also where this machine trusts nobody.
    pub fn with_options(base_url: &str, options: ClientOptions) -> Result<Self, ClientError> {
        let target = Target::parse(base_url)?;
        let encryption = target.is_tls.then(|| Encryption::new(&options)).transpose()?;
        let source = (options.source, encryption);
        let connections = Arc::new(Connections::new(target.clone(), options.version, source));
        Ok(Self { inner: Arc::new(Inner { target, options, connections }) })
    }

    /// The same client, whose WebSockets offer compression ([`ClientOptions::has_websocket_deflate`]). Shares the connections.
    #[must_use]
    pub fn with_websocket_deflate(&self) -> Self {
        let Inner { target, options, connections } = &*self.inner;
        let options = ClientOptions { has_websocket_deflate: true, ..options.clone() };
        let inner = Inner { target: target.clone(), options, connections: Arc::clone(connections) };
        Self { inner: Arc::new(inner) }
    }

    /// How many connections have been opened so far.
    #[must_use]
    pub fn connections_opened(&self) -> u64 {
        self.inner.connections.opened()
    }

    /// Publishes one message; with a key, the same call may be repeated without publishing twice. It is sent once.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the server refused; after a broken connection the outcome is unknown.
    pub async fn publish(
        &self,
        channel: &str,
        payload: Payload,
        key: Option<&str>,
    ) -> Result<Receipt, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(payload.content_type()));
        if let Some(key) = key {
            let key = HeaderValue::from_str(key).map_err(http::Error::from)?;
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        let query: Vec<_> = self.inner.options.client_id.iter().map(|id| ("client", id.clone())).collect();
        let path = with_query(self.inner.target.channel(channel), &query);
        let answer = self.send_whole(Method::POST, &path, headers, payload.into_bytes()).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        wire::json(&answer.body, "a receipt")
    }

    /// Who is in a channel now.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the server refused.
    pub async fn presence(&self, channel: &str) -> Result<PresenceState, ClientError> {
        let path = self.inner.target.presence(channel);
        let answer = self.send_whole(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        wire::json::<PresenceAnswer>(&answer.body, "a state of members").map(|answer| answer.presence)
    }

    /// Enters a channel for a while, or renews that; [`Attendance::lease_ms`] says for how long.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the server refused.
    pub async fn enter(&self, channel: &str, who: &Who) -> Result<Attendance, ClientError> {
        let path = with_query(self.inner.target.presence(channel), &who.lease_query());
        self.attend(Method::PUT, &path, who.body()).await
    }

    /// Leaves a channel at once: all leases of this member and client end.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the server refused.
    pub async fn leave(&self, channel: &str, who: &Who) -> Result<Attendance, ClientError> {
        let path = with_query(self.inner.target.presence(channel), &who.lease_query());
        self.attend(Method::DELETE, &path, String::new()).await
    }

    async fn attend(&self, method: Method, path: &str, body: String) -> Result<Attendance, ClientError> {
        let answer = self.send_whole(method, path, HeaderMap::new(), body.into()).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        wire::json(&answer.body, "an attendance")
    }

    /// One exchange with a chosen method, path (with its query, below the base URL), headers and body; any status is
    /// an answer.
    ///
    /// # Errors
    /// Where no answer came or it cannot be sent.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Answer, ClientError> {
        self.send_whole(method, &format!("{}{path}", self.inner.target.prefix), headers, body.into()).await
    }

    /// Opens one read: one response or socket, exactly as the wire gives it. A poll is complete when this returns.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the server refused.
    pub async fn open(&self, read: &Read) -> Result<Subscription, ClientError> {
        transports::open(self, read).await
    }

    /// Reads for ever: reconnects, resumes after its cursor, and drops what it has.
    #[must_use]
    pub fn follow(&self, following: Following) -> Follow {
        Follow::new(self.clone(), following)
    }

    /// Opens `/socket`: one connection for many channels, with commands and replies.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the server refused.
    pub async fn socket(&self) -> Result<Socket, ClientError> {
        Socket::open(self).await
    }

    pub(crate) fn version(&self) -> HttpVersion {
        self.inner.options.version
    }

    pub(crate) fn has_websocket_deflate(&self) -> bool {
        self.inner.options.has_websocket_deflate
    }

    /// The path and query of a read.
    pub(crate) fn read_path(&self, read: &Read) -> String {
        read.path(&self.inner.target, self.inner.options.client_id.as_deref())
    }

    /// The path and query of `/socket`.
    pub(crate) fn socket_path(&self) -> String {
        let query: Vec<_> = self.inner.options.client_id.iter().map(|id| ("client", id.clone())).collect();
        with_query(format!("{}/socket", self.inner.target.prefix), &query)
    }

    /// Sends a request and gives the answer when its head has come.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Opened, ClientError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        self.address(&mut request, path)?;
        request.headers_mut().extend(self.inner.options.headers.clone());
        request.headers_mut().extend(headers);
        self.send_request(request).await
    }

    /// Nothing came in time over a connection.
    pub(crate) fn distrust(&self) {
        self.inner.connections.distrust();
    }

    /// Sends a request that has its address already.
    pub(crate) async fn send_request(&self, request: Request<Full<Bytes>>) -> Result<Opened, ClientError> {
        let (response, lease) = self.inner.connections.send(request).await?;
        Ok(Opened { response, lease })
    }

    /// Gives a request its URI, as the HTTP version wants it, and the headers of this client.
    pub(crate) fn address(&self, request: &mut Request<Full<Bytes>>, path: &str) -> Result<(), ClientError> {
        let target = &self.inner.target;
        match self.inner.options.version {
            HttpVersion::Http1 => {
                *request.uri_mut() = path.parse().map_err(http::Error::from)?;
                let host = HeaderValue::from_str(&target.authority).map_err(http::Error::from)?;
                request.headers_mut().insert(HOST, host);
            }
            HttpVersion::H2c => {
                let scheme = if target.is_tls { "https" } else { "http" };
                let uri = format!("{scheme}://{}{path}", target.authority);
                *request.uri_mut() = uri.parse().map_err(http::Error::from)?;
            }
        }
        Ok(())
    }

    /// The headers of this client, for requests that are not sent with [`Client::send`].
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.inner.options.headers
    }

    async fn send_whole(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        self.send(method, path, headers, body).await?.read_all().await
    }
}

impl Opened {
    /// Reads the body as a whole.
    pub(crate) async fn read_all(self) -> Result<Answer, ClientError> {
        let (head, incoming) = self.response.into_parts();
        let body = Body::new(incoming, self.lease).read_all(ANSWER_BYTES_MAX).await?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Reads the body of an answer that is not what was asked for, and makes the error of it.
    pub(crate) async fn into_refusal(self) -> ClientError {
        match self.read_all().await {
            Ok(answer) => refusal(&answer),
            Err(error) => error,
        }
    }
}

impl Payload {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Json(bytes) | Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn content_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "text/plain; charset=utf-8",
            Self::Json(_) => "application/json",
            Self::Bytes(_) => "application/octet-stream",
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Json(bytes) | Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Answer {
    /// `Retry-After`, if it is a number of seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }

    /// The body, if it is a problem object.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let content_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        if !content_type.starts_with("application/problem+json") {
            return None;
        }
        let mut problem: Problem = serde_json::from_slice(&self.body).ok()?;
        problem.status = self.status.as_u16();
        if problem.retry_after_ms.is_none() {
            problem.retry_after_ms = self.retry_after().and_then(|after| after.as_millis().try_into().ok());
        }
        Some(problem)
    }
}

/// `Retry-After` in seconds; a date is not understood.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    // A day is as good as any longer time, and cannot overflow.
    Some(Duration::from_secs(seconds.min(86_400)))
}

fn refusal(answer: &Answer) -> ClientError {
    match answer.problem() {
        Some(problem) => ClientError::Problem(Box::new(problem)),
        None => ClientError::Status {
            status: answer.status.as_u16(),
            retry_after: answer.retry_after(),
            body: String::from_utf8_lossy(answer.body.get(..300).unwrap_or(&answer.body)).trim().to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_problem_is_read_with_its_retry_after() {
        let answer = answer(
            503,
            &[("content-type", "application/problem+json"), ("retry-after", "3")],
            r#"{"code":"overloaded","status":503,"detail":"too much","action":"retry_later","new":1}"#,
        );
        let error = refusal(&answer);
        assert_eq!((error.code(), error.is_permanent()), (Some("overloaded"), false));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(error.to_string(), "too much (overloaded)");
    }

    #[test]
    fn other_answers_keep_status_and_text() {
        let error = refusal(&answer(502, &[("content-type", "text/html")], "<h1>Bad gateway</h1>\n"));
        assert_eq!(error.to_string(), "the server answered 502: <h1>Bad gateway</h1>");
        assert!(!error.is_permanent() && error.problem().is_none());
    }

    #[test]
    fn retry_after_is_seconds() {
        for (value, seconds) in
            [("0", Some(0)), ("2", Some(2)), ("99999999", Some(86_400)), ("soon", None), ("-1", None)]
        {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
