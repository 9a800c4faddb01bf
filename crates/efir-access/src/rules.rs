//! What the configuration says about channels: who may do what, and what else holds for them. The first rule that has
//! the channel decides; what no rule has is closed to everybody.

use efir_core::ChannelName;
use thiserror::Error;

use crate::action::Action;
use crate::pattern::Pattern;

/// How many rules there may be.
pub const RULES_MAX: usize = 1_000;
/// How many patterns a rule may have.
pub const RULE_PATTERNS_MAX: usize = 100;

/// Who may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Everybody, with or without a token.
    Anyone,
    /// Every user with a valid token.
    Authenticated,
    /// Users whose token has a grant for it.
    Grant,
    /// No user. A server key may.
    #[default]
    Nobody,
}

/// What a message says about who sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FromPolicy {
    /// `from` is the verified user; without one there is no `from`.
    #[default]
    User,
    /// No message has a `from`.
    None,
}

/// What holds for the channels of a rule besides who may do what. `None`: as everywhere on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleOptions {
    /// What a message says about its sender.
    pub from: FromPolicy,
    /// Whether the channels have members at all.
    pub has_presence: bool,
    /// How many messages a channel keeps; at most the node's.
    pub retention_messages_max: Option<usize>,
    /// How many bytes of messages a channel keeps; at most the node's.
    pub retention_bytes_max: Option<usize>,
    /// How old a message may become, in ms; at most the node's.
    pub retention_ms_max: Option<u64>,
    /// The largest payload, in bytes; at most the node's.
    pub message_bytes_max: Option<usize>,
}

/// One rule of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which channels; one matching pattern is enough.
    pub channels: Vec<Pattern>,
    /// Who may read what comes.
    pub subscribe: Audience,
    /// Who may publish.
    pub publish: Audience,
    /// Who may read what was.
    pub history: Audience,
    /// Who may see and be seen.
    pub presence: Audience,
    /// What else holds.
    pub options: RuleOptions,
}

/// All rules, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// Why these are no rules.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RulesError {
    /// More than [`RULES_MAX`].
    #[error("there are {0} rules; at most {RULES_MAX} are allowed")]
    TooMany(usize),
    /// A rule without a pattern, or with more than [`RULE_PATTERNS_MAX`]; its number counts from 1.
    #[error("rule {rule} has {patterns} patterns of channels; 1 to {RULE_PATTERNS_MAX} are allowed")]
    Patterns {
        /// Which rule.
        rule: usize,
        /// How many it has.
        patterns: usize,
    },
}

impl Audience {
    /// The name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Authenticated => "authenticated",
            Self::Grant => "grant",
            Self::Nobody => "nobody",
        }
    }

    /// The audience of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Anyone, Self::Authenticated, Self::Grant, Self::Nobody];
        all.into_iter().find(|audience| audience.as_str() == name)
    }
}

impl FromPolicy {
    /// The name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::None => "none",
        }
    }

    /// The policy of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::None].into_iter().find(|policy| policy.as_str() == name)
    }
}

impl RuleOptions {
    /// What holds where no rule says otherwise.
    pub const DEFAULT: Self = Self {
        from: FromPolicy::User,
        has_presence: true,
        retention_messages_max: None,
        retention_bytes_max: None,
        retention_ms_max: None,
        message_bytes_max: None,
    };
}

impl Default for RuleOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Rule {
    /// A rule that has these channels, and the same audience for every action.
    #[must_use]
    pub fn new(channels: Vec<Pattern>, everything: Audience) -> Self {
        Self {
            channels,
            subscribe: everything,
            publish: everything,
            history: everything,
            presence: everything,
            options: RuleOptions::DEFAULT,
        }
    }

    /// Who may do this.
    #[must_use]
    pub fn audience(&self, action: Action) -> Audience {
        match action {
            Action::Subscribe => self.subscribe,
            Action::Publish => self.publish,
            Action::History => self.history,
            Action::Presence => self.presence,
        }
    }
}

impl Rules {
    /// Keeps rules in their order.
    ///
    /// # Errors
    /// Too many of them, or one with no or too many patterns.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RulesError> {
        if rules.len() > RULES_MAX {
            return Err(RulesError::TooMany(rules.len()));
        }
        for (index, rule) in rules.iter().enumerate() {
            let patterns = rule.channels.len();
            if patterns == 0 || patterns > RULE_PATTERNS_MAX {
                return Err(RulesError::Patterns { rule: index + 1, patterns });
            }
        }
        Ok(Self(rules))
    }

    /// One rule: everything needs a grant. What holds where there are keys for tokens and no rules.
    #[must_use]
    pub fn grants_only() -> Self {
        Self(vec![Rule::new(vec![Pattern::everything()], Audience::Grant)])
    }

    /// One rule: whoever comes may do everything. Keys are known all the same.
    #[must_use]
    pub fn anyone() -> Self {
        Self(vec![Rule::new(vec![Pattern::everything()], Audience::Anyone)])
    }

    /// The first rule that has the channel for this user; `None`: nobody may anything.
    #[must_use]
    pub fn find(&self, channel: &str, user: Option<&str>) -> Option<&Rule> {
        self.first(|pattern| pattern.matches(channel, user))
    }

    /// The first rule that has the channel for whatever user: what holds for the channel itself, as its retention.
    #[must_use]
    pub fn find_for_any_user(&self, channel: &str) -> Option<&Rule> {
        self.first(|pattern| pattern.matches_any_user(channel))
    }

    /// Which rule holds for a channel itself, counted from 0. The log of its members has the rule of its channel.
    #[must_use]
    pub fn number_of(&self, channel: &ChannelName) -> Option<usize> {
        // No other name has a '/'.
        let name = channel.as_str().split_once('/').map_or(channel.as_str(), |(name, _)| name);
        self.0.iter().position(|rule| rule.channels.iter().any(|pattern| pattern.matches_any_user(name)))
    }

    /// The rules, in their order.
    #[must_use]
    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }

    fn first(&self, has: impl Fn(&Pattern) -> bool) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.channels.iter().any(&has))
    }
}
