//! For the operator: a listener of its own with `/metrics`, `/livez`, `/readyz` and what changes the running server.
//!
//! It runs on a thread of its own, so that it answers while workers are busy or hang, and to the very end of a drain. Nothing here
//! is for clients or pages. What is answered is in [`routes`], the figures in [`metrics`].

mod key;
pub(crate) mod metrics;
mod process;
mod pulse;
mod revocation;
mod routes;

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use efir_access::Revocations;
use efir_engine::contained_future;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::watch, task::LocalSet};

pub use self::key::AdminKey;
pub(crate) use self::pulse::Pulses;
use self::routes::Desk;
use crate::{entrance::Way, reload::Reloader};

/// Connections at once; a scraper and a few probes need a handful.
const CONNECTIONS_MAX: usize = 32;
/// A request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long the head of a request may take, and a connection may wait for the next one.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long a connection may last; whoever needs it longer comes again.
const LIFE_MAX: Duration = Duration::from_secs(300);
/// How long accepting pauses when it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the admin listener is, and who may ask it.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminOptions {
    /// The address.
    pub listen: SocketAddr,
    /// Needed for everything but `/livez` and `/readyz`; `None` only on a loopback address.
    pub key: Option<AdminKey>,
}

/// What the admin listener sees of the server.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) pulses: Arc<Pulses>,
    pub(crate) started: SystemTime,
    /// Whether the server is to go, which whoever sends clients here is to know first.
    pub(crate) is_leaving: Arc<AtomicBool>,
}

impl Node {
    /// Whether nobody new is to come.
    fn is_going(&self) -> bool {
        self.is_leaving.load(Ordering::SeqCst) || self.reloader.site().is_draining()
    }
}

/// The listener while it runs.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Admin {
    /// Answers there whenever the way is open, on a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        (listener, way): (StdListener, Way),
        key: Option<AdminKey>,
        node: Node,
    ) -> anyhow::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = watch::channel(false);
        let desk = Desk::new(node, key, address.ip().is_loopback());
        let thread = std::thread::Builder::new().name("efir-admin".into()).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, serve((listener, way), Rc::new(desk), stopping));
        })?;
        tracing::info!(event = "admin_started", %address, "the admin listener answers");
        Ok(Self { address, stop, thread })
    }

    /// Ends it; connections are cut.
    pub(crate) fn stop(self) {
        // Fails only when the thread is gone already.
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

async fn serve((listener, mut way): (StdListener, Way), desk: Rc<Desk>, mut stopping: watch::Receiver<bool>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::warn!(event = "admin_failed", %error, "the admin listener cannot listen");
        }
    };
    let accepting = async {
        way.follow(|| accept(&listener, &desk)).await;
        // A successor answers; what is open here goes on.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = accepting => {}
        _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
    }
}

async fn accept(listener: &TcpListener, desk: &Rc<Desk>) {
    let open = Rc::new(AtomicUsize::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, _)) if open.load(Ordering::Relaxed) < CONNECTIONS_MAX => {
                let (desk, open) = (Rc::clone(desk), Rc::clone(&open));
                open.fetch_add(1, Ordering::Relaxed);
                tokio::task::spawn_local(async move {
                    let hub = desk.hub();
                    contained_future(
                        hub.counters(),
                        "a connection of the admin listener",
                        answer(stream, &desk),
                    )
                    .await;
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(event = "admin_failed", %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: tokio::net::TcpStream, desk: &Rc<Desk>) {
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let desk = Rc::clone(desk);
        async move { Ok::<_, Infallible>(desk.answer(request).await.map(Full::new)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Its own faults concern nobody else.
    let _ = tokio::time::timeout(LIFE_MAX, connection).await;
}

#[cfg(test)]
mod tests;
