//! The gate: who a token belongs to, and whether a caller may do something. Immutable; a new configuration or a new set
//! of keys is a new gate. It must not know where a token was carried, nor what follows from a refusal.

use std::sync::Arc;

use efir_core::ChannelName;

use crate::action::Action;
use crate::caller::{Caller, User};
use crate::explain::{Step, Steps, Verdict};
use crate::keys::KeySet;
use crate::refusal::{Refusal, RefusalReason};
use crate::revocations::Revocations;
use crate::rules::{Audience, Rule, RuleOptions, Rules};
use crate::seen::{Seen, Shown};
use crate::server_keys::ServerKeys;
use crate::token::{self, TokenError, TokenReason};

/// The leeway for clocks that differ, in ms, where the configuration says nothing.
pub const LEEWAY_MS_DEFAULT: u64 = 5_000;
/// The most leeway, in ms.
pub const LEEWAY_MS_MAX: u64 = 60_000;

/// What a gate is made of. The parts are shared: a gate with other keys is a clone with one field changed.
#[derive(Clone, Debug)]
pub struct GateParts {
    /// Who may do what.
    pub rules: Arc<Rules>,
    /// The keys that sign tokens.
    pub token_keys: Arc<KeySet>,
    /// The keys of backends.
    pub server_keys: Arc<ServerKeys>,
    /// How far clocks may differ, in ms; more than [`LEEWAY_MS_MAX`] counts as that. For `exp` and `nbf`.
    pub leeway_ms: u64,
    /// Who and what is revoked.
    pub revocations: Arc<Revocations>,
}

/// Judges. [`Gate::open`] lets everything pass.
#[derive(Debug, Default)]
pub struct Gate(Option<Box<Closed>>);

#[derive(Debug)]
struct Closed {
    parts: GateParts,
    /// Tokens whose signature held; dies with the gate, and so with its keys.
    seen: Seen<Arc<User>>,
    /// Those that a signature was checked for in vain, and when.
    failed: Seen<(TokenError, u64)>,
}

impl Default for GateParts {
    /// No rules, no keys: nobody may anything.
    fn default() -> Self {
        Self {
            rules: Arc::default(),
            token_keys: Arc::default(),
            server_keys: Arc::default(),
            leeway_ms: LEEWAY_MS_DEFAULT,
            revocations: Arc::default(),
        }
    }
}

impl Gate {
    /// Everybody may everything; there are no users.
    #[must_use]
    pub fn open() -> Self {
        Self(None)
    }

    /// A gate that judges by these rules and keys.
    #[must_use]
    pub fn new(mut parts: GateParts) -> Self {
        parts.leeway_ms = parts.leeway_ms.min(LEEWAY_MS_MAX);
        Self(Some(Box::new(Closed { parts, seen: Seen::default(), failed: Seen::default() })))
    }

    /// Whether everything passes: one branch.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// What it is made of; `None` of an open one.
    #[must_use]
    pub fn parts(&self) -> Option<&GateParts> {
        self.0.as_ref().map(|closed| &closed.parts)
    }

    /// Whether the caller may do this now, and what else holds for what it does. A log of members
    /// (`{channel}/presence`) asks for [`Action::Presence`] of its channel, whether it is read now or from before.
    ///
    /// # Errors
    /// The caller may not; never of an open gate.
    pub fn judge(
        &self,
        caller: &Caller,
        action: Action,
        channel: &ChannelName,
        now_ms: u64,
    ) -> Result<&RuleOptions, Refusal> {
        let Some(closed) = &self.0 else { return Ok(&RuleOptions::DEFAULT) };
        closed.judge(caller, action, channel.as_str(), now_ms)
    }

    /// Whether a caller that was judged before, perhaps by another gate, is still who it was: the token is neither over
    /// nor revoked, and the key that signed it, or was shown, is in force as it was then. For whoever is connected, and for
    /// tickets, which outlive gates. Takes a comparison for each key.
    ///
    /// # Errors
    /// [`RefusalReason::Expired`], [`RefusalReason::Revoked`] or [`RefusalReason::KeyGone`].
    pub fn check_caller(&self, caller: &Caller, now_ms: u64) -> Result<(), RefusalReason> {
        let Some(closed) = &self.0 else { return Ok(()) };
        let parts = &closed.parts;
        let is_in_force = match caller {
            Caller::Anonymous => true,
            Caller::User(user) => {
                closed.check_time(user, now_ms)?;
                parts.token_keys.has(user.signer)
            }
            Caller::Server(server) => parts.server_keys.has(server),
        };
        if is_in_force { Ok(()) } else { Err(RefusalReason::KeyGone) }
    }

    /// What holds for a channel, whoever uses it: its retention and the size of its messages.
    #[must_use]
    pub fn options(&self, channel: &ChannelName) -> &RuleOptions {
        let Some(closed) = &self.0 else { return &RuleOptions::DEFAULT };
        let rules = &closed.parts.rules;
        let rule = rules.number_of(channel).and_then(|number| rules.as_slice().get(number));
        rule.map_or(&RuleOptions::DEFAULT, |rule| &rule.options)
    }

    /// Who shows this text as `Bearer`: a server key or a token.
    ///
    /// # Errors
    /// It is neither.
    pub fn identify_bearer(&self, bearer: &str, now_ms: u64) -> Result<Caller, TokenError> {
        match self.identify_server(bearer) {
            Some(server) => Ok(Caller::Server(server)),
            None => self.identify(bearer, now_ms),
        }
    }

    /// The user of a token. What was verified once is remembered, until it is over, and so is what failed.
    ///
    /// # Errors
    /// The token is worth nothing; the reason is stable, the text says what to do.
    pub fn identify(&self, token: &str, now_ms: u64) -> Result<Caller, TokenError> {
        let Some(closed) = &self.0 else { return Err(TokenError::new(TokenReason::UnknownKey)) };
        closed.identify(token, now_ms).map(Caller::User)
    }

    /// Whether a token that was refused names a key (`kid`) that nobody here knows and an issuer may have begun to sign
    /// with: a reason to look whether it has published one. The key's name is all that was read of the token.
    #[must_use]
    pub fn names_unknown_key(&self, token: &str) -> bool {
        self.parts().is_some_and(|parts| token::names_unknown_key(token, &parts.token_keys))
    }

    /// The server of a key.
    #[must_use]
    pub fn identify_server(&self, key: &str) -> Option<Arc<crate::caller::ServerKey>> {
        self.parts()?.server_keys.identify(key).cloned()
    }

    /// Each check of a token with its verdict, for people. Says more than a stranger may know.
    #[must_use]
    pub fn explain(&self, token: &str, now_ms: u64) -> Vec<Step> {
        let mut steps = Steps::default();
        match &self.0 {
            None => steps.note("gate", Verdict::Held, "the gate is open: no token is needed or read"),
            Some(closed) => _ = closed.explain(token, now_ms, &mut steps),
        }
        steps.into_vec()
    }

    /// As [`Gate::explain`], and then whether the token allows this.
    #[must_use]
    pub fn explain_access(
        &self,
        token: &str,
        action: Action,
        channel: &ChannelName,
        now_ms: u64,
    ) -> Vec<Step> {
        let mut steps = Steps::default();
        match &self.0 {
            None => steps.note("gate", Verdict::Held, "the gate is open: everybody may everything"),
            Some(closed) => match closed.explain(token, now_ms, &mut steps).map(Caller::User) {
                Some(user) => closed.explain_access(&user, action, channel.as_str(), &mut steps),
                None => steps.note("access", Verdict::Refused, "a bad token is refused wherever it is shown"),
            },
        }
        steps.into_vec()
    }
}

impl Closed {
    fn judge(
        &self,
        caller: &Caller,
        action: Action,
        channel: &str,
        now_ms: u64,
    ) -> Result<&RuleOptions, Refusal> {
        let refuse = |reason| Refusal { reason, action };
        if let Caller::User(user) = caller {
            self.check_time(user, now_ms).map_err(refuse)?;
        }
        let (name, asked) = self.subject(channel, action);
        if name.len() < channel.len() && action == Action::Publish {
            return Err(refuse(RefusalReason::PresenceLog));
        }
        let rule = self.rule(caller, name).ok_or(refuse(RefusalReason::NoRule))?;
        if asked == Action::Presence && !rule.options.has_presence {
            return Err(refuse(RefusalReason::NoPresence));
        }
        let audience = rule.audience(asked);
        match caller {
            // It names the log of members itself: to read that is less than to enter the channel.
            Caller::User(user) if user.is_ticket() => admit_ticket(user, action, channel, audience),
            _ => admit(caller, asked, name, audience),
        }
        .map_err(refuse)?;
        Ok(&rule.options)
    }

    fn check_time(&self, user: &User, now_ms: u64) -> Result<(), RefusalReason> {
        if user.expires_ms <= now_ms {
            Err(RefusalReason::Expired)
        } else if self.parts.revocations.has(user, now_ms) {
            Err(RefusalReason::Revoked)
        } else {
            Ok(())
        }
    }

    /// What is judged: a log of members stands for the presence of its channel.
    fn subject<'a>(&self, channel: &'a str, action: Action) -> (&'a str, Action) {
        // No other name has a '/'.
        channel.split_once('/').map_or((channel, action), |(name, _)| (name, Action::Presence))
    }

    fn rule(&self, caller: &Caller, name: &str) -> Option<&Rule> {
        match caller {
            Caller::Server(_) => self.parts.rules.find_for_any_user(name),
            Caller::User(user) => self.parts.rules.find(name, Some(&user.name)),
            Caller::Anonymous => self.parts.rules.find(name, None),
        }
    }

    fn identify(&self, token: &str, now_ms: u64) -> Result<Arc<User>, TokenError> {
        let shown = Shown::of(token);
        let user = match self.seen.find(&shown) {
            Some(user) if user.expires_ms <= now_ms => return Err(TokenError::new(TokenReason::Expired)),
            Some(user) => user,
            None => self.verify(token, &shown, now_ms)?,
        };
        if self.parts.revocations.has(&user, now_ms) {
            return Err(TokenError::new(TokenReason::Revoked));
        }
        Ok(user)
    }

    /// Checks a signature, unless it is known what comes of that.
    fn verify(&self, token: &str, shown: &Shown, now_ms: u64) -> Result<Arc<User>, TokenError> {
        // A clock that was set back may make good what was over.
        if let Some((error, _)) = self.failed.find(shown).filter(|(_, at_ms)| *at_ms <= now_ms) {
            return Err(error);
        }
        let parts = &self.parts;
        let verified = token::verify(token, &parts.token_keys, parts.leeway_ms, now_ms, &mut ());
        let user = verified.map(Arc::new).inspect_err(|error| {
            if error.reason.is_for_good() {
                self.failed.keep(shown, (error.clone(), now_ms));
            }
        })?;
        self.seen.keep(shown, Arc::clone(&user));
        Ok(user)
    }

    fn explain(&self, token: &str, now_ms: u64, steps: &mut Steps) -> Option<Arc<User>> {
        let parts = &self.parts;
        let user = token::verify(token, &parts.token_keys, parts.leeway_ms, now_ms, steps);
        let user = Arc::new(user.inspect_err(|error| steps.refuse(error)).ok()?);
        if parts.revocations.has(&user, now_ms) {
            steps.refuse(&TokenError::new(TokenReason::Revoked));
            return None;
        }
        steps.note("user", Verdict::Held, format!("'{}', signed by key '{}'", user.name, user.key));
        for grant in &user.grants {
            steps.note("grant", Verdict::Held, format!("{grant:?}"));
        }
        Some(user)
    }

    fn explain_access(&self, caller: &Caller, action: Action, channel: &str, steps: &mut Steps) {
        let (name, asked) = self.subject(channel, action);
        let rules = self.parts.rules.as_slice();
        match self.rule(caller, name) {
            None => steps.note("rule", Verdict::Refused, "no rule has the channel for this caller"),
            Some(rule) => {
                let number = rules.iter().position(|other| std::ptr::eq(other, rule)).map_or(0, |n| n + 1);
                let audience = rule.audience(asked).as_str();
                let text = format!("rule {number} {:?}: {asked} = \"{audience}\"", rule.channels);
                steps.note("rule", Verdict::Held, text);
            }
        }
        match self.judge(caller, action, channel, 0) {
            Ok(_) => steps.note("access", Verdict::Held, format!("{action} on '{channel}' is allowed")),
            Err(refusal) => steps.note("access", Verdict::Refused, refusal.to_string()),
        }
    }
}

fn admit(caller: &Caller, action: Action, name: &str, audience: Audience) -> Result<(), RefusalReason> {
    match (caller, audience) {
        (Caller::Server(server), _) if server.may(action, name) => Ok(()),
        (Caller::Server(_), _) => Err(RefusalReason::ServerKey),
        (_, Audience::Nobody) => Err(RefusalReason::Nobody),
        (_, Audience::Anyone) => Ok(()),
        (Caller::Anonymous, Audience::Authenticated | Audience::Grant) => Err(RefusalReason::NoToken),
        (Caller::User(_), Audience::Authenticated) => Ok(()),
        (Caller::User(user), Audience::Grant) if user.is_granted(action, name) => Ok(()),
        (Caller::User(_), Audience::Grant) => Err(RefusalReason::NotGranted),
    }
}

/// A ticket was made for what could be read then; now it is enough that somebody still may.
fn admit_ticket(user: &User, action: Action, channel: &str, audience: Audience) -> Result<(), RefusalReason> {
    if audience == Audience::Nobody {
        Err(RefusalReason::Nobody)
    } else if user.is_granted(action, channel) {
        Ok(())
    } else {
        Err(RefusalReason::Ticket)
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
