//! Compressed messages by hand (RFC 7692 §7.2): what a client with permessage-deflate sends, and what it reads.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::Value;

use super::{Frame, Opcode, Raw, upgrade};
use crate::ask::Ask;

/// The first byte of a whole compressed text frame: FIN, RSV1, opcode 1.
pub const TEXT_COMPRESSED: u8 = 0xc1;
/// What senders cut off the end of each message (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A payload, compressed as one message.
pub fn deflated(payload: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 8 + 64);
    Compress::new(Compression::best(), false).compress_vec(payload, &mut out, FlushCompress::Sync)?;
    ensure!(out.ends_with(&TAIL), "no flush at the end of {} bytes", out.len());
    out.truncate(out.len() - TAIL.len());
    Ok(out)
}

/// What a compressed message says, if it has at most a MiB.
pub fn inflated(payload: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1 << 20);
    let input = [payload, &TAIL].concat();
    let mut context = Decompress::new(false);
    context.decompress_vec(&input, &mut out, FlushDecompress::Sync)?;
    ensure!(context.total_in() as usize == input.len(), "the message does not end where the frame does");
    Ok(out)
}

impl Frame {
    /// Whether it is a whole compressed text.
    pub fn is_compressed(&self) -> bool {
        self.first == TEXT_COMPRESSED
    }

    /// The object in it, compressed or not.
    pub fn object(&self) -> Result<Value> {
        if self.is_compressed() {
            return Ok(serde_json::from_slice(&inflated(&self.payload)?)?);
        }
        ensure!(self.is(Opcode::Text), "not a text frame: {self:?}");
        Ok(serde_json::from_slice(&self.payload)?)
    }
}

impl Raw {
    /// Opens a WebSocket with an offer, and gives the answer to it.
    pub async fn websocket_with(
        address: SocketAddr,
        target: &str,
        offer: &str,
    ) -> Result<(Self, Option<String>)> {
        let mut raw = Self::connect(address).await?;
        let ask = upgrade(Ask::get(target)).with("Sec-WebSocket-Extensions", offer);
        raw.write(&ask.bytes(address)).await?;
        let answer = raw.answer_to("GET").await?;
        ensure!(answer.status == 101, "no upgrade: {} {}", answer.status, answer.text());
        let agreed = answer.header("sec-websocket-extensions").map(str::to_owned);
        Ok((raw, agreed))
    }

    /// The next frame with a message of a channel; what is none goes by, and must not be compressed.
    pub async fn message_frame(&mut self) -> Result<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.is(Opcode::Ping) {
                self.send_frame(Opcode::Pong, &frame.payload).await?;
                continue;
            }
            let object = frame.object().with_context(|| format!("{frame:?}"))?;
            if object.get("position").is_some() {
                return Ok(frame);
            }
            ensure!(!frame.is_compressed(), "a control object is compressed: {object}");
        }
    }
}
