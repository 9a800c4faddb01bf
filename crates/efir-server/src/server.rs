//! A server from its configuration to its end: listening sockets, one thread a core, the drain.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use efir_engine::{
    Hub,
    worker::{Intake, Worker},
};
use efir_transports::{Policy, Site, SiteOptions};
use tokio::{net::TcpListener, sync::watch, task::LocalSet};

use crate::{
    config::Resolved,
    files,
    heads::{Connections, Heads, Shared},
    lab::{self, Access, Lab},
    listen, page,
    traffic::Traffic,
};

/// Open files that are not connections: listeners, event loops, logs, the standard ones.
const FILES_RESERVED: u64 = 64;
/// How long accepting pauses when no file is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at whether the last connection is gone.
const DRAIN_LOOK: Duration = Duration::from_millis(5);
/// Between two sweeps of the channels; eight sweeps see all of them.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A server that runs in threads of its own until it is stopped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens, with the ports that were taken for port 0.
    pub addresses: Vec<SocketAddr>,
    site: Site,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the listening sockets and starts the workers.
    ///
    /// # Errors
    /// An address that cannot be listened on, or a thread that cannot be started.
    pub fn start(config: Resolved) -> anyhow::Result<Running> {
        let workers = config.workers.max(1);
        let silent_max = Duration::from_millis(config.times.silent_ms_max);
        let mut per_worker: Vec<Vec<StdListener>> = (0..workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for address in &config.listen {
            let listeners = listen::listen(*address, workers, silent_max)?;
            addresses.extend(listeners.first().map(StdListener::local_addr).transpose()?);
            for (worker, listener) in per_worker.iter_mut().zip(listeners) {
                worker.push(listener);
            }
        }
        let connections_max = connections_max(config.limits.connections_max);
        let (has_lab, lab_access) = (config.has_lab(), Access::of(&config));
        let limits = efir_core::Limits { connections_max, ..config.limits };
        let hub = Hub::new(limits, config.times);
        let policy = Policy {
            allow_origins: config.allow_origins,
            hosts: config.hosts,
            is_loopback_bind: addresses.iter().all(|address| address.ip().is_loopback()),
        };
        let options = SiteOptions {
            policy,
            page: Some(page::build()),
            has_lab,
            has_websocket_deflate: config.has_websocket_deflate,
            ..SiteOptions::default()
        };
        let site = Site::new(hub, options);
        let traffic = Arc::<Traffic>::default();
        let address = addresses.first().context("no address to listen on")?;
        let lab = Arc::new(Lab::new(site.clone(), lab_access, *address));
        let shared = Arc::new(Shared {
            site: site.clone(),
            pages: page::router(Arc::clone(&traffic), config.static_dir.as_deref(), &site)
                .merge(lab::router(Arc::clone(&lab))),
            traffic,
            lab,
            connections: Connections { count: Arc::new(AtomicUsize::new(0)), max: connections_max },
        });
        let (stop, stopping) = watch::channel(false);
        let mut threads = Vec::new();
        for (index, listeners) in per_worker.into_iter().enumerate() {
            let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
            let thread = std::thread::Builder::new().name(format!("efir-{index}"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            threads.push(thread.spawn(move || run_worker(&runtime, index, listeners, (shared, stopping)))?);
        }
        Ok(Running { addresses, site, stop, threads })
    }
}

impl Running {
    /// The channels, for publishing from the same process.
    pub fn hub(&self) -> &Hub {
        self.site.hub()
    }

    /// Stops accepting, tells every client in its transport's way, and waits for them up to `drain_ms_max`.
    pub async fn stop(self) {
        self.site.hub().drain();
        // Fails only when all workers are gone already.
        let _ = self.stop.send(true);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a worker ended by a panic");
                }
            }
        });
        let _ = joined.await;
    }
}

fn run_worker(
    runtime: &tokio::runtime::Runtime,
    index: usize,
    listeners: Vec<StdListener>,
    (shared, stopping): (Arc<Shared>, watch::Receiver<bool>),
) {
    let drain_max = Duration::from_millis(shared.site.hub().times().drain_ms_max);
    let local = LocalSet::new();
    local.block_on(runtime, async move {
        let intake = Intake::new(Arc::clone(&shared.connections.count));
        let heads = Heads::new(Arc::clone(&shared), Arc::clone(&intake), stopping.clone());
        let worker = Worker::new(shared.site.hub().clone(), Arc::clone(&intake), Rc::clone(&heads) as _);
        // It yields by itself; a budget of socket operations on top would only make it try again.
        tokio::task::spawn_local(tokio::task::unconstrained(worker));
        if index == 0 {
            tokio::task::spawn_local(sweep(shared.site.hub().clone(), Arc::clone(&shared.lab)));
        }
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| tokio::task::spawn_local(accept(listener, Rc::clone(&heads))))
            .collect();
        let mut stopped = stopping.clone();
        let _ = stopped.wait_for(|is_stopping| *is_stopping).await;
        accepting.iter().for_each(tokio::task::JoinHandle::abort);
        let finish = async {
            while heads.active() + intake.carried() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(drain_max, finish).await.is_err() {
            tracing::warn!("some connections did not end within drain_ms_max and are cut");
        }
    });
}

async fn accept(listener: StdListener, heads: Rc<Heads>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot listen"),
    };
    let mut was_full = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                was_full = false;
                heads.welcome(stream);
            }
            Err(error) if is_out_of_files(&error) => {
                if !std::mem::replace(&mut was_full, true) {
                    tracing::warn!(%error, "no connection can be accepted for now; raise the limit of open files");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The client gave up while it waited.
            Err(error) => tracing::debug!(%error, "accept"),
        }
    }
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

async fn sweep(hub: Hub, lab: Arc<Lab>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        hub.sweep();
        lab.sweep();
    }
}

/// The limit of connections: what is configured, and no more than there may be open files.
fn connections_max(configured: usize) -> usize {
    let files = files::raise_limit();
    let possible = files.saturating_sub(FILES_RESERVED) as usize;
    let connections_max = configured.min(possible);
    tracing::info!(open_files = files, connections_max, "limits of this process");
    connections_max
}

impl Running {
    /// Waits for the end of the process's will: SIGINT or SIGTERM.
    ///
    /// # Errors
    /// The signals cannot be listened to.
    pub async fn until_signal() -> anyhow::Result<&'static str> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        Ok(tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        })
    }
}
