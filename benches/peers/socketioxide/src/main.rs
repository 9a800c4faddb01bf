//! socketioxide in axum: channels are its rooms, and a client names its room when it connects. `socketioxide-server PORT`.

use axum::Router;
use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};

#[derive(Deserialize)]
struct Place {
    channel: String,
}

/// The channel in the query of the request that opened the connection.
fn channel(socket: &SocketRef) -> Option<String> {
    let query = socket.req_parts().uri.query()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == "channel").map(|(_, value)| value.to_owned())
}

async fn connected(io: SocketIo, socket: SocketRef) {
    if let Some(channel) = channel(&socket) {
        let place = Place { channel };
        socket.join(place.channel.clone());
        let io = io.clone();
        // A member of one channel: what it sends goes to all of them.
        socket.on("send", move |Data::<String>(message)| async move {
            let _ = io.to(place.channel.clone()).emit("message", &message).await;
        });
    }
    // A publisher for many channels.
    socket.on("publish", move |Data::<(String, String)>((channel, message))| async move {
        let _ = io.to(channel).emit("message", &message).await;
    });
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port: u16 =
        std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("socketioxide-server PORT");
    // The default drops what is beyond 128 packets for a client; a comparison needs every message.
    let (layer, io) = SocketIo::builder().max_buffer_size(65_536).build_layer();
    io.ns("/", connected);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, Router::new().layer(layer)).await
}
