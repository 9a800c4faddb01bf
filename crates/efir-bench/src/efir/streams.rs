//! One answer that does not end (SSE, lines of JSON), or a WebSocket at a channel. Each begins with `hello`.

use anyhow::{Result, bail};

use super::{Efir, Transport};
use crate::dialect::{Heard, Seat};
use crate::http;
use crate::websocket::{self, Event};

pub(super) fn open(dialect: &Efir, seat: &Seat, out: &mut Vec<u8>) {
    let path = dialect.path(seat, "");
    match dialect.transport {
        Transport::Sse => dialect.get(seat, &path, "Accept: text/event-stream\r\n", out),
        Transport::HttpStream => dialect.get(seat, &path, "Accept: application/x-ndjson\r\n", out),
        _ => dialect.upgrade(seat, &path, out),
    }
}

pub(super) fn receive(seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
    if seat.stage == 1 {
        return Ok(heard.search(bytes));
    }
    let Some(head) = http::whole_head(bytes)? else { return Ok(0) };
    let body = &bytes[head..];
    let says = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
    if says(b"hello") {
        seat.stage = 1;
        heard.is_joined = true;
        return Ok(head + heard.search(body));
    }
    // Temporary trouble is told in place of the greeting.
    if says(b"problem") && says(b"}\n") {
        bail!("the server refused: {}", String::from_utf8_lossy(body).trim());
    }
    Ok(0)
}

pub(super) fn receive_frames(seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
    websocket::receive(seat, bytes, heard, |_, event, heard| {
        if let Event::Frame(payload) = event {
            if payload.starts_with(b"{\"problem\"") {
                bail!("the server refused: {}", String::from_utf8_lossy(payload));
            }
            heard.is_joined = true;
            heard.search(payload);
        }
        Ok(())
    })
}
