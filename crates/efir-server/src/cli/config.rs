//! `efir config`: what is in force and where it comes from, and what can be set.

use std::io::{self, Write};

use clap::Subcommand;

use super::{Failure, ServeFlags};
use crate::admin::metrics::METRICS;
use crate::config::access::EXAMPLE;
use crate::config::keys::{self, Key, Kind};
use crate::config::{Resolved, Settings, Sources};
use crate::log::EVENTS;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Print the configuration in force as TOML, each line with where its value comes from.
    Show(ServeFlags),
    /// Print every key with its meaning, unit and default; the output is a file to begin with.
    Keys,
    /// Print every metric of /metrics with its labels and meaning.
    Metrics,
    /// Print every event of the log with its level and meaning.
    Events,
}

pub(super) fn run(config: Config) -> Result<(), Failure> {
    let text = match config {
        Config::Show(flags) => {
            let settings = Settings::load(&Sources::of_process(flags.flags()?)?)?;
            // What `efir serve` would refuse is refused here, too.
            Resolved::from_settings(&settings)?;
            settings.to_toml()
        }
        Config::Keys => documentation(),
        Config::Metrics => metrics(),
        Config::Events => events(),
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// As a table of Markdown, which people read as it stands.
fn metrics() -> String {
    let mut text = String::from("| metric | type | labels | what it tells |\n|---|---|---|---|\n");
    for row in METRICS {
        let (name, kind, labels, meaning) = (row.name, row.kind.name(), row.labels, row.meaning);
        text.push_str(&format!("| `{name}` | {kind} | {labels} | {meaning} |\n"));
    }
    text
}

fn events() -> String {
    let mut text = String::from("| event | level | when |\n|---|---|---|\n");
    for row in EVENTS {
        text.push_str(&format!("| `{}` | {} | {} |\n", row.code, row.level, row.meaning));
    }
    text
}

fn documentation() -> String {
    let mut text = String::from(
        "# All keys of efir.toml with their defaults. A key can also be set by its environment variable\n\
         # and, the nearer the stronger, by a flag or --set KEY=VALUE of `efir serve`.\n",
    );
    let mut section = "";
    for key in keys::all() {
        if key.section != section {
            section = key.section;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&paragraph(&key));
    }
    text.push_str(EXAMPLE);
    text
}

fn paragraph(key: &Key) -> String {
    let flag = key.flag.map(|flag| format!("; {flag}")).unwrap_or_default();
    let expected = key.kind.expected();
    format!(
        "\n# {}\n# Value: {expected}.\n# Set by: {}{flag}\n{} = {}\n",
        key.meaning,
        key.variable(),
        key.name,
        key.toml(&key.default)
    )
}

impl Settings {
    /// TOML that sets exactly what is in force, with origins as comments.
    fn to_toml(&self) -> String {
        let mut text = String::from("# The configuration in force, and where each value comes from.\n");
        let keys = keys::all();
        let lines: Vec<_> = keys
            .iter()
            .filter_map(|key| {
                let setting = self.setting(&key.path())?;
                // Whoever is shown a configuration is not shown its secrets.
                let is_hidden = key.kind == Kind::Secret && setting.value != key.default;
                let value = key.toml(if is_hidden { &key.default } else { &setting.value });
                let hidden = if is_hidden { "  # is set, not shown," } else { "" };
                Some((key, format!("{} = {value}{hidden}", key.name), setting.origin.to_string()))
            })
            .collect();
        let mut section = "";
        for (key, line, origin) in &lines {
            if key.section != section {
                section = key.section;
                text.push_str(&format!("\n[{section}]\n"));
            }
            // Comments stand in one column, except after a list that is longer than that.
            text.push_str(&format!("{line:<36}  # {origin}\n"));
        }
        text.push_str(self.access_shown());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn what_is_printed_is_a_configuration_file() {
        let settings = Settings::load(&Sources::default()).unwrap();
        for text in [documentation(), settings.to_toml()] {
            let sources = Sources { file: Some((PathBuf::from("efir.toml"), text)), ..Sources::default() };
            let again = Settings::load(&sources).unwrap();
            for key in keys::all() {
                assert_eq!(again.setting(&key.path()).unwrap().value, key.default, "{}", key.path());
            }
        }
    }

    #[test]
    fn origins_are_shown() {
        let env = vec![("EFIR_TIMES__HEARTBEAT".to_owned(), "200ms".to_owned())];
        let text = Settings::load(&Sources { env, ..Sources::default() }).unwrap().to_toml();
        let line = text.lines().find(|line| line.starts_with("heartbeat = ")).unwrap();
        assert!(line.ends_with("# EFIR_TIMES__HEARTBEAT (environment)"), "{line}");
        assert!(line.starts_with("heartbeat = \"200ms\" "), "{line}");
    }
}
