//! A lean load tool: few threads that read thousands of sockets, one that publishes, and what /proc says of the server.
//!
//! It knows the wire (docs/protocol.md) and nothing of the server's code. How a server is spoken to stands behind two
//! traits (`dialect.rs`); efir's own transports are in `efir/`, other servers can be plugged in beside them. Messages
//! carry a mark with their lane, number and planned time (`mark.rs`), from which each connection sees what is missing,
//! double, out of order or late (`sequence.rs`). `run.rs` puts it together; `figures.rs` is what a run shows.

pub mod channels;
pub mod connection;
pub mod dialect;
pub mod efir;
pub mod encryption;
pub mod figures;
pub mod histogram;
pub mod http;
mod line;
pub mod load;
pub mod machine;
pub mod mark;
mod outgoing;
pub mod process;
pub mod publisher;
mod readers;
pub mod run;
pub mod sequence;
pub mod subscribers;
pub mod system;
pub mod websocket;

pub use dialect::{Heard, Message, Publish, Seat, Subscribe};
pub use efir::{Efir, Transport};
pub use encryption::{Destination, Encryption, Trust};
pub use figures::Figures;
pub use load::{Load, Pace, Target};
pub use run::{Progress, Stage, run};
