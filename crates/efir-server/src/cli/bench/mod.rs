//! `efir bench`: load on a server, and what it showed. The load itself is `efir-bench`'s.
//!
//! Here are the words of the command line; `place.rs` finds the server, `plan.rs` makes a load and checks it against the
//! server's limits, `view.rs` shows the run while it goes on, `table.rs` and `json.rs` what it has shown.

mod json;
mod place;
mod plan;
mod table;
mod text;
mod view;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use efir_bench::Transport;

use self::plan::Plan;
use self::view::View;
use super::{Failure, INTERRUPTED, URL, runtime};

#[derive(Debug, Args)]
#[command(after_help = "\
Without options: 100 WebSocket subscribers of one channel, 100 messages a second, ten seconds.
The channels are new ones with names of their own (bench-…), so nothing that is in use is touched.

  efir bench --subscribers 1000                     one channel, a thousand subscribers
  efir bench -t sse --rate max                      as fast as it goes, over Server-Sent Events
  efir bench -c 200 -s 10 --rate 2000               chat: 200 rooms of 10
  efir bench -t socket -c 1000 -s 5 --channels-a-connection 10
  efir bench -s 0 --rate max --publish socket       publishing alone
  efir bench -s 10000 --rate 1                      what ten thousand idle connections cost
  efir bench https://localhost:8443 --cacert cert.pem --token-file tokens

Latency counts from the time at which a message was planned to be published, so a server that stalls cannot hide it.
CPU and memory of the server are shown when it runs on this machine and its process may be looked at.
Ctrl-C ends it with what was measured until then. The exit code is 1 when messages were lost, doubled or out of order.")]
pub(super) struct Bench {
    /// The server.
    #[arg(env = "EFIR_URL", default_value = URL)]
    url: String,
    /// Trust those whose certificates stand in this PEM file, and whom they vouch for [default: whom the machine trusts].
    #[arg(long, value_name = "FILE", conflicts_with = "insecure", help_heading = "Server")]
    cacert: Option<PathBuf>,
    /// Trust whoever answers over https.
    #[arg(long, short = 'k', help_heading = "Server")]
    insecure: bool,
    /// A file with tokens or server keys, one a line, which connections show in turn ('-' is stdin). They have to allow
    /// 'subscribe' and 'publish', for polls 'history', too, on channels 'bench-*'.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env", help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// The environment variable that holds them.
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    token_env: Option<String>,
    /// Subscribers a channel; 0 measures publishing alone.
    #[arg(long, short, value_name = "N", default_value_t = 100, help_heading = "Load")]
    subscribers: usize,
    /// Channels.
    #[arg(long, short, value_name = "N", default_value_t = 1, help_heading = "Load")]
    channels: usize,
    /// How subscribers read.
    #[arg(long, short, value_name = "NAME", default_value = "websocket", help_heading = "Load")]
    transport: Reading,
    /// Channels that each connection reads.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    channels_a_connection: usize,
    /// How often a short poll asks, as 500ms.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time, help_heading = "Load")]
    poll_interval: Duration,
    /// Messages a second on all channels together; 'max': as fast as they are delivered.
    #[arg(long, short, value_name = "N|max", default_value = "100", help_heading = "Load")]
    rate: Rate,
    /// Size of a payload, 16 bytes to 16MiB, as 100 or 4KiB.
    #[arg(long, short, value_name = "SIZE", default_value = "100", value_parser = size, help_heading = "Load")]
    bytes: usize,
    /// Connections that publish.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    publishers: usize,
    /// How they publish: POST, commands on /socket, or frames on each channel's own WebSocket (which come back there).
    #[arg(long, value_name = "NAME", default_value = "http", help_heading = "Load")]
    publish: Publishing,
    /// Messages that a publisher sends before the first is answered; 1 waits for each [default: 64; with --rate max 512].
    #[arg(long, value_name = "N", help_heading = "Load")]
    pipeline: Option<usize>,
    /// How long it is measured.
    #[arg(long, short, value_name = "TIME", default_value = "10s", value_parser = time, help_heading = "Load")]
    duration: Duration,
    /// How long messages are published before anything counts.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time, help_heading = "Load")]
    warm_up: Duration,
    /// How long 500 connections or more rest before the server's memory is looked at.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time, help_heading = "Load")]
    rest: Duration,
    /// The server's process, where it is not found by its port.
    #[arg(long, value_name = "PID", help_heading = "Measuring")]
    pid: Option<u32>,
    /// Threads of this tool that read [default: half the cores, at most 4].
    #[arg(long, value_name = "N", help_heading = "Measuring")]
    threads: Option<usize>,
    /// Print the figures as one JSON object.
    #[arg(long, help_heading = "Measuring")]
    json: bool,
    /// Show nothing while it runs.
    #[arg(long, short, help_heading = "Measuring")]
    quiet: bool,
}

/// [`Transport`] by its name.
#[derive(Clone, Copy, Debug)]
struct Reading(Transport);

impl ValueEnum for Reading {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Reading; Transport::ALL.len()] = {
            let mut all = [Reading(Transport::Websocket); Transport::ALL.len()];
            let mut n = 0;
            while n < all.len() {
                all[n] = Reading(Transport::ALL[n]);
                n += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

/// What a publisher speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Publishing {
    // POST on kept-alive connections.
    Http,
    // Commands on /socket.
    Socket,
    // Frames on each channel's own WebSocket, where they come back, too.
    Websocket,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    PerSecond(f64),
    Max,
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self::PerSecond(rate)),
            _ => Err("expected messages a second, as 100 or 0.5, or 'max'".into()),
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time, as 10s, 500ms or 2m".into())
}

fn size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        _ => None,
    };
    let bytes = unit.and_then(|unit| digits.parse::<usize>().ok()?.checked_mul(unit));
    match bytes {
        Some(bytes) if (16..=16 << 20).contains(&bytes) => Ok(bytes),
        Some(_) => Err("expected 16 bytes (number and time stand in each message) to 16MiB".into()),
        None => Err("expected a size, as 100, 4KiB or 1MiB".into()),
    }
}

pub(super) fn run(bench: &Bench) -> Result<(), Failure> {
    let plan = Plan::make(bench)?;
    let mut view = View::new(&plan, bench.quiet);
    view.head();
    end_on_interrupt(Arc::clone(&plan.load.stop));
    let done = efir_bench::run(&plan.load, &plan.target, &mut |progress| view.show(progress));
    view.clear();
    let figures = match done {
        Ok(figures) => figures,
        Err(_) if plan.load.stop.load(Ordering::Relaxed) => return Err(Failure::quiet(INTERRUPTED)),
        Err(error) => return Err(Failure::failed(format!("{error:#}"))),
    };
    let text = if bench.json { json::text(&plan, &figures) } else { table::text(&plan, &figures) };
    io::stdout().write_all(text.as_bytes())?;
    if !figures.faults.is_none() {
        return Err(Failure::failed(format!(
            "some messages were lost, doubled or out of order: {}",
            figures.faults
        )));
    }
    if figures.seen.ended > 0 {
        // What they missed is nobody's fault and in no figure, so the figures are not those of the load that was asked for.
        return Err(Failure::failed(format!(
            "{} of {} connections ended before the run did; the figures are those of the others",
            figures.seen.ended, figures.connections
        )));
    }
    Ok(())
}

/// The first Ctrl-C ends the run with what it has shown until then, the second one the command.
fn end_on_interrupt(stop: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        // Without a runtime Ctrl-C ends the command, as it does by itself.
        let Ok(runtime) = runtime() else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_are_read() {
        assert_eq!((size("100"), size("4KiB"), size("1m")), (Ok(100), Ok(4096), Ok(1 << 20)));
        assert!(
            size("15").is_err()
                && size("1GiB").is_err()
                && size("").is_err()
                && size("9999999999999m").is_err()
        );
        assert_eq!("0.5".parse(), Ok(Rate::PerSecond(0.5)));
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert!(["0", "-1", "inf", "fast"].iter().all(|text| text.parse::<Rate>().is_err()));
    }
}
