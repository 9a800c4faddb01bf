//! `efir.toml`: which keys it sets, on which line. Everything that it should not contain is found here.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::access::{self, Access};
use super::keys::{self, Key, Kind};
use super::unit::Value;
use super::{ConfigError, Origin, Setting};

/// What was found, and what is wrong with it.
pub struct Found {
    /// The settings, by path.
    pub settings: Vec<(String, Setting)>,
    /// Who may do what.
    pub access: Access,
    /// That part of the file again, without secrets.
    pub access_shown: String,
    /// What is wrong with single keys.
    pub errors: Vec<ConfigError>,
}

/// Reads a file's text.
///
/// # Errors
/// Where it is not TOML at all; what is wrong with single keys is in the result.
pub fn read(path: &Path, text: &str, keys: &[Key], env: &[(String, String)]) -> Result<Found, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        // The line itself is not shown: it may hold a secret.
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let message = error.message().trim_end().replace('\n', ", ");
        ConfigError::Syntax { path: path.to_owned(), reason: format!("line {line}: {message}") }
    })?;
    let mut file = File { path, text, keys, settings: Vec::new(), errors: Vec::new() };
    let tables = access::TABLES;
    for (name, value) in table.get_ref().iter().filter(|(name, _)| !tables.contains(&name.get_ref().as_ref()))
    {
        file.walk(name.get_ref(), name.span().start, value);
    }
    let access = access::read(path, text, env, table.get_ref()).unwrap_or_else(|errors| {
        file.errors.extend(errors);
        Access::default()
    });
    let File { settings, errors, .. } = file;
    Ok(Found { settings, access, access_shown: access::show(table.get_ref()), errors })
}

/// The line of a byte, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    keys: &'a [Key],
    settings: Vec<(String, Setting)>,
    errors: Vec<ConfigError>,
}

impl File<'_> {
    /// Takes a key, or those of a section and of the sections within.
    fn walk(&mut self, written: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let is_section = self.keys.iter().any(|key| key.section == written);
        match value.get_ref() {
            DeValue::Table(inner) if is_section => {
                for (name, value) in inner {
                    self.walk(&format!("{written}.{}", name.get_ref()), name.span().start, value);
                }
            }
            _ => self.take(written, at, value),
        }
    }

    fn take(&mut self, written: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let line = line_of(self.text, at);
        let origin = Origin::File(self.path.to_owned(), line);
        let Some(key) = self.keys.iter().find(|key| key.path() == written) else {
            let hint = if value.get_ref().is_table() { self.section_hint(written) } else { None };
            let hint = hint.or_else(|| keys::nearest(self.keys, written));
            self.errors.push(ConfigError::UnknownKey { origin, key: written.to_owned(), hint });
            return;
        };
        match check(key.kind, value.get_ref()) {
            Ok(value) => {
                let value = self.place(key.kind, value);
                self.settings.push((key.path(), Setting { value, origin }));
            }
            Err(expected) => {
                let value = match key.kind {
                    Kind::Secret => "no text".to_owned(),
                    _ => self.text.get(value.span()).unwrap_or_default().to_owned(),
                };
                self.errors.push(ConfigError::BadValue { origin, key: key.path(), value, expected });
            }
        }
    }

    fn section_hint(&self, written: &str) -> Option<String> {
        let sections = self.keys.iter().map(|key| key.section).filter(|section| !section.is_empty());
        let (distance, section) =
            sections.map(|section| (strsim::damerau_levenshtein(section, written), section)).min()?;
        (distance <= 3).then(|| format!("[{section}]"))
    }

    /// A folder is meant relative to the file that names it.
    fn place(&self, kind: Kind, value: Value) -> Value {
        match (kind, value, self.path.parent()) {
            (Kind::Folder | Kind::File, Value::Text(folder), Some(parent)) if !folder.is_empty() => {
                Value::Text(parent.join(folder).to_string_lossy().into_owned())
            }
            (Kind::Files, Value::List(files), Some(parent)) => {
                let place = |file: String| parent.join(file).to_string_lossy().into_owned();
                Value::List(files.into_iter().map(place).collect())
            }
            (_, value, _) => value,
        }
    }
}

fn check(kind: Kind, value: &DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::String(text) => kind.read_text(text),
        DeValue::Integer(number) => {
            let number = u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| kind.expected())?;
            kind.read_number(number)
        }
        DeValue::Boolean(is_on) if matches!(kind, Kind::Switch | Kind::AutoSwitch) => {
            Ok(Value::Switch(*is_on))
        }
        DeValue::Array(items) if kind.is_list() => {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            kind.read_list(texts.ok_or_else(|| kind.expected())?.into_iter())
        }
        _ => Err(kind.expected()),
    }
}
