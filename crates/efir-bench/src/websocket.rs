//! WebSocket frames (RFC 6455) as a client sees them: the upgrade, frames from the server, frames to it.
//!
//! No extension is offered. Pings are answered here.

use anyhow::{Result, bail};

use crate::dialect::{Heard, Seat};
use crate::http;

/// What comes on a WebSocket.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The server has agreed to the upgrade.
    Open,
    /// A text or binary frame of at most [`WHOLE_MAX`] bytes. Longer ones are only searched for marks.
    Frame(&'a [u8]),
}

/// Payloads up to this many bytes come in one piece.
pub const WHOLE_MAX: u64 = 4096;

/// The request that opens a WebSocket; `more` are further header lines, each with its line break.
#[must_use]
pub fn upgrade(host: &str, path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ZWZpciBpcyBhIGNsb2NrLg==\r\n{more}\r\n"
    )
}

/// Reads the answer to the upgrade, then frames.
///
/// # Errors
/// When the server refuses, closes, or sends what is no frame, and when `each` fails.
pub fn receive(
    seat: &mut Seat,
    bytes: &[u8],
    heard: &mut Heard,
    mut each: impl FnMut(&mut Seat, Event<'_>, &mut Heard) -> Result<()>,
) -> Result<usize> {
    let mut done = 0;
    if !seat.framing.is_past_head {
        let Some(len) = http::head_len(bytes)? else { return Ok(0) };
        if !bytes.starts_with(b"HTTP/1.1 101") {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
            let (status, body) = text.split_once("\r\n").unwrap_or((&text, ""));
            let body = body.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
            bail!("the server refused the WebSocket: {status} {body}");
        }
        seat.framing.is_past_head = true;
        each(seat, Event::Open, heard)?;
        done = len;
    }
    loop {
        let rest = &bytes[done..];
        if seat.framing.left > 0 {
            let step = http::searched(seat, rest, heard);
            if step == 0 {
                return Ok(done);
            }
            done += step;
            continue;
        }
        let Some((kind, head, len)) = frame_head(rest) else { return Ok(done) };
        let is_control = kind & 0x08 != 0;
        if len > WHOLE_MAX && !is_control {
            seat.framing.left = len;
            done += head;
            continue;
        }
        let Some(payload) = rest.get(head..head + len as usize) else { return Ok(done) };
        match kind & 0x0F {
            0..=2 => each(seat, Event::Frame(payload), heard)?,
            8 => bail!("the server closed the socket: {}", farewell(payload)),
            9 => write(0x8A, payload, &mut heard.reply),
            _ => {}
        }
        done += head + payload.len();
    }
}

/// First byte, length of the head, length of the payload; `None` while the head is cut. A server does not mask.
fn frame_head(bytes: &[u8]) -> Option<(u8, usize, u64)> {
    let first = *bytes.first()?;
    match bytes.get(1)? & 0x7F {
        126 => Some((first, 4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((first, 10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?))),
        short => Some((first, 2, u64::from(short))),
    }
}

/// Code and reason of a close frame.
fn farewell(payload: &[u8]) -> String {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else { return "without a reason".into() };
    format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason)).trim_end().to_owned()
}

/// Appends a text frame.
pub fn text(payload: &[u8], out: &mut Vec<u8>) {
    write(0x81, payload, out);
}

/// Appends a binary frame.
pub fn binary(payload: &[u8], out: &mut Vec<u8>) {
    write(0x82, payload, out);
}

/// A masked frame. The mask is four zeros, which leave the payload as it is.
fn write(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::channels::Channels;
    use crate::mark::{self, Mark};

    #[test]
    fn frames_are_read_however_they_are_cut_and_pings_answered() {
        let mut stream = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02{}".to_vec();
        for (number, len) in [(1, 20_usize), (2, 300), (3, 5000)] {
            let mut payload = mark::blank(len);
            mark::stamp(&mut payload, &Mark { lane: 0, number, due_us: 5 });
            match len {
                20 => stream.extend([0x81, 20]),
                _ => stream.extend([&[0x81, 126][..], &(len as u16).to_be_bytes()].concat()),
            }
            stream.extend(payload);
        }
        stream.extend(b"\x89\x02hi");
        for piece in (1..64).chain([1000, 5000, 10_000]) {
            let mut seat = Seat::new(Arc::new(Channels::new("c", 1, 1)), 0, (0, 1));
            let (mut heard, mut cut, mut whole) = (Heard::default(), Vec::new(), 0);
            for piece in stream.chunks(piece) {
                cut.extend_from_slice(piece);
                let done = receive(&mut seat, &cut, &mut heard, |_, event, heard| {
                    if let Event::Frame(payload) = event {
                        whole += 1;
                        heard.search(payload);
                    }
                    Ok(())
                });
                cut.drain(..done.unwrap());
            }
            let numbers: Vec<u64> = heard.found.iter().map(|mark| mark.number).collect();
            assert_eq!((numbers, whole), (vec![1, 2, 3], 3), "pieces of {piece}");
            assert_eq!(heard.reply, b"\x8A\x82\0\0\0\0hi");
        }
    }

    #[test]
    fn frames_have_their_lengths() {
        for (len, head) in [(5, &[0x81, 0x85][..]), (300, &[0x81, 0xFE, 1, 44])] {
            let mut out = Vec::new();
            text(&vec![b'x'; len], &mut out);
            assert!(out.starts_with(head));
            assert_eq!(out.len(), head.len() + 4 + len);
        }
    }
}
