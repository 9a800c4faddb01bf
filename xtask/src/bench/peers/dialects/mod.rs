//! How the peers are spoken to: one file a protocol, each as lean as the tool's own for efir.
//!
//! Their servers are in `benches/peers/`; which of them speaks what is said in `../servers.rs`.

pub(super) mod commands;
pub(super) mod engine_io;
pub(super) mod frames;
pub(super) mod nats;
pub(super) mod nchan;
pub(super) mod raw;
pub(super) mod streams;

#[cfg(test)]
mod tests;
