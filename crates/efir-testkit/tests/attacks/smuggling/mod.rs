//! Request smuggling: every attack of the corpus against efir's own parser and the HTTP library, directly and behind real proxies.
//!
//! Behind each attack stands a request of its own, which must get its own answer or none; and a request that hides in a body must
//! never be carried out. What a proxy makes of an attack is its business, as long as it and efir agree.

mod corpus;
mod judge;

use std::{collections::HashSet, net::SocketAddr, pin::Pin, time::Duration};

use anyhow::{Context, Result, ensure};
use efir_testkit::{
    carrier::Carrier,
    front::{Front, Program},
    node::{Node, Settings},
};
use tokio::task::JoinSet;

use self::{
    corpus::{Attack, attacks},
    judge::{Way, ask, is_in_step, is_owed, send},
};

/// Attacks that are under way at once.
const AT_ONCE: usize = 24;
/// How long one that waits for more is waited for: efir itself never needs it.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same behind a proxy, which may wait for more as long as it likes.
const PROXY_PATIENCE: Duration = Duration::from_millis(1500);
/// The corpus has at least so many.
const ATTACKS_MIN: usize = 150;

/// What is tried with one attack; `Err` says what is wrong.
type Trying = fn(SocketAddr, SocketAddr, Attack, usize) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Both parsers, directly.
pub(crate) async fn direct() -> Result<()> {
    let all = attacks();
    let names: HashSet<&str> = all.iter().map(|attack| attack.name.as_str()).collect();
    ensure!(
        names.len() == all.len() && all.len() >= ATTACKS_MIN,
        "{} attacks, {} names",
        all.len(),
        names.len()
    );
    let node = Node::start(Carrier::H1, Settings::short()).await?;
    let address = node.address();
    run(&all, (address, address), |_, server, attack, number| {
        Box::pin(async move {
            for (place, way) in Way::ALL.into_iter().enumerate() {
                let number = number * Way::ALL.len() + place;
                let seen = send(server, &attack, (number, way), PATIENCE)
                    .await
                    .with_context(|| format!("{way:?}"))?;
                let judged =
                    is_in_step(&seen, number).and_then(|()| is_owed(&seen, attack.fate, (number, way)));
                judged.with_context(|| format!("{way:?}: {seen:?}"))?;
                is_empty(server, number).await.with_context(|| format!("{way:?}"))?;
            }
            Ok(())
        })
    })
    .await?;
    println!("smuggling: {} attacks in {} ways: 0 desyncs", all.len(), Way::ALL.len());
    node.stop().await
}

/// Behind nginx.
pub(crate) async fn behind_nginx() -> Result<()> {
    behind(Program::Nginx).await
}

/// Behind HAProxy.
pub(crate) async fn behind_haproxy() -> Result<()> {
    behind(Program::Haproxy).await
}

async fn behind(program: Program) -> Result<()> {
    let all = attacks();
    let node = Node::start(Carrier::H1, Settings::short()).await?;
    let front = match Front::start(program, node.address(), 1).await {
        Ok(front) => front,
        Err(error) if is_missing(&error) => {
            println!("smuggling: not run behind {}, which is not installed", program.name());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    run(&all, (front.address(), node.address()), |front, server, attack, number| {
        Box::pin(async move {
            let seen = send(front, &attack, (number, Way::Plain), PROXY_PATIENCE).await?;
            is_in_step(&seen, number).with_context(|| format!("{seen:?}"))?;
            // Whoever comes next over the proxy's connections to efir.
            ask(front, "victim", number).await?;
            is_empty(server, number).await
        })
    })
    .await?;
    for number in 0..2 * AT_ONCE {
        ask(front.address(), "later", number).await?;
    }
    println!("smuggling: {} attacks behind {}: 0 desyncs", all.len(), program.name());
    node.stop().await
}

fn is_missing(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Fails if the request that hides in the attack was carried out.
async fn is_empty(server: SocketAddr, number: usize) -> Result<()> {
    let body = ask(server, "smuggled", number).await?;
    ensure!(body.contains("\"messages\":[]"), "what is hidden was carried out: {body}");
    Ok(())
}

/// Tries all attacks, several at once, and says everything that went wrong.
async fn run(all: &[Attack], (front, server): (SocketAddr, SocketAddr), trying: Trying) -> Result<()> {
    let (mut wrong, mut under_way) = (Vec::new(), JoinSet::new());
    let mut next = all.iter().enumerate();
    loop {
        while under_way.len() < AT_ONCE
            && let Some((number, attack)) = next.next()
        {
            let (name, trial) = (attack.name.clone(), trying(front, server, attack.clone(), number));
            under_way.spawn(async move { (name, trial.await) });
        }
        let Some(done) = under_way.join_next().await else { break };
        let (name, outcome) = done?;
        if let Err(error) = outcome {
            eprintln!("{name}: {error:#}");
            wrong.push(name);
        }
    }
    ensure!(wrong.is_empty(), "{} of {} attacks: {}", wrong.len(), all.len(), wrong.join(", "));
    Ok(())
}
