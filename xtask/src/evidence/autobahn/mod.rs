//! The cases of Autobahn's TestSuite, which is what WebSocket implementations are measured by: 517 of them, against efir as it runs and
//! against the codec of the Rust client.
//!
//! The suite wants an echo server, and efir is none; [`relay`] makes one of it. [`suite`] runs the cases and reads the report.

mod frames;
mod relay;
mod suite;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use self::relay::Relay;
use self::suite::{Seen, Suite};
use super::{Outcome, Size};
use crate::child::{self, cargo};
use crate::paper::grouped;
use crate::server::{self, Server};
use crate::tally::Tally;
use crate::{machine, root};

/// All cases, and those whose outcome the standard leaves open.
const CASES: usize = 517;
const INFORMATIONAL: usize = 3;

/// Those of a client: 13.3 to 13.6 ask it for a window that ours does not offer (`client_max_window_bits`, RFC 7692 §7.1.2.2).
const CLIENT: &[&str] =
    &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.1.*", "13.2.*", "13.7.*"];
const CLIENT_CASES: usize = CASES - 4 * 18;

/// What every test run tries: everything but 12.2 to 12.5, which are 12.1 with other payloads.
const QUICK: &[&str] = &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.1.*", "13.*"];
/// How many cases these are.
const QUICK_CASES: usize = CASES - 4 * 18;

/// What the cases need of the server: messages of up to 16 MiB, as many as they please, on channels that keep some of them.
const CONFIGURATION: &[(&str, &str)] = &[
    ("EFIR_LIMITS__MESSAGE_BYTES_MAX", "16MiB"),
    ("EFIR_LIMITS__CONNECTION_PUBLISHES_PER_S_MAX", "1000000"),
    ("EFIR_LIMITS__CONNECTION_BYTES_PER_S_MAX", "16GiB"),
    ("EFIR_LIMITS__LOG_BYTES_MAX", "256MiB"),
    ("EFIR_RETENTION__BYTES", "32MiB"),
    ("EFIR_RETENTION__MESSAGES", "10"),
];

/// One end of efir, and what the suite says of it.
struct Tried {
    what: &'static str,
    cases: usize,
    seen: Seen,
}

impl Tried {
    fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> =
            self.seen.odd().iter().map(|odd| format!("{}: case {odd}", self.what)).collect();
        if self.seen.len() != self.cases {
            broken.push(format!("{}: {} cases of {} were run", self.what, self.seen.len(), self.cases));
        }
        broken
    }
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let suite = Suite::find()?;
    let (names, cases) = if size == Size::Full { (Vec::new(), CASES) } else { (named(QUICK), QUICK_CASES) };
    let (server, messages, mut broken) = server(&suite, binary, &names, cases)?;
    let mut tried = vec![server];
    if size == Size::Full {
        let seen = suite.of_client(&client()?, &named(CLIENT))?;
        tried.push(Tried { what: "the codec of the Rust client", cases: CLIENT_CASES, seen });
    }
    broken.extend(tried.iter().flat_map(Tried::broken));
    Ok(Outcome { text: text(&tried, messages, &broken), broken })
}

/// A stage of the tests: each case is a test.
///
/// # Errors
/// When the server does not start, or the suite does not run to its end.
pub(crate) fn quick(binary: &Path) -> Result<(Tally, Vec<String>)> {
    let suite = match Suite::find() {
        Ok(suite) => suite,
        Err(error) => {
            let tally = Tally { skipped: QUICK_CASES as u64, ..Tally::default() };
            return Ok((tally, vec![format!("not run: the cases of Autobahn's TestSuite: {error:#}")]));
        }
    };
    let (tried, _, mut broken) = server(&suite, binary, &named(QUICK), QUICK_CASES)?;
    broken.extend(tried.broken());
    let failed = broken.len() as u64;
    let passed = (tried.seen.len() as u64).saturating_sub(failed);
    Ok((Tally { passed, failed, skipped: 0 }, broken))
}

fn named(cases: &[&str]) -> Vec<String> {
    cases.iter().map(|name| (*name).to_owned()).collect()
}

/// The server behind the suite: how it did, how many messages came back, and what the relay saw that was wrong.
fn server(suite: &Suite, binary: &Path, names: &[String], cases: usize) -> Result<(Tried, u64, Vec<String>)> {
    let mut command = Command::new(binary);
    command.envs(CONFIGURATION.iter().copied());
    let server = Server::start_by(command, &[], server::free_port()?)?;
    let relay = Relay::start(server.address())?;
    let seen = suite.of_server(relay.address, names)?;
    let broken = relay.faults().into_iter().map(|fault| format!("efir behind the relay: {fault}")).collect();
    let messages = relay.messages();
    drop(relay);
    server.terminate()?;
    Ok((Tried { what: "the server", cases, seen }, messages, broken))
}

/// The client that answers the suite, built as it is used.
fn client() -> Result<std::path::PathBuf> {
    let build = ["build", "--release", "--package", "efir-ws", "--example", "echo_client"];
    if !child::run(&mut cargo(&build))?.success {
        bail!("the client does not build");
    }
    Ok(root::target().join("release/examples/echo_client"))
}

fn text(tried: &[Tried], messages: u64, broken: &[String]) -> String {
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let behaviors = ["OK", "INFORMATIONAL", "NON-STRICT", "FAILED"];
    let rows: String = tried
        .iter()
        .map(|Tried { what, seen, .. }| {
            let counts = behaviors.map(|behavior| seen.count(behavior));
            let others = seen.len() - counts.iter().sum::<usize>();
            let counts = counts.map(|count| count.to_string()).join(" | ");
            format!("| {what} | {} | {counts} | {others} | {:.0} |\n", seen.len(), seen.took.as_secs_f64())
        })
        .collect();
    format!(
        "`cargo xtask evidence autobahn`, kosoku {}, {}, {}: {verdict}.\n\n\
         | what was tried | cases | OK | INFORMATIONAL | NON-STRICT | FAILED | others | seconds |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n{rows}\n\
         {} messages were published by the suite and came back; {INFORMATIONAL} cases are such that the standard leaves open what is to happen.\n",
        suite::VERSION,
        machine::date(),
        machine::line(),
        grouped(messages),
    )
}
