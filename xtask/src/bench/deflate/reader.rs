//! A WebSocket that offers permessage-deflate or not, for the load tool. Inflating for a thousand connections would be the tool's
//! limit and not the server's, so a frame that is byte for byte one of the last is not inflated again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use efir_bench::mark::{self, Mark};
use efir_bench::{Heard, Seat, Subscribe, websocket};
use flate2::{Decompress, FlushDecompress};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
/// Frames that are remembered: more than are on their way at once.
const KNOWN_MAX: usize = 64;
const OBJECT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Reader {
    host: String,
    is_offering: bool,
    known: Mutex<VecDeque<(Vec<u8>, Mark)>>,
}

impl Reader {
    pub(super) fn new(host: &str, is_offering: bool) -> Self {
        Self { host: host.to_owned(), is_offering, known: Mutex::default() }
    }

    /// The mark of a compressed message.
    fn inflate(&self, payload: &[u8]) -> Result<Mark> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, mark)) = known.iter().rev().find(|(frame, _)| frame == payload) {
            return Ok(*mark);
        }
        let mut text = Vec::with_capacity(OBJECT_BYTES_MAX);
        let input = [payload, &[0, 0, 0xff, 0xff]].concat();
        Decompress::new(false).decompress_vec(&input, &mut text, FlushDecompress::Sync)?;
        let mut found = Vec::new();
        mark::search(&text, &mut found);
        let [mark] = found.as_slice() else { bail!("{} marks in one message", found.len()) };
        if known.len() == KNOWN_MAX {
            known.pop_front();
        }
        known.push_back((payload.to_vec(), *mark));
        Ok(*mark)
    }
}

impl Subscribe for Reader {
    fn name(&self) -> &str {
        if self.is_offering { "websocket, offering permessage-deflate" } else { "websocket" }
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        let more = if self.is_offering { OFFER } else { "" };
        let path = format!("/channels/{}", seat.channel());
        out.extend_from_slice(websocket::upgrade(&self.host, &path, more).as_bytes());
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        let mut done = 0;
        if seat.stage == 0 {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(0) };
            let head = end + 4;
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            ensure!(text.starts_with("http/1.1 101"), "the server refused: {text}");
            let has_agreed = text.contains("sec-websocket-extensions: permessage-deflate");
            ensure!(has_agreed == self.is_offering, "the server did not do as it was offered: {text}");
            seat.stage = 1;
            done = head;
        }
        while let Some((first, head, len)) = frame_head(&bytes[done..]) {
            let Some(payload) = bytes.get(done + head..done + head + len) else { break };
            match first {
                0xc1 => heard.found.push(self.inflate(payload)?),
                0x81 => drop(heard.search(payload)),
                0x89 => pong(payload, &mut heard.reply),
                _ => bail!("the server closed or sent a frame that begins with {first:#x}"),
            }
            // The first frame is the greeting.
            heard.is_joined = true;
            done += head + len;
        }
        Ok(done)
    }
}

/// First byte, length of the head, length of the payload.
fn frame_head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let first = *bytes.first()?;
    match bytes.get(1)? & 0x7f {
        126 => Some((first, 4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((first, 10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize)),
        short => Some((first, 2, usize::from(short))),
    }
}

/// Masked with zeros, which leave it as it is.
fn pong(payload: &[u8], out: &mut Vec<u8>) {
    out.extend([0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
}
