//! A stream of one channel over the polled carrier, read as a client does: line by line.

use std::task::{Context, Poll, Waker};

use efir_core::{ChannelName, GapReason, Position, Start};

use super::model::Answer;
use crate::{hub::Hub, lines::Lines, polled::Polled, reader::Reader};

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
