//! A lean load tool: one thread that reads thousands of sockets, one that publishes, and what /proc says of the server.
//!
//! It knows the wire (docs/protocol.md) and nothing of the server's code. Messages carry a mark with their number and
//! the time at which they were due (`mark.rs`); each connection checks that the numbers come one by one (`sequence.rs`).

pub mod connection;
pub mod histogram;
pub mod http;
pub mod machine;
pub mod mark;
pub mod process;
pub mod publisher;
pub mod sequence;
pub mod subscribers;
pub mod system;
