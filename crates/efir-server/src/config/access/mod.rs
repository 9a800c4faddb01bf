//! Who may do what, as `efir.toml` says it: `open`, `[[rules]]`, `[[token_keys]]`, `[[server_keys]]` and `[tickets]`.
//!
//! Reads and checks; what they mean is `efir-access`'s. No error shows a secret, and neither does what is printed.

mod fields;
mod key_tables;
mod rule_tables;
mod shown;
mod strangers;

use std::path::Path;
use std::sync::Arc;

use efir_access::{KeySet, KeyTerms, Rules, ServerKeys, Tickets};
use toml::de::DeTable;

use self::fields::{Mark, Source};
use super::ConfigError;
use super::keys::{Key, Kind};
use super::unit::Value;

pub(crate) use key_tables::quoted;
pub(crate) use shown::EXAMPLE;
pub(super) use shown::show;
pub(super) use strangers::check;
pub(crate) use strangers::exposed;

/// The tables that are read here and not key by key.
pub(super) const TABLES: [&str; 4] = ["rules", "token_keys", "server_keys", "tickets"];

/// Who may do what, checked.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The rules; `None`: the file has none.
    pub rules: Option<Rules>,
    /// The keys that are there; those of [`Access::remote_keys`] come later.
    pub token_keys: KeySet,
    /// Sets of keys that are fetched.
    pub remote_keys: Vec<RemoteKeys>,
    /// The keys of backends.
    pub server_keys: ServerKeys,
    /// What makes tickets; `None`: a secret of this process.
    pub tickets: Option<Arc<Tickets>>,
    /// What `efir token make` is to be told, so that the first of the token keys takes what it makes; `None`: there are none.
    pub token_recipe: Option<String>,
    marks: [Mark; 3],
}

/// A set of keys behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteKeys {
    /// What the keys are for.
    pub terms: KeyTerms,
    /// `https://…`, or `http://` on loopback.
    pub url: http::Uri,
}

impl Access {
    /// Whether nothing is said about who may do what.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_none() && !self.has_keys()
    }

    /// Whether somebody may show who they are.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !(self.token_keys.is_empty() && self.remote_keys.is_empty() && self.server_keys.is_empty())
    }

    /// The tables that say something else than before.
    pub(crate) fn changes(&self, before: &Self) -> Vec<&'static str> {
        let [token_keys, server_keys, tickets] = self.marks;
        let [old_token_keys, old_server_keys, old_tickets] = before.marks;
        let changes = [
            ("rules", self.rules != before.rules),
            ("token_keys", token_keys != old_token_keys),
            ("server_keys", server_keys != old_server_keys),
            ("tickets", tickets != old_tickets),
        ];
        changes.into_iter().filter(|(_, has_changed)| *has_changed).map(|(name, _)| name).collect()
    }
}

/// The keys of the top level.
pub(super) fn keys() -> [Key; 2] {
    let key = |name: &str, kind, default, flag, meaning| Key {
        section: "",
        name: name.to_owned(),
        kind,
        default,
        meaning,
        flag,
        row: None,
    };
    [
        key(
            "open",
            Kind::Switch,
            Value::Switch(false),
            Some("--open"),
            "Whether everybody who reaches this server may do everything. Without rules it listens beyond loopback only if this is true.",
        ),
        key(
            "token_leeway",
            Kind::Time(0),
            Value::Number(efir_access::gate::LEEWAY_MS_DEFAULT),
            None,
            "How far the clocks of those who sign tokens may differ from this one; at most 1m.",
        ),
    ]
}

/// Reads the tables of a file.
///
/// # Errors
/// Everything that is wrong with them, each with its line.
pub(super) fn read(
    path: &Path,
    text: &str,
    env: &[(String, String)],
    root: &DeTable<'_>,
) -> Result<Access, Vec<ConfigError>> {
    let source = Source { path, text, env };
    let mut errors = Vec::new();
    let rules = rule_tables::read(source, root, &mut errors);
    let mut access = Access { rules, ..Access::default() };
    access.marks = [
        key_tables::token_keys(source, root, &mut access, &mut errors),
        key_tables::server_keys(source, root, &mut access, &mut errors),
        key_tables::tickets(source, root, &mut access, &mut errors),
    ];
    if errors.is_empty() { Ok(access) } else { Err(errors) }
}

#[cfg(test)]
mod tests;
