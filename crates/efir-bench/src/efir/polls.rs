//! Polls. A subscriber without a cursor begins with a short poll, which gives it one: from then on it misses nothing.

use anyhow::{Context, Result};

use super::{Efir, HOLD_S, Transport};
use crate::dialect::{Heard, Seat};
use crate::http::{self, Event};

pub(super) fn open(dialect: &Efir, seat: &mut Seat, out: &mut Vec<u8>) {
    if seat.cursor.is_some() {
        seat.stage = 1;
        request(dialect, seat, out);
    } else {
        // It wants the cursor only, not what is kept.
        dialect.get(seat, &dialect.path(seat, "limit=1"), "", out);
    }
}

fn request(dialect: &Efir, seat: &Seat, out: &mut Vec<u8>) {
    match dialect.transport {
        Transport::LongPoll => dialect.get(seat, &dialect.path(seat, &format!("wait={HOLD_S}")), "", out),
        _ => dialect.get(seat, &dialect.path(seat, "limit=1000"), "", out),
    }
}

/// Asks on from the cursor.
pub(super) fn ask(dialect: &Efir, seat: &Seat, heard: &mut Heard) {
    request(dialect, seat, &mut heard.reply);
    heard.requests += 1;
}

pub(super) fn receive(dialect: &Efir, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
    http::answers(seat, bytes, heard, |seat, event, heard| {
        match event {
            Event::Head(head) => {
                let cursor =
                    http::header(head, "efir-cursor").context("a poll was answered without a cursor")?;
                if seat.cursor.as_deref() != Some(cursor) {
                    seat.cursor = Some(cursor.into());
                }
                heard.is_joined = true;
            }
            Event::End if seat.stage == 0 => {
                // What the first answer brought was there before.
                seat.stage = 1;
                heard.found.clear();
                ask(dialect, seat, heard);
            }
            Event::End if dialect.transport == Transport::LongPoll => ask(dialect, seat, heard),
            Event::End => heard.wake = Some(dialect.poll_interval),
        }
        Ok(())
    })
}
