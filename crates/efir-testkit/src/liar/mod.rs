//! A server that lies: the real one, read over real transports, with a bug planted on the way from it ([`bugs`]).
//!
//! It stands before the real server as a gateway of HTTP/1.1 that understands answers: batches, events, lines and frames are taken
//! apart into the objects of docs/protocol.md §4 ([`object`]), the bug has its way with them, and they are put together again. It proves
//! that the checker finds bugs of a server in what readers saw.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

pub mod bugs;
mod exchange;
mod object;

use bugs::{Bug, Memory};

/// A running gateway with a bug, or with none; dropping it drops its connections.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    bug: Option<&'static Bug>,
    target: Mutex<SocketAddr>,
    memory: Mutex<Memory>,
}

impl Liar {
    /// Starts one before a server.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn before(target: SocketAddr, bug: Option<&'static Bug>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { bug, target: Mutex::new(target), memory: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another server takes the place of the one behind it, for connections from now on.
    pub fn stand_before(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn target(&self) -> SocketAddr {
        *lock(&self.target)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tasks of the connections end with this one.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { return };
                connections.spawn(exchange::serve(near, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
