//! Whether a server may start that other machines can reach: only if somebody has said who may do what there.

use efir_access::{Rule, RuleOptions};
use efir_core::Limits;

use super::super::resolved::Resolved;
use super::super::unit::{size_text, time_text};
use super::super::{ConfigError, Origin, Settings};

/// What is to be written where nothing is: the least that lets people read and a signed-in user write.
const RULES: &str = r#"
  [[rules]]
  channels = "**"                  # every channel
  subscribe = "anyone"
  publish = "authenticated"        # whoever has a token

  [[token_keys]]
  name = "app"
  algorithms = "HS256"
  secret_file = "token.secret"     # openssl rand -hex 32 > token.secret
"#;

/// The key that makes the server reachable for others than the programs of this machine, and how; `None`: nothing does.
pub(crate) fn exposed(resolved: &Resolved) -> Option<(&'static str, String)> {
    let addresses = resolved.listen.iter().chain(&resolved.listen_tls);
    if let Some(address) = addresses.clone().find(|address| !address.ip().is_loopback()) {
        return Some(("listen", format!("{address} can be reached from other machines")));
    }
    // Something that others reach stands before it.
    if let Some(host) = resolved.hosts.first() {
        return Some(("hosts", format!("{host:?} is answered, so others reach this server through a proxy")));
    }
    let proxy = resolved.trust.proxies.first()?;
    Some(("trusted_proxies", format!("others reach this server through the proxy {proxy}")))
}

/// What contradicts itself or is dangerous in `open`, the rules and the addresses, seen together.
pub(crate) fn check(settings: &Settings, resolved: &Resolved) -> Vec<ConfigError> {
    let origin = |key: &str| settings.setting(key).map_or(Origin::Default, |setting| setting.origin.clone());
    let mut errors = Vec::new();
    if resolved.token_leeway_ms > efir_access::gate::LEEWAY_MS_MAX {
        errors.push(ConfigError::BadValue {
            origin: origin("token_leeway"),
            key: "token_leeway".to_owned(),
            value: format!("{} ms", resolved.token_leeway_ms),
            expected: "at most \"1m\"".to_owned(),
        });
    }
    if resolved.is_open && resolved.access.rules.is_some() {
        errors.push(ConfigError::Unfit {
            origin: origin("open"),
            key: "open".to_owned(),
            reason: "it is true, and there are [[rules]]; one of the two".to_owned(),
        });
    }
    errors.extend(too_large(settings, resolved));
    if resolved.is_open || !resolved.access.is_empty() {
        return errors;
    }
    if let Some((key, why)) = exposed(resolved) {
        let file = settings.file().map_or_else(|| "efir.toml".to_owned(), |path| path.display().to_string());
        let reason = format!(
            "{why}, and nothing says who may do what. Write into {file}:\n{RULES}\n  \
             or start with --open (`open = true`): then everybody who reaches it may read and publish everything."
        );
        errors.push(ConfigError::Unfit { origin: origin(key), key: key.to_owned(), reason });
    }
    errors
}

/// A rule may only say less than the node. For each key the first rule is named that wants more.
fn too_large(settings: &Settings, resolved: &Resolved) -> Vec<ConfigError> {
    let Some(rules) = &resolved.access.rules else { return Vec::new() };
    let origin = settings.file().map_or(Origin::Default, |path| Origin::File(path.to_owned(), 1));
    let beyond = |bound: &Bound| {
        let most = (bound.of_node)(&resolved.limits);
        let wanted = |(index, rule): (usize, &Rule)| {
            let wanted = (bound.of_rule)(&rule.options).filter(|wanted| *wanted > most)?;
            Some((index + 1, wanted))
        };
        let (number, wanted) = rules.as_slice().iter().enumerate().find_map(wanted)?;
        let (wanted, most, node) = ((bound.text)(wanted), (bound.text)(most), bound.node_key);
        Some(ConfigError::Unfit {
            origin: origin.clone(),
            key: bound.key.to_owned(),
            reason: format!(
                "rule {number} asks for {wanted}, more than the node, which has {most} ({node}); write at most {most} there, or \
                 raise {node}"
            ),
        })
    };
    BOUNDS.iter().filter_map(beyond).collect()
}

/// What a rule may not set higher than the node has it.
struct Bound {
    key: &'static str,
    node_key: &'static str,
    of_rule: fn(&RuleOptions) -> Option<u64>,
    of_node: fn(&Limits) -> u64,
    text: fn(u64) -> String,
}

const BOUNDS: [Bound; 4] = [
    Bound {
        key: "rules.message_bytes_max",
        node_key: "limits.message_bytes_max",
        of_rule: |options| options.message_bytes_max.map(|bytes| bytes as u64),
        of_node: |limits| limits.message_bytes_max as u64,
        text: size_text,
    },
    Bound {
        key: "rules.retention_messages",
        node_key: "retention.messages",
        of_rule: |options| options.retention_messages_max.map(|messages| messages as u64),
        of_node: |limits| limits.retention_messages_max as u64,
        text: |messages| messages.to_string(),
    },
    Bound {
        key: "rules.retention_bytes",
        node_key: "retention.bytes",
        of_rule: |options| options.retention_bytes_max.map(|bytes| bytes as u64),
        of_node: |limits| limits.retention_bytes_max as u64,
        text: size_text,
    },
    Bound {
        key: "rules.retention_age",
        node_key: "retention.age",
        of_rule: |options| options.retention_ms_max,
        of_node: |limits| limits.retention_ms_max,
        text: time_text,
    },
];
