//! The one list of configuration keys: what can be set, its kind, default and meaning. The limits and times come from
//! the tables of efir-core, so that a new line there is a new key here.

use std::net::{SocketAddr, ToSocketAddrs};

use efir_core::{LIMITS, LimitRow, TIMES};

use crate::log::Format;

use super::networks::Cidr;
use super::unit::{Value, parse_count, parse_size, parse_time, size_text, time_text};

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addresses with a port to listen on.
    Addresses,
    /// Origins of pages.
    Origins,
    /// Host names.
    Hosts,
    /// Names for a certificate.
    Names,
    /// Mail addresses.
    Contacts,
    /// A URL with TLS.
    Url,
    /// Networks of addresses.
    Networks,
    /// A folder.
    Folder,
    /// Files.
    Files,
    /// A file; none where it is empty.
    File,
    /// A text that is never shown.
    Secret,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address with a port; none where it is empty.
    OneAddress,
    /// A filter for the log.
    Filter,
    /// On or off.
    Switch,
    /// On, off, or as the rest of the configuration suggests.
    AutoSwitch,
    /// A number of things, at least so many.
    Count(u64),
    /// A size, at least so many bytes.
    Bytes(u64),
    /// A time, at least so many ms.
    Time(u64),
}

/// Which table of efir-core a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// [`efir_core::Limits`].
    Limits,
    /// [`efir_core::Times`].
    Times,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The section; empty for the top level.
    pub section: &'static str,
    /// The name within the section.
    pub name: String,
    /// What its value looks like.
    pub kind: Kind,
    /// The value without configuration.
    pub default: Value,
    /// What it is for.
    pub meaning: &'static str,
    /// The flag of `efir serve` that sets it.
    pub flag: Option<&'static str>,
    /// The line of efir-core's tables that it sets.
    pub row: Option<(Table, &'static LimitRow)>,
}

/// Limits and times that make sense when they are 0; everything else is at least 1.
const MAY_BE_ZERO: [&str; 8] = [
    "stubs_max",
    "keys_max",
    "memory_bytes_max",
    "hold_ms_min",
    "retry_ms_min",
    "retry_ms_max",
    "drain_delay_ms",
    "drain_ms_max",
];

/// The largest message that may be allowed: clients and proxies rely on it.
pub(crate) const MESSAGE_BYTES_MOST: u64 = 16 << 20;

/// All keys, in the order in which they are shown.
#[must_use]
pub fn all() -> Vec<Key> {
    let mut keys = place();
    keys.extend(manners());
    keys.extend(super::access::keys());
    keys.extend(super::peers::keys());
    keys.extend(tls());
    keys.extend(super::acme::keys());
    keys.extend(super::admin::keys());
    for (section, table, rows) in [
        ("retention", Table::Limits, LIMITS),
        ("limits", Table::Limits, LIMITS),
        ("times", Table::Times, TIMES),
    ] {
        let lines = rows.iter().map(|row| (section_of(table, row), row)).filter(|(own, _)| *own == section);
        keys.extend(lines.map(|(section, row)| of_row(section, table, row)));
    }
    keys
}

fn of_top_level(
    (name, flag): (&str, Option<&'static str>),
    kind: Kind,
    default: Value,
    meaning: &'static str,
) -> Key {
    Key { section: "", name: name.to_owned(), kind, default, meaning, flag, row: None }
}

/// Where the server is, and for whom.
fn place() -> Vec<Key> {
    let key =
        |name: &str, kind, default, flag, meaning| of_top_level((name, Some(flag)), kind, default, meaning);
    let none = || Value::List(Vec::new());
    vec![
        key(
            "listen",
            Kind::Addresses,
            Value::List(vec!["127.0.0.1:8080".into()]),
            "--listen",
            "The addresses to listen on. A port alone means 127.0.0.1. With https:// before it, an address speaks TLS.",
        ),
        key(
            "workers",
            Kind::Count(0),
            Value::Number(0),
            "--workers",
            "How many worker threads hold connections. 0: one a core.",
        ),
        key(
            "allow_origins",
            Kind::Origins,
            none(),
            "--allow-origin",
            "Origins of other sites whose pages may read and publish, as https://example.org.",
        ),
        key(
            "hosts",
            Kind::Hosts,
            none(),
            "--host",
            "Host names, besides loopback ones, under which this server is reached. Matters on a loopback address only.",
        ),
        key(
            "static_dir",
            Kind::Folder,
            Value::Text(String::new()),
            "--static",
            "A folder whose files are served at /, before those of the page. In a file, relative to that file.",
        ),
    ]
}

/// What it tells, and what it offers.
fn manners() -> [Key; 4] {
    [
        of_top_level(
            ("log", Some("--log")),
            Kind::Filter,
            Value::Text("info".into()),
            "What is logged: error, warn, info, debug, trace, or a filter such as efir_transports=debug,info.",
        ),
        of_top_level(
            ("log_format", None),
            Kind::Choice(Format::NAMES),
            Value::Text("human".into()),
            "How the log looks: a line for people, or an object of JSON, for each event.",
        ),
        of_top_level(
            ("websocket_deflate", None),
            Kind::Switch,
            Value::Switch(true),
            "Whether messages are compressed, once for all, on the WebSockets of clients that offer it (permessage-deflate).",
        ),
        of_top_level(
            ("lab", Some("--lab")),
            Kind::AutoSwitch,
            Value::Text("auto".into()),
            "Whether visitors may run the transport lab: a generator of messages, and faults of their own network. auto: where the server listens on loopback only, `hosts`, `trusted_proxies` and `allow_origins` are empty and nothing says who may do what, for requests that did not come through a proxy.",
        ),
    ]
}

fn tls() -> [Key; 2] {
    let key = |name: &str, meaning| Key {
        section: "tls",
        name: name.to_owned(),
        kind: Kind::Files,
        default: Value::List(Vec::new()),
        meaning,
        flag: None,
        row: None,
    };
    [
        key(
            "certificate_file",
            "PEM files with a certificate and those that vouch for it; several for several names. In a file, relative to that file.",
        ),
        key("key_file", "PEM files with the private keys of the certificates, in their order."),
    ]
}

fn section_of(table: Table, row: &LimitRow) -> &'static str {
    match table {
        Table::Times => "times",
        Table::Limits if row.name.starts_with("retention_") => "retention",
        Table::Limits => "limits",
    }
}

/// The name in the file has no `_ms`, because its value says the unit: `hold_ms_max` is `times.hold_max`.
fn of_row(section: &'static str, table: Table, row: &'static LimitRow) -> Key {
    let name = match section {
        "retention" => match row.name.trim_start_matches("retention_").trim_end_matches("_max") {
            "ms" => "age".to_owned(),
            name => name.to_owned(),
        },
        _ => row.name.replace("_ms", ""),
    };
    let least = u64::from(!MAY_BE_ZERO.contains(&row.name));
    let kind = match row.unit {
        "ms" => Kind::Time(least),
        "bytes" => Kind::Bytes(least),
        _ => Kind::Count(least),
    };
    let default = Value::Number(row.default);
    Key { section, name, kind, default, meaning: row.meaning, flag: None, row: Some((table, row)) }
}

/// The key that sets a row of efir-core's tables; the row's own name where there is none.
#[must_use]
pub fn path_of(row: &str) -> String {
    let keys = all();
    let key = keys.iter().find(|key| key.row.is_some_and(|(_, known)| known.name == row));
    key.map_or_else(|| row.to_owned(), Key::path)
}

/// The existing key that was most likely meant.
#[must_use]
pub fn nearest(keys: &[Key], written: &str) -> Option<String> {
    let distance = |key: &Key| {
        let whole = strsim::damerau_levenshtein(&key.path(), written);
        // The right name in a wrong or missing section counts as one slip, and so does the beginning of a name.
        let own = written.rsplit('.').next().unwrap_or(written);
        let is_begun = own.len() >= 3 && key.name.starts_with(own);
        let name = if is_begun { 0 } else { strsim::damerau_levenshtein(&key.name, own) };
        whole.min(1 + name)
    };
    let (best, key) = keys.iter().map(|key| (distance(key), key)).min_by_key(|(distance, _)| *distance)?;
    (best <= 1 + written.len() / 4).then(|| key.path())
}

impl Key {
    /// `section.name`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.clone() } else { format!("{}.{}", self.section, self.name) }
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        super::variable(&self.path())
    }

    /// A value in TOML.
    #[must_use]
    pub fn toml(&self, value: &Value) -> String {
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        match (value, self.kind) {
            (Value::Number(bytes), Kind::Bytes(_)) => quote(&size_text(*bytes)),
            (Value::Number(ms), Kind::Time(_)) => quote(&time_text(*ms)),
            (Value::Number(count), _) => count.to_string(),
            (Value::Switch(is_on), _) => is_on.to_string(),
            (Value::Text(text), _) => quote(text),
            (Value::List(texts), _) => {
                let texts: Vec<_> = texts.iter().map(|text| quote(text)).collect();
                format!("[{}]", texts.join(", "))
            }
        }
    }
}

impl Kind {
    /// Whether there may be several values.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(
            self,
            Self::Addresses
                | Self::Origins
                | Self::Hosts
                | Self::Names
                | Self::Contacts
                | Self::Files
                | Self::Networks
        )
    }

    /// Reads one text.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn read_text(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self {
            Self::Url => super::acme::url(text).map(Value::Text).ok_or_else(|| self.expected()),
            Self::Folder | Self::File | Self::Secret => Ok(Value::Text(text.to_owned())),
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(_) => Err(self.expected()),
            Self::OneAddress if text.is_empty() => Ok(Value::Text(String::new())),
            Self::OneAddress => {
                address(text).map(|address| Value::Text(address.to_string())).ok_or_else(|| self.expected())
            }
            Self::Filter => match tracing_subscriber::EnvFilter::try_new(text) {
                Ok(_) if !text.is_empty() => Ok(Value::Text(text.to_owned())),
                _ => Err(self.expected()),
            },
            Self::Switch => text.parse().map(Value::Switch).map_err(|_| self.expected()),
            Self::AutoSwitch if text == "auto" => Ok(Value::Text(text.to_owned())),
            Self::AutoSwitch => text.parse().map(Value::Switch).map_err(|_| self.expected()),
            Self::Count(least) => self.at_least(parse_count(text), least),
            Self::Bytes(least) => self.at_least(parse_size(text), least),
            Self::Time(least) => self.at_least(parse_time(text), least),
            Self::Addresses
            | Self::Origins
            | Self::Hosts
            | Self::Names
            | Self::Contacts
            | Self::Files
            | Self::Networks => self.read_list(std::iter::once(text)),
        }
    }

    /// Reads several texts; empty ones are skipped.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn read_list<'a>(self, texts: impl Iterator<Item = &'a str>) -> Result<Value, String> {
        let check = |text: &str| match self {
            Self::Addresses => listen_text(text),
            Self::Files => Some(text.to_owned()),
            Self::Origins => origin(text),
            Self::Hosts => host(text),
            Self::Names => super::acme::name(text),
            Self::Contacts => super::acme::contact(text),
            Self::Networks => text.parse().ok().map(|cidr: Cidr| cidr.to_string()),
            _ => None,
        };
        let list: Option<Vec<_>> = texts.map(str::trim).filter(|text| !text.is_empty()).map(check).collect();
        match list {
            Some(list) if !(list.is_empty() && self == Self::Addresses) => Ok(Value::List(list)),
            _ => Err(self.expected()),
        }
    }

    /// Reads a whole number as it stands in a file.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn read_number(self, number: u64) -> Result<Value, String> {
        match self {
            Self::Count(least) | Self::Bytes(least) => self.at_least(Some(number), least),
            Self::Addresses | Self::OneAddress => self.read_text(&number.to_string()),
            _ => Err(self.expected()),
        }
    }

    /// What may stand there, for people.
    #[must_use]
    pub fn expected(self) -> String {
        let at_least =
            |least, unit: &str| if least > 0 { format!(", at least {least}{unit}") } else { String::new() };
        match self {
            Self::Addresses => {
                "an address and port such as 127.0.0.1:8080, [::]:8080 or 8080, with https:// before it for TLS, or a list of them".into()
            }
            Self::Origins => "an origin such as https://example.org (no path), or a list of them".into(),
            Self::Hosts => "a host name such as chat.example.org, or a list of them".into(),
            Self::Names => "a name such as chat.example.org (no wildcard, no address), or a list of them".into(),
            Self::Contacts => "a mail address, or a list of them".into(),
            Self::Url => "a URL that begins with https://".into(),
            Self::Networks => "a network such as 10.0.0.0/8, an address, or a list of them".into(),
            Self::Folder => "the path of a folder".into(),
            Self::File => "the path of a file".into(),
            Self::Secret => "a text".into(),
            Self::Choice(words) => {
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
            }
            Self::OneAddress => "an address and port such as 127.0.0.1:9090, or 9090".into(),
            Self::Files => "the path of a file, or a list of them".into(),
            Self::Filter => {
                "a level (error, warn, info, debug, trace) or a filter such as efir=debug,info".into()
            }
            Self::Switch => "true or false".into(),
            Self::AutoSwitch => "\"auto\", true or false".into(),
            Self::Count(least) => format!("a whole number{}", at_least(least, "")),
            Self::Bytes(least) => format!("a size such as 64KiB, 8MiB or 1GiB{}", at_least(least, "B")),
            Self::Time(least) => {
                format!("a time with its unit such as 250ms, 15s or 1h{}", at_least(least, "ms"))
            }
        }
    }

    fn at_least(self, number: Option<u64>, least: u64) -> Result<Value, String> {
        // Beyond 2^53 neither JSON nor TOML carries a number safely.
        match number {
            Some(number) if (least..=(1 << 53)).contains(&number) => Ok(Value::Number(number)),
            _ => Err(self.expected()),
        }
    }
}

/// What begins with the scheme of TLS, in a list of addresses to listen on.
pub(super) const TLS_SCHEME: &str = "https://";

/// An address to listen on, with [`TLS_SCHEME`] before it for TLS.
fn listen_text(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    match text.strip_prefix(TLS_SCHEME) {
        Some(text) => Some(format!("{TLS_SCHEME}{}", address(text)?)),
        None => Some(address(text.strip_prefix("http://").unwrap_or(text))?.to_string()),
    }
}

/// `127.0.0.1:80`, `[::1]:80`, `name:80`, `:80` (all addresses) or `80` (loopback).
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(port) = text.parse::<u16>() {
        return Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    if let Some(port) = text.strip_prefix(':') {
        return Some(SocketAddr::from(([0, 0, 0, 0], port.parse().ok()?)));
    }
    text.parse().ok().or_else(|| {
        let found: Vec<_> = text.to_socket_addrs().ok()?.collect();
        // Of a name with both families the older one, which every client reaches.
        found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
    })
}

/// `scheme://host[:port]` as browsers send it.
fn origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let uri: http::Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let is_plain =
        matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    let scheme = uri.scheme_str().filter(|_| is_plain && !authority.host().is_empty())?;
    Some(format!("{scheme}://{authority}").to_ascii_lowercase())
}

fn host(text: &str) -> Option<String> {
    let authority: http::uri::Authority = text.parse().ok()?;
    let is_name = !authority.host().is_empty() && !text.contains('@');
    is_name.then(|| text.to_ascii_lowercase())
}
