//! The keys that say who is in front of the server: proxies that are believed, and networks that are not limited by address.

use super::keys::{Key, Kind};
use super::networks::{Cidr, Trust, Written};
use super::unit::Value;
use super::{ConfigError, Origin, Settings};

/// Who is not limited when nobody says so: programs of this machine. A proxy that runs here is one of them, so it belongs on the list
/// of those that are trusted to say for whom they ask.
pub(super) const UNLIMITED: [&str; 2] = ["127.0.0.0/8", "::1/128"];

pub(super) fn keys() -> [Key; 4] {
    let key = |name: &str, kind, default, meaning| Key {
        section: "",
        name: name.to_owned(),
        kind,
        default,
        meaning,
        flag: None,
        row: None,
    };
    [
        key(
            "trusted_proxies",
            Kind::Networks,
            Value::List(Vec::new()),
            "Networks of proxies in front of this server, as 10.0.0.0/8. Only they are believed for whom they ask: by `forwarded_header`, read from the right, or by the PROXY protocol.",
        ),
        key(
            "forwarded_header",
            Kind::Choice(Written::NAMES),
            Value::Text(Written::NAMES.first().copied().unwrap_or_default().to_owned()),
            "In which header the trusted proxies write for whom they ask. The other one is not read: proxies hand it on as strangers sent it.",
        ),
        key(
            "proxy_protocol",
            Kind::Switch,
            Value::Switch(false),
            "Whether the trusted proxies begin each connection with a header of the PROXY protocol, version 2.",
        ),
        key(
            "unlimited",
            Kind::Networks,
            Value::List(UNLIMITED.map(String::from).to_vec()),
            "Networks whose connections are not counted by address, and whose anonymous publishes are not metered.",
        ),
    ]
}

/// Who is treated differently without configuration.
pub(super) fn trust() -> Trust {
    Trust { unlimited: UNLIMITED.iter().filter_map(|text| text.parse().ok()).collect(), ..Trust::default() }
}

/// The networks, and whether the PROXY protocol is spoken.
pub(super) fn resolve(settings: &Settings) -> Result<(Trust, bool), ConfigError> {
    let networks = |path: &str| -> Vec<Cidr> {
        super::resolved::list(settings, path).iter().filter_map(|text| text.parse().ok()).collect()
    };
    let written = Written::named(super::resolved::text(settings, "forwarded_header"));
    let trust = Trust { unlimited: networks("unlimited"), proxies: networks("trusted_proxies"), written };
    let has_proxy_protocol = super::resolved::is_on(settings, "proxy_protocol");
    if has_proxy_protocol && trust.proxies.is_empty() {
        // Whoever reaches the server could otherwise say that it is anybody.
        return Err(ConfigError::BadValue {
            origin: settings
                .setting("proxy_protocol")
                .map_or(Origin::Default, |setting| setting.origin.clone()),
            key: "proxy_protocol".to_owned(),
            value: "true".to_owned(),
            expected: "the networks of the proxies in trusted_proxies besides".to_owned(),
        });
    }
    Ok((trust, has_proxy_protocol))
}
