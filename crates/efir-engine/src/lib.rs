//! Channels, fan-out and the workers that own connections.
//!
//! [`Hub`] publishes and reads; a [`Reader`] knows what a response is owed; an [`Exchange`] (one per transport, in
//! `efir-transports`) says what goes out and when it ends; a [`worker`] or a [`polled`] body carries it. Nothing here knows HTTP.

// Its unit tests are run once, with the locks of every day: built for shuttle as a test there is nothing.
#![cfg(not(all(shuttle, test)))]

pub mod broker;
mod channel;
pub mod clock;
pub mod contained;
pub mod counters;
pub mod exchange;
pub mod guest;
pub mod holders;
mod hub;
#[cfg(any(test, shuttle))]
mod lines;
mod memory;
pub mod outbox;
mod over;
mod overload;
pub mod polled;
mod presence;
mod reader;
mod retention;
#[cfg(shuttle)]
pub mod schedules;
mod seam;
mod shortage;
pub mod socket;
mod sync;
pub mod tally;
pub mod worker;

pub use broker::{PublishError, Stock};
pub use contained::{contained, contained_future, internal_problem};
pub use counters::{Counters, Counts, Transport};
pub use exchange::{Exchange, Response, Turn};
pub use guest::{Account, Guest, Holder, Network};
pub use holders::Holders;
pub use hub::{Hub, Page, Publish};
pub use outbox::{Framing, Outbox};
pub use over::over;
pub use presence::{EnterError, Lease, Via};
pub use reader::{Reader, Taken};
pub use retention::{OwnRetention, RetentionRules};
pub use seam::Seam;
pub use shortage::Shortage;
pub use socket::{HandshakeError, Socket, TlsSocket};
pub use tally::{Tally, Traffic};
