//! A lean load tool: one thread that reads thousands of sockets, one that publishes, and what /proc says of the server.
//!
//! It knows the wire (docs/protocol.md) and nothing of the server's code. Messages carry a mark with their number and
//! the time at which they were due (`mark.rs`); each connection checks that the numbers come one by one (`sequence.rs`).

pub(crate) mod connection;
pub(crate) mod histogram;
pub(crate) mod machine;
pub(crate) mod mark;
pub(crate) mod process;
pub(crate) mod publisher;
pub(crate) mod sequence;
pub(crate) mod subscribers;
pub(crate) mod system;
