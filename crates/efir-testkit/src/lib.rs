//! What holds efir to its promises: scenarios, readers of every transport, a history and its checker.
//!
//! Begin with [`matrix`], which makes one named test of each scenario, transport and carrier; `tests/it` runs them.
//! Everything here stands outside of the server: it sees what a client sees, and the hooks of a join.

pub mod access;
pub mod ask;
pub mod binary;
pub mod campaign;
pub mod carrier;
pub mod checker;
pub mod front;
pub mod harness;
pub mod history;
pub mod liar;
pub mod matrix;
pub mod node;
pub mod proxy;
pub mod raw;
pub mod readers;
pub mod room;
pub mod scenarios;
pub mod tls;
pub mod witness;
