//! AJAX polling: asks again and again, with the tag of what it has.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result};
use efir_client::{Event, Start, Transport};
use http::{HeaderValue, header::IF_NONE_MATCH};

use super::{Aim, Begin, Later, Reader};

/// The pause after an empty answer; a browser would obey `Retry-After`.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct ShortPoll {
    aim: Aim,
    start: Start,
    cursor: Option<String>,
    events: VecDeque<Event>,
    is_empty: bool,
}

impl ShortPoll {
    pub(super) fn new(aim: Aim) -> Self {
        Self { aim, start: Start::Default, cursor: None, events: VecDeque::new(), is_empty: false }
    }

    async fn poll(&mut self) -> Result<()> {
        let mut read = self.aim.read(Transport::ShortPoll).start(self.start.clone());
        if let (Some(cursor), Start::After(_)) = (&self.cursor, &self.start) {
            read = read.header(IF_NONE_MATCH, HeaderValue::from_str(&format!("\"{cursor}\""))?);
        }
        if let Some(limit) = self.aim.limit {
            read = read.limit(limit);
        }
        let mut answer = self.aim.client.open(&read).await?;
        self.is_empty = true;
        while let Some(event) = answer.next().await? {
            match &event {
                Event::BatchEnd(end) => {
                    if let Some(cursor) = &end.cursor {
                        self.cursor = Some(cursor.clone());
                        self.start = Start::After(cursor.clone());
                    }
                }
                _ => self.is_empty = false,
            }
            self.events.push_back(event);
        }
        Ok(())
    }
}

impl Reader for ShortPoll {
    fn open<'a>(&'a mut self, begin: &'a Begin) -> Later<'a, ()> {
        Box::pin(async move {
            self.close();
            self.start = self.aim.start(begin)?;
            if *begin == Begin::Now {
                // A short poll without a cursor reads what is kept; of that, only the cursor is wanted.
                self.poll().await?;
                self.events.retain(|event| matches!(event, Event::BatchEnd(_) | Event::Presence(_)));
                self.cursor.as_ref().context("no cursor")?;
            }
            Ok(())
        })
    }

    fn next(&mut self) -> Later<'_, Option<Event>> {
        Box::pin(async move {
            loop {
                if let Some(event) = self.events.pop_front() {
                    return Ok(Some(event));
                }
                if self.is_empty {
                    tokio::time::sleep(PAUSE).await;
                }
                self.poll().await?;
            }
        })
    }

    fn close(&mut self) {
        self.events.clear();
        self.is_empty = false;
    }

    fn cursor(&self) -> Option<String> {
        self.cursor.clone()
    }
}
