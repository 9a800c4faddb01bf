//! `cargo xtask COMMAND`: everything longer than three lines that a developer runs.
//!
//! One module a command; the table below is the list from which dispatch and help derive. Begin with `test.rs`, which
//! is what continuous integration runs.

mod backends;
mod bench;
mod browsers;
mod check;
mod child;
mod client;
mod count;
mod docs;
mod evidence;
mod faults;
mod fuzz;
mod hardening;
mod install;
mod machine;
mod paper;
mod proxies;
mod root;
mod server;
mod supply;
mod tally;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// Whether what was looked at is as it should be. An `Err` beside it means that looking itself was impossible.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Held,
    Failed,
}

struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<Verdict>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "check",
        arguments: "",
        about: "format, lints, tidy and unit tests: before each commit",
        run: check::run,
    },
    Command {
        name: "test",
        arguments: "[STAGE…]",
        about: "everything, as continuous integration runs it",
        run: test::run,
    },
    Command {
        name: "tidy",
        arguments: "",
        about: "the invariants of ARCHITECTURE.md that no compiler holds",
        run: tidy::run,
    },
    Command {
        name: "e2e",
        arguments: "[FILE…]",
        about: "the browser tests: Chromium and Firefox",
        run: browsers::run,
    },
    Command {
        name: "bench",
        arguments: "[--quick] [ROW…]",
        about: "CPU a message and memory a connection, into docs/benchmarks.md; peers, scale, slow-readers, strangers, deflate, plots",
        run: bench::run,
    },
    Command {
        name: "count",
        arguments: "[--accept | ROW]",
        about: "instructions of the hot path and bytes at rest, against the baseline; of a row, where they are",
        run: count::run,
    },
    Command {
        name: "evidence",
        arguments: "[--quick] [ROW…]",
        about: "long runs, into docs/reliability.md; without a row all that this commit has not run",
        run: evidence::run,
    },
    Command {
        name: "faults",
        arguments: "[--faults N] [--seed N]",
        about: "the TypeScript client behind a bad network; --keep: into docs/reliability.md",
        run: faults::run,
    },
    Command {
        name: "fuzz",
        arguments: "[TARGET…] [--minutes N]",
        about: "bytes thrown at every parser, their sum into docs/reliability.md; --merge: what was found into fuzz/corpus",
        run: fuzz::run,
    },
    Command {
        name: "proxies",
        arguments: "[PROGRAM…] [FILTER…]",
        about: "the whole matrix behind nginx, HAProxy and Caddy, set up as docs/operating prints it",
        run: proxies::run,
    },
    Command {
        name: "supply",
        arguments: "[FILE]",
        about: "bans, licences and sources of deny.toml, and the bill of materials (CycloneDX)",
        run: supply::run,
    },
    Command {
        name: "docs",
        arguments: "[--check]",
        about: "write docs/reference from the tables in the code",
        run: docs::run,
    },
    Command { name: "help", arguments: "", about: "this list", run: help },
];

fn help(_: &[String]) -> Result<Verdict> {
    println!("cargo xtask COMMAND\n");
    for command in COMMANDS {
        println!("  {:<24} {}", format!("{} {}", command.name, command.arguments), command.about);
    }
    Ok(Verdict::Held)
}

fn dispatch(arguments: &[String]) -> Result<Verdict> {
    let Some((name, rest)) = arguments.split_first() else { return help(&[]) };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        bail!("there is no command `{name}`; `cargo xtask help` lists them");
    };
    (command.run)(rest)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(Verdict::Held) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
