//! More clients than there may be open files: those who are connected are served on, accepting costs next to nothing while it cannot
//! succeed, and once the others are gone the next one is served at once.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use efir_bench::{process, system};

use super::audience::{Audience, Kept, Seats, ms};
use super::{Outcome, Size};
use crate::paper::grouped;
use crate::{machine, root, server};

/// How much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    dials: usize,
    readers: usize,
    /// How long the readers are watched alone, and while files are out.
    time: Duration,
}

const FULL: Plan = Plan { dials: 10_000, readers: 40, time: Duration::from_secs(10) };
const QUICK: Plan = Plan { dials: 2_000, readers: 12, time: Duration::from_secs(1) };

/// With few files the server's own limit of connections comes first; with more, accepting itself fails (EMFILE).
const LIMITS: [u64; 2] = [256, 1_024];
const CPU_PERCENT_MAX: f64 = 20.0;
const RECOVERY_MAX: Duration = Duration::from_secs(1);
/// How long the small run, beside everything else, may take for it.
const RECOVERY_MOST: Duration = Duration::from_secs(15);
/// How many dialers share an address.
const PER_SOURCE: usize = 250;
/// How many of them are looked at, and dial again if they were sent away, before the readers are read on.
const LOOKED_AT: usize = 20;
const CHANNEL: &str = "files";

/// What was seen with one limit.
struct Seen {
    files_max: u64,
    /// The most that were open.
    files: u64,
    dials: u64,
    sent_away: u64,
    busy_alone: f64,
    busy: f64,
    latency_alone: (u64, u64),
    latency: (u64, u64),
    recovery: Duration,
    kept: Kept,
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let seen: Vec<Seen> = LIMITS.into_iter().map(|files| run(plan, binary, files)).collect::<Result<_>>()?;
    let broken: Vec<String> = seen.iter().flat_map(|seen| seen.broken(size)).collect();
    Ok(Outcome { text: text(plan, &seen, &broken), broken })
}

impl Seen {
    /// What did not hold, if anything. Times of a small run depend on what else the machine does.
    fn broken(&self, size: Size) -> Vec<String> {
        let mut broken = self.kept.broken();
        if self.files > self.files_max {
            broken.push(format!("{} files were open", self.files));
        }
        if size == Size::Full && self.busy > CPU_PERCENT_MAX {
            broken.push(format!("{:.0} % of a core while files were out", self.busy));
        }
        let most = if size == Size::Full { RECOVERY_MAX } else { RECOVERY_MOST };
        if self.recovery > most {
            broken.push(format!("the next client was served after {:?}", self.recovery));
        }
        broken.into_iter().map(|words| format!("with {} files: {words}", self.files_max)).collect()
    }
}

fn run(plan: Plan, binary: &Path, files_max: u64) -> Result<Seen> {
    let seats = Seats { channel: CHANNEL, readers: plan.readers, messages_per_second: 20 };
    let mut audience = Audience::start(seats, &limited(binary, files_max)?)?;
    let (address, server) = (audience.address(), audience.process());
    audience.watch(plan.time / 4, || Ok(()))?;
    audience.latency();
    let busy_alone = busy(&mut audience, plan.time, || Ok(()))?;
    let latency_alone = audience.latency();
    let mut dialers = Dialers::new(address, plan.dials)?;
    // Opening so many at once is not what is measured.
    audience.watch(plan.time / 4, || dialers.look())?;
    audience.latency();
    let mut files = 0;
    let busy = busy(&mut audience, plan.time, || {
        files = files.max(open_files(server)?);
        dialers.look()
    })?;
    let latency = audience.latency();
    let (dials, sent_away) = (dialers.dials, dialers.sent_away);
    dialers.leave()?;
    let gone = Instant::now();
    let recovery = std::thread::scope(|scope| -> Result<Duration> {
        let next = scope.spawn(|| until_served(address, gone));
        while !next.is_finished() {
            audience.watch(Duration::from_millis(5), || Ok(()))?;
        }
        next.join().unwrap_or_else(|_| Ok(Duration::MAX))
    })?;
    let kept = audience.finish()?;
    Ok(Seen { files_max, files, dials, sent_away, busy_alone, busy, latency_alone, latency, recovery, kept })
}

/// A program that is the server with so many files.
fn limited(binary: &Path, files_max: u64) -> Result<PathBuf> {
    let path = root::target().join(format!("efir-with-{files_max}-files"));
    let text = format!("#!/bin/sh\nulimit -n {files_max}\nexec '{}' \"$@\"\n", binary.display());
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// CPU of the server in percent of a core, while the readers are watched for so long.
fn busy(audience: &mut Audience, time: Duration, mut meanwhile: impl FnMut() -> Result<()>) -> Result<f64> {
    let (server, begun) = (audience.process(), Instant::now());
    let before = process::Cpu::of(server)?;
    audience.watch(time, &mut meanwhile)?;
    let used = process::Cpu::of(server)?.since(before).total();
    Ok(used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
}

fn open_files(process: u32) -> Result<u64> {
    Ok(std::fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64)
}

/// Asks until there is an answer.
fn until_served(address: SocketAddr, since: Instant) -> Result<Duration> {
    while server::get(address, "/info").is_err() {
        ensure!(since.elapsed() < RECOVERY_MOST * 2, "nobody is served any more");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(since.elapsed())
}

/// Clients that connect, say nothing, and dial again when they are sent away.
struct Dialers {
    server: SocketAddr,
    sockets: Vec<TcpStream>,
    next: usize,
    dials: u64,
    sent_away: u64,
}

impl Dialers {
    fn new(server: SocketAddr, count: usize) -> Result<Self> {
        let mut dialers =
            Self { server, sockets: Vec::with_capacity(count), next: 0, dials: 0, sent_away: 0 };
        for number in 0..count {
            let socket = dialers.dial(number)?;
            dialers.sockets.push(socket);
        }
        Ok(dialers)
    }

    fn dial(&mut self, number: usize) -> Result<TcpStream> {
        self.dials += 1;
        let source = Ipv4Addr::new(127, 69, 0, (number / PER_SOURCE) as u8 + 1);
        system::begin_connecting(Some(source), self.server).context("dialing")
    }

    /// Looks whether some of them were sent away.
    fn look(&mut self) -> Result<()> {
        for _ in 0..LOOKED_AT {
            let number = self.next;
            self.next = (self.next + 1) % self.sockets.len();
            let is_waiting = |error: std::io::Error| {
                matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::NotConnected)
            };
            let is_over = match self.sockets[number].peek(&mut [0]) {
                Ok(count) => count == 0,
                Err(error) => !is_waiting(error),
            };
            if is_over {
                self.sent_away += 1;
                self.sockets[number] = self.dial(number)?;
            }
        }
        Ok(())
    }

    fn leave(self) -> Result<()> {
        Ok(self.sockets.iter().try_for_each(system::reset_on_close)?)
    }
}

fn text(plan: Plan, seen: &[Seen], broken: &[String]) -> String {
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let mut rows = String::new();
    for seen in seen {
        rows.push_str(&format!(
            "| {} | {} | {} / {} | {:.1} / {:.1} % | {} | {} | {} ms | {}; {} |\n",
            grouped(seen.files_max),
            grouped(seen.files),
            grouped(seen.dials),
            grouped(seen.sent_away),
            seen.busy_alone,
            seen.busy,
            ms(seen.latency_alone),
            ms(seen.latency),
            seen.recovery.as_millis(),
            seen.kept.faults,
            seen.kept.ended,
        ));
    }
    format!(
        "`cargo xtask evidence files`, {}, {}: {verdict}.\n\n\
         | files allowed (RLIMIT_NOFILE) | open at most | dials / sent away | CPU of the server before / meanwhile | p99 / longest time from due to read, before | meanwhile | next client served after | readers: lost / duplicated / reordered; ended |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|\n{rows}\n\
         {} dialers, {} readers on four transports, {} messages to each at the least.\n",
        machine::date(),
        machine::line(),
        grouped(plan.dials as u64),
        plan.readers,
        seen.iter().map(|seen| seen.kept.messages).min().unwrap_or_default(),
    )
}
