//! What a scenario works in: one server, one history, publishers and witnesses that write into it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use efir_client::{Client, ClientError, ClientOptions, HttpVersion, Payload, Receipt};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    ask::{Answer, Ask},
    carrier::Carrier,
    checker,
    history::{Event, History, Place, payload_mark, to_lines},
    node::{Node, Settings},
    readers::{Aim, Row},
    tls,
    witness::Witness,
};

/// One sweep sees a part of the channels; so many see all.
const SWEEPS: usize = 16;
/// Lines at the end of a history that is shown because it breaks a promise.
const LINES_SHOWN: usize = 40;

/// Which cell of the matrix is run.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// The transport; scenarios without a row have none.
    pub row: Option<Row>,
    /// The transport that is switched to.
    pub other: Option<Row>,
    /// The server and HTTP version.
    pub carrier: Carrier,
    /// For everything that is drawn at random.
    pub seed: u64,
}

impl Cell {
    /// The transport.
    pub fn row(&self) -> Result<Row> {
        self.row.context("this scenario has no transport")
    }
}

/// A server and everything that happens to it.
pub struct Room {
    /// The server.
    pub node: Node,
    /// The cell.
    pub cell: Cell,
    /// What happened.
    pub history: History,
    /// The channel that is read.
    pub channel: String,
    client: Client,
    ops: Arc<AtomicU64>,
}

impl Room {
    /// A server with short times.
    pub async fn open(cell: &Cell) -> Result<Self> {
        Self::with(cell, |_| {}).await
    }

    /// A server with other settings.
    pub async fn with(cell: &Cell, change: impl FnOnce(&mut Settings)) -> Result<Self> {
        let mut settings = Settings::short();
        change(&mut settings);
        let messages_max = settings.limits.retention_messages_max as u64;
        let node = Node::start(cell.carrier, settings).await?;
        let client = client(&node)?;
        let room = Self {
            node,
            cell: *cell,
            history: History::default(),
            channel: channel(cell),
            client,
            ops: Arc::default(),
        };
        for channel in [room.channel.clone(), "side".into()] {
            room.history.record("server", Event::Keeps { channel, messages_max: Some(messages_max) });
        }
        Ok(room)
    }

    /// The same room after its server was replaced by another one that remembers nothing.
    pub async fn restart(self) -> Result<Self> {
        let Self { node, cell, history, channel, ops, .. } = self;
        let settings = node.settings().clone();
        node.stop().await?;
        history.record("server", Event::Lost);
        let node = Node::start(cell.carrier, settings).await?;
        let client = client(&node)?;
        Ok(Self { node, cell, history, channel, client, ops })
    }

    /// Says that age, not number, decides what is kept; the checker then cannot judge how much is gone.
    pub fn keeps_by_age(&self) {
        self.keeps(&self.channel, None);
    }

    /// Says how many messages a channel keeps from now on.
    pub fn keeps(&self, channel: &str, messages_max: Option<u64>) {
        self.history.record("server", Event::Keeps { channel: channel.into(), messages_max });
    }

    /// A client with connections of its own.
    pub fn client(&self) -> Result<Client> {
        client(&self.node)
    }

    /// A client with connections of its own, and headers that it sends with each request.
    pub fn client_with(
        &self,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<Client> {
        client_of(&self.node, headers.into_iter().collect())
    }

    /// The channels that a row reads: two where it can read several in one response.
    pub fn channels(&self, row: Row) -> Vec<String> {
        let mut channels = vec![self.channel.clone()];
        if row.is_several {
            channels.push("side".into());
        }
        channels
    }

    /// What a reader of these channels needs.
    pub fn aim(&self, row: Row, channels: Vec<String>) -> Result<Aim> {
        let joins = Some(self.node.joins());
        Ok(Aim { client: self.client()?, channels, row, query: Vec::new(), limit: None, joins })
    }

    /// A recording reader of the cell's transport.
    pub fn witness(&self, name: &str) -> Result<Witness> {
        self.witness_of(name, self.cell.row()?)
    }

    /// A recording reader of any transport.
    pub fn witness_of(&self, name: &str, row: Row) -> Result<Witness> {
        Ok(Witness::new(name, self.aim(row, self.channels(row))?, self.history.clone()))
    }

    /// A request on a connection of its own.
    pub async fn ask(&self, ask: Ask) -> Result<Answer> {
        ask.send(self.node.address(), self.cell.carrier).await
    }

    /// The path of the room's channel with a query.
    pub fn path(&self, query: &str) -> String {
        format!("/channels/{}{query}", efir_client::encode_channel(&self.channel))
    }

    /// Publishes text to the room's channel.
    pub async fn publish(&self, text: &str) -> Result<Receipt> {
        let channel = self.channel.clone();
        self.publish_to(&channel, text).await
    }

    /// Publishes text.
    pub async fn publish_to(&self, channel: &str, text: &str) -> Result<Receipt> {
        Ok(self.writer("writer").publish(channel, Payload::Text(text.into()), None).await?)
    }

    /// Publishes texts to the room's channel, one after the other, from inside the server's process, where there are many.
    pub fn publish_inside(&self, texts: impl IntoIterator<Item = String>) -> Result<()> {
        let writer = self.writer("inside");
        for text in texts {
            writer.publish_inside(&self.node, &self.channel, &text)?;
        }
        Ok(())
    }

    /// Frees what has expired now, and not within the next two seconds.
    pub fn sweep(&self) {
        for _ in 0..SWEEPS {
            self.node.hub().sweep();
        }
    }

    /// A publisher that writes into the room's history.
    pub fn writer(&self, name: &str) -> Writer {
        Writer {
            name: name.into(),
            client: self.client.clone(),
            history: self.history.clone(),
            ops: Arc::clone(&self.ops),
        }
    }

    /// A publisher with a connection of its own.
    pub fn writer_apart(&self, name: &str) -> Result<Writer> {
        Ok(Writer { client: self.client()?, ..self.writer(name) })
    }

    /// Judges the history so far.
    pub fn check(&self) -> Result<()> {
        let entries = self.history.entries();
        let found = checker::check(&entries);
        if found.is_empty() {
            return Ok(());
        }
        let broken: Vec<String> = found.iter().take(10).map(ToString::to_string).collect();
        let lines = to_lines(&entries)?;
        let skipped = entries.len().saturating_sub(LINES_SHOWN);
        let last = lines.lines().enumerate().skip(skipped).map(|(line, text)| format!("{line}: {text}"));
        let last: Vec<String> = last.collect();
        anyhow::bail!(
            "{} promises broken:\n{}\nhistory:\n{}",
            found.len(),
            broken.join("\n"),
            last.join("\n")
        )
    }

    /// Judges the history and stops the server.
    pub async fn close(self) -> Result<()> {
        self.check()?;
        self.node.stop().await
    }
}

/// Where anything is compressed the name is long, so that every message is long enough for it.
fn channel(cell: &Cell) -> String {
    let is_deflated = [cell.row, cell.other].into_iter().flatten().any(|row| row.is_deflated);
    if is_deflated { format!("эфир:room{}", "-and-room".repeat(26)) } else { "эфир:room".into() }
}

fn client(node: &Node) -> Result<Client> {
    client_of(node, HeaderMap::new())
}

fn client_of(node: &Node, headers: HeaderMap) -> Result<Client> {
    let version = if node.carrier().is_http2() { HttpVersion::H2c } else { HttpVersion::Http1 };
    let options = ClientOptions { version, headers, tls: Some(tls::trust()), ..ClientOptions::default() };
    let scheme = if node.carrier().is_tls() { "https" } else { "http" };
    Ok(Client::with_options(&format!("{scheme}://{}", node.address()), options)?)
}

/// A publisher that writes down what it sent and what it was told.
#[derive(Clone)]
pub struct Writer {
    name: String,
    client: Client,
    history: History,
    ops: Arc<AtomicU64>,
}

impl Writer {
    /// A publisher through another client, for instance of another server.
    pub fn with_client(room: &Room, name: &str, client: Client) -> Self {
        Self { client, ..room.writer(name) }
    }

    /// Writes down that a publish is sent; gives its number.
    pub fn begin(&self, channel: &str, key: Option<&str>, mark: String) -> u64 {
        let op = self.ops.fetch_add(1, Ordering::Relaxed);
        let key = key.map(str::to_owned);
        self.history.record(&self.name, Event::Publish { op, channel: channel.into(), key, payload: mark });
        op
    }

    /// Writes down the acknowledgement.
    pub fn accepted(&self, op: u64, position: &str, is_duplicate: bool) -> Result<()> {
        let position = Place::parse(position).with_context(|| format!("{position} is no position"))?;
        self.history.record(&self.name, Event::Accepted { op, position, duplicate: is_duplicate });
        Ok(())
    }

    /// Writes down the refusal.
    pub fn refused(&self, op: u64, code: &str) {
        self.history.record(&self.name, Event::Refused { op, code: code.into() });
    }

    /// Publishes over HTTP.
    pub async fn publish(
        &self,
        channel: &str,
        payload: Payload,
        key: Option<&str>,
    ) -> Result<Receipt, ClientError> {
        let op = self.begin(channel, key, mark(&payload));
        let ended = self.client.publish(channel, payload, key).await;
        match &ended {
            Ok(receipt) => {
                let told = self.accepted(op, &receipt.position, receipt.duplicate);
                told.map_err(|error| ClientError::Protocol(error.to_string()))?;
            }
            Err(error) => match error.code() {
                Some(code) => self.refused(op, code),
                None => self.history.record(&self.name, Event::Unanswered { op }),
            },
        }
        ended
    }

    /// Publishes text from inside the server's process.
    pub fn publish_inside(&self, node: &Node, channel: &str, text: &str) -> Result<()> {
        let op = self.begin(channel, None, format!("text:{text}"));
        let position = node.publish_inside(channel, text)?;
        self.accepted(op, &position, false)
    }
}

/// How a payload stands in the history: as it comes out again.
pub fn mark(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) => format!("text:{text}"),
        Payload::Json(json) => {
            // Raw CR and LF are legal between tokens only, and become spaces there.
            payload_mark(&String::from_utf8_lossy(json).replace(['\r', '\n'], " "))
        }
        Payload::Bytes(bytes) => bytes_mark(bytes),
    }
}

/// How bytes stand in the history.
pub fn bytes_mark(bytes: &Bytes) -> String {
    format!("bytes:{bytes:?}")
}

/// `m1`, `m2` … as the scenarios call their messages.
pub fn texts(range: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = String> {
    range.map(|n| format!("m{n}"))
}

/// Fails unless two values are equal, with both in the text.
#[expect(clippy::needless_pass_by_value, reason = "so that a scenario compares what it has just made")]
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<()> {
    ensure!(found == wanted, "{what}: {found:?} instead of {wanted:?}");
    Ok(())
}
