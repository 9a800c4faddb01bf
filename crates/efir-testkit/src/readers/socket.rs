//! `/socket`: subscribes with a command each; the replies become the `hello` that other streams begin with.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};
use efir_client::{ChannelCursor, Command, Event, Hello};
use serde_json::Value;

use super::{Aim, Begin, Later, Reader};

pub(super) struct Socket {
    aim: Aim,
    socket: Option<efir_client::Socket>,
    events: VecDeque<Event>,
}

impl Socket {
    pub(super) fn new(aim: Aim) -> Self {
        Self { aim, socket: None, events: VecDeque::new() }
    }

    async fn subscribe(&mut self, begin: &Begin) -> Result<()> {
        let mut socket = self.aim.client.socket().await?;
        self.aim.check_deflate(socket.head())?;
        match socket.next().await? {
            Some(Event::Hello(_)) => {}
            other => bail!("the first thing on /socket is hello, not {other:?}"),
        }
        let (mut hello, mut states) = (Hello::default(), Vec::new());
        for channel in self.aim.channels.clone() {
            let (after, last) = place(&channel, begin)?;
            let command = Command::Subscribe { channel: channel.clone(), after, last };
            let reply: Value = serde_json::from_slice(&socket.call(&command).await?)?;
            if let Some(state) = reply.get("presence") {
                states.push(Event::Presence(serde_json::from_value(state.clone())?));
            }
            let cursor = reply["cursor"].as_str().context("a subscribe reply has a cursor")?.to_owned();
            hello.channels.push(ChannelCursor { channel, cursor });
        }
        self.events.push_back(Event::Hello(hello));
        self.events.extend(states);
        self.socket = Some(socket);
        Ok(())
    }
}

fn place(channel: &str, begin: &Begin) -> Result<(Option<String>, Option<usize>)> {
    Ok(match begin {
        Begin::Now => (None, None),
        Begin::Start => (Some("start".into()), None),
        Begin::Last(count) => (None, Some(*count)),
        Begin::After(cursors) => {
            let known = cursors.iter().find(|(known, _)| known == channel);
            (known.map(|(_, cursor)| cursor.clone()), None)
        }
        Begin::Resume(text) => bail!("/socket has no token such as {text}: a cursor a channel is given"),
    })
}

impl Reader for Socket {
    fn open<'a>(&'a mut self, begin: &'a Begin) -> Later<'a, ()> {
        Box::pin(self.subscribe(begin))
    }

    fn next(&mut self) -> Later<'_, Option<Event>> {
        Box::pin(async move {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let Some(socket) = &mut self.socket else { bail!("the socket is not open") };
            Ok(socket.next().await?)
        })
    }

    fn close(&mut self) {
        self.socket = None;
        self.events.clear();
    }

    /// There is no token on `/socket`: the client keeps one cursor a channel.
    fn cursor(&self) -> Option<String> {
        None
    }
}
