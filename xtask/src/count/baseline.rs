//! `benches/baseline.toml`: what was accepted last. A small part of TOML: a line of text, and tables of quoted names and numbers.

use std::fmt::Write;

use anyhow::{Context, Result, bail};

use crate::root::root;

const PATH: &str = "benches/baseline.toml";

/// A name and its value: instructions or bytes of one unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) value: f64,
}

/// All that was accepted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Baseline {
    /// Compiler and C library, on which the figures depend.
    pub(super) made_with: String,
    pub(super) instructions: Vec<Row>,
    pub(super) bytes: Vec<Row>,
}

impl Baseline {
    /// Reads the file of this workspace.
    ///
    /// # Errors
    /// When it is not there or not as this writes it.
    pub(super) fn read() -> Result<Self> {
        let text = std::fs::read_to_string(root().join(PATH)).with_context(|| format!("reading {PATH}"))?;
        Self::parse(&text).with_context(|| format!("reading {PATH}"))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut baseline = Self::default();
        let mut table = "";
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                table = name;
                continue;
            }
            let (name, value) = line.rsplit_once(" = ").with_context(|| format!("no value: {line}"))?;
            let row = || -> Result<Row> {
                Ok(Row { name: name.trim_matches('"').to_owned(), value: value.parse()? })
            };
            match table {
                "" if name == "made_with" => baseline.made_with = value.trim_matches('"').to_owned(),
                "instructions" => baseline.instructions.push(row()?),
                "bytes" => baseline.bytes.push(row()?),
                _ => bail!("not known: {line}"),
            }
        }
        Ok(baseline)
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        std::fs::write(root().join(PATH), self.text())?;
        println!("{PATH} written");
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "# What the hot path costs: `cargo xtask count` compares, `cargo xtask count --accept` writes this.\n",
        );
        writeln!(text, "made_with = \"{}\"", self.made_with).unwrap_or_default();
        for (table, rows) in [("instructions", &self.instructions), ("bytes", &self.bytes)] {
            writeln!(text, "\n[{table}]").unwrap_or_default();
            for row in rows {
                writeln!(text, "\"{}\" = {:.0}", row.name, row.value).unwrap_or_default();
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let row = |name: &str, value| Row { name: name.into(), value };
        let baseline = Baseline {
            made_with: "rustc 1.95.0, glibc 2.36".into(),
            instructions: vec![row("publish: text, 100 B", 4036.0), row("a = b", 1.0)],
            bytes: vec![row("websocket", 904.0)],
        };
        assert_eq!(Baseline::parse(&baseline.text()).unwrap(), baseline);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(Baseline::parse("[others]\n\"a\" = 1").is_err());
        assert!(Baseline::parse("[bytes]\n\"a\" = many").is_err());
        assert!(Baseline::parse("[bytes]\nnothing").is_err());
    }

    #[test]
    fn the_file_of_this_workspace_is_sound() {
        let baseline = Baseline::read().unwrap();
        let rows = baseline.instructions.iter().chain(&baseline.bytes);
        assert!(rows.clone().count() > 20 && rows.clone().all(|row| row.value > 0.0));
        assert!(baseline.made_with.starts_with("rustc "));
    }
}
