//! `[[token_keys]]`, `[[server_keys]]` and `[tickets]`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use efir_access::{
    Action, Actions, Algorithm, KeyError, KeyMark, KeySet, KeyTerms, Pattern, ServerKey, ServerKeys, Tickets,
    check_users,
};
use toml::de::DeTable;

use super::super::ConfigError;
use super::fields::{Fields, Mark, Section, Source};
use super::rule_tables::patterns;
use super::{Access, RemoteKeys};

/// Where a key for tokens stands.
const TOKEN_SOURCES: [&str; 6] =
    ["secret", "secret_file", "secret_env", "public_key_file", "jwks_file", "jwks_url"];
const TOKEN_KEYS: [&str; 12] = [
    "name",
    "algorithms",
    "id",
    "issuer",
    "audience",
    "user_prefix",
    "secret",
    "secret_file",
    "secret_env",
    "public_key_file",
    "jwks_file",
    "jwks_url",
];
/// Where a key of a backend stands.
const SERVER_SOURCES: [&str; 4] = ["key", "key_file", "key_env", "key_sha256"];
const SERVER_KEYS: [&str; 7] = ["name", "key", "key_file", "key_env", "key_sha256", "may", "channels"];
const TICKETS: [&str; 3] = ["secrets", "secret_files", "secret_envs"];

/// The keys, or where they are.
enum Found {
    Here(KeySet),
    Remote(http::Uri),
}

pub(super) fn token_keys(
    source: Source<'_>,
    root: &DeTable<'_>,
    access: &mut Access,
    errors: &mut Vec<ConfigError>,
) -> Mark {
    let section = Section::new(source, "token_keys", &TOKEN_KEYS);
    let (mut sets, mut names, mut known) = (Vec::new(), BTreeSet::new(), Vec::new());
    for fields in &section.tables(root, errors) {
        let (terms, found, recipe) = match token_key(fields, &mut names) {
            Ok(read) => read,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        access.token_recipe.get_or_insert(recipe);
        known.push(terms.clone());
        if let Err(error) = check_users(&known) {
            errors.push(fields.unfit("user_prefix", error.to_string()));
        }
        match found {
            Found::Here(set) => match KeySet::join(sets.iter().cloned().chain([set.clone()])) {
                Ok(_) => sets.push(set),
                Err(error) => errors.push(fields.unfit("name", error.to_string())),
            },
            Found::Remote(url) => access.remote_keys.push(RemoteKeys { terms, url }),
        }
    }
    access.token_keys = KeySet::join(sets).unwrap_or_default();
    section.mark()
}

/// A key, and how tokens are made for it.
fn token_key(
    fields: &Fields<'_>,
    names: &mut BTreeSet<String>,
) -> Result<(KeyTerms, Found, String), ConfigError> {
    let algorithms = fields.texts("algorithms")?.unwrap_or_default();
    let algorithms = algorithms.iter().map(|name| {
        let bad = || fields.bad("algorithms", format!("{name:?}"), format!("some of {}", Algorithm::names()));
        Algorithm::from_name(name).ok_or_else(bad)
    });
    let terms = KeyTerms {
        name: name(fields, names)?,
        algorithms: algorithms.collect::<Result<_, _>>()?,
        id: fields.text("id")?.map(str::to_owned),
        issuer: fields.text("issuer")?.map(str::to_owned),
        user_prefix: fields.text("user_prefix")?.map(str::to_owned),
        audiences: fields.texts("audience")?.unwrap_or_default(),
    };
    let key = fields.only(&TOKEN_SOURCES)?;
    let refused = |error: KeyError| match error {
        KeyError::NoAlgorithm(_) => fields.unfit("algorithms", error.to_string()),
        error => fields.unfit(key, error.to_string()),
    };
    if terms.algorithms.is_empty() {
        return Err(refused(KeyError::NoAlgorithm(terms.name)));
    }
    if terms.id.is_some() && key.starts_with("jwks_") {
        return Err(fields.unfit("id", "a set of keys brings its own ids; leave this out"));
    }
    let recipe = recipe(fields, key, &terms)?;
    if let Some(url) = fields.text("jwks_url")? {
        let url = url_of_keys(fields, url)?;
        return Ok((terms, Found::Remote(url), recipe));
    }
    let set = match (fields.file("public_key_file")?, fields.file("jwks_file")?) {
        (Some(pem), _) => KeySet::from_public_pem(&terms, &pem),
        (None, Some(jwks)) => KeySet::from_jwks(&terms, &jwks),
        (None, None) => {
            let secret = fields.secret(["secret", "secret_file", "secret_env"])?.unwrap_or_default();
            KeySet::from_secret(&terms, secret.as_bytes())
        }
    };
    Ok((terms, Found::Here(set.map_err(refused)?), recipe))
}

/// The arguments of `efir token make`. Keys that only somebody else has are to be filled in.
fn recipe(fields: &Fields<'_>, key: &'static str, terms: &KeyTerms) -> Result<String, ConfigError> {
    let is_secret = key.starts_with("secret");
    let mut words = match (key, fields.text(key)?) {
        ("secret_file", Some(file)) => {
            format!("--secret-file {}", quoted(&fields.path(file).display().to_string()))
        }
        ("secret_env", Some(name)) => format!("--secret-env {}", quoted(name)),
        _ if is_secret => "--secret-file FILE".to_owned(),
        _ => "--private-key-file FILE".to_owned(),
    };
    let mut add = |flag: &str, value: &str| words.push_str(&format!(" --{flag} {}", quoted(value)));
    if let Some(first) = terms.algorithms.first()
        && !(is_secret && terms.algorithms.contains(&Algorithm::Hs256))
        && (is_secret || terms.algorithms.len() == 1)
    {
        add("algorithm", first.as_str());
    }
    match &terms.id {
        Some(id) => add("key-id", id),
        None if key.starts_with("jwks") => add("key-id", "ID"),
        None => {}
    }
    if let Some(issuer) = &terms.issuer {
        add("issuer", issuer);
    }
    if let Some(audience) = terms.audiences.first() {
        add("audience", audience);
    }
    Ok(words)
}

/// A word of a shell's line.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-./:@,=+".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A key that comes over a wire that anybody may change is nobody's key.
fn url_of_keys(fields: &Fields<'_>, text: &str) -> Result<http::Uri, ConfigError> {
    // Not shown: whoever puts a password there has made it a secret.
    let bad = || {
        fields.bad("jwks_url", "no such URL", "an https:// URL without a user (http:// only to this machine)")
    };
    let url: http::Uri = text.parse().map_err(|_| bad())?;
    let authority = url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
    let host = authority.host().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme_str() {
        Some("https") if !host.is_empty() => Ok(url),
        Some("http") if is_here => Ok(url),
        _ => Err(bad()),
    }
}

pub(super) fn server_keys(
    source: Source<'_>,
    root: &DeTable<'_>,
    access: &mut Access,
    errors: &mut Vec<ConfigError>,
) -> Mark {
    let section = Section::new(source, "server_keys", &SERVER_KEYS);
    let mut names = BTreeSet::new();
    for fields in &section.tables(root, errors) {
        if let Err(error) = server_key(fields, &mut names, &mut access.server_keys) {
            errors.push(error);
        }
    }
    section.mark()
}

fn server_key(
    fields: &Fields<'_>,
    names: &mut BTreeSet<String>,
    keys: &mut ServerKeys,
) -> Result<(), ConfigError> {
    let channels = patterns(fields, "channels")?.unwrap_or_else(|| vec![Pattern::everything()]);
    let name = name(fields, names)?;
    let mut server = ServerKey {
        name: name.as_str().into(),
        may: Actions::NONE,
        channels,
        is_admin: false,
        mark: KeyMark::default(),
    };
    for word in fields.texts("may")?.unwrap_or_default() {
        match (word.as_str(), Action::from_name(&word)) {
            ("admin", _) => server.is_admin = true,
            (_, Some(action)) => server.may = server.may.with(action),
            _ => {
                let expected = "\"subscribe\", \"publish\", \"history\", \"presence\" or \"admin\"";
                return Err(fields.bad("may", format!("{word:?}"), expected));
            }
        }
    }
    if server.may.is_empty() && !server.is_admin {
        let expected = "a list of \"subscribe\", \"publish\", \"history\", \"presence\" and \"admin\"";
        return Err(fields.bad("may", "missing", expected));
    }
    let key = fields.only(&SERVER_SOURCES)?;
    let added = match fields.text("key_sha256")? {
        Some(hex) => keys.add_sha256(hex, server),
        None => keys.add(&fields.secret(["key", "key_file", "key_env"])?.unwrap_or_default(), server),
    };
    added.map_err(|error| fields.unfit(key, error.to_string()))
}

/// What logs and problems call a key.
fn name(fields: &Fields<'_>, names: &mut BTreeSet<String>) -> Result<String, ConfigError> {
    let name = fields.needed("name")?.to_owned();
    if name.len() > 64 || name.chars().any(char::is_control) {
        return Err(fields.bad("name", "too long or unreadable", "a name of at most 64 bytes"));
    }
    if !names.insert(name.clone()) {
        return Err(fields.bad("name", format!("{name:?}"), "a name that no other key has"));
    }
    Ok(name)
}

pub(super) fn tickets(
    source: Source<'_>,
    root: &DeTable<'_>,
    access: &mut Access,
    errors: &mut Vec<ConfigError>,
) -> Mark {
    let section = Section::new(source, "tickets", &TICKETS);
    if let Some(fields) = section.table(root, errors) {
        match tickets_of(&fields) {
            Ok(tickets) => access.tickets = Some(Arc::new(tickets)),
            Err(error) => errors.push(error),
        }
    }
    section.mark()
}

fn tickets_of(fields: &Fields<'_>) -> Result<Tickets, ConfigError> {
    let mut secrets = fields.texts("secrets")?.unwrap_or_default();
    for file in fields.texts("secret_files")?.unwrap_or_default() {
        secrets.push(fields.content("secret_files", &file)?.trim_end_matches(['\r', '\n']).to_owned());
    }
    for name in fields.texts("secret_envs")?.unwrap_or_default() {
        secrets.push(fields.variable("secret_envs", &name)?);
    }
    let secrets: Vec<&[u8]> = secrets.iter().map(String::as_bytes).collect();
    let key = TICKETS.into_iter().find(|key| fields.has(key)).unwrap_or("secrets");
    Tickets::new(&secrets).map_err(|error| fields.unfit(key, error.to_string()))
}

/// Every key of these tables.
#[cfg(test)]
pub(super) fn all() -> Vec<&'static str> {
    [&TOKEN_KEYS[..], &SERVER_KEYS, &TICKETS].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell() {
        for (text, word) in [
            ("token.secret", "token.secret"),
            ("my secret", "'my secret'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
