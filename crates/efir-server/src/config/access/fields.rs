//! Tables of the file, key by key: what they say, on which line, and what they may not say. What the keys mean is not
//! known here. No error shows a secret.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::file::line_of;
use super::super::{ConfigError, Origin};

/// Keys whose values are shown nowhere.
pub(super) const SECRETS: [&str; 3] = ["secret", "secrets", "key"];

/// The file, and what else is read with it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) env: &'a [(String, String)],
}

/// The tables of one name.
pub(super) struct Section<'a> {
    source: Source<'a>,
    name: &'static str,
    known: &'static [&'static str],
    /// Of everything that was read, so that a change shows although nothing of it is kept.
    mark: RefCell<Context>,
}

/// One table.
pub(super) struct Fields<'a> {
    section: &'a Section<'a>,
    table: &'a DeTable<'a>,
    line: usize,
}

/// The bytes of a SHA-256.
pub(super) type Mark = [u8; 32];

impl<'a> Section<'a> {
    pub(super) fn new(source: Source<'a>, name: &'static str, known: &'static [&'static str]) -> Self {
        Self { source, name, known, mark: RefCell::new(Context::new(&SHA256)) }
    }

    /// All tables of `[[name]]`.
    pub(super) fn tables<'t>(
        &'t self,
        root: &'t DeTable<'t>,
        errors: &mut Vec<ConfigError>,
    ) -> Vec<Fields<'t>> {
        let Some(value) = root.get(self.name) else { return Vec::new() };
        let items = value.get_ref().as_array();
        let tables: Option<Vec<_>> =
            items.map(|items| items.iter().map(|item| self.fields(item)).collect()).unwrap_or_default();
        match tables {
            Some(tables) => self.check(tables, errors),
            None => self.refuse(value, errors, format!("tables, each begun by [[{}]]", self.name)),
        }
    }

    /// The table `[name]`.
    pub(super) fn table<'t>(
        &'t self,
        root: &'t DeTable<'t>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Fields<'t>> {
        let value = root.get(self.name)?;
        let found = match self.fields(value) {
            Some(fields) => self.check(vec![fields], errors),
            None => self.refuse(value, errors, format!("one table, begun by [{}]", self.name)),
        };
        found.into_iter().next()
    }

    /// What tells one content from another.
    pub(super) fn mark(self) -> Mark {
        let mut mark = Mark::default();
        mark.copy_from_slice(self.mark.into_inner().finish().as_ref());
        mark
    }

    fn fields<'t>(&'t self, value: &'t Spanned<DeValue<'t>>) -> Option<Fields<'t>> {
        let table = value.get_ref().as_table()?;
        Some(Fields { section: self, table, line: self.line(value.span().start) })
    }

    fn check<'t>(&'t self, tables: Vec<Fields<'t>>, errors: &mut Vec<ConfigError>) -> Vec<Fields<'t>> {
        for name in tables.iter().flat_map(|fields| fields.table.keys()) {
            let written = name.get_ref().as_ref();
            if !self.known.contains(&written) {
                let near =
                    self.known.iter().map(|known| (strsim::damerau_levenshtein(known, written), *known));
                let near = near.min().filter(|(distance, _)| *distance <= 1 + written.len() / 4);
                errors.push(ConfigError::UnknownKey {
                    origin: self.origin(self.line(name.span().start)),
                    key: format!("{}.{written}", self.name),
                    hint: near.map(|(_, known)| format!("{}.{known}", self.name)),
                });
            }
        }
        tables
    }

    fn refuse<'t>(
        &self,
        value: &Spanned<DeValue<'_>>,
        errors: &mut Vec<ConfigError>,
        expected: String,
    ) -> Vec<Fields<'t>> {
        errors.push(ConfigError::BadValue {
            origin: self.origin(self.line(value.span().start)),
            key: self.name.to_owned(),
            value: "something else".to_owned(),
            expected,
        });
        Vec::new()
    }

    fn line(&self, at: usize) -> usize {
        line_of(self.source.text, at)
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File(self.source.path.to_owned(), line)
    }

    fn remember(&self, text: &str) {
        let mut mark = self.mark.borrow_mut();
        mark.update(&text.len().to_le_bytes());
        mark.update(text.as_bytes());
    }
}

impl Fields<'_> {
    /// A text.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.bad(key, self.shown(key), "a text"))
    }

    /// A text that has to be there and is not empty.
    pub(super) fn needed(&self, key: &'static str) -> Result<&str, ConfigError> {
        let text = self.text(key)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.bad(key, "missing", "a text that is not empty"))
    }

    /// A text or a list of texts.
    pub(super) fn texts(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let texts = match self.value(key) {
            None => return Ok(None),
            Some(DeValue::String(text)) => Some(vec![text.to_string()]),
            Some(DeValue::Array(items)) => {
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
            }
            Some(_) => None,
        };
        texts.map(Some).ok_or_else(|| self.bad(key, self.shown(key), "a text, or a list of texts"))
    }

    /// A text or a number, as text.
    pub(super) fn amount(&self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        Some(value.as_str().map_or_else(|| self.shown(key), str::to_owned))
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// What stands in the file that the key names, relative to the configuration.
    pub(super) fn file(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        self.text(key)?.map(|file| self.content(key, file)).transpose()
    }

    /// Where a file stands that is named beside the configuration.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.section.source.path.parent().unwrap_or(Path::new("")).join(file)
    }

    /// What stands in a file.
    pub(super) fn content(&self, key: &'static str, file: &str) -> Result<String, ConfigError> {
        let file = self.path(file);
        let text = std::fs::read_to_string(&file).map_err(|error| {
            self.bad(key, format!("'{}' ({error})", file.display()), "a file that can be read")
        })?;
        self.section.remember(&text);
        Ok(text)
    }

    /// What an environment variable holds.
    pub(super) fn variable(&self, key: &'static str, name: &str) -> Result<String, ConfigError> {
        let known = self.section.source.env.iter().find(|(known, _)| known == name);
        let value = known.map(|(_, value)| value.clone()).or_else(|| std::env::var(name).ok());
        let value = value.filter(|value| !value.is_empty());
        let expected = "the name of an environment variable that is set";
        let value = value.ok_or_else(|| self.bad(key, format!("{name:?}"), expected))?;
        self.section.remember(&value);
        Ok(value)
    }

    /// A secret in one of three places: the key itself, `…_file` or `…_env`, which are named here.
    pub(super) fn secret(&self, keys: [&'static str; 3]) -> Result<Option<String>, ConfigError> {
        let [plain, file, env] = keys;
        if let Some(secret) = self.text(plain)? {
            return Ok(Some(secret.to_owned()));
        }
        if let Some(text) = self.file(file)? {
            // Editors put a line end there.
            return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
        }
        self.text(env)?.map(|name| self.variable(env, name)).transpose()
    }

    /// The only one of these keys that is there.
    pub(super) fn only(&self, keys: &[&'static str]) -> Result<&'static str, ConfigError> {
        let mut there = keys.iter().copied().filter(|key| self.has(key));
        match (there.next(), there.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(self.unfit("name", format!("it needs one of {}", keys.join(", ")))),
            (Some(key), Some(other)) => {
                Err(self.unfit(other, format!("it stands beside {key}; one of the two")))
            }
        }
    }

    /// A value that the key cannot have.
    pub(super) fn bad(
        &self,
        key: &str,
        value: impl Into<String>,
        expected: impl Into<String>,
    ) -> ConfigError {
        ConfigError::BadValue {
            origin: self.origin(key),
            key: format!("{}.{key}", self.section.name),
            value: value.into(),
            expected: expected.into(),
        }
    }

    /// A value that is no good for a reason of its own.
    pub(super) fn unfit(&self, key: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Unfit {
            origin: self.origin(key),
            key: format!("{}.{key}", self.section.name),
            reason: reason.into(),
        }
    }

    /// The value as it is written, unless it may be a secret.
    fn shown(&self, key: &str) -> String {
        let value = self.table.get(key).filter(|_| !SECRETS.contains(&key));
        let text = value.and_then(|value| self.section.source.text.get(value.span()));
        text.unwrap_or("something else").to_owned()
    }

    fn value(&self, key: &str) -> Option<&DeValue<'_>> {
        let value = self.table.get(key)?;
        self.section.remember(key);
        self.section.remember(self.section.source.text.get(value.span()).unwrap_or_default());
        Some(value.get_ref())
    }

    fn origin(&self, key: &str) -> Origin {
        let name = self.table.get_key_value(key).map(|(name, _)| name.span().start);
        self.section.origin(name.map_or(self.line, |at| self.section.line(at)))
    }
}
