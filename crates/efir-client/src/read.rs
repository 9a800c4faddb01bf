//! What to read: the transport, the channels, where to begin, and the options of docs/protocol.md §3.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::presence::Who;
use crate::target::{Target, encode_channel};
use crate::transports::Transport;

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Nothing is said: a short poll gives the newest messages, all others begin with what comes from now on.
    #[default]
    Default,
    /// With the oldest message that is kept.
    Beginning,
    /// With the newest N.
    Last(usize),
    /// After a cursor (of several channels: their token). The text is sent as it is.
    After(String),
}

/// One read. Made with [`Read::channel`] or [`Read::channels`], then narrowed.
///
/// ```
/// use efir_client::{Read, Transport};
/// let read = Read::channel(Transport::LongPoll, "chat").after("3kTMd9yVqRz-12").limit(10);
/// ```
#[derive(Clone, Debug)]
pub struct Read {
    pub(crate) transport: Transport,
    pub(crate) channels: Vec<String>,
    /// `/subscribe` instead of `/channels/{channel}`.
    pub(crate) is_several: bool,
    pub(crate) start: Start,
    pub(crate) limit: Option<usize>,
    pub(crate) wait: Option<Duration>,
    pub(crate) last_event_id: Option<String>,
    pub(crate) is_payload_json: bool,
    pub(crate) has_acks: bool,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
}

impl Read {
    /// One channel, under `/channels/{channel}`.
    pub fn channel(transport: Transport, channel: impl Into<String>) -> Self {
        Self {
            transport,
            channels: vec![channel.into()],
            is_several: false,
            start: Start::Default,
            limit: None,
            wait: None,
            last_event_id: None,
            is_payload_json: false,
            has_acks: false,
            query: Vec::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Several channels (or one in the shape of several), under `/subscribe`.
    pub fn channels<C: Into<String>>(transport: Transport, channels: impl IntoIterator<Item = C>) -> Self {
        let mut read = Self::channel(transport, "");
        read.channels = channels.into_iter().map(Into::into).collect();
        read.is_several = true;
        read
    }

    /// Where to begin.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Begins after a cursor or token.
    #[must_use]
    pub fn after(self, cursor: impl Into<String>) -> Self {
        self.start(Start::After(cursor.into()))
    }

    /// A poll's answer has at most so many messages.
    #[must_use]
    pub fn limit(mut self, messages: usize) -> Self {
        self.limit = Some(messages);
        self
    }

    /// How long a long poll waits; without it, as long as the server's default.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Sends `Last-Event-ID`, which beats where to begin.
    #[must_use]
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = Some(id.into());
        self
    }

    /// Channel WebSocket: what is sent as text is parsed as JSON.
    #[must_use]
    pub fn payload_json(mut self) -> Self {
        self.is_payload_json = true;
        self
    }

    /// Channel WebSocket: each frame that is sent is answered.
    #[must_use]
    pub fn acks(mut self) -> Self {
        self.has_acks = true;
        self
    }

    /// The reader is this member of the channel that it reads, as long as it reads (of several channels: of those that
    /// [`Read::entering`] names).
    #[must_use]
    pub fn member(mut self, who: &Who) -> Self {
        self.query.extend(who.query().into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// Enters a channel by reading several.
    #[must_use]
    pub fn entering(self, channel: impl Into<String>) -> Self {
        self.query("enter", channel)
    }

    /// A further query parameter; both are percent-encoded.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// A further request header; it replaces one that the transport would send.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The path and query for this read, for a client that calls itself `client_id`.
    pub(crate) fn path(&self, target: &Target, client_id: Option<&str>) -> String {
        let mut query: Vec<(&str, String)> = Vec::new();
        let path = match self.channels.first() {
            Some(channel) if !self.is_several => target.channel(channel),
            _ => {
                query.extend(self.channels.iter().map(|channel| ("channel", channel.clone())));
                format!("{}/subscribe", target.prefix)
            }
        };
        match &self.start {
            Start::Default => {}
            Start::Beginning => query.push(("after", "start".into())),
            Start::Last(n) => query.push(("last", n.to_string())),
            Start::After(cursor) => query.push(("after", cursor.clone())),
        }
        if let Some(limit) = self.limit {
            query.push(("limit", limit.to_string()));
        }
        if self.transport == Transport::LongPoll {
            match self.wait {
                Some(wait) => query.push(("wait", wait.as_secs_f64().to_string())),
                None => query.push(("transport", Transport::LongPoll.name().into())),
            }
        }
        if self.is_payload_json {
            query.push(("payload", "json".into()));
        }
        if self.has_acks {
            query.push(("ack", "1".into()));
        }
        query.extend(client_id.map(|id| ("client", id.to_owned())));
        query.extend(self.query.iter().map(|(name, value)| (name.as_str(), value.clone())));
        with_query(path, &query)
    }
}

/// A path with a query; nothing is added where there are no parameters.
pub(crate) fn with_query(mut path: String, query: &[(&str, String)]) -> String {
    for (n, (name, value)) in query.iter().enumerate() {
        path.push(if n == 0 { '?' } else { '&' });
        path.push_str(&encode_channel(name));
        path.push('=');
        path.push_str(&encode_channel(value));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let target = Target::parse("http://a/rt").unwrap();
        let path = |read: &Read| read.path(&target, None);
        assert_eq!(path(&Read::channel(Transport::Sse, "чат")), "/rt/channels/%D1%87%D0%B0%D1%82");
        assert_eq!(
            path(&Read::channel(Transport::ShortPoll, "a").after("e-1").limit(5)),
            "/rt/channels/a?after=e-1&limit=5"
        );
        assert_eq!(
            path(
                &Read::channel(Transport::LongPoll, "a")
                    .start(Start::Last(3))
                    .wait(Duration::from_millis(1500))
            ),
            "/rt/channels/a?last=3&wait=1.5"
        );
        assert_eq!(
            path(&Read::channels(Transport::HttpStream, ["a", "b&c"]).start(Start::Beginning)),
            "/rt/subscribe?channel=a&channel=b%26c&after=start"
        );
        assert_eq!(
            Read::channel(Transport::WebSocket, "a").acks().payload_json().path(&target, Some("me")),
            "/rt/channels/a?payload=json&ack=1&client=me"
        );
    }
}
