//! A stream of one channel over the polled carrier, read as a client does: line by line.

use std::{
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::BytesMut;
use efir_core::{ChannelName, GapReason, Position, Start, wire::Form};

use super::model::Answer;
use crate::{
    exchange::{Exchange, Turn},
    hub::Hub,
    outbox::Outbox,
    polled::Polled,
    reader::Reader,
};

/// Everything after the cursor, as lines.
struct Lines;

impl Exchange for Lines {
    fn form(&self) -> Form {
        Form::HttpStream
    }
    fn open(&mut self, _: Instant, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        reader.pull(Form::HttpStream, out);
        Turn::Wait
    }
    fn receive(&mut self, _: &mut BytesMut, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn due(&self) -> Option<Instant> {
        None
    }
    fn tick(&mut self, _: Instant, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn drain(&mut self, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Close
    }
}

pub(super) struct Stream {
    polled: Polled,
    cursor: Option<Position>,
}

impl Stream {
    pub(super) fn open(hub: &Hub, channel: &ChannelName, start: Start) -> Self {
        let mut reader = Reader::new(hub.clone());
        let cursor = reader.join(channel.clone(), start).position();
        Self { polled: Polled::new(Box::new(Lines), reader), cursor }
    }

    /// All that has come.
    pub(super) fn poll(&mut self) -> Answer {
        let mut out = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(piece) = self.polled.poll_piece(&mut cx) {
            out.extend_from_slice(&piece.expect("a stream has no end"));
        }
        let text = String::from_utf8(out).unwrap();
        let (mut gap, mut offsets) = (None, Vec::new());
        for line in text.lines() {
            let field = |name: &str| {
                let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
                rest.split('"').next()
            };
            let position = |name: &str| field(name).and_then(Position::parse).unwrap();
            if line.starts_with("{\"gap\"") {
                assert!(gap.is_none() && offsets.is_empty(), "a gap comes first: {text}");
                let reason =
                    GapReason::ALL.into_iter().find(|reason| Some(reason.as_str()) == field("reason"));
                let resume_from = position("resume_from");
                (gap, self.cursor) = (Some((reason, resume_from.offset)), Some(resume_from));
            } else {
                let at = position("position");
                offsets.push(at.offset);
                self.cursor = Some(at);
            }
        }
        Answer { gap, offsets, cursor: self.cursor.unwrap() }
    }
}
