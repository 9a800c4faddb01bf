//! axum with a tokio broadcast channel for each channel, all at their defaults: `axum-baseline PORT`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get};
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// More than a burst of the load tool, so that nobody lags behind and loses.
const KEPT: usize = 1024;

#[derive(Clone, Default)]
struct Channels(Arc<Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>>);

impl Channels {
    fn channel(&self, name: &str) -> broadcast::Sender<Utf8Bytes> {
        let mut channels = self.0.lock().expect("nobody panics with the lock");
        if let Some(sender) = channels.get(name) {
            return sender.clone();
        }
        channels.entry(name.to_owned()).or_insert_with(|| broadcast::channel(KEPT).0).clone()
    }
}

/// A member of one channel: what it sends goes to all of them.
async fn member(
    upgrade: WebSocketUpgrade,
    Path(name): Path<String>,
    State(all): State<Channels>,
) -> Response {
    let sender = all.channel(&name);
    let mut messages = sender.subscribe();
    upgrade.on_upgrade(move |socket| async move {
        let (mut write, mut read) = socket.split();
        loop {
            tokio::select! {
                message = messages.recv() => {
                    let Ok(message) = message else { break };
                    if write.send(Message::Text(message)).await.is_err() { break }
                }
                message = read.next() => match message {
                    Some(Ok(Message::Text(message))) => { let _ = sender.send(message); }
                    Some(Ok(_)) => {}
                    _ => break,
                },
            }
        }
    })
}

async fn stream(
    Path(name): Path<String>,
    State(all): State<Channels>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let messages = BroadcastStream::new(all.channel(&name).subscribe());
    Sse::new(messages.filter_map(|message| async { Some(Ok(Event::default().data(message.ok()?.as_str()))) }))
}

/// A publisher for many channels: `CHANNEL`, a space, the message.
async fn publisher(upgrade: WebSocketUpgrade, State(all): State<Channels>) -> Response {
    upgrade.on_upgrade(move |mut socket: WebSocket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            let Message::Text(text) = message else { continue };
            if let Some((name, message)) = text.split_once(' ') {
                let _ = all.channel(name).send(message.into());
            }
        }
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("axum-baseline PORT");
    let routes = Router::new()
        .route("/channels/{name}", any(member))
        .route("/streams/{name}", get(stream))
        .route("/publish", any(publisher))
        .with_state(Channels::default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, routes).await
}
