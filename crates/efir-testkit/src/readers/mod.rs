//! One reader a transport, all with one face: the rows of the matrix. The files have the names of the server's transports.
//!
//! A reader is a thin adapter over efir-client's single responses: it asks again when a poll is answered, and otherwise
//! shows what came, as it came. What that is worth is for [`crate::witness`] and [`crate::checker`] to say.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use anyhow::{Result, bail, ensure};
use efir_client::{Client, Event, Head, Read, Start, Subscription, Transport};
use efir_core::{ChannelName, Cursor, Token};
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use crate::node::Joins;

mod http_stream;
mod long_poll;
mod short_poll;
mod socket;
mod sse;
mod websocket;

/// What a trait's method gives back instead of `async fn`.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// How long the readers' polls wait.
pub const WAIT: Duration = Duration::from_millis(400);

/// The transports, each with a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// AJAX polling.
    ShortPoll,
    /// Hanging requests.
    LongPoll,
    /// EventSource.
    Sse,
    /// NDJSON.
    HttpStream,
    /// A channel's WebSocket.
    WebSocket,
    /// `/socket`.
    Socket,
}

impl Kind {
    /// Its name in URLs and in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortPoll => "short-poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::HttpStream => "http-stream",
            Self::WebSocket => "websocket",
            Self::Socket => "socket",
        }
    }

    /// Whether its responses end, so that the reader must ask again.
    pub fn is_poll(self) -> bool {
        matches!(self, Self::ShortPoll | Self::LongPoll)
    }

    /// Whether WebSocket frames carry it.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::Socket)
    }
}

/// A row of the matrix: a transport, whether it reads several channels in one response, and whether it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// The transport.
    pub kind: Kind,
    /// Under `/subscribe` instead of `/channels/{channel}`.
    pub is_several: bool,
    /// With permessage-deflate; WebSockets only.
    pub is_deflated: bool,
}

impl Row {
    const fn one(kind: Kind) -> Self {
        Self { kind, is_several: false, is_deflated: false }
    }

    const fn several(kind: Kind) -> Self {
        Self { is_several: true, ..Self::one(kind) }
    }

    const fn deflated(kind: Kind) -> Self {
        Self { is_deflated: true, ..Self::one(kind) }
    }
}

/// Every row. `/socket` has several channels by nature.
pub const ROWS: &[Row] = &[
    Row::one(Kind::ShortPoll),
    Row::one(Kind::LongPoll),
    Row::one(Kind::Sse),
    Row::one(Kind::HttpStream),
    Row::one(Kind::WebSocket),
    Row::one(Kind::Socket),
    Row::several(Kind::ShortPoll),
    Row::several(Kind::LongPoll),
    Row::several(Kind::Sse),
    Row::several(Kind::HttpStream),
    Row::several(Kind::WebSocket),
    Row::deflated(Kind::WebSocket),
    Row::deflated(Kind::Socket),
];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_several {
            f.write_str("subscribe-")?;
        }
        f.write_str(self.kind.name())?;
        if self.is_deflated {
            f.write_str("-deflate")?;
        }
        Ok(())
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// With what comes from now on.
    Now,
    /// With the oldest message that is kept.
    Start,
    /// With the newest N.
    Last(usize),
    /// After a cursor for each channel.
    After(Vec<(String, String)>),
    /// After the text that the server gave last.
    Resume(String),
}

/// What a reader needs.
#[derive(Debug, Clone)]
pub struct Aim {
    /// The server.
    pub client: Client,
    /// What to read; one channel where the row has one.
    pub channels: Vec<String>,
    /// Which row.
    pub row: Row,
    /// Further parameters of the query, for the readers of one response; `/socket` has commands instead.
    pub query: Vec<(String, String)>,
    /// Messages that a poll asks for.
    pub limit: Option<usize>,
    /// The joins that the server's hub reports, where the server is in this process.
    pub joins: Option<Joins>,
}

/// A reader of one transport.
pub trait Reader: Send {
    /// Opens a response, and returns once the server has joined it to its channels; a poll with a cursor may not have been
    /// sent yet, because that makes no difference.
    fn open<'a>(&'a mut self, begin: &'a Begin) -> Later<'a, ()>;

    /// What comes next; `None` when a stream or socket has ended. Polls ask again for ever. Safe to cancel.
    fn next(&mut self) -> Later<'_, Option<Event>>;

    /// Drops the response and its connection, in mid-flight.
    fn close(&mut self);

    /// The cursor or token that the server gave last.
    fn cursor(&self) -> Option<String>;
}

/// The reader of a row.
pub fn reader(mut aim: Aim) -> Box<dyn Reader> {
    if aim.row.is_deflated {
        aim.client = aim.client.with_websocket_deflate();
    }
    match aim.row.kind {
        Kind::ShortPoll => Box::new(short_poll::ShortPoll::new(aim)),
        Kind::LongPoll => Box::new(long_poll::LongPoll::new(aim)),
        Kind::Sse => Box::new(sse::Sse::new(aim)),
        Kind::HttpStream => Box::new(http_stream::HttpStream::new(aim)),
        Kind::WebSocket => Box::new(websocket::WebSocket::new(aim)),
        Kind::Socket => Box::new(socket::Socket::new(aim)),
    }
}

impl Aim {
    /// A row that is to be compressed must not pass by being plain.
    fn check_deflate(&self, head: &Head) -> Result<()> {
        ensure!(
            head.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) == self.row.is_deflated,
            "compression was agreed or not, unlike what was offered: {head:?}"
        );
        Ok(())
    }

    /// A read of these channels.
    fn read(&self, transport: Transport) -> Read {
        let read = if self.row.is_several {
            Read::channels(transport, self.channels.clone())
        } else {
            Read::channel(transport, self.channels.first().cloned().unwrap_or_default())
        };
        self.query.iter().fold(read, |read, (name, value)| read.query(name, value))
    }

    /// The same in the words of the query.
    fn start(&self, begin: &Begin) -> Result<Start> {
        Ok(match begin {
            Begin::Now => Start::Default,
            Begin::Start => Start::Beginning,
            Begin::Last(count) => Start::Last(*count),
            Begin::Resume(cursor) => Start::After(cursor.clone()),
            Begin::After(cursors) if self.row.is_several => Start::After(token(cursors)?),
            Begin::After(cursors) => match cursors.first() {
                Some((_, cursor)) => Start::After(cursor.clone()),
                None => bail!("no cursor to begin after"),
            },
        })
    }
}

/// The token of several cursors, made as the server makes it.
pub fn token(cursors: &[(String, String)]) -> Result<String> {
    let mut parsed = Vec::new();
    for (channel, cursor) in cursors {
        parsed.push((ChannelName::parse_readable(channel)?, Cursor::parse(cursor)?));
    }
    Ok(Token::encode(parsed.iter().map(|(channel, cursor)| (channel, cursor))))
}

/// What the three streams share: one response whose first event is `hello`, and the cursor as the server tells it.
struct Stream {
    aim: Aim,
    subscription: Option<Subscription>,
    /// `hello`, which [`Reader::open`] waited for and [`Reader::next`] shows.
    hello: Option<Event>,
    cursor: Option<String>,
}

impl Stream {
    fn new(aim: Aim) -> Self {
        Self { aim, subscription: None, hello: None, cursor: None }
    }

    async fn open(&mut self, read: Read) -> Result<()> {
        let mut subscription = self.aim.client.open(&read).await?;
        self.aim.check_deflate(subscription.head())?;
        loop {
            match subscription.next().await? {
                Some(Event::Retry(_)) => {}
                Some(hello @ Event::Hello(_)) => {
                    self.take(&hello);
                    self.hello = Some(hello);
                    break;
                }
                // A temporary refusal: the scenario sees it as the first event.
                Some(problem @ Event::Problem(_)) => {
                    self.hello = Some(problem);
                    break;
                }
                other => bail!("the first thing on a stream is hello, not {other:?}"),
            }
        }
        self.subscription = Some(subscription);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        if let Some(hello) = self.hello.take() {
            return Ok(Some(hello));
        }
        let Some(subscription) = &mut self.subscription else { bail!("the stream is not open") };
        let event = subscription.next().await?;
        if let Some(event) = &event {
            self.take(event);
        }
        Ok(event)
    }

    /// Keeps the cursor that an event tells. A message moves it only where there is one channel.
    fn take(&mut self, event: &Event) {
        let told = match event {
            Event::Hello(hello) => hello.cursor.clone(),
            Event::Heartbeat(heartbeat) => heartbeat.cursor.clone(),
            Event::Message(message) if !self.aim.row.is_several => Some(message.position.clone()),
            Event::Gap(gap) if !self.aim.row.is_several => Some(gap.resume_from.clone()),
            Event::Cursor(token) => Some(token.clone()),
            _ => None,
        };
        if told.is_some() {
            self.cursor = told;
        }
    }

    fn close(&mut self) {
        (self.subscription, self.hello) = (None, None);
    }
}
