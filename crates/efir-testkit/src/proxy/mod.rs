//! A byte proxy on loopback that spoils connections as bad networks do, each by the lot that a seed draws for its number ([`fault`]).
//!
//! It knows nothing of channels, and of HTTP only what [`repeat`] needs. A fault counts when it took effect. Next: [`cable`].

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

mod cable;
mod fault;
mod repeat;

pub use fault::{Kind, Severity};

/// A running proxy; dropping it drops its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
    accepting: JoinHandle<()>,
}

/// What all connections of a proxy share.
#[derive(Debug)]
struct Network {
    target: SocketAddr,
    seed: u64,
    severity: Severity,
    is_bad: watch::Sender<bool>,
    /// Connections with a smaller number than this are silent for ever.
    silent: watch::Sender<u64>,
    connections: AtomicU64,
    counts: [AtomicU64; Kind::ALL.len()],
}

impl Proxy {
    /// Starts one before a server, on a free port of 127.0.0.1. It is an honest wire until [`Proxy::spoil`].
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn before(target: SocketAddr, seed: u64, severity: Severity) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let network = Arc::new(Network {
            target,
            seed,
            severity,
            is_bad: watch::Sender::new(false),
            silent: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            counts: Default::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&network)));
        Ok(Self { address, network, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on faults happen, also to the connections that are open.
    pub fn spoil(&self) {
        self.network.is_bad.send_replace(true);
    }

    /// An honest wire from here on; what is silent is reset.
    pub fn calm(&self) {
        self.network.is_bad.send_replace(false);
    }

    /// The connections that are open fall silent for ever, and nobody is told; later ones are carried.
    pub fn silence(&self) {
        self.network.silent.send_replace(self.connections());
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.network.connections.load(Ordering::Relaxed)
    }

    /// How often each kind of fault took effect, in the order of [`Kind::ALL`].
    pub fn counts(&self) -> [u64; Kind::ALL.len()] {
        std::array::from_fn(|n| self.network.counts[n].load(Ordering::Relaxed))
    }

    /// How many faults took effect.
    pub fn faults(&self) -> u64 {
        self.counts().iter().sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Network {
    fn is_bad(&self) -> bool {
        *self.is_bad.borrow()
    }

    /// A fault took effect.
    fn note(&self, kind: Kind) {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until this connection is to be silent.
    async fn silenced(&self, number: u64) {
        let mut silent = self.silent.subscribe();
        // The sender lives as long as this.
        drop(silent.wait_for(|silent| number < *silent).await);
    }

    /// Waits so long, or as long as the network is bad.
    async fn wait(&self, time: Option<Duration>) {
        let mut is_bad = self.is_bad.subscribe();
        let calm = is_bad.wait_for(|is_bad| !is_bad);
        match time {
            Some(time) => drop(tokio::time::timeout(time, calm).await),
            None => drop(calm.await),
        }
    }
}

/// The tasks of the connections end with this one.
async fn accept(listener: TcpListener, network: Arc<Network>) {
    let mut cables = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else {
                    // No free file: somebody has to end first.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                let number = network.connections.fetch_add(1, Ordering::Relaxed);
                cables.spawn(join(near, Arc::clone(&network), number));
            }
            Some(_) = cables.join_next() => {}
        }
    }
}

async fn join(near: TcpStream, network: Arc<Network>, number: u64) {
    let Ok(far) = TcpStream::connect(network.target).await else {
        // The server is dead, and this is how a client without a proxy would hear of it.
        drop(near.set_zero_linger());
        return;
    };
    if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
        return;
    }
    let lot = fault::Lot::draw(network.seed, number, network.severity);
    cable::carry(near, far, &network, (number, lot)).await;
}
