//! `/socket`: one WebSocket, many channels, commands with replies (docs/protocol.md §8).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use efir_ws::Opcode;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::client::Client;
use crate::error::ClientError;
use crate::event::{Event, Reply};
use crate::presence::{Attendance, Who};
use crate::subscription::Head;
use crate::transports::websocket::{self, WebSocket};
use crate::wire::{self, Authorized, ChannelCursor, Receipt};

/// How long [`Socket::call`] waits for its reply.
const REPLY_TIME_MAX: Duration = Duration::from_secs(30);
/// How many events may pile up while [`Socket::call`] waits for its reply.
const PENDING_MAX: usize = 100_000;

/// A command, as it stands in the frame.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Begin to receive a channel.
    Subscribe {
        /// The channel.
        channel: String,
        /// After which cursor; `start` for the oldest message.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// The newest N first.
        #[serde(skip_serializing_if = "Option::is_none")]
        last: Option<usize>,
    },
    /// Receive no more of a channel.
    Unsubscribe {
        /// The channel.
        channel: String,
    },
    /// Publish JSON.
    Publish {
        /// The channel.
        channel: String,
        /// The payload, sent as it is.
        data: Box<RawValue>,
        /// The idempotency key.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Read without subscribing.
    History {
        /// The channel.
        channel: String,
        /// After which cursor; `start` for the oldest message.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// At most so many messages.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    /// Enter a channel, or change what the member says of itself.
    Enter {
        /// The channel.
        channel: String,
        /// The member's id.
        member: String,
        /// Its name; an empty one removes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its data; `null` removes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<serde_json::Value>,
    },
    /// Leave a channel.
    Leave {
        /// The channel.
        channel: String,
    },
    /// Say who is on this end, or say it anew before the token ends.
    Authorize {
        /// The token.
        token: String,
    },
    /// Ask for the server's clock.
    Ping {},
}

/// An open `/socket`.
#[derive(Debug)]
pub struct Socket {
    head: Head,
    socket: WebSocket,
    next_id: u64,
    /// What came while a reply was waited for.
    pending: VecDeque<Event>,
}

impl Socket {
    pub(crate) async fn open(client: &Client) -> Result<Self, ClientError> {
        let (head, socket) = websocket::connect(client, &client.socket_path(), &HeaderMap::new()).await?;
        Ok(Self { head, socket, next_id: 1, pending: VecDeque::new() })
    }

    /// The status and the headers.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Sends a command and gives its `id`; the reply comes with [`Socket::next`].
    ///
    /// # Errors
    /// Where the connection broke.
    pub async fn send(&mut self, command: &Command) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let body =
            serde_json::to_string(command).map_err(|error| ClientError::Protocol(error.to_string()))?;
        // `{"subscribe":{…}}` becomes `{"id":1,"subscribe":{…}}`.
        let text = format!("{{\"id\":{id},{}", body.trim_start_matches('{'));
        self.send_raw(&text).await?;
        Ok(id)
    }

    /// Sends a text frame as it is.
    ///
    /// # Errors
    /// Where the connection broke.
    pub async fn send_raw(&mut self, text: &str) -> Result<(), ClientError> {
        self.socket.send(Opcode::Text, text.as_bytes()).await
    }

    /// Sends a command and waits for its reply. What comes meanwhile is kept for [`Socket::next`].
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the server refused the command.
    pub async fn call(&mut self, command: &Command) -> Result<Bytes, ClientError> {
        let id = self.send(command).await?.to_string();
        let reply = timeout(REPLY_TIME_MAX, self.reply(id.as_bytes()))
            .await
            .map_err(|_| ClientError::Timeout { what: "the reply on /socket", after: REPLY_TIME_MAX })??;
        reply.outcome.map_err(|problem| ClientError::Problem(Box::new(problem)))
    }

    /// Subscribes to a channel and gives its join cursor.
    ///
    /// # Errors
    /// As [`Socket::call`].
    pub async fn subscribe(&mut self, channel: &str, after: Option<&str>) -> Result<String, ClientError> {
        let command =
            Command::Subscribe { channel: channel.to_owned(), after: after.map(str::to_owned), last: None };
        let reply = self.call(&command).await?;
        wire::json::<ChannelCursor>(&reply, "the reply to subscribe").map(|joined| joined.cursor)
    }

    /// Unsubscribes from a channel.
    ///
    /// # Errors
    /// As [`Socket::call`].
    pub async fn unsubscribe(&mut self, channel: &str) -> Result<(), ClientError> {
        self.call(&Command::Unsubscribe { channel: channel.to_owned() }).await.map(drop)
    }

    /// Publishes JSON.
    ///
    /// # Errors
    /// As [`Socket::call`]; [`ClientError::Protocol`] where `json` is not JSON.
    pub async fn publish(
        &mut self,
        channel: &str,
        json: &str,
        key: Option<&str>,
    ) -> Result<Receipt, ClientError> {
        let data = RawValue::from_string(json.to_owned())
            .map_err(|error| ClientError::Protocol(format!("the payload is not JSON: {error}")))?;
        let command = Command::Publish { channel: channel.to_owned(), data, key: key.map(str::to_owned) };
        let reply = self.call(&command).await?;
        wire::json(&reply, "a receipt")
    }

    /// Enters a channel, and stays in it as long as the socket is open; again to change name and data.
    ///
    /// # Errors
    /// As [`Socket::call`].
    pub async fn enter(&mut self, channel: &str, who: &Who) -> Result<Attendance, ClientError> {
        let Who { id, name, data, .. } = who.clone();
        let command = Command::Enter { channel: channel.to_owned(), member: id, name, data };
        wire::json(&self.call(&command).await?, "an attendance")
    }

    /// Leaves a channel.
    ///
    /// # Errors
    /// As [`Socket::call`].
    pub async fn leave(&mut self, channel: &str) -> Result<Attendance, ClientError> {
        let command = Command::Leave { channel: channel.to_owned() };
        wire::json(&self.call(&command).await?, "an attendance")
    }

    /// Says who is on this end, or says it anew with another token of the same user.
    ///
    /// # Errors
    /// As [`Socket::call`]; `unauthorized` where the token is worth nothing.
    pub async fn authorize(&mut self, token: &str) -> Result<Authorized, ClientError> {
        wire::json(&self.call(&Command::Authorize { token: token.to_owned() }).await?, "who it is")
    }

    /// The next event, replies included; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// Where the connection breaks or the server breaks the protocol.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        match self.pending.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.socket.next().await,
        }
    }

    /// Sends a close frame. What still comes, comes with [`Socket::next`].
    ///
    /// # Errors
    /// Where the connection broke.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), ClientError> {
        self.socket.close(code, reason).await
    }

    async fn reply(&mut self, id: &[u8]) -> Result<Reply, ClientError> {
        loop {
            match self.socket.next().await? {
                Some(Event::Reply(reply)) if reply.id == id => return Ok(reply),
                Some(event) if self.pending.len() < PENDING_MAX => self.pending.push_back(event),
                Some(_) => return Err(ClientError::Protocol("the server does not answer a command".into())),
                None => return Err(ClientError::Protocol("the socket was closed before the reply".into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_shape_of_the_protocol() {
        let json = |command: &Command| serde_json::to_string(command).unwrap();
        let subscribe = Command::Subscribe { channel: "a".into(), after: Some("e-1".into()), last: None };
        assert_eq!(json(&subscribe), r#"{"subscribe":{"channel":"a","after":"e-1"}}"#);
        assert_eq!(json(&Command::Ping {}), r#"{"ping":{}}"#);
        let data = RawValue::from_string("{\"a\": 1}".into()).unwrap();
        let publish = Command::Publish { channel: "a".into(), data, key: None };
        assert_eq!(json(&publish), r#"{"publish":{"channel":"a","data":{"a": 1}}}"#);
    }
}
