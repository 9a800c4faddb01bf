//! efir as a library: a [`Hub`] to publish with, and an [`axum`] router through which browsers and programs read.
//!
//! One URL, `/channels/{channel}`, speaks short polling, long polling, Server-Sent Events, HTTP streaming and WebSocket; `/subscribe`
//! reads several channels at once, `/socket` takes commands for many, `/info` tells limits and transports.
//!
//! ```no_run
//! use efir::{Hub, Limits, Times};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let hub = Hub::new(Limits::default(), Times::default());
//!     let app = axum::Router::new()
//!         .route("/", axum::routing::get(|| async { "the rest of your application" }))
//!         .merge(efir::router(hub.clone()));
//!
//!     // From anywhere in the program; every open reader of the channel has it at once.
//!     let receipt = hub.publish_json("news", r#"{"text":"Привет, мир"}"#).expect("a valid message");
//!     println!("stands at {}", receipt.position);
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     axum::serve(listener, app).await
//! }
//! ```
//!
//! Then `curl -N 'localhost:8080/channels/news?transport=sse'` reads it, and so does `new EventSource('/channels/news')` in a page.

mod router;

pub use efir_access::{Gate, GateParts};
pub use efir_core::{
    Action, CODES, ChannelName, ChannelNameError, Code, CodeRow, Cursor, Durability, Gap, GapReason, LIMITS,
    Limits, Message, Payload, PayloadError, Position, Problem, ReadMost, Receipt, Start, TIMES, Times,
};
pub use efir_engine::{Hub, Page, Publish, PublishError};
pub use efir_transports::{
    Access, Policy, Scheme, Site, SiteOptions as RouterOptions, TRANSPORTS, TransportRow,
};
pub use router::{router, router_of, router_with};
