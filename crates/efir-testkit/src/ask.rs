//! One request and its whole answer, over whatever HTTP version the cell has. For responses that end; streams are read with
//! [`crate::readers`] or, byte for byte, with [`crate::raw`].

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{carrier::Carrier, raw::Raw, tls};

/// How long an answer may take unless the request itself holds it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// GET, POST …
    pub method: String,
    /// Path and query, as it goes out.
    pub target: String,
    /// In this order.
    pub headers: Vec<(String, String)>,
    /// Perhaps empty.
    pub body: Bytes,
}

impl Ask {
    /// Any method.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// POST of a body with its type.
    pub fn post(target: impl Into<String>, kind: &str, body: impl Into<Bytes>) -> Self {
        let ask = Self { body: body.into(), ..Self::new("POST", target) };
        ask.with("content-type", kind)
    }

    /// POST of text.
    pub fn text(target: impl Into<String>, text: &str) -> Self {
        Self::post(target, "text/plain", text.to_owned())
    }

    /// POST of JSON.
    pub fn json(target: impl Into<String>, json: &str) -> Self {
        Self::post(target, "application/json", json.to_owned())
    }

    /// One more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The bytes on an HTTP/1.1 connection.
    pub fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if self.header("host").is_none() {
            head.push_str(&format!("Host: {address}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let is_bodied = !self.body.is_empty() || matches!(self.method.as_str(), "POST" | "PUT" | "QUERY");
        if is_bodied && self.header("content-length").is_none() && self.header("transfer-encoding").is_none()
        {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends it on a connection of its own and takes the answer.
    pub async fn send(&self, address: SocketAddr, carrier: Carrier) -> Result<Answer> {
        let sent = async {
            match carrier {
                Carrier::H2c | Carrier::TlsH2 => self.send_h2(address).await,
                Carrier::H1 | Carrier::TlsH1 | Carrier::Axum => self.send_h1(address).await,
            }
        };
        let answer = tokio::time::timeout(PATIENCE, sent).await;
        answer
            .with_context(|| format!("no answer to {} {}", self.method, self.target))?
            .with_context(|| format!("{} {}", self.method, self.target))
    }

    async fn send_h1(&self, address: SocketAddr) -> Result<Answer> {
        let mut raw = Raw::connect(address).await?;
        raw.write(&self.bytes(address)).await?;
        raw.answer_to(&self.method).await
    }

    async fn send_h2(&self, address: SocketAddr) -> Result<Answer> {
        let stream = tls::wrap(TcpStream::connect(address).await?, address, b"h2").await?;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let authority = self.header("host").map_or(address.to_string(), str::to_owned);
        let mut request = http::Request::builder()
            .method(self.method.as_str())
            .uri(format!("http://{authority}{}", self.target));
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            request = request.header(name, value.as_bytes());
        }
        let response = sender.send_request(request.body(Full::new(self.body.clone()))?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        driver.abort();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Answer { status: head.status.as_u16(), headers, body })
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// As they came; names in lower case over HTTP/2, as sent over HTTP/1.1.
    pub headers: Vec<(String, String)>,
    /// Without its transfer coding.
    pub body: Bytes,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All values of a header, joined as a list.
    pub fn list(&self, name: &str) -> String {
        let named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Whether a header that is a list has this item, in any case.
    pub fn lists(&self, name: &str, item: &str) -> bool {
        self.list(name).split(',').any(|known| known.trim().eq_ignore_ascii_case(item))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {}, not JSON: {}", self.status, self.text()))
    }

    /// The target of `Link: <…>; rel="next"`.
    pub fn next(&self) -> Option<String> {
        let links = self.list("link");
        let link =
            links.split(',').find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
        Some(link.split_once('<')?.1.split_once('>')?.0.to_owned())
    }

    /// Checks that this is a problem of RFC 9457 with this code and the status of the one table, and returns it.
    pub fn problem(&self, code: &str) -> Result<Value> {
        let shown = || format!("wanted the problem {code}, got {} {}", self.status, self.text());
        let kind = self.header("content-type").unwrap_or_default();
        ensure!(kind.starts_with("application/problem+json"), "{}; its type is {kind:?}", shown());
        let problem = self.json()?;
        ensure!(problem["code"] == code, shown());
        ensure!(problem["status"] == self.status, "{}; the status differs", shown());
        check_problem(&problem)?;
        Ok(problem)
    }
}

/// Checks the shape of a problem object, whose code must stand in the one table.
pub fn check_problem(problem: &Value) -> Result<()> {
    let code = problem["code"].as_str().unwrap_or_default();
    let row = efir_core::CODES.iter().find(|row| row.name == code);
    let row = row.with_context(|| format!("the code of {problem} is in no table"))?;
    ensure!(problem["type"] == format!("urn:efir:error:{code}"), "type of {problem}");
    ensure!(problem["title"] == row.title, "title of {problem}");
    ensure!(problem["status"] == row.status, "status of {problem}");
    ensure!(problem["action"] == row.action.as_str(), "action of {problem}");
    ensure!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "detail of {problem}");
    if row.action == efir_core::Action::RetryLater {
        ensure!(problem["retry_after_ms"].is_u64(), "retry_after_ms of {problem}");
    }
    Ok(())
}
