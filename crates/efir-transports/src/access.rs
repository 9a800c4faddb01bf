//! Who asks, and whether it may: finds what a request carries, asks the gate, and says what was refused. What a right is, and what
//! makes a token good, stands in `efir-access`; how long a right lasts on a response that goes on, in [`crate::guarded`].

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use efir_access::{Action, Caller, FromPolicy, Gate, RefusalReason, RuleOptions, TicketReason, Tickets};
use efir_core::{ChannelName, Code, Problem, Start};
use efir_engine::{Holder, Hub, clock};
use http::{header, request::Parts};

use crate::{
    Choice,
    kept::Kept,
    query::Query,
    request::{ReadRequest, Scope},
    site::Site,
    upgrade,
};

/// What a subprotocol with a token begins with. It is never answered: `efir` beside it is.
const TOKEN_PROTOCOL: &str = "efir.token.";
/// Names under which tokens are put into URLs elsewhere.
const QUERY_TOKENS: [&str; 4] = ["token", "access_token", "jwt", "authorization"];

/// Who may do what on a site. One for all snapshots of its configuration.
#[derive(Debug)]
pub struct Access {
    gate: ArcSwap<Gate>,
    /// Looked at first, by each request.
    is_closed: AtomicBool,
    /// How often the rules, keys or revocations have changed.
    changes: AtomicU64,
    tickets: ArcSwapOption<Tickets>,
    /// Told of tokens that name a key which nobody knows; set once.
    unknown_key: OnceLock<UnknownKey>,
    kept: Kept,
}

struct UnknownKey(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for UnknownKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnknownKey")
    }
}

/// Who asks, where not everybody may do everything.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    access: Arc<Access>,
    pub(crate) caller: Caller,
    /// When it was looked at last, counted in changes.
    changes: u64,
}

impl Access {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self {
            gate: ArcSwap::from_pointee(Gate::open()),
            is_closed: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            tickets: ArcSwapOption::empty(),
            unknown_key: OnceLock::new(),
            kept: Kept::default(),
        }
    }

    /// This gate judges, and gives tickets if it can.
    pub fn new(gate: Gate, tickets: Option<Arc<Tickets>>) -> Self {
        let is_closed = AtomicBool::new(!gate.is_open());
        Self { gate: ArcSwap::from_pointee(gate), is_closed, tickets: tickets.into(), ..Self::open() }
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
    }

    /// The gate that judges now.
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.load_full()
    }

    /// Calls this for each token that names a key (`kid`) which nobody knows: an issuer may have published a new one. The token
    /// is refused all the same, and whoever sent it may be anybody: what is called has to bound what it does. Set once.
    pub fn on_unknown_key(&self, told: impl Fn() + Send + Sync + 'static) {
        // A second one would never be asked for.
        let _ = self.unknown_key.set(UnknownKey(Box::new(told)));
    }

    /// Who shows this as `Bearer`.
    fn identify_bearer(&self, bearer: &str) -> Result<Caller, Problem> {
        let gate = self.gate();
        gate.identify_bearer(bearer, clock::now_ms()).map_err(|error| {
            if let Some(UnknownKey(told)) = self.unknown_key.get()
                && gate.names_unknown_key(bearer)
            {
                told();
            }
            error.problem()
        })
    }

    pub(crate) fn replace_gate(&self, gate: Gate) {
        let is_closed = !gate.is_open();
        self.gate.store(Arc::new(gate));
        self.is_closed.store(is_closed, Ordering::Release);
        self.touch();
    }

    /// The hub's channels keep what the rules of the gate say.
    pub(crate) fn keep(&self, hub: &Hub) {
        self.kept.follow(hub, || self.gate());
    }

    pub(crate) fn touch(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn replace_tickets(&self, tickets: Arc<Tickets>) {
        self.tickets.store(Some(tickets));
    }

    pub(crate) fn tickets(&self) -> Option<Arc<Tickets>> {
        self.tickets.load_full()
    }
}

/// Who asks; `None` where everybody may do everything.
///
/// # Errors
/// What the request carries is worth nothing, or it carries two things.
pub(crate) fn visitor(
    site: &Site,
    parts: &Parts,
    query: &Query<'_>,
) -> Result<Option<Box<Visitor>>, Problem> {
    let access = site.access();
    if access.is_open() {
        return Ok(None);
    }
    let changes = access.changes.load(Ordering::SeqCst);
    let caller = identify(site, parts, query)?;
    Ok(Some(Box::new(Visitor { access: Arc::clone(access), caller, changes })))
}

fn identify(site: &Site, parts: &Parts, query: &Query<'_>) -> Result<Caller, Problem> {
    for name in QUERY_TOKENS {
        if query.one(name)?.is_some() {
            let detail = format!(
                "`{name}` in a URL ends up in logs and histories: send the token as 'Authorization: Bearer TOKEN', a WebSocket's \
                 as the subprotocols 'efir' and '{TOKEN_PROTOCOL}TOKEN', and for an EventSource get a ticket by POST /tickets"
            );
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
    }
    let bearer = bearer(parts)?;
    let protocol = protocol_token(parts);
    let ticket = query.one("ticket")?;
    match (bearer, protocol, ticket) {
        (None, None, None) => Ok(Caller::Anonymous),
        (Some(bearer), None, None) => site.access().identify_bearer(bearer),
        (None, Some(token), None) => site.access().identify_bearer(&token),
        (None, None, Some(ticket)) => by_ticket(site, parts, ticket),
        _ => {
            let detail = "the request carries more than one of Authorization, a subprotocol with a token, and a ticket";
            Err(Problem::new(Code::ConflictingRequest, detail))
        }
    }
}

fn by_ticket(site: &Site, parts: &Parts, ticket: &str) -> Result<Caller, Problem> {
    if !parts.method.is_safe() || upgrade::is_asked(parts) {
        let detail = "a ticket is for reading with EventSource; everything else takes a token";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let Some(tickets) = site.access().tickets() else {
        return Err(Problem::new(Code::Unauthorized, "this server gives no tickets; send a token"));
    };
    let (origin, now_ms) = (site.policy().foreign_origin(parts), clock::now_ms());
    let caller = tickets.identify(ticket, origin, now_ms).map_err(|error| match error.reason {
        TicketReason::Expired => Problem::new(Code::TokenExpired, error.to_string()),
        _ => Problem::new(Code::Unauthorized, error.to_string()),
    })?;
    // The key of its token may be gone since it was made.
    check_caller(&site.access().gate(), &caller, now_ms)?;
    Ok(caller)
}

/// `Authorization: Bearer …`. Other schemes are somebody else's, perhaps a proxy's.
fn bearer(parts: &Parts) -> Result<Option<&str>, Problem> {
    let mut lines = parts.headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Problem::new(Code::ConflictingRequest, "there is more than one Authorization header"));
    }
    let Ok(text) = first.to_str() else { return Ok(None) };
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim()))
}

/// The token among the subprotocols of a WebSocket: what a browser can send, which has no other header of its own there.
fn protocol_token(parts: &Parts) -> Option<String> {
    if !upgrade::is_asked(parts) {
        return None;
    }
    let protocols = upgrade::joined(&parts.headers, header::SEC_WEBSOCKET_PROTOCOL);
    protocols.split(',').find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PROTOCOL)).map(str::to_owned)
}

impl Visitor {
    /// A visitor of a site that is closed, who has shown nothing yet or is as it was before.
    pub(crate) fn with_caller(&self, caller: Caller) -> Self {
        Self { access: Arc::clone(&self.access), caller, changes: self.changes }
    }

    /// The user or server of a token that is shown later.
    ///
    /// # Errors
    /// It is worth nothing.
    pub(crate) fn identify(&self, token: &str) -> Result<Caller, Problem> {
        self.access.identify_bearer(token)
    }

    /// Whether it may do this now, and what else holds for what it does.
    ///
    /// # Errors
    /// It may not; the problem names the channel.
    pub(crate) fn judge(&self, action: Action, channel: &ChannelName) -> Result<RuleOptions, Problem> {
        let gate = self.access.gate();
        let judged = gate.judge(&self.caller, action, channel, clock::now_ms());
        judged.cloned().map_err(|refusal| refusal.problem(channel))
    }

    /// Whether it may read a channel from there; a cursor is bounded where it may not have the history.
    ///
    /// # Errors
    /// It may not read the channel, or not from there.
    pub(crate) fn judge_read(
        &self,
        hub: &Hub,
        (channel, start): (&ChannelName, &mut Start),
        is_snapshot: bool,
    ) -> Result<(), Problem> {
        if channel.is_presence_log() {
            // A ticket reads such a log as any other; to everybody else it is who is there, and refused in these words.
            let read = self.judge(Action::Subscribe, channel);
            return read.or_else(|_| self.judge(Action::Presence, channel)).map(|_| ());
        }
        self.judge(Action::Subscribe, channel)?;
        match start {
            Start::Now if !is_snapshot => Ok(()),
            Start::After(cursor) => {
                if self.judge(Action::History, channel).is_err() {
                    let since_ms = clock::age_ms().saturating_sub(hub.times().replay_ms);
                    *cursor = cursor.not_before(since_ms);
                }
                Ok(())
            }
            // Where the channel stands is in every `hello`.
            Start::Last(0) => Ok(()),
            Start::Now | Start::Beginning | Start::Last(_) => {
                self.judge(Action::History, channel).map(|_| ())
            }
        }
    }

    /// Judges all that a request wants to read and enter. One channel of several that is refused is told in the answer.
    ///
    /// # Errors
    /// Nothing is left.
    pub(crate) fn admit(&self, hub: &Hub, asked: &mut ReadRequest) -> Result<(), Problem> {
        let is_snapshot = asked.transport.choice == Choice::Otherwise;
        asked.scope.admit(|channel, start| self.judge_read(hub, (channel, start), is_snapshot))?;
        let Some(mut entering) = asked.entering.take() else { return Ok(()) };
        let mut refused = Vec::new();
        entering.channels.retain(|channel| {
            self.judge(Action::Presence, channel).map_err(|problem| refused.push(problem)).is_ok()
        });
        match &mut asked.scope {
            Scope::Several { bad, .. } => bad.append(&mut refused),
            Scope::One { .. } => refused.pop().map_or(Ok(()), Err)?,
        }
        asked.entering = Some(entering).filter(|entering| !entering.channels.is_empty());
        Ok(())
    }

    /// What a message says about its sender.
    pub(crate) fn from(&self, options: &RuleOptions) -> Option<&str> {
        match options.from {
            FromPolicy::User => self.caller.user_name().map(|name| &**name),
            FromPolicy::None => None,
        }
    }

    /// Who pays for what is published, beside the connection.
    pub(crate) fn holder(&self, hub: &Hub) -> Option<Holder> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::User(user) => Some(hub.holders().user(&user.name)),
            Caller::Server(server) => Some(hub.holders().key(&server.name)),
        }
    }

    /// Whether anything has changed since it was looked at; from now on it counts as looked at.
    pub(crate) fn is_outdated(&mut self) -> bool {
        let changes = self.access.changes.load(Ordering::SeqCst);
        std::mem::replace(&mut self.changes, changes) != changes
    }

    /// Whether what it has shown still holds.
    ///
    /// # Errors
    /// It is over or revoked, or its key is no longer in force.
    pub(crate) fn check_caller(&self) -> Result<(), Problem> {
        check_caller(&self.access.gate(), &self.caller, clock::now_ms())?;
        let is_accepted = |user| self.access.tickets().is_some_and(|tickets| tickets.accept(user));
        match self.caller.user().filter(|user| user.is_ticket()) {
            Some(user) if !is_accepted(user) => Err(gone(RefusalReason::KeyGone)),
            _ => Ok(()),
        }
    }
}

fn check_caller(gate: &Gate, caller: &Caller, now_ms: u64) -> Result<(), Problem> {
    gate.check_caller(caller, now_ms).map_err(|reason| match reason {
        RefusalReason::Expired => expired(),
        reason => gone(reason),
    })
}

fn gone(reason: RefusalReason) -> Problem {
    Problem::new(Code::Unauthorized, format!("{} ({})", reason.text(), reason.as_str()))
}

/// The token's time is over.
pub(crate) fn expired() -> Problem {
    Problem::new(
        Code::TokenExpired,
        "the token's time is over; get a new one and connect again with the cursor",
    )
}
