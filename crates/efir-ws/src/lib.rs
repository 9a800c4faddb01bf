//! The WebSocket protocol as a pure codec: frames (RFC 6455) and permessage-deflate (RFC 7692), without sockets.
//!
//! Bytes come in, [`Event`]s go out; messages come in, whole frames go out that any number of connections can share.
//! It must not know channels, sockets, HTTP types or clocks. A connection at rest costs one small [`Decoder`].
//! Start with [`decoder`] for what arrives, [`frame`] for what leaves, [`handshake`] for the upgrade.
#![forbid(unsafe_code)]

pub mod decoder;
pub mod deflate;
mod error;
pub mod frame;
pub mod handshake;
mod head;
pub mod mask;
pub mod negotiation;
pub mod utf8;

pub use decoder::{Decoder, DecoderLimits, Event};
pub use deflate::Deflater;
pub use error::FrameError;
pub use frame::Opcode;
pub use negotiation::Agreement;

/// Which end of the connection we are. The other end's frames are masked exactly when we are the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives masked frames, sends unmasked ones.
    Server,
    /// Receives unmasked frames, sends masked ones.
    Client,
}
