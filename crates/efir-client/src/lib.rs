//! A lean client of efir in Rust: publishes, and reads channels over any transport.
//!
//! Two levels. [`Client::open`] is one connection or response exactly as the wire gives it ([`Subscription`] of
//! [`Event`]s). [`Client::follow`] stands above it and reconnects for ever, resumes after its cursor and drops what it
//! has ([`Follow`]). The server is known by its URL and by docs/protocol.md only. Next: `client`, then `transports`.

mod backoff;
mod batch;
mod body;
mod client;
mod connection;
mod cursors;
mod encryption;
mod error;
mod event;
mod follow;
mod following;
mod interim;
mod presence;
mod read;
mod socket;
mod subscription;
mod target;
mod transports;
mod wire;

pub use client::{Answer, Client, ClientOptions, HttpVersion, Payload};
pub use error::ClientError;
pub use event::{BatchEnd, Closed, Data, Event, MessageView, Reply};
pub use follow::Follow;
pub use following::{FollowEvent, FollowOptions, Following};
pub use presence::{Attendance, Member, MemberChange, Members, PresenceState, Who};
pub use read::{Read, Start};
pub use socket::{Command, Socket};
pub use subscription::{Head, Subscription};
pub use target::encode_channel;
pub use transports::http_stream::LineSplitter;
pub use transports::sse::{SseItem, SseParser};
pub use transports::{Transport, UnknownTransport};
pub use wire::{Ack, Authorized, ChannelCursor, Gap, Heartbeat, Hello, LimitPassed, Problem, Receipt};

/// The largest object, line, event or WebSocket message that is accepted, in bytes: a message of 16 MiB as base64.
pub const OBJECT_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The largest body of an answer that is read as a whole, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
