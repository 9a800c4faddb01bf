//! A server from its configuration to its end: one thread a core, the drain, and handing over to a successor. Its listening sockets are in
//! [`doors`].

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
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
use tokio::{sync::watch, task::LocalSet};

use crate::{
    access::Keeper,
    addresses::Addresses,
    admin::{Admin, Node, Pulses},
    config::Resolved,
    doors::{self, Door, Doors},
    entrance::{Ending, Entrance, Way},
    files,
    handover::{Handed, Kept, successor::Successor},
    heads::{Connections, Heads, Shared},
    lab::{self, Access, Lab},
    page,
    reload::Reloader,
    resident,
    tls::Tls,
    traffic::Traffic,
};

/// Open files that are not connections: listeners, event loops, logs, the standard ones.
const FILES_RESERVED: u64 = 64;
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
    /// Where clients come in, and where the operator does.
    entrances: [Entrance; 2],
    /// All listening sockets, for a successor; empty when it has them.
    kept: Vec<Kept>,
    /// Set when it is to go, before anybody else is told.
    is_leaving: Arc<AtomicBool>,
}

impl Server {
    /// Opens the listening sockets, starts the workers and accepts.
    ///
    /// # Errors
    /// An address that cannot be listened on, a certificate that is no good, or a thread that cannot be started.
    pub fn start(config: Resolved) -> anyhow::Result<Running> {
        let running = Self::prepare(config, Handed::default())?;
        running.open()?;
        Ok(running)
    }

    /// The same up to the moment when connections are accepted, which is [`Running::open`], with sockets that were handed over.
    ///
    /// # Errors
    /// As [`Server::start`], and a socket that has no place in the configuration.
    pub(crate) fn prepare(config: Resolved, handed: Handed) -> anyhow::Result<Running> {
        let workers = config.workers.max(1);
        let tls = match config.listen_tls.is_empty() {
            true => None,
            false => Some(Arc::new(Tls::new(&config)?)),
        };
        let Doors { per_worker, addresses, tls_addresses, admin: admin_listener, kept } =
            Doors::open(&config, tls.as_ref(), handed)?;
        let entrances = [Entrance::new(), Entrance::new()];
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
        let (admin_key, static_dir) =
            (config.admin.as_ref().and_then(|options| options.key.clone()), config.static_dir.clone());
        let has_proxy_protocol = config.has_proxy_protocol;
        let reloader = Reloader::new(site.clone(), config, tls.clone(), keeper);
        let pulses = Arc::new(Pulses::new(workers));
        let count = Arc::new(AtomicUsize::new(0));
        let node = Node {
            reloader: Arc::clone(&reloader),
            connections: Arc::clone(&count),
            revocations,
            pulses: Arc::clone(&pulses),
            started: SystemTime::now(),
            is_leaving: Arc::default(),
        };
        let is_leaving = Arc::clone(&node.is_leaving);
        let way = entrances[1].way();
        let admin =
            admin_listener.map(|listener| Admin::start((listener, way), admin_key, node)).transpose()?;
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
        let threads = start_workers(per_worker, &shared, (&entrances[0], &stopping))?;
        let admin_address = admin.as_ref().map(|admin| admin.address);
        Ok(Running {
            addresses,
            tls_addresses,
            tls,
            admin_address,
            admin,
            reloader,
            site,
            stop,
            threads,
            entrances,
            kept,
            is_leaving,
        })
    }
}

fn start_workers(
    per_worker: Vec<Vec<Door>>,
    shared: &Arc<Shared>,
    (entrance, stopping): (&Entrance, &watch::Receiver<bool>),
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for (index, doors) in per_worker.into_iter().enumerate() {
        let (shared, ways) = (Arc::clone(shared), (entrance.way(), stopping.clone()));
        let thread = std::thread::Builder::new().name(format!("efir-{index}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        threads.push(thread.spawn(move || run_worker(&runtime, index, doors, (shared, ways)))?);
    }
    Ok(threads)
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

    /// Accepts connections from now on.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub(crate) fn open(&self) -> anyhow::Result<()> {
        // Not before: a server that was there before may still order the same ones.
        self.tls.as_ref().map_or(Ok(()), |tls| tls.begin_orders())?;
        self.entrances.iter().for_each(Entrance::open);
        tracing::info!(
            event = "started",
            addresses = listed(&self.addresses),
            tls_addresses = listed(&self.tls_addresses),
            workers = self.threads.len(),
            version = env!("CARGO_PKG_VERSION"),
            "on air"
        );
        Ok(())
    }

    /// Starts this program again with the listening sockets, and stops accepting once the successor can: nobody who connects is refused.
    /// Returns its process. What is left to do is [`Running::stop`]. Dropped before its end, it changes nothing.
    ///
    /// # Errors
    /// Why there is no successor; this one serves on.
    pub(crate) async fn hand_over(&mut self) -> anyhow::Result<u32> {
        let mut successor = Successor::start(&self.kept)?;
        successor.until_ready().await?;
        let shut = Shut::begin(&self.entrances).await;
        successor.go().await?;
        shut.stay().await;
        self.kept.clear();
        Ok(successor.id())
    }

    /// Says that it is not ready any more, waits for `drain_delay_ms`, stops accepting, tells every client in its transport's way, and waits
    /// for them up to `drain_ms_max`.
    pub async fn stop(mut self) {
        let has_successor = self.kept.is_empty();
        if !has_successor {
            self.is_leaving.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(self.site.hub().times().drain_delay_ms)).await;
            self.entrances[0].end(Ending::Closed).await;
            // Where these stayed open, connections would go on to queue there.
            self.kept.clear();
        }
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

/// Entrances that are shut while a successor takes over; open again when dropped before it has.
struct Shut<'a>(&'a [Entrance]);

impl<'a> Shut<'a> {
    async fn begin(entrances: &'a [Entrance]) -> Self {
        let shut = Self(entrances);
        for entrance in entrances {
            entrance.shut().await;
        }
        shut
    }

    /// For good.
    async fn stay(mut self) {
        for entrance in std::mem::take(&mut self.0) {
            entrance.end(Ending::Left).await;
        }
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(Entrance::open);
    }
}

fn run_worker(
    runtime: &tokio::runtime::Runtime,
    index: usize,
    doors: Vec<Door>,
    (shared, (way, stopping)): (Arc<Shared>, (Way, watch::Receiver<bool>)),
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
        let accept = |door| tokio::task::spawn_local(doors::accept(door, Rc::clone(&heads), way.clone()));
        let accepting: Vec<_> = doors.into_iter().map(accept).collect();
        let mut stopped = stopping.clone();
        tokio::select! {
            _ = stopped.wait_for(|is_stopping| *is_stopping) => {}
            _ = &mut worker => {
                // Nobody gives signs of life for it from now on, and its listeners are closed: other workers are connected to.
                tracing::error!(event = "worker_panicked", worker = index, "a worker ended by a bug");
                return;
            }
        }
        for accepting in accepting {
            // They end by themselves. One that has not seen yet that it is over still has to let in who waits in its queue.
            let _ = accepting.await;
        }
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

#[cfg(test)]
mod tests;
