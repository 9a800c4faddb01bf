//! `/socket`: a WebSocket on which channels are subscribed by commands.

use std::fmt::Write;

use anyhow::{Result, bail};

use super::Efir;
use crate::dialect::{Heard, Seat};
use crate::websocket::{self, Event};

pub(super) fn open(dialect: &Efir, seat: &Seat, out: &mut Vec<u8>) {
    dialect.upgrade(seat, &format!("{}/socket", dialect.base), out);
}

pub(super) fn receive(seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
    websocket::receive(seat, bytes, heard, |seat, event, heard| {
        match event {
            Event::Open => subscribe(seat, heard),
            Event::Frame(payload) if seat.owed > 0 && payload.starts_with(b"{\"id\":") => {
                refuse_problem(payload)?;
                seat.owed -= 1;
                heard.is_joined = seat.owed == 0;
            }
            Event::Frame(payload) => {
                if payload.starts_with(b"{\"problem\"") {
                    bail!("the server refused: {}", String::from_utf8_lossy(payload));
                }
                heard.search(payload);
            }
        }
        Ok(())
    })
}

/// A command a channel, all at once.
fn subscribe(seat: &mut Seat, heard: &mut Heard) {
    let mut command = String::new();
    let after = seat.cursor.as_deref().map(|cursor| format!(r#","after":"{cursor}""#)).unwrap_or_default();
    for (n, channel) in seat.channels().enumerate() {
        command.clear();
        // Writing to a string cannot fail.
        let _ = write!(command, r#"{{"id":{n},"subscribe":{{"channel":"{channel}"{after}}}}}"#);
        websocket::text(command.as_bytes(), &mut heard.reply);
    }
    seat.owed = seat.channels_len();
}

/// # Errors
/// When a reply is a refusal.
pub(super) fn refuse_problem(payload: &[u8]) -> Result<()> {
    let beginning = &payload[..payload.len().min(64)];
    if beginning.windows(10).any(|window| window == b"\"problem\":") {
        bail!("the server refused: {}", String::from_utf8_lossy(payload));
    }
    Ok(())
}
