//! The transports, one file each, under the same names as in efir-transports. A file says what is asked for and how the
//! answer is understood; connections and reconnecting are not its business.

pub(crate) mod http_stream;
pub(crate) mod long_poll;
pub(crate) mod short_poll;
pub(crate) mod sse;
pub(crate) mod websocket;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use thiserror::Error;

use crate::client::{Client, Opened};
use crate::error::ClientError;
use crate::read::Read;
use crate::subscription::Subscription;

/// How a channel is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One answer at once.
    ShortPoll,
    /// One answer at the first message or when the hold time is over.
    LongPoll,
    /// Server-Sent Events.
    Sse,
    /// One JSON object a line.
    HttpStream,
    /// WebSocket.
    WebSocket,
}

impl Transport {
    /// All of them, in the order of docs/protocol.md §5.
    pub const ALL: [Self; 5] =
        [Self::ShortPoll, Self::LongPoll, Self::Sse, Self::HttpStream, Self::WebSocket];

    /// The name, as in `?transport=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortPoll => "short-poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::HttpStream => "http-stream",
            Self::WebSocket => "websocket",
        }
    }

    /// Whether a read is one answer, so that the client must ask again.
    #[must_use]
    pub fn is_poll(self) -> bool {
        matches!(self, Self::ShortPoll | Self::LongPoll)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no transport has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no transport '{0}'; there are short-poll, long-poll, sse, http-stream and websocket")]
pub struct UnknownTransport(pub String);

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(name: &str) -> Result<Self, UnknownTransport> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.name() == name)
            .ok_or_else(|| UnknownTransport(name.into()))
    }
}

/// Opens a read over its transport.
pub(crate) async fn open(client: &Client, read: &Read) -> Result<Subscription, ClientError> {
    match read.transport() {
        Transport::ShortPoll => short_poll::open(client, read).await,
        Transport::LongPoll => long_poll::open(client, read).await,
        Transport::Sse => {
            let opened = ask(client, read, "text/event-stream").await?;
            expect_type(&opened, "text/event-stream")?;
            Ok(Subscription::sse(opened))
        }
        Transport::HttpStream => {
            let opened = ask(client, read, "application/x-ndjson").await?;
            expect_type(&opened, "application/x-ndjson")?;
            Ok(Subscription::lines(opened))
        }
        Transport::WebSocket => {
            let (head, socket) = websocket::connect(client, &client.read_path(read), &read.headers).await?;
            Ok(Subscription::websocket(head, socket))
        }
    }
}

/// Sends the GET of a read over HTTP; what is neither 200 nor 304 becomes an error.
pub(crate) async fn ask(client: &Client, read: &Read, accept: &'static str) -> Result<Opened, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    if let Some(id) = &read.last_event_id {
        let id = HeaderValue::from_str(id).map_err(http::Error::from)?;
        headers.insert(HeaderName::from_static("last-event-id"), id);
    }
    headers.extend(read.headers.clone());
    let opened = client.send(Method::GET, &client.read_path(read), headers, Bytes::new()).await?;
    match opened.response.status() {
        StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(opened),
        _ => Err(opened.into_refusal().await),
    }
}

fn expect_type(opened: &Opened, wanted: &str) -> Result<(), ClientError> {
    let found =
        opened.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if found.starts_with(wanted) {
        return Ok(());
    }
    Err(ClientError::Protocol(format!(
        "the answer is '{found}' instead of '{wanted}'; is this an efir server?"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for transport in Transport::ALL {
            assert_eq!(transport.name().parse(), Ok(transport));
        }
        assert!("SSE".parse::<Transport>().is_err());
    }
}
