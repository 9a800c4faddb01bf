//! The same publishers and readers against a server elsewhere, whose network somebody else spoils: real loss of packets, partitions.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{Verdict, Way, scene::Scene, table};
use crate::carrier::Carrier;

/// After the network is good again everything must be there within this time.
const SETTLE_MAX: Duration = Duration::from_secs(90);
const PUBLISHERS: usize = 2;
/// Between two messages of one publisher.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs every way at once until `end`, then waits until every reader has everything. Calls `ready` when all have begun.
///
/// # Errors
/// When somebody cannot begin.
pub async fn against(
    server: SocketAddr,
    seed: u64,
    ready: impl FnOnce(),
    end: impl Future<Output = ()>,
) -> Result<Verdict> {
    let mut scenes = Vec::new();
    for (n, way) in ways().enumerate() {
        let mut scene = Scene::new(way, seed.wrapping_add(n as u64), &format!("{n} "));
        scene.read(server)?;
        scene.mark("first", server, SETTLE_MAX).await?;
        scenes.push(scene);
    }
    for scene in &mut scenes {
        scene.publish(server, PUBLISHERS, PAUSE)?;
    }
    ready();
    end.await;
    let mut settling = JoinSet::new();
    for mut scene in scenes {
        settling.spawn(async move {
            let settled = async {
                scene.stop_publishing(SETTLE_MAX).await?;
                scene.mark("last", server, SETTLE_MAX).await
            };
            let wrong = settled.await.err().map(|error| error.to_string());
            scene.finish(0, wrong.into_iter().collect()).await
        });
    }
    let mut rows = settling.join_all().await;
    rows.sort_by_key(|row| ways().position(|way| Some(way) == row.way));
    let together = table::sum(&rows);
    let text = format!(
        "Seed {seed}: {} messages by {} publishers to {} readers.\n\n{}\n\n{}",
        table::grouped(together.published),
        PUBLISHERS * rows.len(),
        Scene::READERS * rows.len(),
        table::markdown(&rows, &[]),
        table::pairs(&together.switches)
    );
    Ok(Verdict { text, wrong: together.wrong })
}

/// Every transport and switching, in cleartext: what TLS adds, packets do not know.
fn ways() -> impl Iterator<Item = Way> {
    Way::all().filter(|way| matches!(way.carrier, Carrier::H1 | Carrier::H2c))
}
