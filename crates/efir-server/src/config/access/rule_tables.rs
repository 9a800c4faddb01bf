//! `[[rules]]`.

use efir_access::rules::{RULE_PATTERNS_MAX, RULES_MAX};
use efir_access::{Audience, FromPolicy, Pattern, Rule, RuleOptions, Rules};
use toml::de::DeTable;

use super::super::ConfigError;
use super::super::unit::{parse_count, parse_size, parse_time};
use super::fields::{Fields, Section, Source};

pub(super) const KEYS: [&str; 10] = [
    "channels",
    "subscribe",
    "publish",
    "history",
    "presence",
    "from",
    "message_bytes_max",
    "retention_messages",
    "retention_bytes",
    "retention_age",
];

/// The rules in their order; `None` where there are none.
pub(super) fn read(source: Source<'_>, root: &DeTable<'_>, errors: &mut Vec<ConfigError>) -> Option<Rules> {
    if !root.contains_key("rules") {
        return None;
    }
    let section = Section::new(source, "rules", &KEYS);
    let tables = section.tables(root, errors);
    if let Some(fields) = tables.get(RULES_MAX) {
        errors.push(
            fields.unfit(
                "channels",
                format!("there are {} rules; at most {RULES_MAX} are allowed", tables.len()),
            ),
        );
        return None;
    }
    let mut rules = Vec::with_capacity(tables.len());
    for fields in &tables {
        match rule(fields) {
            Ok(rule) => rules.push(rule),
            Err(error) => errors.push(error),
        }
    }
    // Each has been checked for what makes them no rules.
    Rules::new(rules).ok()
}

fn rule(fields: &Fields<'_>) -> Result<Rule, ConfigError> {
    let channels = patterns(fields, "channels")?.unwrap_or_default();
    let count = channels.len();
    if !(1..=RULE_PATTERNS_MAX).contains(&count) {
        let expected = format!("1 to {RULE_PATTERNS_MAX} patterns such as \"chat:*\"");
        return Err(fields.bad("channels", format!("{count} patterns"), expected));
    }
    let mut rule = Rule::new(channels, Audience::Nobody);
    rule.subscribe = audience(fields, "subscribe", Audience::Nobody)?;
    rule.publish = audience(fields, "publish", Audience::Nobody)?;
    // Whoever may read what comes may mostly read what was, and see who else does.
    rule.history = audience(fields, "history", rule.subscribe)?;
    rule.options.has_presence = fields.text("presence")? != Some("off");
    rule.presence = match rule.options.has_presence {
        true => audience(fields, "presence", rule.subscribe)?,
        false => Audience::Nobody,
    };
    rule.options = options(fields, &rule.options)?;
    Ok(rule)
}

fn audience(fields: &Fields<'_>, key: &'static str, otherwise: Audience) -> Result<Audience, ConfigError> {
    let Some(text) = fields.text(key)? else { return Ok(otherwise) };
    let off = if key == "presence" { ", or \"off\"" } else { "" };
    let expected = format!("\"anyone\", \"authenticated\", \"grant\" or \"nobody\"{off}");
    Audience::from_name(text).ok_or_else(|| fields.bad(key, format!("{text:?}"), expected))
}

fn options(fields: &Fields<'_>, options: &RuleOptions) -> Result<RuleOptions, ConfigError> {
    let from = match fields.text("from")? {
        None => options.from,
        Some(text) => FromPolicy::from_name(text)
            .ok_or_else(|| fields.bad("from", format!("{text:?}"), "\"user\" or \"none\""))?,
    };
    Ok(RuleOptions {
        from,
        has_presence: options.has_presence,
        message_bytes_max: size(
            fields,
            "message_bytes_max",
            "a size such as 4KiB, at most limits.message_bytes_max",
        )?,
        retention_messages_max: number(
            fields,
            "retention_messages",
            parse_count,
            "a whole number, at least 1 and at most retention.messages",
        )?,
        retention_bytes_max: size(fields, "retention_bytes", "a size such as 1MiB, at most retention.bytes")?,
        retention_ms_max: number(
            fields,
            "retention_age",
            parse_time,
            "a time such as \"10m\", at most retention.age",
        )?,
    })
}

fn size(fields: &Fields<'_>, key: &'static str, expected: &str) -> Result<Option<usize>, ConfigError> {
    number(fields, key, parse_size, expected)
}

/// A number above 0, in whatever it is written; `None`: it is not there.
fn number<N: TryFrom<u64>>(
    fields: &Fields<'_>,
    key: &'static str,
    parse: fn(&str) -> Option<u64>,
    expected: &str,
) -> Result<Option<N>, ConfigError> {
    let Some(text) = fields.amount(key) else { return Ok(None) };
    let number = parse(&text).filter(|number| *number > 0).and_then(|number| number.try_into().ok());
    number.map(Some).ok_or_else(|| fields.bad(key, format!("{text:?}"), expected))
}

/// The patterns of channels that a key names; `None`: it is not there.
pub(super) fn patterns(fields: &Fields<'_>, key: &'static str) -> Result<Option<Vec<Pattern>>, ConfigError> {
    let Some(texts) = fields.texts(key)? else { return Ok(None) };
    let parse =
        |text: &String| Pattern::parse(text).map_err(|error| fields.unfit(key, format!("{text:?}: {error}")));
    texts.iter().map(parse).collect::<Result<_, _>>().map(Some)
}
