//! Long polling: a request always hangs, in a task of its own, so that whoever waits for it may stop waiting.

use std::collections::VecDeque;

use anyhow::Result;
use efir_client::{ClientError, Event, Start, Transport};
use tokio::task::JoinHandle;

use super::{Aim, Begin, Later, Reader, WAIT};

pub(super) struct LongPoll {
    aim: Aim,
    start: Start,
    cursor: Option<String>,
    events: VecDeque<Event>,
    pending: Option<JoinHandle<Result<Vec<Event>, ClientError>>>,
}

impl LongPoll {
    pub(super) fn new(aim: Aim) -> Self {
        Self { aim, start: Start::Default, cursor: None, events: VecDeque::new(), pending: None }
    }

    fn poll(&self) -> JoinHandle<Result<Vec<Event>, ClientError>> {
        let mut read = self.aim.read(Transport::LongPoll).start(self.start.clone()).wait(WAIT);
        if let Some(limit) = self.aim.limit {
            read = read.limit(limit);
        }
        let client = self.aim.client.clone();
        tokio::spawn(async move {
            let mut answer = client.open(&read).await?;
            let mut events = Vec::new();
            while let Some(event) = answer.next().await? {
                events.push(event);
            }
            Ok(events)
        })
    }

    fn take(&mut self, events: Vec<Event>) {
        if let Some(Event::BatchEnd(end)) = events.last()
            && let Some(cursor) = &end.cursor
        {
            self.cursor = Some(cursor.clone());
            self.start = Start::After(cursor.clone());
        }
        self.events.extend(events);
    }
}

impl Reader for LongPoll {
    fn open<'a>(&'a mut self, begin: &'a Begin) -> Later<'a, ()> {
        Box::pin(async move {
            self.close();
            self.start = self.aim.start(begin)?;
            let Some(joins) = self.aim.joins.clone().filter(|_| *begin == Begin::Now) else { return Ok(()) };
            let before: Vec<u64> = self.aim.channels.iter().map(|channel| joins.count(channel)).collect();
            let mut pending = self.poll();
            for (channel, before) in self.aim.channels.iter().zip(before) {
                tokio::select! {
                    joined = joins.wait(channel, before + 1) => joined?,
                    // Refused, or there was something at once.
                    ended = &mut pending => {
                        let events = ended??;
                        self.take(events);
                        return Ok(());
                    }
                }
            }
            self.pending = Some(pending);
            Ok(())
        })
    }

    fn next(&mut self) -> Later<'_, Option<Event>> {
        Box::pin(async move {
            loop {
                if let Some(event) = self.events.pop_front() {
                    return Ok(Some(event));
                }
                let pending = match &mut self.pending {
                    Some(pending) => pending,
                    None => self.pending.insert(self.poll()),
                };
                let ended = pending.await;
                self.pending = None;
                let events = ended??;
                self.take(events);
            }
        })
    }

    fn close(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.abort();
        }
        self.events.clear();
    }

    fn cursor(&self) -> Option<String> {
        self.cursor.clone()
    }
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        self.close();
    }
}
