//! An hour of everyday life: ten thousand connections on every transport, some of which go and others come all the time, channels
//! and members that nobody knew before, publishes with keys. What the server holds must not grow, and nothing may be missing.

mod crowd;
mod samples;
mod verdict;
mod visitors;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::channels::Channels;
use efir_bench::efir::HttpPublisher;
use efir_bench::publisher::{self, Arrivals, Outfit, Publishers, Publishing};
use efir_bench::{Pace, Publish, Transport, process};

use self::crowd::{Cast, Crowd, Place};
pub(super) use self::samples::Metrics;
use self::samples::{Sample, median};
use self::verdict::{Seen, broken, line, text};
use self::visitors::Visitors;
use super::{Outcome, Size};
use crate::paper::grouped;
use crate::root;
use crate::server::{self, Server};

/// How much, and how long.
#[derive(Clone, Copy, Debug)]
struct Plan {
    connections: usize,
    churn_per_second: f64,
    messages_per_second: f64,
    channels: usize,
    time: Duration,
    /// Between two samples.
    interval: Duration,
    /// In the end nobody comes or goes for so long, so that each of them has something to read.
    calm: Duration,
    /// What the server is told besides its defaults.
    configuration: &'static [(&'static str, &'static str)],
    is_long: bool,
}

/// Shorter times than the defaults, so that what is bounded by them stops growing within the first minutes.
const SHORTER: &[(&str, &str)] =
    &[("EFIR_RETENTION__AGE", "2m"), ("EFIR_LIMITS__KEY_WINDOW", "2m"), ("EFIR_LIMITS__STUBS_MAX", "500")];

const FULL: Plan = Plan {
    connections: 10_000,
    churn_per_second: 50.0,
    messages_per_second: 4.0,
    channels: 8,
    time: Duration::from_secs(3_600),
    interval: Duration::from_secs(60),
    calm: Duration::from_secs(8),
    configuration: SHORTER,
    is_long: true,
};

/// The lives of streams are short, so that their end is part of it.
const QUICK: Plan = Plan {
    connections: 300,
    churn_per_second: 30.0,
    messages_per_second: 40.0,
    channels: 8,
    time: Duration::from_secs(9),
    interval: Duration::from_secs(1),
    calm: Duration::from_secs(2),
    configuration: &[("EFIR_TIMES__ROTATION_MIN", "2s"), ("EFIR_TIMES__ROTATION_MAX", "4s")],
    is_long: false,
};

/// Samples of a run that has not an hour: as many, but not oftener than this.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
const SAMPLES: u32 = 60;
/// Looks at the allocator within an interval.
const LOOKS: u32 = 6;

/// These are sent what there is; a short poll comes for it, and its time is that of its interval.
const SENT: &[Transport] =
    &[Transport::Websocket, Transport::Sse, Transport::HttpStream, Transport::LongPoll, Transport::Socket];
const ASKING: &[Transport] = &[Transport::ShortPoll];
/// One in so many is a short poll.
const ASKING_PART: usize = 6;
const ASKING_NUMBER: u32 = 1_000_000;

const CHANNEL: &str = "soak";
const PAYLOAD_BYTES: usize = 100;
/// Files that the server may have open for reasons of its own when everybody has gone.
const FILES_SLACK: usize = 8;
const GONE_MAX: Duration = Duration::from_secs(20);

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = match size {
        Size::Full => FULL,
        Size::Minutes(minutes) => {
            let time = Duration::from_secs(minutes * 60);
            Plan { time, interval: (time / SAMPLES).max(INTERVAL_MIN), ..FULL }
        }
        Size::Quick => QUICK,
    };
    let seen = Run::start(plan, binary)?.finish()?;
    let outcome = Outcome { text: text(plan, &seen), broken: broken(plan, &seen) };
    if plan.is_long {
        // The paper has it, too; this stays when the checkout goes on.
        std::fs::write(root::target().join("evidence-soak.md"), &outcome.text)?;
    }
    Ok(outcome)
}

/// The server, all its connections, and what was seen so far.
struct Run {
    plan: Plan,
    server: Server,
    admin: SocketAddr,
    files_empty: usize,
    allocated_empty: f64,
    sent: Crowd,
    asking: Crowd,
    visitors: Visitors,
    publishing: Publishing,
    samples: Vec<Sample>,
}

impl Run {
    fn start(plan: Plan, binary: &Path) -> Result<Self> {
        let admin = SocketAddr::from(([127, 0, 0, 1], server::free_port()?));
        let mut command = Command::new(binary);
        command.envs(plan.configuration.iter().copied()).env("EFIR_ADMIN__LISTEN", admin.to_string());
        let server = Server::start_by(command, &[], server::free_port()?)?;
        let files_empty = process::open_files(server.process())?;
        let allocated_empty = Metrics::read(admin)?.value("efir_memory_allocated_bytes")? as f64;
        let channels = Arc::new(Channels::new(CHANNEL, plan.channels, 1));
        let place = Place { server: server.address(), clock: Instant::now(), channels };
        let asking = plan.connections / ASKING_PART;
        let mut sent = Crowd::open(
            &place,
            Cast { transports: SENT, count: plan.connections - asking, first_number: 0 },
        )?;
        let mut asking =
            Crowd::open(&place, Cast { transports: ASKING, count: asking, first_number: ASKING_NUMBER })?;
        println!("{} connections are open", grouped(plan.connections as u64));
        let publishing = publish(plan, &place)?;
        let epochs = epochs(&place, || {
            sent.turn(Duration::from_millis(10))?;
            asking.turn(Duration::ZERO)
        })?;
        sent.knows(&epochs);
        asking.knows(&epochs);
        let visitors = Visitors::start(place.server, place.channels.name(0));
        let samples = Vec::new();
        Ok(Self {
            plan,
            server,
            admin,
            files_empty,
            allocated_empty,
            sent,
            asking,
            visitors,
            publishing,
            samples,
        })
    }

    fn finish(mut self) -> Result<Seen> {
        self.live()?;
        let visits = self.visitors.finish()?;
        let (publishers, _) = self.publishing.finish()?;
        let mut told = self.sent.finish(publishers.ends())?;
        let others = self.asking.finish(publishers.ends())?;
        told.churned += others.churned;
        told.resumed += others.resumed;
        told.ended += others.ended;
        told.delivered += others.delivered;
        told.faults += others.faults;
        told.why = told.why.or(others.why);
        let published = publishers.published();
        drop(publishers);
        // All have gone, and so must what was held for them.
        let deadline = Instant::now() + GONE_MAX;
        let mut files = process::open_files(self.server.process())?;
        while files > self.files_empty + FILES_SLACK && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            files = process::open_files(self.server.process())?;
        }
        Ok(Seen {
            samples: self.samples,
            told,
            visits,
            published,
            files: (self.files_empty, files),
            allocated_empty: self.allocated_empty,
        })
    }

    /// The time itself: reads, lets some go, and looks at the server now and then.
    fn live(&mut self) -> Result<()> {
        let begun = Instant::now();
        let (mut looks, mut looked) = (Vec::new(), 0);
        self.sent.latency();
        while begun.elapsed() < self.plan.time {
            self.sent.turn(Duration::from_millis(10))?;
            self.asking.turn(Duration::ZERO)?;
            let churning = begun.elapsed().min(self.plan.time.saturating_sub(self.plan.calm));
            let due = (churning.as_secs_f64() * self.plan.churn_per_second) as u64;
            self.asking.churn(due / ASKING_PART as u64)?;
            self.sent.churn(due - due / ASKING_PART as u64)?;
            let look =
                (begun.elapsed().as_secs_f64() / self.plan.interval.as_secs_f64() * f64::from(LOOKS)) as u32;
            if look > looked {
                looked = look;
                let metrics = Metrics::read(self.admin)?;
                looks.push(metrics.value("efir_memory_allocated_bytes")? as f64);
                if look.is_multiple_of(LOOKS) {
                    let allocated = median(std::mem::take(&mut looks));
                    self.sample(&metrics, begun.elapsed(), allocated)?;
                }
            }
        }
        Ok(())
    }

    fn sample(&mut self, metrics: &Metrics, since: Duration, allocated: f64) -> Result<()> {
        if self.publishing.is_finished() {
            bail!("nobody publishes any more: a message was refused");
        }
        let sample = Sample {
            minutes: since.as_secs_f64() / 60.0,
            allocated,
            latency: self.sent.latency(),
            ..metrics.sample(self.server.process())?
        };
        println!("{}", line(&sample));
        self.samples.push(sample);
        if self.plan.is_long {
            let path = root::target().join("evidence-soak.txt");
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{}", line(&sample))?;
        }
        Ok(())
    }
}

fn publish(plan: Plan, place: &Place) -> Result<Publishing> {
    let dialect: Arc<dyn Publish> = Arc::new(HttpPublisher::new(&place.server.to_string(), ""));
    let outfit = Outfit { count: 1, pipeline: 64, payload_bytes: PAYLOAD_BYTES };
    let publishers = Publishers::connect(place.server, &dialect, &place.channels, place.clock, outfit)?;
    let pace = Pace::PerSecond(plan.messages_per_second);
    Ok(publishers.start(pace, plan.time * 2, Arrivals::default()))
}

/// The epoch of each channel, as soon as it has a message.
fn epochs(place: &Place, mut meanwhile: impl FnMut() -> Result<()>) -> Result<Vec<String>> {
    let mut epochs = Vec::new();
    for n in 0..place.channels.len() {
        loop {
            meanwhile()?;
            let cursor = publisher::cursor(place.server, place.channels.name(n))?;
            if let Some((epoch, offset)) = cursor.rsplit_once('-')
                && offset != "0"
            {
                epochs.push(epoch.to_owned());
                break;
            }
        }
    }
    Ok(epochs)
}
