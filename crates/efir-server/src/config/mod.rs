//! The configuration: defaults < `efir.toml` < `EFIR_…` variables < flags. [`keys`] is the one list of what can be set,
//! [`file`] reads TOML, [`resolved`] is what the server gets. Nothing here starts anything.

pub mod access;
pub mod acme;
mod admin;
pub mod file;
pub mod keys;
pub mod networks;
mod peers;
pub mod resolved;
pub mod unit;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use access::Access;
use keys::{Key, Kind};
pub use resolved::Resolved;
use unit::Value;

/// What the names of environment variables begin with.
const ENV_PREFIX: &str = "EFIR_";
/// Variables of the command line that are no configuration keys.
const OTHER_VARIABLES: [&str; 6] =
    ["EFIR_CONFIG", "EFIR_URL", "EFIR_PAGE", "EFIR_BIN", "EFIR_SEED", crate::handover::predecessor::VARIABLE];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Env(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "{name} (environment)"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{} is not TOML:\n{reason}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and caret.
        reason: String,
    },
    /// There is no such key.
    #[error("{origin}: there is no key '{key}'{}", hint_text(.hint.as_deref()))]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// A key that was perhaps meant.
        hint: Option<String>,
    },
    /// A value that is no good for a reason of its own.
    #[error("{origin}: '{key}': {reason}")]
    Unfit {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A value that the key cannot have.
    #[error("{origin}: '{key}' is {value}; expected {expected}")]
    BadValue {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: String,
        /// The value as it was written.
        value: String,
        /// What may stand there.
        expected: String,
    },
}

/// The name of the environment variable for a key.
fn variable(path: &str) -> String {
    format!("{ENV_PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

fn hint_text(hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("; did you mean '{hint}'?"),
        None => "; `efir config keys` lists all of them".to_owned(),
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Everything that flags say, before it is checked.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The path of the file, if one is named.
    pub config: Option<PathBuf>,
    /// A flag, the key that it sets, and its values.
    pub values: Vec<(&'static str, String, Vec<String>)>,
}

/// What the configuration is made of; taken from the process by [`Sources::of_process`], by hand in tests.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file's path and text.
    pub file: Option<(PathBuf, String)>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The flags.
    pub flags: Flags,
}

impl Sources {
    /// Reads the environment and the file: the one that `--config` or `EFIR_CONFIG` names, or `./efir.toml` if it exists.
    ///
    /// # Errors
    /// Where the named file cannot be read.
    pub fn of_process(flags: Flags) -> Result<Self, ConfigError> {
        let env: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        let variable =
            env.iter().find(|(name, _)| name == "EFIR_CONFIG").map(|(_, path)| PathBuf::from(path));
        let (path, is_named) = match flags.config.clone().or(variable) {
            Some(path) => (path, true),
            None => (PathBuf::from("efir.toml"), false),
        };
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(error) if !is_named && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ConfigError::Read { path, reason: error.to_string() }),
        };
        Ok(Self { file, env, flags })
    }
}

/// Every key with the value in force.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<String, Setting>,
    /// Variables that are ignored although they look as if they were meant for us.
    doubts: Vec<String>,
    /// The file, and what it says about who may do what.
    file: Option<PathBuf>,
    access: Access,
    /// That part of the file again, without secrets.
    access_shown: String,
}

impl Settings {
    /// Lays the sources over each other.
    ///
    /// # Errors
    /// Everything that is wrong in any of them.
    pub fn load(sources: &Sources) -> Result<Self, Vec<ConfigError>> {
        let keys = keys::all();
        let mut settings = Self {
            values: keys
                .iter()
                .map(|key| (key.path(), Setting { value: key.default.clone(), origin: Origin::Default }))
                .collect(),
            doubts: Vec::new(),
            file: sources.file.as_ref().map(|(path, _)| path.clone()),
            access: Access::default(),
            access_shown: String::new(),
        };
        let mut errors = Vec::new();
        if let Some((path, text)) = &sources.file {
            match file::read(path, text, &keys, &sources.env) {
                Ok(found) => {
                    settings.values.extend(found.settings);
                    (settings.access, settings.access_shown) = (found.access, found.access_shown);
                    errors.extend(found.errors);
                }
                Err(error) => errors.push(error),
            }
        }
        settings.lay_env(&sources.env, &keys, &mut errors);
        settings.lay_flags(&sources.flags, &keys, &mut errors);
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// What looks like a mistake and is none for sure; to be told at the start.
    #[must_use]
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// The file that was read, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Who may do what.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The tables about that, as TOML without secrets.
    pub(crate) fn access_shown(&self) -> &str {
        &self.access_shown
    }

    /// The setting of a key that exists.
    pub(crate) fn setting(&self, path: &str) -> Option<&Setting> {
        self.values.get(path)
    }

    fn lay_env(&mut self, env: &[(String, String)], keys: &[Key], errors: &mut Vec<ConfigError>) {
        for (name, text) in env {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            if OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let origin = Origin::Env(name.clone());
            let path = rest.to_ascii_lowercase().replace("__", ".");
            if let Some(key) = keys.iter().find(|key| key.path() == path) {
                self.lay(key, std::slice::from_ref(text), origin, errors);
                continue;
            }
            // Others may own variables that begin with EFIR_ (Kubernetes sets EFIR_SERVICE_HOST), so only what looks
            // like one of our keys is refused.
            let is_nested = path.contains('.');
            let top_level: Vec<_> = keys.iter().filter(|key| key.section.is_empty()).cloned().collect();
            let hint = keys::nearest(if is_nested { keys } else { &top_level }, &path);
            if is_nested || hint.is_some() {
                let hint = hint.map(|path| variable(&path));
                errors.push(ConfigError::UnknownKey { origin, key: name.clone(), hint });
            } else if let Some(key) = keys.iter().find(|key| key.name == path) {
                let meant = key.variable();
                self.doubts.push(format!("the variable {name} is ignored; did you mean {meant}?"));
            }
        }
    }

    fn lay_flags(&mut self, flags: &Flags, keys: &[Key], errors: &mut Vec<ConfigError>) {
        for (flag, path, texts) in &flags.values {
            let origin = Origin::Flag(flag);
            match keys.iter().find(|key| key.path() == *path) {
                Some(key) => self.lay(key, texts, origin, errors),
                None => {
                    let hint = keys::nearest(keys, path);
                    errors.push(ConfigError::UnknownKey { origin, key: path.clone(), hint });
                }
            }
        }
    }

    fn lay(&mut self, key: &Key, texts: &[String], origin: Origin, errors: &mut Vec<ConfigError>) {
        let value = match texts {
            [text] if !key.kind.is_list() => key.kind.read_text(text),
            _ => key.kind.read_list(texts.iter().flat_map(|text| text.split(','))),
        };
        match value {
            Ok(value) => {
                self.values.insert(key.path(), Setting { value, origin });
            }
            Err(expected) => {
                let is_secret = key.kind == Kind::Secret;
                let value = if is_secret { "no text".to_owned() } else { format!("'{}'", texts.join(",")) };
                errors.push(ConfigError::BadValue { origin, key: key.path(), value, expected });
            }
        }
    }
}

#[cfg(test)]
mod tests;
