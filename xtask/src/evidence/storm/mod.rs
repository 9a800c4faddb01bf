//! A million requests and frames that are wrong, from a seed, over many connections at once. Readers beside them notice nothing, nothing
//! panics, every connection is answered and closed within a second, and in the end the server holds what it held before.

mod attackers;
mod pieces;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::attackers::{Attackers, Told};
use self::pieces::Kind;
use super::audience::{Audience, Kept, Seats, ms};
use super::{Outcome, Size};
use crate::paper::grouped;
use crate::{machine, root, server};
use efir_bench::process;

/// How much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    pieces: u64,
    /// Sent before anything is measured, from another seed: tables and buffers then have the size that they have under a storm.
    warming: u64,
    readers: usize,
}

const FULL: Plan = Plan { pieces: 1_000_000, warming: 1_000_000, readers: 100 };
const QUICK: Plan = Plan { pieces: 20_000, warming: 8_000, readers: 20 };

const SEED: u64 = 0x5ee_d0f5;
const MESSAGES_PER_SECOND: u64 = 20;
/// What is accepted by mistake is kept so long.
const KEPT: Duration = Duration::from_secs(2);
/// How long expiry and the allocator may take until it shows.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// How long a connection may take to its end after its last byte.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Of the allocator's live bytes.
const LIVE_PERCENT_MAX: f64 = 2.0;

/// What the server holds.
#[derive(Clone, Copy, Debug)]
struct Stock {
    files: usize,
    live: f64,
}

struct Seen {
    told: Told,
    before: Stock,
    after: Stock,
    latency_alone: (u64, u64),
    latency_under: (u64, u64),
    took: Duration,
    panics: f64,
    panicked_lines: usize,
    /// Refusals of which no client may hear, with how many heard.
    wrong_refusals: Vec<String>,
    kept: Kept,
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let seen = run(plan, binary)?;
    Ok(Outcome { text: text(plan, &seen), broken: seen.broken() })
}

/// The server's ports beside the one that readers use, and where its log goes.
struct Place {
    folder: PathBuf,
    tls: SocketAddr,
    admin: SocketAddr,
}

impl Place {
    fn make() -> Result<Self> {
        let folder = root::target().join("storm");
        std::fs::create_dir_all(&folder)?;
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let params = rcgen::CertificateParams::new(["localhost".to_owned()])?;
        std::fs::write(folder.join("cert.pem"), params.self_signed(&pair)?.pem())?;
        std::fs::write(folder.join("key.pem"), pair.serialize_pem())?;
        std::fs::write(folder.join("log"), "")?;
        let port = || Ok::<_, anyhow::Error>(SocketAddr::from(([127, 0, 0, 1], server::free_port()?)));
        Ok(Self { folder, tls: port()?, admin: port()? })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The server, with a listener of TLS, one for the operator, and a log in a file.
    fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "log=$1; shift; exec \"$@\" 2>>\"$log\"", "sh", &self.path("log")]).arg(binary);
        let kept = format!("{}s", KEPT.as_secs());
        command
            .env("EFIR_TLS__CERTIFICATE_FILE", self.path("cert.pem"))
            .env("EFIR_TLS__KEY_FILE", self.path("key.pem"))
            .env("EFIR_ADMIN__LISTEN", self.admin.to_string())
            .env("EFIR_RETENTION__AGE", &kept)
            .env("EFIR_LIMITS__KEY_WINDOW", &kept)
            .env("EFIR_LIMITS__STUBS_MAX", "200");
        command
    }

    fn metrics(&self) -> Result<String> {
        server::get(self.admin, "/metrics")
    }

    fn stock(&self, process: u32) -> Result<Stock> {
        let live =
            value(&self.metrics()?, "efir_memory_allocated_bytes").context("no live bytes in /metrics")?;
        Ok(Stock { files: process::open_files(process)?, live })
    }
}

/// The value of a metric without labels.
fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Refusals that say nothing of use: our own faults, and a lack of room that names no limit.
fn wrong_refusals(metrics: &str) -> Vec<String> {
    let refusals = metrics.lines().filter(|line| line.starts_with("efir_refusals_total{"));
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    let is_wrong = |line: &&str| {
        let (code, limit) =
            (label(line, "code").unwrap_or_default(), label(line, "limit").unwrap_or_default());
        let status = efir_core::CODES.iter().find(|row| row.name == code).map_or(500, |row| row.status);
        status == 500 || (status == 503 && limit.is_empty())
    };
    refusals.filter(is_wrong).map(str::to_owned).collect()
}

fn run(plan: Plan, binary: &Path) -> Result<Seen> {
    let place = Place::make()?;
    let seats =
        Seats { channel: "storm-beside", readers: plan.readers, messages_per_second: MESSAGES_PER_SECOND };
    let more = ["--listen".to_owned(), format!("https://{}", place.tls)];
    let mut audience = Audience::start_by(seats, place.command(binary), &more)?;
    let targets = [audience.address(), place.tls];
    storm(&mut audience, Attackers::begin(targets, (SEED + 1, plan.warming)))?;
    audience.watch(2 * KEPT, || Ok(()))?;
    audience.latency();
    audience.watch(Duration::from_secs(1), || Ok(()))?;
    let latency_alone = audience.latency();
    let before = place.stock(audience.process())?;
    let begun = Instant::now();
    let told = storm(&mut audience, Attackers::begin(targets, (SEED, plan.pieces)))?;
    let (took, latency_under) = (begun.elapsed(), audience.latency());
    let due = Instant::now() + SETTLE_MAX;
    let after = loop {
        audience.watch(KEPT / 4, || Ok(()))?;
        let after = place.stock(audience.process())?;
        if after.is_as(before) || Instant::now() > due {
            break after;
        }
    };
    let metrics = place.metrics()?;
    let log = std::fs::read_to_string(place.folder.join("log"))?;
    Ok(Seen {
        told,
        before,
        after,
        latency_alone,
        latency_under,
        took,
        panics: value(&metrics, "efir_panics_total").context("no count of panics in /metrics")?,
        panicked_lines: log.lines().filter(|line| line.contains("panic")).count(),
        wrong_refusals: wrong_refusals(&metrics),
        kept: audience.finish()?,
    })
}

/// Lets it pass over the audience.
fn storm(audience: &mut Audience, attackers: Attackers) -> Result<Told> {
    while !attackers.are_done() {
        audience.watch(Duration::from_millis(50), || Ok(()))?;
    }
    attackers.finish()
}

impl Stock {
    fn is_as(self, before: Self) -> bool {
        self.files <= before.files && self.grown_percent(before).abs() <= LIVE_PERCENT_MAX
    }

    fn grown_percent(self, before: Self) -> f64 {
        (self.live / before.live - 1.0) * 100.0
    }
}

impl Seen {
    /// What did not hold, if anything.
    fn broken(&self) -> Vec<String> {
        let mut broken = self.kept.broken();
        if self.panics > 0.0 || self.panicked_lines > 0 {
            broken.push(format!("{} panics counted, {} in the log", self.panics, self.panicked_lines));
        }
        broken.extend(self.wrong_refusals.iter().map(|line| format!("refused by {line}")));
        for (status, count) in &self.told.statuses {
            if *status == 500 {
                broken.push(format!("{count} answers with status 500"));
            }
        }
        if self.told.unnamed > 0 {
            broken.push(format!("{} answers with status 503 and no limit", self.told.unnamed));
        }
        if self.told.late > 0 {
            broken
                .push(format!("{} connections took longer than {ANSWER_MAX:?} to their end", self.told.late));
        }
        // One of the operator's own may come and go.
        if self.after.files > self.before.files + 1 {
            broken.push(format!("{} open files instead of {}", self.after.files, self.before.files));
        }
        let grown = self.after.grown_percent(self.before);
        if grown.abs() > LIVE_PERCENT_MAX {
            broken.push(format!("live bytes {grown:+.1} %"));
        }
        broken
    }
}

fn text(plan: Plan, seen: &Seen) -> String {
    let broken = seen.broken();
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let sent = Kind::ALL
        .iter()
        .zip(seen.told.pieces)
        .map(|(kind, count)| format!("| {} | {} |\n", kind.name(), grouped(count)));
    let statuses: Vec<String> =
        seen.told.statuses.iter().map(|(status, count)| format!("{status}: {}", grouped(*count))).collect();
    format!(
        "`cargo xtask evidence storm`, seed {SEED:#x}, {}, {}: {verdict}.\n\n\
         | what | seen |\n|---|--:|\n{}\
         | connections, in {:.0} s | {} |\n\
         | answers over HTTP/1.1, by status | {} |\n\
         | the slowest connection, from its last byte to its end; longer than 1 s | {:.0} ms; {} |\n\
         | panics, by the metric and in the log | {} and {} |\n\
         | open files before and after | {} and {} |\n\
         | the allocator's live bytes before and after | {} and {} ({:+.2} %) |\n\
         | {} readers beside it, {} messages to each: lost / duplicated / reordered; ended | {}; {} |\n\
         | p99 / longest time from due to read, alone and under it | {} and {} |\n",
        machine::date(),
        machine::line(),
        sent.collect::<String>(),
        seen.took.as_secs_f64(),
        grouped(seen.told.connections),
        statuses.join(", "),
        seen.told.slowest.as_secs_f64() * 1e3,
        seen.told.late,
        seen.panics,
        seen.panicked_lines,
        seen.before.files,
        seen.after.files,
        grouped(seen.before.live as u64),
        grouped(seen.after.live as u64),
        seen.after.grown_percent(seen.before),
        plan.readers,
        seen.kept.messages,
        seen.kept.faults,
        seen.kept.ended,
        ms(seen.latency_alone),
        ms(seen.latency_under),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_may_not_say_is_found() {
        let metrics = "efir_refusals_total{code=\"invalid_request\",limit=\"\"} 7\n\
                       efir_refusals_total{code=\"too_many_connections\",limit=\"address_connections_max\"} 1\n\
                       efir_refusals_total{code=\"internal\",limit=\"\"} 2\n\
                       efir_refusals_total{code=\"overloaded\",limit=\"\"} 3\nefir_panics_total 4\n";
        assert_eq!(wrong_refusals(metrics).len(), 2);
        assert_eq!(value(metrics, "efir_panics_total"), Some(4.0));
    }
}
