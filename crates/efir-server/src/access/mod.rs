//! Who may do what on a running server: makes the gate from the configuration, and a new one when the configuration or a
//! set of keys behind a URL has changed. What a gate is, `efir-access` knows; who asks it, the transports.

mod fetch;
mod follow;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use efir_access::{Gate, GateParts, KeyError, KeySet, Revocations, Rules, Tickets};
use efir_transports::{Access, Site};
use parking_lot::{Condvar, Mutex};

use self::follow::Follower;
use crate::config::Resolved;
use crate::config::access::RemoteKeys;

/// How long a start waits for sets of keys that are fetched.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// What a gate is made of, without the keys that are fetched.
///
/// # Errors
/// Too many keys, or too many for one token.
pub(crate) fn parts(config: &Resolved, revocations: &Arc<Revocations>) -> Result<GateParts, KeyError> {
    let access = &config.access;
    let rules = match &access.rules {
        Some(rules) => rules.clone(),
        None if config.is_open => Rules::anyone(),
        None => Rules::grants_only(),
    };
    Ok(GateParts {
        rules: Arc::new(rules),
        token_keys: Arc::new(KeySet::join([access.token_keys.clone()])?),
        server_keys: Arc::new(access.server_keys.clone()),
        leeway_ms: config.token_leeway_ms,
        revocations: Arc::clone(revocations),
    })
}

/// A set of keys behind a URL, as far as it is known.
#[derive(Debug)]
struct Fetched {
    source: RemoteKeys,
    keys: Option<KeySet>,
    /// Whether it was asked for at least once.
    is_tried: bool,
}

#[derive(Debug)]
struct State {
    /// `None`: everybody may do everything, and there is nobody to know.
    parts: Option<GateParts>,
    local: KeySet,
    fetched: Vec<Fetched>,
    /// What makes tickets; `None`: a secret of this process.
    tickets: Option<Arc<Tickets>>,
    /// Where gates go to, once there is a site.
    site: Option<Site>,
}

/// Keeps the gate of a site.
#[derive(Debug)]
pub(crate) struct Keeper {
    revocations: Arc<Revocations>,
    /// What makes tickets where the configuration says nothing about that; as long as the process lives.
    own_tickets: Arc<Tickets>,
    state: Mutex<State>,
    tried: Condvar,
    follower: Mutex<Option<Follower>>,
}

/// A gate that has passed every check and is not yet in force.
pub(crate) struct Prepared(State);

impl Keeper {
    /// Of a server that starts with this configuration. Waits for keys that are fetched, up to [`FIRST_MAX`]: whoever
    /// came before them would be told that its token is worth nothing.
    ///
    /// # Errors
    /// The keys do not fit together, there is no way to ask for those behind URLs, or the system has no random bytes for what
    /// makes tickets.
    pub(crate) fn start(config: &Resolved, revocations: Arc<Revocations>) -> anyhow::Result<Arc<Self>> {
        let state = State::new(config, &revocations, &[])?;
        let keeper = Arc::new(Self {
            revocations,
            own_tickets: own_tickets()?,
            state: Mutex::new(state),
            tried: Condvar::new(),
            follower: Mutex::new(None),
        });
        keeper.follow()?;
        let until = Instant::now() + FIRST_MAX;
        let mut state = keeper.state.lock();
        while state.fetched.iter().any(|fetched| !fetched.is_tried) {
            if keeper.tried.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        drop(state);
        Ok(keeper)
    }

    /// Who may do what on a site that is made now.
    pub(crate) fn access(&self) -> Access {
        let state = self.state.lock();
        Access::new(state.gate(), Some(self.tickets(&state)))
    }

    fn tickets(&self, state: &State) -> Arc<Tickets> {
        Arc::clone(state.tickets.as_ref().unwrap_or(&self.own_tickets))
    }

    /// New gates go to this site, and it tells of keys that it misses.
    pub(crate) fn attach(self: &Arc<Self>, site: &Site) {
        let home = Arc::downgrade(self);
        site.access().on_unknown_key(move || {
            if let Some(keeper) = home.upgrade()
                && let Some(follower) = &*keeper.follower.lock()
            {
                follower.missed();
            }
        });
        let mut state = self.state.lock();
        state.site = Some(site.clone());
        // Keys may have come since the site was made.
        site.replace_gate(state.gate());
    }

    /// Checks a new configuration. Sets of keys that are known already are kept.
    ///
    /// # Errors
    /// The keys do not fit together.
    pub(crate) fn prepare(&self, config: &Resolved) -> Result<Prepared, KeyError> {
        State::new(config, &self.revocations, &self.state.lock().fetched).map(Prepared)
    }

    /// Puts it in force on this site, for those who are connected, too, and asks for all sets of keys again.
    ///
    /// # Errors
    /// There is no way to ask for keys; the gate is in force all the same.
    pub(crate) fn replace(self: &Arc<Self>, Prepared(fresh): Prepared, site: Site) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        *state = fresh;
        site.replace_tickets(self.tickets(&state));
        state.site = Some(site);
        state.publish();
        drop(state);
        self.follow()
    }

    /// Follows the sources of keys as they are now.
    fn follow(self: &Arc<Self>) -> anyhow::Result<()> {
        let sources: Vec<_> =
            self.state.lock().fetched.iter().map(|fetched| fetched.source.clone()).collect();
        let mut follower = self.follower.lock();
        match &*follower {
            Some(follower) => follower.follow(sources),
            None if sources.is_empty() => {}
            None => *follower = Some(Follower::start(Arc::downgrade(self), sources)?),
        }
        Ok(())
    }

    /// Takes what came of asking for a set of keys; `false`: nobody wants it any more, or it does not fit.
    fn put(&self, source: &RemoteKeys, keys: Option<KeySet>) -> Result<(), KeyError> {
        let mut state = self.state.lock();
        let Some(at) = state.fetched.iter().position(|fetched| fetched.source == *source) else {
            return Ok(());
        };
        let put = match keys {
            Some(keys) => state.put(at, keys),
            None => Ok(()),
        };
        if let Some(fetched) = state.fetched.get_mut(at) {
            fetched.is_tried = true;
        }
        self.tried.notify_all();
        put
    }
}

impl State {
    fn new(config: &Resolved, revocations: &Arc<Revocations>, known: &[Fetched]) -> Result<Self, KeyError> {
        let access = &config.access;
        let is_closed = access.rules.is_some() || access.has_keys();
        let keys_of = |source: &RemoteKeys| known.iter().find(|known| known.source == *source)?.keys.clone();
        let fetched = |source: &RemoteKeys| {
            let keys = keys_of(source);
            Fetched { source: source.clone(), is_tried: keys.is_some(), keys }
        };
        let mut state = Self {
            parts: is_closed.then(|| parts(config, revocations)).transpose()?,
            local: access.token_keys.clone(),
            fetched: access.remote_keys.iter().map(fetched).collect(),
            tickets: access.tickets.clone(),
            site: None,
        };
        state.join()?;
        Ok(state)
    }

    /// All keys as one set.
    fn join(&mut self) -> Result<(), KeyError> {
        let fetched = self.fetched.iter().filter_map(|fetched| fetched.keys.clone());
        let keys = KeySet::join([self.local.clone()].into_iter().chain(fetched))?;
        if let Some(parts) = &mut self.parts {
            parts.token_keys = Arc::new(keys);
        }
        Ok(())
    }

    fn put(&mut self, at: usize, keys: KeySet) -> Result<(), KeyError> {
        let Some(fetched) = self.fetched.get_mut(at) else { return Ok(()) };
        let before = fetched.keys.replace(keys);
        if let Err(error) = self.join() {
            if let Some(fetched) = self.fetched.get_mut(at) {
                fetched.keys = before;
            }
            return Err(error);
        }
        self.publish();
        Ok(())
    }

    fn gate(&self) -> Gate {
        self.parts.clone().map_or_else(Gate::open, Gate::new)
    }

    fn publish(&self) {
        if let Some(site) = &self.site {
            site.replace_gate(self.gate());
        }
    }
}

/// What makes tickets, with a secret that nobody else has.
fn own_tickets() -> anyhow::Result<Arc<Tickets>> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| anyhow::anyhow!("the system has no random bytes"))?;
    Ok(Arc::new(Tickets::new(&[&secret])?))
}

/// What a follower gives its finds to; it must not keep a server alive.
type Home = Weak<Keeper>;

#[cfg(test)]
mod tests;
