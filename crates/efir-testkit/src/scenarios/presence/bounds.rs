//! Where presence says no: to whom, in which words, and that whoever is in a channel stays there.

use anyhow::{Result, ensure};

use super::path;
use crate::{
    ask::Ask,
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
