//! The configuration, read again while the server runs: valid as a whole or refused as a whole, taken over where that is possible
//! without a restart, and named where it is not.
//!
//! What a request needs stands in its site, a snapshot. A reload makes a new one; requests that are under way, and responses that
//! last, go on with theirs.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use efir_core::{LimitRow, Limits, Times};
use efir_transports::{Policy, Site, SiteOptions};
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    access::Keeper,
    config::{ConfigError, Resolved, keys},
    log::Log,
    tls::Tls,
};

/// Limits and times that are looked up when a request comes or a response begins. All others are built into something at the start.
const TAKEN_OVER: &[&str] = &[
    "message_bytes_max",
    "connection_publishes_per_s_max",
    "connection_bytes_per_s_max",
    "user_publishes_per_s_max",
    "user_bytes_per_s_max",
    "key_publishes_per_s_max",
    "key_bytes_per_s_max",
    "body_bytes_per_s_min",
    "head_bytes_max",
    "headers_max",
    "batch_messages_max",
    "batch_messages_default",
    "batch_bytes_max",
    "subscribe_channels_max",
    "socket_channels_max",
    "presence_enters_max",
    "presence_name_bytes_max",
    "presence_data_bytes_max",
    "heartbeat_ms",
    "hold_ms",
    "hold_ms_min",
    "hold_ms_max",
    "poll_interval_ms",
    "rotation_ms_min",
    "rotation_ms_max",
    "retry_ms_min",
    "retry_ms_max",
    "ping_ms",
    "head_ms_max",
    "body_ms_max",
    "body_grace_ms",
    "idle_ms_max",
    "drain_delay_ms",
    "drain_ms_max",
    "presence_grace_ms",
    "presence_lease_ms",
];

/// Reads the configuration from where it came.
type Source = Box<dyn Fn() -> Result<Resolved, Vec<ConfigError>> + Send + Sync>;

/// What a reload changed, by keys of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Reloaded {
    /// In force now, for what begins from now on.
    pub(crate) taken_over: Vec<String>,
    /// Changed in the configuration, but in force only after a restart.
    pub(crate) needs_restart: Vec<String>,
}

/// Why nothing was taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct NotReloaded {
    /// Everything that is wrong.
    pub(crate) errors: Vec<String>,
}

/// The configuration in force, and what it is read from.
pub(crate) struct Reloader {
    site: ArcSwap<Site>,
    tls: Option<Arc<Tls>>,
    keeper: Arc<Keeper>,
    /// Held while the configuration is read and taken over, so that one reload follows the other.
    in_force: Mutex<Resolved>,
    source: OnceLock<Source>,
    log: OnceLock<Log>,
    taken_over: AtomicU64,
    refused: AtomicU64,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reloader")
    }
}

impl Reloader {
    /// Of a server that started with this configuration.
    pub(crate) fn new(site: Site, config: Resolved, tls: Option<Arc<Tls>>, keeper: Arc<Keeper>) -> Arc<Self> {
        Arc::new(Self {
            site: ArcSwap::from_pointee(site),
            tls,
            keeper,
            in_force: Mutex::new(config),
            source: OnceLock::new(),
            log: OnceLock::new(),
            taken_over: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Where the configuration is read from, and the log whose filter it sets. Without a source there is nothing to reload.
    pub(crate) fn read_from(&self, source: Source, log: Log) {
        // Both are set once, at the start.
        let _ = self.source.set(source);
        let _ = self.log.set(log);
    }

    /// Whether a certificate was ordered and has not come yet.
    pub(crate) fn lacks_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.lacks_certificate())
    }

    /// What requests that come now are answered by.
    pub(crate) fn site(&self) -> Guard<Arc<Site>> {
        self.site.load()
    }

    /// How often the configuration was taken over, and how often it was refused.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [self.taken_over.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed)]
    }

    /// Reads the configuration again and takes over what can be; the log says what came of it.
    ///
    /// # Errors
    /// Everything that is wrong with it; nothing has changed then.
    pub(crate) fn reload(&self) -> Result<Reloaded, NotReloaded> {
        let mut in_force = self.in_force.lock();
        let reloaded = self.read().and_then(|fresh| self.take_over(&mut in_force, fresh));
        match &reloaded {
            Ok(Reloaded { taken_over, needs_restart }) => {
                self.taken_over.fetch_add(1, Ordering::Relaxed);
                let (taken_over, needs_restart) = (taken_over.join(", "), needs_restart.join(", "));
                tracing::info!(
                    event = "reloaded",
                    taken_over,
                    needs_restart,
                    "the configuration was read again"
                );
            }
            Err(NotReloaded { errors }) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let errors = errors.join("; ");
                tracing::error!(event = "reload_refused", errors, "the configuration stays as it was");
            }
        }
        reloaded
    }

    fn read(&self) -> Result<Resolved, NotReloaded> {
        let Some(source) = self.source.get() else {
            return Err(NotReloaded {
                errors: vec!["this server was not started from a configuration".into()],
            });
        };
        source().map_err(|errors| NotReloaded { errors: errors.iter().map(ToString::to_string).collect() })
    }

    fn take_over(&self, in_force: &mut Resolved, fresh: Resolved) -> Result<Reloaded, NotReloaded> {
        let failed = |error: String| NotReloaded { errors: vec![error] };
        let Change { next, reloaded } = Change::between(in_force, fresh);
        // What can fail goes first.
        let gate = self.keeper.prepare(&next).map_err(|error| failed(format!("token_keys: {error}")))?;
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| failed(format!("{error:#}")))?;
        }
        if next.log != in_force.log
            && let Some(log) = self.log.get()
        {
            log.choose(&next.log).map_err(|error| failed(format!("log: {error}")))?;
        }
        let site = self.site.load();
        // What the node has in all was settled at the start, partly by what the system allows.
        let mut limits = site.hub().limits().clone();
        for (row, value) in next.limits.values().filter(|(row, _)| TAKEN_OVER.contains(&row.name)) {
            limits.set(row.name, value);
        }
        let hub = site.hub().with_terms(limits, next.times.clone());
        let policy = Policy {
            allow_origins: next.allow_origins.clone(),
            hosts: next.hosts.clone(),
            ..site.policy().clone()
        };
        let options = SiteOptions {
            policy,
            has_websocket_deflate: next.has_websocket_deflate,
            ..site.options().clone()
        };
        let renewed = site.renewed(hub, options);
        self.site.store(Arc::new(renewed.clone()));
        // Where everybody may do everything, before and now, nobody who is connected is judged anew, which ends what was never judged.
        if !(site.access().is_open() && next.access.is_empty()) {
            self.keeper.replace(gate, renewed).map_err(|error| failed(format!("{error:#}")))?;
        }
        *in_force = next;
        Ok(reloaded)
    }
}

/// From one configuration to the next.
struct Change {
    /// What will be in force: the new values where they can be taken over, the old ones elsewhere.
    next: Resolved,
    reloaded: Reloaded,
}

impl Change {
    fn between(old: &Resolved, fresh: Resolved) -> Self {
        // By name, so that a key that is added has to be thought of here.
        let Resolved {
            listen,
            listen_tls,
            certificates,
            acme,
            workers,
            allow_origins,
            hosts,
            static_dir,
            log,
            log_format,
            admin,
            has_websocket_deflate,
            lab,
            trust,
            has_proxy_protocol,
            is_open,
            access,
            token_leeway_ms,
            limits: fresh_limits,
            times: fresh_times,
        } = fresh;
        let mut reloaded = Reloaded::default();
        let mut tell = |key: &str, has_changed: bool, list: fn(&mut Reloaded) -> &mut Vec<String>| {
            if has_changed {
                list(&mut reloaded).push(key.to_owned());
            }
        };
        let taken: fn(&mut Reloaded) -> &mut Vec<String> = |reloaded| &mut reloaded.taken_over;
        tell("log", old.log != log, taken);
        tell("allow_origins", old.allow_origins != allow_origins, taken);
        tell("hosts", old.hosts != hosts, taken);
        tell("websocket_deflate", old.has_websocket_deflate != has_websocket_deflate, taken);
        tell("open", old.is_open != is_open, taken);
        tell("token_leeway", old.token_leeway_ms != token_leeway_ms, taken);
        for table in access.changes(&old.access) {
            tell(table, true, taken);
        }
        let restart: fn(&mut Reloaded) -> &mut Vec<String> = |reloaded| &mut reloaded.needs_restart;
        tell("listen", (&old.listen, &old.listen_tls) != (&listen, &listen_tls), restart);
        tell("workers", old.workers != workers, restart);
        tell("static_dir", old.static_dir != static_dir, restart);
        tell("lab", old.lab != lab, restart);
        tell("log_format", old.log_format != log_format, restart);
        tell("tls", old.certificates != certificates, restart);
        tell("tls.acme", old.acme != acme, restart);
        tell("admin", old.admin != admin, restart);
        tell("trusted_proxies", old.trust.proxies != trust.proxies, restart);
        tell("forwarded_header", old.trust.written != trust.written, restart);
        tell("unlimited", old.trust.unlimited != trust.unlimited, restart);
        tell("proxy_protocol", old.has_proxy_protocol != has_proxy_protocol, restart);
        let (limits, times) = reloaded.take_rows(old, &fresh_limits, &fresh_times);
        let next = Resolved {
            log,
            allow_origins,
            hosts,
            has_websocket_deflate,
            is_open,
            access,
            token_leeway_ms,
            limits,
            times,
            ..old.clone()
        };
        Self { next, reloaded }
    }
}

impl Reloaded {
    /// The rows of the tables that will be in force.
    fn take_rows(&mut self, old: &Resolved, fresh_limits: &Limits, fresh_times: &Times) -> (Limits, Times) {
        let (mut limits, mut times) = (old.limits.clone(), old.times.clone());
        // A message must fit into a log, and how much a log keeps cannot change.
        let fits = fresh_limits.message_bytes_max <= old.limits.retention_bytes_max;
        let is_taken = |name: &str| TAKEN_OVER.contains(&name) && (fits || name != "message_bytes_max");
        for (row, value) in changed(old.limits.values(), fresh_limits.values()) {
            self.book(row, is_taken(row.name) && limits.set(row.name, value));
        }
        for (row, value) in changed(old.times.values(), fresh_times.values()) {
            self.book(row, is_taken(row.name) && times.set(row.name, value));
        }
        (limits, times)
    }

    fn book(&mut self, row: &LimitRow, is_taken: bool) {
        let list = if is_taken { &mut self.taken_over } else { &mut self.needs_restart };
        list.push(keys::path_of(row.name));
    }
}

/// The rows whose values differ, with the fresh ones.
fn changed(
    old: impl Iterator<Item = (&'static LimitRow, u64)>,
    fresh: impl Iterator<Item = (&'static LimitRow, u64)>,
) -> impl Iterator<Item = (&'static LimitRow, u64)> {
    old.zip(fresh).filter(|((_, was), (_, is))| was != is).map(|(_, fresh)| fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_that_is_taken_over_exists() {
        for name in TAKEN_OVER {
            assert!(Limits::default().set(name, 1) || Times::default().set(name, 1), "{name}");
            assert_ne!(keys::path_of(name), **name, "{name} has a key");
        }
    }

    #[test]
    fn what_changed_is_named_and_the_rest_stays() {
        let old = Resolved::default();
        let mut fresh = Resolved {
            allow_origins: vec!["https://app.example".into()],
            workers: old.workers + 1,
            ..old.clone()
        };
        fresh.times.heartbeat_ms = 1;
        fresh.limits.retention_messages_max = 7;
        let Change { next, reloaded } = Change::between(&old, fresh.clone());
        assert_eq!(reloaded.taken_over, ["allow_origins", "times.heartbeat"]);
        assert_eq!(reloaded.needs_restart, ["workers", "retention.messages"]);
        assert_eq!((next.times.heartbeat_ms, &next.allow_origins), (1, &fresh.allow_origins));
        assert_eq!(next.workers, old.workers);
        assert_eq!(next.limits, old.limits);
        // Once more: what needs a restart is named again, what is in force is not.
        let again = Change::between(&next, fresh).reloaded;
        assert_eq!((again.taken_over.len(), again.needs_restart.len()), (0, 2));
    }

    #[test]
    fn a_message_that_no_log_could_keep_is_not_allowed() {
        let old = Resolved {
            limits: Limits { retention_bytes_max: 100_000, ..Limits::default() },
            ..Resolved::default()
        };
        let fresh = Resolved {
            limits: Limits {
                retention_bytes_max: 1_000_000,
                message_bytes_max: 500_000,
                ..Limits::default()
            },
            ..old.clone()
        };
        let Change { next, reloaded } = Change::between(&old, fresh);
        assert_eq!(next.limits, old.limits);
        assert_eq!(reloaded.needs_restart, ["limits.message_bytes_max", "retention.bytes"]);
    }
}
