//! WebSocket frames by hand (RFC 6455 §5.2), good and bad ones.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::Value;

use super::Raw;
use crate::ask::Ask;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message.
    Continuation = 0,
    /// A text message.
    Text = 1,
    /// A binary message.
    Binary = 2,
    /// The end.
    Close = 8,
    /// A question for life.
    Ping = 9,
    /// Its answer.
    Pong = 10,
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The whole first byte: FIN, reserved bits and opcode.
    pub first: u8,
    /// Unmasked, as servers send.
    pub payload: Bytes,
}

impl Frame {
    /// A message that is not cut into pieces.
    pub fn is(&self, opcode: Opcode) -> bool {
        self.first == 0x80 | opcode as u8
    }

    /// The close code and reason.
    pub fn close(&self) -> Option<(u16, String)> {
        if !self.is(Opcode::Close) {
            return None;
        }
        let code = u16::from_be_bytes(self.payload.get(..2)?.try_into().ok()?);
        Some((code, String::from_utf8_lossy(&self.payload[2..]).into_owned()))
    }
}

impl Raw {
    /// Connects and opens a WebSocket; fails if the answer is not 101 with the right accept key.
    pub async fn websocket(address: SocketAddr, target: &str) -> Result<Self> {
        let mut raw = Self::connect(address).await?;
        raw.upgrade(address, Ask::get(target)).await?;
        Ok(raw)
    }

    /// Turns the connection into a WebSocket.
    pub async fn upgrade(&mut self, address: SocketAddr, ask: Ask) -> Result<()> {
        self.write(&upgrade(ask).bytes(address)).await?;
        let answer = self.answer_to("GET").await?;
        ensure!(answer.status == 101, "no upgrade: {} {}", answer.status, answer.text());
        // The accept key of the key that RFC 6455 §1.3 gives as an example.
        let accept = answer.header("sec-websocket-accept");
        ensure!(accept == Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "accept key {accept:?}");
        Ok(())
    }

    /// Sends a whole masked frame.
    pub async fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<()> {
        self.write(&frame_bytes(0x80 | opcode as u8, payload)).await
    }

    /// The next frame from the server.
    pub async fn frame(&mut self) -> Result<Frame> {
        let start = self.exactly(2).await?;
        ensure!(start[1] & 0x80 == 0, "a server must not mask");
        let length = match start[1] {
            126 => u16::from_be_bytes(self.exactly(2).await?[..].try_into()?) as usize,
            127 => u64::from_be_bytes(self.exactly(8).await?[..].try_into()?) as usize,
            length => length as usize,
        };
        ensure!(length < 64 << 20, "a frame of {length} bytes");
        Ok(Frame { first: start[0], payload: self.exactly(length).await? })
    }

    /// The next text frame as JSON; pings are answered.
    pub async fn object(&mut self) -> Result<Value> {
        loop {
            let frame = self.frame().await?;
            if frame.is(Opcode::Ping) {
                self.send_frame(Opcode::Pong, &frame.payload).await?;
                continue;
            }
            ensure!(frame.is(Opcode::Text), "not a text frame: {frame:?}");
            return Ok(serde_json::from_slice(&frame.payload)?);
        }
    }

    /// The next object that is no heartbeat.
    pub async fn object_past_heartbeats(&mut self) -> Result<Value> {
        loop {
            let object = self.object().await?;
            if object.get("heartbeat").is_none() {
                return Ok(object);
            }
        }
    }

    /// Reads on to the close frame and returns its code and reason, with the objects before it.
    pub async fn closed(&mut self) -> Result<(u16, String, Vec<Value>)> {
        let mut objects = Vec::new();
        loop {
            let frame = self.frame().await?;
            if let Some((code, reason)) = frame.close() {
                return Ok((code, reason, objects));
            }
            if frame.is(Opcode::Text) {
                objects.push(serde_json::from_slice(&frame.payload)?);
            }
        }
    }
}

/// A request with the headers of an upgrade.
pub fn upgrade(ask: Ask) -> Ask {
    ask.with("Connection", "Upgrade")
        .with("Upgrade", "websocket")
        .with("Sec-WebSocket-Version", "13")
        .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// The bytes of a masked frame with any first byte.
pub fn frame_bytes(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
