//! Where a row plays: how much of it, which server with which settings, and on which cores.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::root;
use crate::server::{self, Server};

/// What was asked for on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// A small run that shows whether the tool works; its figures are not kept.
    pub(crate) is_quick: bool,
    /// A server's binary of the caller's choice.
    given: Option<PathBuf>,
}

/// A setting of the server as `efir serve --set` takes it.
pub(crate) type Setting<'a> = (&'a str, &'a str);

impl Plan {
    /// With this server's binary.
    pub(crate) fn of(binary: PathBuf, is_quick: bool) -> Self {
        Self { is_quick, given: Some(binary) }
    }

    /// Reads `--quick` and `--server PATH`; returns the words that are left.
    ///
    /// # Errors
    /// An option that does not exist.
    pub(crate) fn read(arguments: &[String]) -> Result<(Self, Vec<String>)> {
        let (mut plan, mut words) = (Self { is_quick: false, given: None }, Vec::new());
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--quick" => plan.is_quick = true,
                "--server" => plan.given = Some(rest.next().context("--server PATH")?.into()),
                option if option.starts_with('-') => bail!("there is no option {option}"),
                word => words.push(word.to_owned()),
            }
        }
        Ok((plan, words))
    }

    /// Whether the figures are worth keeping: all of it, with the release build.
    pub(crate) fn is_kept(&self) -> bool {
        !self.is_quick && self.given.is_none()
    }

    /// One of two values: that of the full run, or that of the quick one.
    pub(crate) fn pick<V>(&self, full: V, quick: V) -> V {
        if self.is_quick { quick } else { full }
    }

    /// How long a point is measured.
    pub(crate) fn measured(&self) -> Duration {
        self.pick(Duration::from_secs(4), Duration::from_secs(1))
    }

    /// The server that is measured.
    pub(crate) fn binary(&self) -> PathBuf {
        self.given.clone().unwrap_or_else(|| root::target().join("release/efir"))
    }

    /// A fresh server on its core with these settings beside the defaults.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn server(&self, settings: &[Setting<'_>]) -> Result<Server> {
        let command = with_settings(Command::new(self.binary()), settings);
        super::super::on_server_core(|| Server::start_by(command, &[], server::free_port()?))
    }

    /// The same on these cores, with one worker each.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn server_on(&self, cores: &str, settings: &[Setting<'_>]) -> Result<Server> {
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(self.binary());
        Server::start_by(with_settings(command, settings), &[], server::free_port()?)
    }
}

fn with_settings(mut command: Command, settings: &[Setting<'_>]) -> Command {
    for (key, value) in settings {
        command.env(variable(key), value);
    }
    command
}

/// `limits.channels_max` → `EFIR_LIMITS__CHANNELS_MAX`.
fn variable(key: &str) -> String {
    format!("EFIR_{}", key.replace('.', "__").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_options_are_told_apart() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (plan, rest) = Plan::read(&words("--quick storm --server /x cores")).unwrap();
        assert!(plan.is_quick && !plan.is_kept());
        assert_eq!(rest, ["storm", "cores"]);
        assert!(Plan::read(&words("--slow")).is_err());
        assert!(Plan::read(&words("--server")).is_err());
        assert!(Plan::read(&[]).unwrap().0.is_kept());
    }

    #[test]
    fn settings_become_variables() {
        assert_eq!(variable("limits.channels_max"), "EFIR_LIMITS__CHANNELS_MAX");
        assert_eq!(variable("workers"), "EFIR_WORKERS");
    }
}
