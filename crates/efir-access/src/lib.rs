//! Who may do what: rules from the configuration, tokens and tickets that callers bring, and the gate that judges.
//!
//! Nothing here does IO, reads a clock or knows HTTP: time (ms since 1970 UTC), texts of keys and random bytes come in
//! as arguments. Begin with [`gate`]; what a token must be is in [`token`], what a rule says in [`rules`].

pub mod action;
pub mod caller;
pub mod explain;
pub mod gate;
pub mod keys;
pub mod pattern;
pub mod refusal;
pub mod revocations;
pub mod rules;
mod seen;
pub mod server_keys;
pub mod sign;
pub mod ticket;
pub mod token;

pub use action::{Action, Actions};
pub use caller::{Caller, Grant, ServerKey, User};
pub use explain::{Step, Verdict};
pub use gate::{Gate, GateParts};
pub use keys::{Algorithm, KeyError, KeyMark, KeySet, KeyTerms, UsersError, check_users};
pub use pattern::{Pattern, PatternError};
pub use refusal::{Refusal, RefusalReason};
pub use revocations::{Revocations, RevocationsFull};
pub use rules::{Audience, FromPolicy, Rule, RuleOptions, Rules, RulesError};
pub use server_keys::{ServerKeyError, ServerKeys};
pub use sign::{Claims, SignError, SigningKey};
pub use ticket::{IssueError, Ticket, TicketError, TicketReason, Tickets};
pub use token::{TokenError, TokenReason};
