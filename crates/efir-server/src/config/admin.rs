//! `[admin]`: where the operator's listener is, and the key that it needs.

use super::keys::{Key, Kind};
use super::unit::Value;
use super::{ConfigError, Origin, Settings};
use crate::admin::{AdminKey, AdminOptions};

/// The keys of the section.
pub(super) fn keys() -> [Key; 3] {
    let key = |name: &str, kind, meaning| Key {
        section: "admin",
        name: name.to_owned(),
        kind,
        default: Value::Text(String::new()),
        meaning,
        flag: None,
        row: None,
    };
    [
        key(
            "listen",
            Kind::OneAddress,
            "The address of the admin listener (/metrics, /livez, /readyz, /reload). Empty: there is none. A port alone means 127.0.0.1.",
        ),
        key(
            "key_file",
            Kind::File,
            "A file with the key that the admin listener asks for. Needed unless it listens on loopback. In a file, relative to that file.",
        ),
        key(
            "key",
            Kind::Secret,
            "The key itself, at least 16 bytes; for the environment rather than for a file.",
        ),
    ]
}

/// The section as a whole; `None` where there is no admin listener.
///
/// # Errors
/// What is wrong with it, without the key.
pub(super) fn resolve(settings: &Settings) -> Result<Option<AdminOptions>, ConfigError> {
    let text = |name: &str| match settings.setting(name).map(|setting| &setting.value) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let wrong = |key: &str, value: String, expected: &str| ConfigError::BadValue {
        origin: settings.setting(key).map_or(Origin::Default, |setting| setting.origin.clone()),
        key: key.to_owned(),
        value,
        expected: expected.to_owned(),
    };
    let Ok(listen) = text("admin.listen").parse::<std::net::SocketAddr>() else { return Ok(None) };
    let (file, plain) = (text("admin.key_file"), text("admin.key"));
    if !file.is_empty() && !plain.is_empty() {
        return Err(wrong("admin.key", "set beside admin.key_file".into(), "one of the two"));
    }
    let (name, key) = if file.is_empty() {
        ("admin.key", plain.to_owned())
    } else {
        let read = std::fs::read_to_string(file);
        let unreadable =
            |error| wrong("admin.key_file", format!("'{file}' ({error})"), "a file that can be read");
        ("admin.key_file", read.map_err(unreadable)?)
    };
    if file.is_empty() && key.is_empty() {
        if listen.ip().is_loopback() {
            return Ok(Some(AdminOptions { listen, key: None }));
        }
        let expected =
            "a loopback address, or a key in admin.key_file (or EFIR_ADMIN__KEY): others can reach this one";
        return Err(wrong("admin.listen", listen.to_string(), expected));
    }
    match AdminKey::new(&key) {
        Some(key) => Ok(Some(AdminOptions { listen, key: Some(key) })),
        None => Err(wrong(
            name,
            "too short".into(),
            "a key of at least 16 bytes, as `openssl rand -hex 32` makes one",
        )),
    }
}
