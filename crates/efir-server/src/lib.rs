//! The efir server: one thread a core, each with its own listening socket, its own event loop and its own connections.
//!
//! [`Server::start`] takes a resolved [`config`] and gives a running server; the binary adds the [`cli`]. Plain HTTP requests
//! are answered in `plain`, all others go through `heads`; long-lived responses are carried by the engine's workers, transports are in `efir-transports`, the page in `page`,
//! the transport lab in `lab`.

mod access;
mod addresses;
mod admin;
mod admission;
mod body;
pub mod cli;
mod clocks;
pub mod config;
mod doors;
mod entrance;
mod files;
mod forwarded;
mod frames;
mod guard;
mod handover;
mod heads;
mod lab;
mod ledger;
mod listen;
mod log;
mod meter;
mod notify;
mod outgoing;
mod page;
mod parting;
mod plain;
mod proxied;
mod reload;
mod resident;
mod server;
mod streams;
mod tls;
mod traffic;

pub use admin::{AdminKey, AdminOptions};
pub use log::Format as LogFormat;
pub use plain::parse as plain_requests;
pub use resident::count_allocated_by;
pub use server::{Running, Server};
