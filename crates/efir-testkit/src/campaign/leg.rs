//! One leg of the campaign: a server of its own, a bad network before it, until so many faults have taken effect over so many
//! messages; then a good network, everything is waited for, and the checker has the word.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;

use super::{Way, scene::Scene, served::Served, table::Row};
use crate::{
    carrier::Carrier,
    history::Event,
    proxy::{Proxy, Severity},
};

/// A leg that does not reach its faults ends all the same, and says so.
const LEG_MAX: Duration = Duration::from_secs(400);
/// After the last fault everything must be there within this time, far more than any wait of a client's.
const SETTLE_MAX: Duration = Duration::from_secs(60);
const PUBLISHERS: usize = 8;
/// What a message takes on all connections together, with its receipt: a connection ends after so many bytes that faults and
/// messages come in the wanted numbers.
const MESSAGE_BYTES: u64 = 900;
/// Ends are drawn on a logarithmic scale, which makes the mean so many times smaller than the greatest.
const MEAN_TO_MOST: u64 = 11;

/// What one leg has to reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    pub(super) seed: u64,
    pub(super) faults: u64,
    pub(super) messages: u64,
    pub(super) kills: u64,
}

/// Runs it.
pub(super) async fn run(way: Way, goal: Goal) -> Result<Row> {
    let bytes_a_fault = goal.messages.max(1) * MESSAGE_BYTES / goal.faults.max(1);
    let severity = Severity {
        bytes_max: (bytes_a_fault * MEAN_TO_MOST).clamp(3_000, 2_000_000),
        can_repeat: way.carrier == Carrier::H1,
    };
    let mut server = Served::start(way.carrier).await?;
    let proxy = Proxy::before(server.address(), goal.seed, severity).await?;
    let mut scene = Scene::new(way, goal.seed, "");
    let mut random = Rng::with_seed(goal.seed ^ 1);
    let mut wrong = Vec::new();
    scene.read(proxy.address())?;
    scene.mark("first", proxy.address(), SETTLE_MAX).await?;
    let mut kills = 0;
    let suffered = suffer(&mut scene, &proxy, (&mut server, &mut random, &mut kills), goal).await;
    wrong.extend(suffered.err().map(|error| error.to_string()));
    proxy.calm();
    let settled = async {
        scene.stop_publishing(SETTLE_MAX).await?;
        scene.mark("last", proxy.address(), SETTLE_MAX).await
    };
    wrong.extend(settled.await.err().map(|error| error.to_string()));
    let row = scene.finish(kills, wrong).await;
    Ok(Row { faults: proxy.counts(), connections: proxy.connections(), kills, ..row })
}

/// The server, when it is killed, and how often it was.
type Victim<'a> = (&'a mut Served, &'a mut Rng, &'a mut u64);

async fn suffer(scene: &mut Scene, proxy: &Proxy, victim: Victim<'_>, goal: Goal) -> Result<()> {
    let (server, random, kills) = victim;
    proxy.spoil();
    scene.publish(proxy.address(), PUBLISHERS, Duration::ZERO)?;
    let parts = goal.kills + 1;
    for part in 1..=parts {
        let faults = goal.faults.saturating_sub(goal.kills) * part / parts;
        let messages = goal.messages * part / parts;
        let is_done = || {
            let acknowledged = scene.ledger.acknowledged();
            if acknowledged >= messages + messages / 4 {
                scene.ledger.slow_down();
            }
            proxy.faults() >= faults && acknowledged >= messages
        };
        scene.until("enough faults and messages", LEG_MAX, is_done).await?;
        if part < parts {
            kill(scene, server, random).await?;
            *kills += 1;
        }
    }
    Ok(())
}

/// Every cursor is in the present epoch; then the server dies in the middle of everything and comes back with an empty memory.
async fn kill(scene: &Scene, server: &mut Served, random: &mut Rng) -> Result<()> {
    scene.until("every cursor is of this life of the server", SETTLE_MAX, || scene.are_here()).await?;
    server.kill().await?;
    scene.ledger.history.record("server", Event::Lost);
    tokio::time::sleep(Duration::from_millis(random.u64(0..200))).await;
    server.start_again().await
}
