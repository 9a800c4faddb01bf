//! A server in this process, on a free port, with times short enough for tests, behind any carrier.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use efir_core::{Limits, Times};
use efir_engine::{Hub, Seam};
use efir_server::{
    Running, Server,
    config::{Resolved, networks::Trust},
};
use tokio::sync::{Notify, oneshot};

use efir::Site;

use crate::{
    access::{Closed, tickets},
    carrier::Carrier,
    front::{self, Front, Program},
    tls,
};

/// How long the tasks of an embedded server live on after it was stopped.
const FAREWELL: Duration = Duration::from_millis(500);

/// How a node differs from the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits.
    pub limits: Limits,
    /// Times.
    pub times: Times,
    /// `--allow-origin`.
    pub allow_origins: Vec<String>,
    /// `--host`.
    pub hosts: Vec<String>,
    /// `websocket_deflate`.
    pub has_websocket_deflate: bool,
    /// `trusted_proxies` and `unlimited`.
    pub trust: Trust,
    /// `proxy_protocol`.
    pub has_proxy_protocol: bool,
    /// Who may do what; `None`: everybody everything.
    pub access: Option<Closed>,
    /// By how much the times of a proxy in front are divided.
    pub front_shorter: u32,
}

impl Settings {
    /// Defaults with times of at most 200 ms where somebody waits for them.
    pub fn short() -> Self {
        let times = Times {
            heartbeat_ms: 150,
            hold_ms: 200,
            hold_ms_min: 20,
            ping_ms: 300,
            drain_ms_max: 300,
            ..Times::default()
        };
        Self {
            limits: Limits::default(),
            times,
            allow_origins: Vec::new(),
            hosts: Vec::new(),
            has_websocket_deflate: true,
            trust: Resolved::default().trust,
            has_proxy_protocol: false,
            access: None,
            front_shorter: 1,
        }
    }

    /// What `efir.toml` says behind a proxy, unless the scenario says otherwise.
    fn behind(&mut self, program: Program) -> Result<()> {
        if self.trust.proxies.is_empty() {
            self.trust.proxies.push("127.0.0.1".parse().map_err(|()| anyhow::anyhow!("no address"))?);
        }
        self.has_proxy_protocol |= program == Program::HaproxyV2;
        Ok(())
    }
}

/// A running server.
pub struct Node {
    address: SocketAddr,
    carrier: Carrier,
    settings: Settings,
    hub: Hub,
    site: Site,
    joins: Joins,
    kind: Kind,
    /// What clients speak with instead of the server itself.
    front: Option<Front>,
}

enum Kind {
    Own(Running),
    Axum(Embedded),
}

/// Somebody's axum app on a multi-thread runtime of its own.
struct Embedded {
    runtime: Option<tokio::runtime::Runtime>,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
}

impl Node {
    /// Starts a server.
    pub async fn start(carrier: Carrier, mut settings: Settings) -> Result<Self> {
        let program = front::chosen()?;
        if let Some(program) = program {
            settings.behind(program)?;
        }
        let (address, site, kind) = match carrier {
            Carrier::H1 | Carrier::H2c => start_own(&settings, false)?,
            // A proxy in front takes the encryption off.
            Carrier::TlsH1 | Carrier::TlsH2 => start_own(&settings, program.is_none())?,
            Carrier::Axum => start_axum(&settings).await?,
        };
        let hub = site.hub().clone();
        if let Some(closed) = &settings.access {
            site.replace_gate(closed.gate()?);
        }
        tls::remember(address, carrier.is_tls() && program.is_none());
        let joins = Joins::default();
        joins.watch(&hub);
        let front = match program {
            Some(program) => Some(Front::start(program, address, settings.front_shorter).await?),
            None => None,
        };
        Ok(Self { address, carrier, settings, hub, site, joins, kind, front })
    }

    /// Where clients find it: where it listens itself, or the proxy in front of it.
    pub fn address(&self) -> SocketAddr {
        self.front.as_ref().map_or(self.address, Front::address)
    }

    /// What it runs behind.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// How it was set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Joins, as the hub reports them.
    pub fn joins(&self) -> Joins {
        self.joins.clone()
    }

    /// The channels themselves.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Publishes text from inside the process; gives the position.
    pub fn publish_inside(&self, channel: &str, text: &str) -> Result<String> {
        let receipt = self.hub.publish_text(channel, text).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        Ok(receipt.position.to_string())
    }

    /// From now on it is closed by this.
    pub fn close_to(&self, closed: &Closed) -> Result<()> {
        self.site.replace_gate(closed.gate()?);
        Ok(())
    }

    /// Somebody was revoked.
    pub fn recheck(&self) {
        self.site.recheck();
    }

    /// Begins to send everybody elsewhere, and goes on listening.
    pub fn drain_only(&self) {
        self.hub.drain();
    }

    /// Tells every client to go elsewhere, waits for them and ends, as SIGTERM does.
    pub async fn stop(self) -> Result<()> {
        match self.kind {
            Kind::Own(running) => running.stop().await,
            Kind::Axum(embedded) => embedded.stop(&self.hub).await?,
        }
        Ok(())
    }
}

fn start_own(settings: &Settings, is_tls: bool) -> Result<(SocketAddr, Site, Kind)> {
    let address = vec![([127, 0, 0, 1], 0).into()];
    let (listen, listen_tls) = if is_tls { (Vec::new(), address) } else { (address, Vec::new()) };
    let certificates = if is_tls { vec![tls::certificate()?] } else { Vec::new() };
    let mut access = efir_server::config::Access::default();
    access.tickets = Some(tickets()?);
    let config = Resolved {
        listen,
        access,
        listen_tls,
        certificates,
        workers: 2,
        limits: settings.limits.clone(),
        times: settings.times.clone(),
        allow_origins: settings.allow_origins.clone(),
        hosts: settings.hosts.clone(),
        has_websocket_deflate: settings.has_websocket_deflate,
        trust: settings.trust.clone(),
        has_proxy_protocol: settings.has_proxy_protocol,
        ..Resolved::default()
    };
    let running = Server::start(config)?;
    let mut addresses = running.addresses.iter().chain(&running.tls_addresses);
    let address = *addresses.next().context("the server listens nowhere")?;
    let site = running.site().clone();
    Ok((address, site, Kind::Own(running)))
}

async fn start_axum(settings: &Settings) -> Result<(SocketAddr, Site, Kind)> {
    let hub = Hub::new(settings.limits.clone(), settings.times.clone());
    let policy = efir::Policy {
        allow_origins: settings.allow_origins.clone(),
        hosts: settings.hosts.clone(),
        is_loopback_bind: true,
    };
    let options = efir::RouterOptions {
        policy,
        has_websocket_deflate: settings.has_websocket_deflate,
        ..efir::RouterOptions::default()
    };
    let access = efir::Access::new(efir::Gate::open(), Some(tickets()?));
    let site = efir::Site::with_access(hub, options, access);
    let router = efir::router_of(site.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (stop, stopping) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel();
    let (bound, binding) = oneshot::channel();
    runtime.spawn(async move {
        let listener = match tokio::net::TcpListener::bind(("127.0.0.1", 0)).await {
            Ok(listener) => listener,
            Err(error) => return drop(bound.send(Err(error))),
        };
        let _ = bound.send(listener.local_addr());
        let served = axum::serve(listener, router).with_graceful_shutdown(async {
            // Dropping the sender stops the server, too.
            let _ = stopping.await;
        });
        let _ = served.await;
        let _ = end.send(());
    });
    let address = binding.await.context("the listener of the axum app")??;
    let embedded = Embedded { runtime: Some(runtime), stop: Some(stop), ended };
    Ok((address, site, Kind::Axum(embedded)))
}

impl Embedded {
    async fn stop(mut self, hub: &Hub) -> Result<()> {
        hub.drain();
        drop(self.stop.take());
        // Idle keep-alive connections end at once, others when their responses do.
        let drain_max = Duration::from_millis(hub.times().drain_ms_max);
        let _ = tokio::time::timeout(drain_max, &mut self.ended).await;
        Ok(())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // axum does not wait for upgraded connections: they have this long to say goodbye, and nobody waits for it.
        std::thread::spawn(move || {
            std::thread::sleep(FAREWELL);
            runtime.shutdown_background();
        });
    }
}

type SeamHook = Arc<dyn Fn(Seam, &str) + Send + Sync>;

/// What the hub tells of joins: how many there were, and the hook of a scenario.
#[derive(Clone, Default)]
pub struct Joins(Arc<Inner>);

#[derive(Default)]
struct Inner {
    watched: Mutex<HashMap<String, u64>>,
    changed: Notify,
    hook: Mutex<Option<SeamHook>>,
}

impl std::fmt::Debug for Joins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joins").finish_non_exhaustive()
    }
}

impl Joins {
    fn watch(&self, hub: &Hub) {
        let joins = self.clone();
        hub.on_seam(move |seam, channel| {
            let hook = joins.0.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(hook) = hook {
                hook(seam, channel.as_str());
            }
            if seam == Seam::Watched {
                let mut watched = joins.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
                *watched.entry(channel.as_str().to_owned()).or_default() += 1;
                drop(watched);
                joins.0.changed.notify_waiters();
            }
        });
    }

    /// Calls `hook` at every seam of every join, from the server's threads.
    pub fn hook(&self, hook: impl Fn(Seam, &str) + Send + Sync + 'static) {
        *self.0.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// How often a channel was joined.
    pub fn count(&self, channel: &str) -> u64 {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner).get(channel).copied().unwrap_or(0)
    }

    /// Waits until a channel was joined so often.
    pub async fn wait(&self, channel: &str, count: u64) -> Result<()> {
        let joined = async {
            loop {
                let changed = self.0.changed.notified();
                if self.count(channel) >= count {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(crate::ask::PATIENCE, joined)
            .await
            .with_context(|| format!("nobody joins {channel}"))
    }
}
