//! Where presence says no: to whom, in which words, and that whoever is in a channel stays there.

use anyhow::{Result, ensure};
use efir_client::Who;

use super::{Watcher, open, path, row_of};
use crate::{
    ask::Ask,
    readers::Kind,
    room::{Cell, Room, same},
};

/// Whoever polls is in its channel by one lease, also while the node has no room for another.
pub(super) async fn a_full_node_keeps_who_is_in(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.presence_leases_max = 1).await?;
    let put = Ask::new("PUT", path(&room, "?member=a&client=t&transport=long-poll"));
    same("the only place", room.ask(put).await?.status, 200)?;
    for _ in 0..3 {
        let answer = room.ask(Ask::get(room.path("?wait=0.05&member=a&client=t"))).await?;
        same("a poll of who is in", answer.status, 200)?;
        for other in ["?member=b", "?member=b&wait=0.05", "?member=a&client=other"] {
            let problem = room.ask(Ask::get(room.path(other))).await?.problem("presence_full")?;
            same("the limit", problem["limit"]["name"].as_str(), Some("presence_leases_max"))?;
            ensure!(problem["retry_after_ms"].is_u64(), "{problem}");
        }
    }
    same("who is in", room.client()?.presence(&room.channel).await?.count, 1)?;
    room.close().await
}

/// Anybody may end a member's leases, also those of a socket; `enter` on the same socket brings the member back.
pub(super) async fn a_socket_enters_again(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let mut watcher = Watcher::open(&room, row_of(Kind::HttpStream)?).await?;
    let mut socket = room.client()?.socket().await?;
    let anna = Who::new("a").name("Аня");
    for _ in 0..2 {
        same("in", socket.enter(&room.channel, &anna).await?.count, 1)?;
        watcher.has(&["a"]).await?;
        let gone = room.ask(Ask::new("DELETE", path(&room, "?member=a"))).await?.json()?;
        same("put out", gone["count"].as_u64(), Some(0))?;
        watcher.has(&[]).await?;
    }
    same("in again", socket.enter(&room.channel, &Who::new("a")).await?.count, 1)?;
    same("as another", socket.enter(&room.channel, &Who::new("b")).await?.count, 1)?;
    watcher.has(&["b"]).await?;
    same("left", socket.leave(&room.channel).await?.count, 0)?;
    watcher.has(&[]).await?;
    room.close().await
}
