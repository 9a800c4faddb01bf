//! `cargo xtask evidence [ROW…]`: runs that take too long for each change, or need thousands of connections, each one row of
//! docs/reliability.md. A small one of each is a stage of the tests.

mod audience;
pub(crate) mod autobahn;
mod campaign;
mod clock;
mod constant_time;
mod files;
mod floods;
mod memory;
mod namespace;
mod partition;
mod returns;
mod schedules;
mod slow_readers;
mod slowloris;
mod soak;
mod storm;
mod upgrades;
mod vanish;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use efir_bench::system;

use crate::{Verdict, bench, machine, paper, root};

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// As it is written down.
    Full,
    /// For every test run.
    Quick,
    /// So many minutes instead of what is written down, where a row can be as long as one likes.
    Minutes(u64),
}

/// What a run came to.
struct Outcome {
    /// For docs/reliability.md.
    text: String,
    /// What did not hold.
    broken: Vec<String>,
}

/// One run: its name on the command line and between the marks of the paper, and what it does.
struct Row {
    name: &'static str,
    about: &'static str,
    /// Whether a small version is part of `cargo xtask test`.
    is_tested: bool,
    attempt: fn(Size, &Path) -> Result<Outcome>,
}

const ROWS: &[Row] = &[
    Row {
        name: "vanish",
        about: "10,000 connections open, half of them vanish without a word",
        is_tested: true,
        attempt: vanish::attempt,
    },
    Row {
        name: "slowloris",
        about: "5,000 clients that say nothing, or next to it, or read nothing, beside readers that notice nothing",
        is_tested: true,
        attempt: slowloris::attempt,
    },
    Row {
        name: "constant-time",
        about: "how long it takes to look for a server key, whichever is shown (Welch's t, after dudect)",
        is_tested: false,
        attempt: constant_time::attempt,
    },
    Row {
        name: "floods",
        about: "HTTP/2 clients that send frames without end, a minute each kind, beside readers that notice nothing",
        is_tested: true,
        attempt: floods::attempt,
    },
    Row {
        name: "soak",
        about: "an hour with 10,000 connections that come and go (`--minutes N`: shorter)",
        is_tested: true,
        attempt: soak::attempt,
    },
    Row {
        name: "slow-readers",
        about: "1,000 of 5,000 readers take a thousand bytes a second and are owed many times as much",
        is_tested: true,
        attempt: slow_readers::attempt,
    },
    Row {
        name: "clock",
        about: "the clock of the wall is set 30 times, by a second and by ten years, while readers read",
        is_tested: true,
        attempt: clock::attempt,
    },
    Row {
        name: "upgrades",
        about: "20 upgrades, one after the other, while thousands connect and readers on five transports read on",
        is_tested: true,
        attempt: upgrades::attempt,
    },
    Row {
        name: "files",
        about: "10,000 dials at a server that may open 256 files, and 1,024: others are served on",
        is_tested: true,
        attempt: files::attempt,
    },
    Row {
        name: "returns",
        about: "15,000 connections are cut and come back at once, with their cursors",
        is_tested: true,
        attempt: returns::attempt,
    },
    Row {
        name: "campaign",
        about: "10,000 faults over a million messages: the Rust client on all transports and carriers behind a bad network",
        is_tested: true,
        attempt: campaign::attempt,
    },
    Row {
        name: "partition",
        about: "the Rust client on all transports in a namespace whose packets are lost: at random, all of them, by resets",
        is_tested: true,
        attempt: partition::attempt,
    },
    Row {
        name: "autobahn",
        about: "the 517 cases of Autobahn's TestSuite, of the server and of the Rust client's codec",
        // A stage of its own, where each case counts.
        is_tested: false,
        attempt: autobahn::attempt,
    },
    Row {
        name: "memory",
        about: "ten times what fits into 512 MiB, as logs, readers that do not read, and messages that are begun",
        is_tested: true,
        attempt: memory::attempt,
    },
    Row {
        name: "storm",
        about: "1,000,000 requests and frames that are wrong, beside readers that notice nothing",
        is_tested: true,
        attempt: storm::attempt,
    },
    Row {
        name: "schedules",
        about: "publishers, readers that join and leave, and a sweep, in a million orders (shuttle)",
        is_tested: true,
        attempt: schedules::attempt,
    },
];

const PAPER: &str = "docs/reliability.md";

/// The only row that may be as long as one likes.
const OF_ANY_LENGTH: &str = "soak";

/// `[ROW…] [--quick] [--again]`, `soak --minutes N`; without a row, all of them that this commit has not run yet.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let (minutes, words) = minutes_of(arguments)?;
    let (flags, names): (Vec<&str>, Vec<&str>) =
        words.into_iter().partition(|argument| argument.starts_with("--"));
    let is_known = |name: &&str| ROWS.iter().any(|row| row.name == *name);
    if names.iter().any(|name| !is_known(name))
        || flags.iter().any(|flag| !["--quick", "--again"].contains(flag))
    {
        for row in ROWS {
            println!("  cargo xtask evidence {:<14} {}", row.name, row.about);
        }
        bail!(
            "name rows of these, or none for all; `--quick` makes them small and writes nothing down, `--again` \
             runs also what this commit has run"
        );
    }
    let size = match minutes {
        Some(minutes) if names == [OF_ANY_LENGTH] => Size::Minutes(minutes),
        Some(_) => bail!("only {OF_ANY_LENGTH} may be so many minutes long"),
        None if flags.contains(&"--quick") => Size::Quick,
        None => Size::Full,
    };
    bench::in_release(&["evidence"], arguments)?;
    let is_again = flags.contains(&"--again") || !names.is_empty() || size == Size::Quick;
    let done = Done::read()?;
    let mut verdict = Verdict::Held;
    for row in ROWS.iter().filter(|row| names.is_empty() || names.contains(&row.name)) {
        if !is_again && done.has(row.name) {
            println!("{}: this commit has run it ({})", row.name, done.path.display());
            continue;
        }
        println!("=== {}", row.name);
        let outcome = row.attempt_with(size, &root::target().join("release/efir"))?;
        if size != Size::Quick {
            paper::write(PAPER, row.name, &outcome.text)?;
        }
        if size == Size::Full {
            done.note(row.name, &outcome)?;
        }
        if !outcome.broken.is_empty() {
            verdict = Verdict::Failed;
        }
    }
    Ok(verdict)
}

/// Takes `--minutes N` out of the words.
fn minutes_of(arguments: &[String]) -> Result<(Option<u64>, Vec<&str>)> {
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(place) = words.iter().position(|word| *word == "--minutes") else { return Ok((None, words)) };
    let minutes = words.get(place + 1).and_then(|word| word.parse().ok()).filter(|minutes| *minutes > 0);
    let Some(minutes) = minutes else { bail!("--minutes wants a number") };
    words.drain(place..place + 2);
    Ok((Some(minutes), words))
}

/// Small runs of all rows that have one in the tests; calls `seen` with the name of each and what did not hold.
pub(crate) fn quick(binary: &Path, mut seen: impl FnMut(&str, Vec<String>)) {
    for row in ROWS.iter().filter(|row| row.is_tested) {
        println!("--- {}", row.name);
        let broken = match row.attempt_with(Size::Quick, binary) {
            Ok(outcome) => outcome.broken,
            Err(error) => vec![format!("{error:#}")],
        };
        seen(row.name, broken);
    }
}

impl Row {
    fn attempt_with(&self, size: Size, binary: &Path) -> Result<Outcome> {
        system::raise_files()?;
        let outcome = (self.attempt)(size, binary)?;
        println!("{}", outcome.text);
        Ok(outcome)
    }
}

/// Rows that were run at this commit, so that a list of long runs goes on where it was interrupted.
struct Done {
    path: PathBuf,
    commit: String,
    lines: String,
}

impl Done {
    fn read() -> Result<Self> {
        let path = root::target().join("evidence.txt");
        let lines = if path.exists() { std::fs::read_to_string(&path)? } else { String::new() };
        Ok(Self { path, commit: machine::commit(), lines })
    }

    /// Whether the row was run at this commit, and held.
    fn has(&self, row: &str) -> bool {
        let line = format!("{} {row} held", self.commit);
        self.lines.lines().any(|one| one == line)
    }

    fn note(&self, row: &str, outcome: &Outcome) -> Result<()> {
        let verdict = if outcome.broken.is_empty() { "held" } else { "did not hold" };
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        writeln!(file, "{} {row} {verdict}", self.commit)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_done_when_this_commit_has_run_it_and_it_held() {
        let lines = "abc vanish held\nabc floods did not hold\ndef slowloris held\n".to_owned();
        let done = Done { path: PathBuf::new(), commit: "abc".to_owned(), lines };
        assert_eq!(["vanish", "floods", "slowloris"].map(|row| done.has(row)), [true, false, false]);
    }

    #[test]
    fn minutes_are_taken_out_of_the_words() {
        let words = ["soak", "--minutes", "10", "--again"].map(str::to_owned);
        assert_eq!(minutes_of(&words).unwrap(), (Some(10), vec!["soak", "--again"]));
        assert!(minutes_of(&words[..2]).is_err());
        assert_eq!(minutes_of(&words[..1]).unwrap(), (None, vec!["soak"]));
    }

    #[test]
    fn every_row_has_its_place_in_the_paper() {
        let paper = std::fs::read_to_string(root::root().join(PAPER)).unwrap();
        for row in ROWS {
            assert!(paper.contains(&format!("<!-- {}: begin -->", row.name)), "{}", row.name);
        }
    }
}
