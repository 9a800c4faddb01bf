//! A server from its configuration to its end: listening sockets, one thread a core, the drain.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use efir_access::Revocations;
use efir_core::Limits;
use efir_engine::{
    Hub, contained, contained_future,
    worker::{Intake, Worker},
};
use efir_transports::{Policy, Site, SiteOptions};
use tokio::{net::TcpListener, sync::watch, task::LocalSet};

use crate::{
    access::Keeper,
    addresses::Addresses,
    admin::{Admin, Node, Pulses},
    config::Resolved,
    files,
    heads::{Connections, Heads, Shared},
    lab::{self, Access, Lab},
    listen, page,
    reload::Reloader,
    resident,
    tls::Tls,
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
    /// Where it listens in cleartext, with the ports that were taken for port 0.
    pub addresses: Vec<SocketAddr>,
    /// Where it listens with TLS.
    pub tls_addresses: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
    /// Where the admin listener is.
    pub admin_address: Option<SocketAddr>,
    admin: Option<Admin>,
    reloader: Arc<Reloader>,
    site: Site,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the listening sockets and starts the workers.
    ///
    /// # Errors
    /// An address that cannot be listened on, a certificate that is no good, or a thread that cannot be started.
    pub fn start(config: Resolved) -> anyhow::Result<Running> {
        let workers = config.workers.max(1);
        let silent_max = Duration::from_millis(config.times.silent_ms_max);
        let tls = match config.listen_tls.is_empty() {
            true => None,
            false => Some(Arc::new(Tls::new(&config)?)),
        };
        let mut doors = Doors { per_worker: (0..workers).map(|_| Vec::new()).collect(), silent_max };
        let addresses = doors.open(&config.listen, None)?;
        let tls_addresses = doors.open(&config.listen_tls, tls.as_ref())?;
        let (has_lab, lab_access) = (config.has_lab(), Access::of(&config));
        let limits = possible(&config.limits);
        let connections_max = limits.connections_max;
        let known = Addresses::new(config.trust.clone(), limits.address_connections_max);
        let hub = Hub::new(limits, config.times.clone());
        let is_loopback_bind =
            addresses.iter().chain(&tls_addresses).all(|address| address.ip().is_loopback());
        let options = SiteOptions { has_lab, ..site_options(&config, is_loopback_bind) };
        let revocations = Arc::<Revocations>::default();
        let keeper = Keeper::start(&config, Arc::clone(&revocations))?;
        let site = Site::with_access(hub, options, keeper.access());
        keeper.attach(&site);
        let (admin, static_dir) = (config.admin.clone(), config.static_dir.clone());
        let has_proxy_protocol = config.has_proxy_protocol;
        let reloader = Reloader::new(site.clone(), config, tls.clone(), keeper);
        let pulses = Arc::new(Pulses::new(workers));
        let count = Arc::new(AtomicUsize::new(0));
        let admin = admin.as_ref().map(|options| {
            let (reloader, connections) = (Arc::clone(&reloader), Arc::clone(&count));
            let (pulses, revocations) = (Arc::clone(&pulses), Arc::clone(&revocations));
            let node = Node { reloader, connections, revocations, pulses, started: SystemTime::now() };
            Admin::start(options, node)
        });
        let admin = admin.transpose()?;
        let traffic = Arc::<Traffic>::default();
        // The lab's networks lead to cleartext addresses only; where there is none nobody gets into one.
        let address = addresses.iter().chain(&tls_addresses).next().context("no address to listen on")?;
        let lab = Arc::new(Lab::new(site.clone(), lab_access, *address));
        let shared = Arc::new(Shared {
            reloader: Arc::clone(&reloader),
            pages: page::router(Arc::clone(&traffic), static_dir.as_deref(), &reloader)
                .merge(lab::router(Arc::clone(&lab))),
            traffic,
            lab,
            connections: Connections { count, max: connections_max },
            addresses: Arc::new(known),
            has_proxy_protocol,
            pulses,
        });
        let (stop, stopping) = watch::channel(false);
        let mut threads = Vec::new();
        for (index, doors) in doors.per_worker.into_iter().enumerate() {
            let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
            let thread = std::thread::Builder::new().name(format!("efir-{index}"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            threads.push(thread.spawn(move || run_worker(&runtime, index, doors, (shared, stopping)))?);
        }
        tls.as_ref().map_or(Ok(()), |tls| tls.begin_orders())?;
        let admin_address = admin.as_ref().map(|admin| admin.address);
        tracing::info!(
            event = "started",
            addresses = listed(&addresses),
            tls_addresses = listed(&tls_addresses),
            workers,
            version = env!("CARGO_PKG_VERSION"),
            "on air"
        );
        Ok(Running { addresses, tls_addresses, admin_address, admin, reloader, tls, site, stop, threads })
    }
}

fn site_options(config: &Resolved, is_loopback_bind: bool) -> SiteOptions {
    let policy =
        Policy { allow_origins: config.allow_origins.clone(), hosts: config.hosts.clone(), is_loopback_bind };
    SiteOptions {
        policy,
        page: Some(page::build()),
        has_websocket_deflate: config.has_websocket_deflate,
        ..SiteOptions::default()
    }
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ")
}

/// One worker's share of an address.
struct Door {
    listener: StdListener,
    tls: Option<Arc<Tls>>,
}

/// All addresses, by worker.
struct Doors {
    per_worker: Vec<Vec<Door>>,
    silent_max: Duration,
}

impl Doors {
    /// Listens on these; returns them with the ports that were taken for port 0.
    fn open(&mut self, addresses: &[SocketAddr], tls: Option<&Arc<Tls>>) -> anyhow::Result<Vec<SocketAddr>> {
        let mut opened = Vec::new();
        for address in addresses {
            let listeners = listen::listen(*address, self.per_worker.len(), self.silent_max)?;
            opened.extend(listeners.first().map(StdListener::local_addr).transpose()?);
            for (doors, listener) in self.per_worker.iter_mut().zip(listeners) {
                doors.push(Door { listener, tls: tls.cloned() });
            }
        }
        Ok(opened)
    }
}

impl Running {
    /// The site that is served.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The channels, for publishing from the same process.
    pub fn hub(&self) -> &Hub {
        self.site.hub()
    }

    /// Reads the certificates again, for connections that come from now on; nothing to do without TLS.
    ///
    /// # Errors
    /// A file that cannot be read, or a key that does not belong to its certificate; then those in force stay.
    pub fn reload_certificates(&self) -> anyhow::Result<()> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
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
                    tracing::error!(event = "worker_panicked", "a worker ended by a panic");
                }
            }
        });
        let _ = joined.await;
        // Last, so that whoever watches the server sees it to its end.
        if let Some(admin) = self.admin {
            admin.stop();
        }
        tracing::info!(event = "stopped", "everything has ended");
    }

    /// The configuration in force.
    pub(crate) fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }
}

fn run_worker(
    runtime: &tokio::runtime::Runtime,
    index: usize,
    doors: Vec<Door>,
    (shared, stopping): (Arc<Shared>, watch::Receiver<bool>),
) {
    let local = LocalSet::new();
    local.block_on(runtime, async move {
        let intake = Intake::new(Arc::clone(&shared.connections.count));
        let heads = Heads::new(Arc::clone(&shared), Arc::clone(&intake), stopping.clone());
        let worker = Worker::new(shared.site().hub().clone(), Arc::clone(&intake), Rc::clone(&heads) as _);
        // It yields by itself; a budget of socket operations on top would only make it try again.
        let mut worker = tokio::task::spawn_local(tokio::task::unconstrained(worker));
        let (debtors, counted) = (Rc::clone(&heads), shared.site().hub().clone());
        tokio::task::spawn_local(async move {
            // It ends only by a bug, and without it nobody would make room.
            while contained_future(counted.counters(), "a worker's debtors", debtors.shed()).await.is_none() {
            }
        });
        let pulses = Arc::clone(&shared.pulses);
        tokio::task::spawn_local(async move { pulses.beat(index).await });
        if index == 0 {
            tokio::task::spawn_local(sweep(Arc::clone(&shared)));
            if let Some(tls) = doors.iter().find_map(|door| door.tls.as_ref()) {
                tokio::task::spawn_local(Arc::clone(tls).watch());
            }
        }
        let accepting: Vec<_> =
            doors.into_iter().map(|door| tokio::task::spawn_local(accept(door, Rc::clone(&heads)))).collect();
        let mut stopped = stopping.clone();
        tokio::select! {
            _ = stopped.wait_for(|is_stopping| *is_stopping) => {}
            _ = &mut worker => {
                // Nobody gives signs of life for it from now on, and its listeners are closed: other workers are connected to.
                tracing::error!(event = "worker_panicked", worker = index, "a worker ended by a bug");
                return;
            }
        }
        accepting.iter().for_each(tokio::task::JoinHandle::abort);
        let drain_max = Duration::from_millis(shared.site().hub().times().drain_ms_max);
        let finish = async {
            while heads.active() + intake.carried() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(drain_max, finish).await.is_err() {
            tracing::warn!(
                event = "drain_cut",
                "some connections did not end within drain_ms_max and are cut"
            );
        }
        shared.pulses.end(index);
    });
}

async fn accept(door: Door, heads: Rc<Heads>) {
    let listener = match TcpListener::from_std(door.listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(event = "listen_failed", %error, "cannot listen"),
    };
    let mut was_full = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                was_full = false;
                let arrive = || heads.arrive(stream, peer.ip(), door.tls.as_ref());
                contained(heads.shared.site().hub().counters(), "a connection that came", arrive);
            }
            Err(error) if is_out_of_files(&error) => {
                if !std::mem::replace(&mut was_full, true) {
                    tracing::warn!(event = "accept_paused", %error, "no connection can be accepted for now; raise the limit of open files");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The client gave up while it waited.
            Err(error) => tracing::debug!(event = "accept_failed", %error, "a client gave up"),
        }
    }
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

async fn sweep(shared: Arc<Shared>) {
    let hub = shared.site().hub().clone();
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        // Each by itself: a bug in one must not end the others, nor the next round.
        let contain = |what, work: &dyn Fn()| _ = contained(hub.counters(), what, work);
        contain("a sweep of channels", &|| hub.sweep());
        contain("a sweep of the lab", &|| shared.lab.sweep());
        contain("a sweep of addresses", &|| shared.addresses.sweep());
        contain("a weighing of memory", &|| {
            if let Some(in_use) = resident::in_use() {
                hub.weigh(in_use);
            }
        });
    }
}

/// The limits that are configured, as far as the machine lets them be.
fn possible(limits: &Limits) -> Limits {
    let connections_max = connections_max(limits.connections_max);
    let memory_bytes_max = resident::memory_bytes_max(limits.memory_bytes_max);
    let log_bytes_max = resident::log_bytes_max(limits.log_bytes_max, memory_bytes_max);
    tracing::info!(event = "memory_limits", memory_bytes_max, log_bytes_max, "limits of memory");
    Limits { connections_max, memory_bytes_max, log_bytes_max, ..limits.clone() }
}

/// The limit of connections: what is configured, and no more than there may be open files.
fn connections_max(configured: usize) -> usize {
    let files = files::raise_limit();
    let possible = files.saturating_sub(FILES_RESERVED) as usize;
    let connections_max = configured.min(possible);
    tracing::info!(event = "process_limits", open_files = files, connections_max, "limits of this process");
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
