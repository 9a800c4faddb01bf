//! A reader that writes down everything it sees, keeps the cursors of its channels as a client library would, and waits no
//! longer than it should.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use efir_client::{BatchEnd, Data, Event, Gap, Heartbeat, Hello, MessageView, Problem};
use efir_core::{ChannelName, Token};

use crate::{
    ask::PATIENCE,
    history::{self, From, History, Place, payload_mark},
    readers::{Aim, Begin, Reader, Row, reader, token},
    room::bytes_mark,
};

/// How long nothing must come to be taken for nothing.
pub const QUIET: Duration = Duration::from_millis(60);

/// A recording reader.
pub struct Witness {
    name: String,
    row: Row,
    channels: Vec<String>,
    reader: Box<dyn Reader>,
    history: History,
    /// The cursors as the events moved them; empty text before the first.
    cursors: Vec<String>,
}

impl Witness {
    /// A reader that is not open yet.
    pub fn new(name: &str, aim: Aim, history: History) -> Self {
        let reader = reader(aim.clone());
        Self::over(reader, name, aim, history)
    }

    /// The same over another reader of that aim, for instance one with a planted fault.
    pub fn over(reader: Box<dyn Reader>, name: &str, aim: Aim, history: History) -> Self {
        let Aim { row, channels, .. } = aim;
        let cursors = vec![String::new(); channels.len()];
        Self { name: name.into(), row, channels, reader, history, cursors }
    }

    /// Opens and returns once joined.
    pub async fn open(&mut self, begin: &Begin) -> Result<()> {
        for (channel, cursor) in self.channels.iter().zip(&mut self.cursors) {
            let from = match begin {
                Begin::Now => From::Now,
                Begin::Start => From::Start,
                Begin::Last(count) => From::Last(*count as u64),
                Begin::After(known) => {
                    let known = known.iter().find(|(known, _)| known == channel).map(|(_, cursor)| cursor);
                    known.map_or(From::Now, |cursor| From::After(given(self.row, cursor)))
                }
                // The witness resumes after its own cursors only.
                Begin::Resume(_) => From::After(cursor.clone()),
            };
            *cursor = if let From::After(text) = &from { text.clone() } else { String::new() };
            let transport = self.row.to_string();
            self.history
                .record(&self.name, history::Event::Open { transport, channel: channel.clone(), from });
        }
        self.reader.open(begin).await.with_context(|| format!("{} opens {begin:?}", self.name))
    }

    /// Opens after one cursor of the first channel; further channels begin now.
    pub async fn open_after(&mut self, cursor: &str) -> Result<()> {
        let channel = self.channels.first().cloned().unwrap_or_default();
        self.open(&Begin::After(vec![(channel, cursor.into())])).await
    }

    /// Comes back after a cut, the way the transport does it.
    pub async fn reopen(&mut self) -> Result<()> {
        self.reader.close();
        let begin = self.resumption()?;
        self.open(&begin).await
    }

    /// Where this reader goes on, for itself or for another one.
    fn resumption(&self) -> Result<Begin> {
        let known = self.cursors();
        if known.is_empty() {
            return Ok(Begin::Now);
        }
        Ok(match known.as_slice() {
            _ if self.row.kind.is_websocket() && !self.row.is_several => Begin::After(known),
            [(_, cursor)] if !self.row.is_several => Begin::Resume(cursor.clone()),
            known if known.len() == self.channels.len() => Begin::Resume(token(known)?),
            _ => Begin::After(known),
        })
    }

    /// The channels whose cursor is known, with it.
    pub fn cursors(&self) -> Vec<(String, String)> {
        let known = self.channels.iter().zip(&self.cursors).filter(|(_, cursor)| !cursor.is_empty());
        known.map(|(channel, cursor)| (channel.clone(), cursor.clone())).collect()
    }

    /// The cursor of the first channel.
    pub fn cursor(&self) -> &str {
        self.cursors.first().map_or("", String::as_str)
    }

    /// The cursor or token as the server told it last.
    pub fn told(&self) -> Option<String> {
        self.reader.cursor()
    }

    /// Drops the connection without a word to the server.
    pub fn cut(&mut self) {
        self.reader.close();
    }

    /// The next event of any kind within the time; `None` if there is none, or the stream has ended.
    pub async fn event(&mut self, patience: Duration) -> Result<Option<Event>> {
        match tokio::time::timeout(patience, self.reader.next()).await {
            Err(_) => Ok(None),
            Ok(event) => {
                let event = event.with_context(|| format!("{} reads on", self.name))?;
                if let Some(event) = &event {
                    self.record(event);
                }
                Ok(event)
            }
        }
    }

    /// The next event that `wanted` takes; heartbeats and the like pass by, messages and gaps must not.
    async fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> Result<T> {
        let due = tokio::time::Instant::now() + PATIENCE;
        loop {
            let left = due.saturating_duration_since(tokio::time::Instant::now());
            let event = self.event(left).await?;
            let event = event.with_context(|| format!("{}: {what} does not come", self.name))?;
            if let Some(found) = wanted(&event) {
                return Ok(found);
            }
            match event {
                Event::Message(_) | Event::Gap(_) | Event::Problem(_) | Event::Closed(_) => {
                    bail!("{}: instead of {what} came {event:?}", self.name)
                }
                _ => {}
            }
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> Result<MessageView> {
        let message = |event: &Event| match event {
            Event::Message(message) => Some(message.clone()),
            _ => None,
        };
        self.wait_for("a message", message).await
    }

    /// The next message must be this text.
    pub async fn text(&mut self, text: &str) -> Result<MessageView> {
        let message = self.message().await?;
        ensure!(
            message.text().as_deref() == Some(text),
            "{}: wanted {text:?}, got {:?} at {}",
            self.name,
            message.payload(),
            message.position
        );
        Ok(message)
    }

    /// The next messages must be these texts.
    pub async fn texts(&mut self, texts: impl IntoIterator<Item = String>) -> Result<()> {
        for text in texts {
            self.text(&text).await?;
        }
        Ok(())
    }

    /// The next gap.
    pub async fn gap(&mut self) -> Result<Gap> {
        let gap = |event: &Event| if let Event::Gap(gap) = event { Some(gap.clone()) } else { None };
        self.wait_for("a gap", gap).await
    }

    /// `hello`.
    pub async fn hello(&mut self) -> Result<Hello> {
        let hello = |event: &Event| if let Event::Hello(hello) = event { Some(hello.clone()) } else { None };
        self.wait_for("hello", hello).await
    }

    /// The next heartbeat.
    pub async fn heartbeat(&mut self) -> Result<Heartbeat> {
        let beat = |event: &Event| if let Event::Heartbeat(beat) = event { Some(beat.clone()) } else { None };
        self.wait_for("a heartbeat", beat).await
    }

    /// The next problem.
    pub async fn problem(&mut self) -> Result<Problem> {
        let problem =
            |event: &Event| if let Event::Problem(problem) = event { Some(problem.clone()) } else { None };
        self.wait_for("a problem", problem).await
    }

    /// Reads on until the stream or socket ends; gives what came last before the end that was no message.
    pub async fn end(&mut self) -> Result<Vec<Event>> {
        let mut seen = Vec::new();
        loop {
            match tokio::time::timeout(PATIENCE, self.reader.next()).await {
                Err(_) => bail!("{}: the response does not end; seen {seen:?}", self.name),
                Ok(Ok(None)) => return Ok(seen),
                Ok(Ok(Some(event))) => {
                    self.record(&event);
                    let is_last = matches!(event, Event::Closed(_));
                    seen.push(event);
                    if is_last {
                        return Ok(seen);
                    }
                }
                Ok(Err(error)) => return Err(error).with_context(|| format!("after {seen:?}")),
            }
        }
    }

    /// Nothing more may come; then says so in the history, and the checker knows what should have come.
    pub async fn settle(&mut self) -> Result<()> {
        let due = tokio::time::Instant::now() + QUIET;
        loop {
            let left = due.saturating_duration_since(tokio::time::Instant::now());
            match self.event(left).await? {
                None => break,
                Some(event @ (Event::Message(_) | Event::Gap(_) | Event::Problem(_))) => {
                    bail!("{}: nothing more was expected, but {event:?} came", self.name)
                }
                Some(_) => {}
            }
        }
        for channel in &self.channels {
            self.history.record(&self.name, history::Event::Settled { channel: channel.clone() });
        }
        Ok(())
    }

    fn record(&mut self, event: &Event) {
        match event {
            Event::Message(message) => {
                self.move_to(&message.channel, &message.position);
                self.record_message(message);
            }
            Event::Gap(gap) => self.record_gap(gap),
            Event::Hello(hello) => {
                for joined in &hello.channels {
                    self.told_at(&joined.channel, &joined.cursor);
                }
                if let (Some(channel), Some(cursor)) = (&hello.channel, &hello.cursor) {
                    self.told_at(channel, cursor);
                }
            }
            Event::Heartbeat(Heartbeat { cursor: Some(cursor), .. }) | Event::Cursor(cursor) => {
                self.told_text(cursor);
            }
            Event::BatchEnd(BatchEnd { cursor: Some(cursor), .. }) => self.told_text(cursor),
            _ => {}
        }
    }

    fn record_message(&self, message: &MessageView) {
        let payload = match &message.data {
            Data::Json(json) => payload_mark(&String::from_utf8_lossy(json)),
            Data::Bytes(bytes) => bytes_mark(bytes),
        };
        let lost = || Place { epoch: message.position.clone(), offset: 0 };
        let position = Place::parse(&message.position).unwrap_or_else(lost);
        let channel = message.channel.clone();
        self.history.record(&self.name, history::Event::Received { channel, position, payload });
    }

    fn record_gap(&mut self, gap: &Gap) {
        self.move_to(&gap.channel, &gap.resume_from);
        let lost = || Place { epoch: gap.resume_from.clone(), offset: 0 };
        let resume_from = Place::parse(&gap.resume_from).unwrap_or_else(lost);
        let event = history::Event::Gap {
            channel: gap.channel.clone(),
            reason: gap.reason.clone(),
            after: gap.after.clone().unwrap_or_default(),
            resume_from,
            epoch: gap.epoch.clone(),
        };
        self.history.record(&self.name, event);
    }

    /// Takes a position where there is one channel, a token where there are several.
    fn told_text(&mut self, text: &str) {
        if !self.row.is_several {
            return self.told_at(&self.channels[0].clone(), text);
        }
        let Ok(token) = Token::parse(text) else {
            let channel = self.channels[0].clone();
            return self.told_at(&channel, text);
        };
        for channel in self.channels.clone() {
            let name = ChannelName::parse_readable(&channel).ok();
            if let Some(cursor) = name.and_then(|name| token.cursor(&name)) {
                self.told_at(&channel, &cursor.to_string());
            }
        }
    }

    fn told_at(&mut self, channel: &str, cursor: &str) {
        self.move_to(channel, cursor);
        self.history
            .record(&self.name, history::Event::At { channel: channel.into(), cursor: cursor.into() });
    }

    fn move_to(&mut self, channel: &str, cursor: &str) {
        if let Some(place) = self.channels.iter().position(|known| known == channel) {
            cursor.clone_into(&mut self.cursors[place]);
        }
    }
}

/// A cursor as the server sees it: in a token, one of a foreign epoch becomes `lost-0`.
fn given(row: Row, cursor: &str) -> String {
    let is_own = efir_core::Position::parse(cursor).is_some();
    if row.is_several && !is_own { "lost-0".into() } else { cursor.into() }
}
