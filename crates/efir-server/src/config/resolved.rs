//! The configuration that the server gets: checked, typed, complete.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;

use efir_core::{Limits, Times, Token};

use crate::admin::AdminOptions;
use crate::log::Format;

use super::access::Access;
use super::acme::AcmeOptions;
use super::keys::{self, Key, MESSAGE_BYTES_MOST, Table};
use super::networks::Trust;
use super::unit::Value;
use super::{ConfigError, Origin, Setting, Settings};

/// Where a certificate and its key stand, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that vouch for it.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Everything that `efir serve` needs to know.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The addresses to listen on in cleartext.
    pub listen: Vec<SocketAddr>,
    /// The addresses to listen on with TLS; together with the others at least one.
    pub listen_tls: Vec<SocketAddr>,
    /// What to show there; the first one to whoever names no host that fits.
    pub certificates: Vec<CertificateFiles>,
    /// How certificates are ordered, where some are.
    pub acme: Option<AcmeOptions>,
    /// How many worker threads; at least 1.
    pub workers: usize,
    /// Origins of other sites that are allowed, as browsers send them.
    pub allow_origins: Vec<String>,
    /// Host names that are answered besides loopback ones.
    pub hosts: Vec<String>,
    /// A folder whose files are served before those of the page.
    pub static_dir: Option<PathBuf>,
    /// The filter of the log.
    pub log: String,
    /// How the log looks.
    pub log_format: Format,
    /// The operator's listener, where there is one.
    pub admin: Option<AdminOptions>,
    /// Whether WebSockets are compressed for clients that offer it.
    pub has_websocket_deflate: bool,
    /// Whether the transport lab is on whatever the addresses; `None`: where [`Resolved::has_lab`] says so.
    pub lab: Option<bool>,
    /// Who is in front of the server, and who is not limited by address.
    pub trust: Trust,
    /// Whether trusted proxies begin each connection with a header of the PROXY protocol.
    pub has_proxy_protocol: bool,
    /// Whether everybody may do everything, whoever reaches the server.
    pub is_open: bool,
    /// Who may do what otherwise.
    pub access: Access,
    /// How far clocks may differ where a token begins or ends, in ms.
    pub token_leeway_ms: u64,
    /// How much of everything there may be.
    pub limits: Limits,
    /// How long everything lasts.
    pub times: Times,
}

impl Default for Resolved {
    /// What is in force without any configuration.
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            listen_tls: Vec::new(),
            certificates: Vec::new(),
            acme: None,
            workers: cores(),
            allow_origins: Vec::new(),
            hosts: Vec::new(),
            static_dir: None,
            log: "info".to_owned(),
            log_format: Format::Human,
            admin: None,
            has_websocket_deflate: true,
            lab: None,
            trust: super::peers::trust(),
            has_proxy_protocol: false,
            is_open: false,
            access: Access::default(),
            token_leeway_ms: efir_access::gate::LEEWAY_MS_DEFAULT,
            limits: Limits::default(),
            times: Times::default(),
        }
    }
}

impl Resolved {
    /// Whether only programs of this machine can connect.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        self.listen.iter().chain(&self.listen_tls).all(|address| address.ip().is_loopback())
    }

    /// Whether visitors may run the transport lab: as it is set, and otherwise where nobody else can reach it and nothing is closed
    /// to anybody. A server on loopback that answers for further host names or to pages of other sites has something in front of it
    /// that can.
    #[must_use]
    pub fn has_lab(&self) -> bool {
        let is_open = self.is_open || self.access.is_empty();
        let is_alone = super::access::exposed(self).is_none() && self.allow_origins.is_empty();
        self.lab.unwrap_or(is_open && is_alone)
    }

    /// Takes the settings over and checks what only shows when they are seen together.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn from_settings(settings: &Settings) -> Result<Self, Vec<ConfigError>> {
        let mut resolved = Self {
            listen: list(settings, "listen").iter().filter_map(|address| address.parse().ok()).collect(),
            listen_tls: tls_addresses(settings),
            certificates: certificates(settings),
            allow_origins: list(settings, "allow_origins").to_vec(),
            hosts: list(settings, "hosts").to_vec(),
            static_dir: Some(text(settings, "static_dir")).filter(|dir| !dir.is_empty()).map(PathBuf::from),
            log: text(settings, "log").to_owned(),
            log_format: Format::named(text(settings, "log_format")).unwrap_or_default(),
            has_websocket_deflate: is_on(settings, "websocket_deflate"),
            lab: match settings.setting("lab") {
                Some(Setting { value: Value::Switch(is_on), .. }) => Some(*is_on),
                _ => None,
            },
            is_open: is_on(settings, "open"),
            access: settings.access().clone(),
            token_leeway_ms: number(settings, "token_leeway").unwrap_or_default(),
            ..Self::default()
        };
        if let Some(workers) = number(settings, "workers").filter(|workers| *workers > 0) {
            resolved.workers = usize::try_from(workers).unwrap_or(usize::MAX).min(1024);
        }
        let keys = keys::all();
        for key in &keys {
            let (Some((table, row)), Some(value)) = (key.row, number(settings, &key.path())) else {
                continue;
            };
            match table {
                Table::Limits => resolved.limits.set(row.name, value),
                Table::Times => resolved.times.set(row.name, value),
            };
        }
        let mut errors: Vec<_> = keys.iter().filter_map(|key| out_of_order(settings, &keys, key)).collect();
        errors.extend(too_many(settings, &keys));
        errors.extend(too_large(settings, &keys));
        match super::acme::resolve(settings, !resolved.listen_tls.is_empty()) {
            Ok(acme) => resolved.acme = acme,
            Err(error) => errors.push(error),
        }
        errors.extend(no_certificate(settings, &resolved));
        errors.extend(no_folder(settings, resolved.static_dir.as_deref()));
        match super::peers::resolve(settings) {
            Ok((trust, has_proxy_protocol)) => {
                (resolved.trust, resolved.has_proxy_protocol) = (trust, has_proxy_protocol);
            }
            Err(error) => errors.push(error),
        }
        match super::admin::resolve(settings) {
            Ok(admin) => resolved.admin = admin,
            Err(error) => errors.push(error),
        }
        errors.extend(super::access::check(settings, &resolved));
        if errors.is_empty() { Ok(resolved) } else { Err(errors) }
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

pub(super) fn list<'a>(settings: &'a Settings, path: &str) -> &'a [String] {
    match settings.setting(path) {
        Some(Setting { value: Value::List(list), .. }) => list,
        _ => &[],
    }
}

pub(super) fn text<'a>(settings: &'a Settings, path: &str) -> &'a str {
    match settings.setting(path) {
        Some(Setting { value: Value::Text(text), .. }) => text,
        _ => "",
    }
}

pub(super) fn is_on(settings: &Settings, path: &str) -> bool {
    matches!(settings.setting(path), Some(Setting { value: Value::Switch(true), .. }))
}

fn number(settings: &Settings, path: &str) -> Option<u64> {
    match settings.setting(path)?.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// A `…_min` or `…_default` that is above its `…_max`, or a plain value outside of its own `_min` and `_max`.
fn out_of_order(settings: &Settings, keys: &[Key], key: &Key) -> Option<ConfigError> {
    let value = number(settings, &key.path())?;
    let bound = |suffix: &str| {
        let stem = key.name.trim_end_matches("_min").trim_end_matches("_default");
        let other = keys
            .iter()
            .find(|other| other.section == key.section && other.name == format!("{stem}{suffix}"))?;
        Some((other, number(settings, &other.path())?))
    };
    if key.name.ends_with("_max") {
        return None;
    }
    if let Some((other, most)) = bound("_max").filter(|(_, most)| value > *most) {
        return Some(bad(
            settings,
            key,
            format!("at most {} ({})", other.toml(&Value::Number(most)), other.path()),
        ));
    }
    let (other, least) = bound("_min").filter(|(_, least)| value < *least)?;
    Some(bad(settings, key, format!("at least {} ({})", other.toml(&Value::Number(least)), other.path())))
}

/// A token must hold all cursors of a response: one that is left out would lose messages without a gap.
fn too_many(settings: &Settings, keys: &[Key]) -> Option<ConfigError> {
    let key = keys.iter().find(|key| key.row.is_some_and(|(_, row)| row.name == "subscribe_channels_max"))?;
    let most = Token::CHANNELS_MAX as u64;
    (number(settings, &key.path())? > most)
        .then(|| bad(settings, key, format!("at most {most}; more channels belong on /socket")))
}

fn too_large(settings: &Settings, keys: &[Key]) -> Option<ConfigError> {
    let of_row = |name: &str| keys.iter().find(|key| key.row.is_some_and(|(_, row)| row.name == name));
    let (key, kept) = (of_row("message_bytes_max")?, of_row("retention_bytes_max")?);
    let bytes = number(settings, &key.path())?;
    if bytes > MESSAGE_BYTES_MOST {
        return Some(bad(settings, key, format!("at most {}", key.toml(&Value::Number(MESSAGE_BYTES_MOST)))));
    }
    let most = number(settings, &kept.path())?;
    (bytes > most)
        .then(|| bad(settings, key, format!("at most {} ({})", kept.toml(&Value::Number(most)), kept.path())))
}

fn tls_addresses(settings: &Settings) -> Vec<SocketAddr> {
    let addresses = list(settings, "listen").iter().filter_map(|text| text.strip_prefix(keys::TLS_SCHEME));
    addresses.filter_map(|address| address.parse().ok()).collect()
}

fn certificates(settings: &Settings) -> Vec<CertificateFiles> {
    let (certificates, keys) = (list(settings, "tls.certificate_file"), list(settings, "tls.key_file"));
    let files = |(certificate, key): (&String, &String)| CertificateFiles {
        certificate: certificate.into(),
        key: key.into(),
    };
    certificates.iter().zip(keys).map(files).collect()
}

/// An address with TLS needs a certificate, and each certificate a key.
fn no_certificate(settings: &Settings, resolved: &Resolved) -> Option<ConfigError> {
    let (certificates, keys) = (list(settings, "tls.certificate_file"), list(settings, "tls.key_file"));
    let error = |path: &str, value: &[String], expected: &str| {
        Some(ConfigError::BadValue {
            origin: settings.setting(path)?.origin.clone(),
            key: path.to_owned(),
            value: format!("{value:?}"),
            expected: expected.to_owned(),
        })
    };
    if certificates.len() != keys.len() {
        return error("tls.key_file", keys, "as many files as tls.certificate_file has, in the same order");
    }
    let has_names = !list(settings, "tls.acme.names").is_empty();
    if certificates.is_empty() && !has_names && !resolved.listen_tls.is_empty() {
        let expected =
            "a certificate for https:// in [tls]: certificate_file and key_file, or [tls.acme] names";
        return error("listen", list(settings, "listen"), expected);
    }
    None
}

fn no_folder(settings: &Settings, folder: Option<&std::path::Path>) -> Option<ConfigError> {
    let folder = folder.filter(|folder| !folder.is_dir())?;
    Some(ConfigError::BadValue {
        origin: settings.setting("static_dir")?.origin.clone(),
        key: "static_dir".to_owned(),
        value: format!("'{}'", folder.display()),
        expected: "a folder that exists".to_owned(),
    })
}

fn bad(settings: &Settings, key: &Key, expected: String) -> ConfigError {
    let setting = settings.setting(&key.path());
    ConfigError::BadValue {
        origin: setting.map_or(Origin::Default, |setting| setting.origin.clone()),
        key: key.path(),
        value: setting.map(|setting| key.toml(&setting.value)).unwrap_or_default(),
        expected,
    }
}
