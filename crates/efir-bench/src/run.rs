//! One run: connect, rest, warm up, measure, look at what is missing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::channels::Channels;
use crate::dialect::Seat;
use crate::figures::Figures;
use crate::load::{Load, Pace, Target};
use crate::mark;
use crate::process::{self, Cpu};
use crate::publisher::{Arrivals, Outfit, Publishers};
use crate::readers::Readers;
use crate::subscribers::{Seen, Subscribers};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Subscribers come in.
    Connecting,
    /// They rest, so that their memory can be looked at.
    Resting,
    /// Messages are published, but nothing counts.
    WarmingUp,
    /// It counts.
    Measuring,
    /// The last messages are on their way.
    Draining,
}

/// What is told several times a second.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Where it stands.
    pub stage: Stage,
    /// How much of this stage's time is over, and how long it takes; the latter is zero where nobody knows.
    pub elapsed: Duration,
    /// See [`Progress::elapsed`].
    pub of: Duration,
    /// Connections that have joined.
    pub joined: usize,
    /// Messages published in this stage.
    pub published: u64,
    /// What was seen since counting began; empty before.
    pub seen: Seen,
    /// CPU time that the server has used in this stage, where it can be seen.
    pub cpu: Option<Cpu>,
}

/// How often progress is told.
const TICK: Duration = Duration::from_millis(250);
/// How long nobody may join while some are waiting.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// Does it, and tells its progress.
///
/// # Errors
/// When the load makes no sense, the server cannot be reached or refuses, or this process may not open so many sockets.
pub fn run(load: &Load, target: &Target, on: &mut dyn FnMut(&Progress)) -> Result<Figures> {
    check(load)?;
    let channels = Arc::new(Channels::new(&load.prefix, load.channels, load.publishers));
    let (now, published_for) = (Instant::now(), Duration::ZERO);
    Run { load, target, channels, clock: now, stage_began: now, published_for, on }.go()
}

struct Run<'a> {
    load: &'a Load,
    target: &'a Target,
    channels: Arc<Channels>,
    clock: Instant,
    stage_began: Instant,
    /// How long messages were published in the last stage that does it.
    published_for: Duration,
    on: &'a mut dyn FnMut(&Progress),
}

/// What is the same through both times of publishing.
struct Field {
    readers: Readers,
    publishers: Publishers,
}

impl Run<'_> {
    fn go(&mut self) -> Result<Figures> {
        let mut figures = Figures { connections: self.load.connections(), ..Figures::default() };
        let before = self.memory()?;
        let readers = self.connect(&mut figures)?;
        figures.memory = before.zip(self.rest(&readers)?);

        let outfit = Outfit {
            count: self.load.publishers,
            pipeline: self.load.pipeline,
            payload_bytes: self.load.payload_bytes,
        };
        let Target { destination, publish, .. } = self.target;
        let publishers =
            Publishers::connect(destination.clone(), publish, &self.channels, self.clock, outfit)?;
        let field = Field { readers, publishers };
        let (mut field, _) = self.publish(field, (Stage::WarmingUp, self.load.warm_up))?;
        self.end_if_stopped()?;

        field.readers.count_from(self.clock.elapsed().as_micros() as u64)?;
        field.publishers.late.clear();
        let begin: Arc<[u64]> = field.publishers.ends().into();
        let (published, echoed) = (field.publishers.published(), field.publishers.echoed);
        let reading: Vec<Duration> = field.readers.tell()?.iter().map(|told| told.cpu).collect();
        let (cpu, softirq, began) = (self.cpu()?, process::ksoftirqd(), Instant::now());
        let (mut field, publishing) = self.publish(field, (Stage::Measuring, self.load.measured))?;
        figures.cpu = self.cpu()?.zip(cpu).map(|(now, then)| now.since(then));
        figures.softirq = process::ksoftirqd().saturating_sub(softirq);

        let told = field.readers.tell()?;
        let each = told.iter().zip(reading).map(|(told, then)| told.cpu.saturating_sub(then));
        figures.reading = each.max().unwrap_or_default();
        told.iter().for_each(|told| figures.seen.merge(&told.seen));
        figures.publishing = publishing;
        figures.published = field.publishers.published() - published;
        figures.echoed = field.publishers.echoed - echoed;
        figures.late = field.publishers.late.clone();
        figures.measured = self.measured(&figures.seen, began);
        if let Pace::PerSecond(rate) = self.load.pace {
            figures.planned = Some((rate * self.published_for.as_secs_f64()).ceil() as u64);
        }
        let (faults, owed) = field.readers.judge(&field.publishers.ends().into())?;
        (figures.faults, figures.expected) = (faults, owed - field.readers.judge(&begin)?.1);
        Ok(figures)
    }

    /// Up to the last message that came, but never less than messages were published.
    fn measured(&self, seen: &Seen, began: Instant) -> Duration {
        let until_last = Duration::from_micros(seen.last_us).saturating_sub(began - self.clock);
        until_last.max(self.published_for)
    }

    fn connect(&mut self, figures: &mut Figures) -> Result<Readers> {
        self.stage_began = Instant::now();
        let cpu = self.cpu()?;
        let mut readers = Readers::start(self.plan()?);
        let mut last = (0, Instant::now());
        loop {
            let joined = readers.joined();
            if readers.ended() > 0 {
                let why = readers.tell()?.into_iter().find_map(|told| told.seen.why);
                bail!("connection {} of {}: {}", joined + 1, figures.connections, why.unwrap_or_default());
            }
            if joined == figures.connections {
                break;
            }
            if joined != last.0 {
                last = (joined, Instant::now());
            } else if last.1.elapsed() > JOIN_MAX {
                bail!(
                    "{joined} of {} connections were let in, and nobody since {JOIN_MAX:?}",
                    figures.connections
                );
            }
            self.end_if_stopped()?;
            self.tell(&mut readers, (Stage::Connecting, Duration::ZERO, 0))?;
            std::thread::sleep(Duration::from_millis(if joined == 0 { 5 } else { 50 }));
        }
        figures.joined_in = self.stage_began.elapsed();
        figures.opening_cpu = self.cpu()?.zip(cpu).map(|(now, then)| now.since(then));
        Ok(readers)
    }

    /// The connections of each thread.
    fn plan(&self) -> Result<Vec<Subscribers>> {
        let count = self.load.connections();
        let threads = self.load.threads.clamp(1, count.max(1));
        let each = self.load.channels_a_connection as u32;
        let mut all = Vec::with_capacity(threads);
        for thread in 0..threads {
            let mut subscribers = Subscribers::new(self.target.destination.clone(), self.clock)?;
            subscribers.opening_max = (subscribers.opening_max / threads).max(1);
            for n in (thread..count).step_by(threads) {
                let first = (n as u64 * u64::from(each) % u64::from(self.channels.len())) as u32;
                let seat = Seat::new(Arc::clone(&self.channels), n as u32, (first, each));
                subscribers.plan(&self.target.subscribe, seat, 1);
            }
            all.push(subscribers);
        }
        Ok(all)
    }

    fn rest(&mut self, readers: &Readers) -> Result<Option<u64>> {
        if self.load.rest.is_zero() {
            return Ok(None);
        }
        self.stage_began = Instant::now();
        while self.stage_began.elapsed() < self.load.rest {
            self.end_if_stopped()?;
            let left = self.load.rest.saturating_sub(self.stage_began.elapsed());
            self.show(Stage::Resting, self.load.rest, (readers.joined(), 0), Seen::default());
            std::thread::sleep(left.min(TICK));
        }
        self.memory()
    }

    /// Publishes, and waits until all has come; returns the CPU time of the publishing thread, too.
    fn publish(&mut self, field: Field, (stage, time): (Stage, Duration)) -> Result<(Field, Duration)> {
        self.stage_began = Instant::now();
        let Field { mut readers, publishers } = field;
        let fan_out = (self.load.connections() * self.load.channels_a_connection) as f64;
        let arrivals = Arrivals {
            delivered: readers.delivered(),
            slowest: readers.slowest(),
            fan_out: fan_out / f64::from(self.channels.len()),
        };
        let publishing = publishers.start(self.load.pace, time, arrivals);
        let mut told = Instant::now();
        while !publishing.is_finished() {
            if self.is_stopped() {
                publishing.stop();
            }
            std::thread::sleep(Duration::from_millis(10));
            if told.elapsed() >= TICK {
                told = Instant::now();
                self.tell(&mut readers, (stage, time, publishing.published()))?;
            }
        }
        let published = publishing.published();
        let (publishers, cpu) = publishing.finish()?;
        self.published_for = self.stage_began.elapsed().min(time);
        let ends: Arc<[u64]> = publishers.ends().into();
        readers.wait_for(&ends, |readers| {
            // A thread that has ended is found by whoever asks next.
            let _ = self.tell(readers, (Stage::Draining, Duration::ZERO, published));
        })?;
        Ok((Field { readers, publishers }, cpu))
    }

    fn tell(&mut self, readers: &mut Readers, (stage, of, published): (Stage, Duration, u64)) -> Result<()> {
        let mut seen = Seen::default();
        if !matches!(stage, Stage::Connecting) {
            readers.tell()?.iter().for_each(|told| seen.merge(&told.seen));
        }
        self.show(stage, of, (readers.joined(), published), seen);
        Ok(())
    }

    fn show(&mut self, stage: Stage, of: Duration, (joined, published): (usize, u64), seen: Seen) {
        let cpu = self.cpu().ok().flatten();
        let elapsed = self.stage_began.elapsed();
        (self.on)(&Progress { stage, elapsed, of, joined, published, seen, cpu });
    }

    fn is_stopped(&self) -> bool {
        self.load.stop.load(Ordering::Relaxed)
    }

    fn end_if_stopped(&self) -> Result<()> {
        if self.is_stopped() {
            bail!("stopped before anything was measured");
        }
        Ok(())
    }

    fn cpu(&self) -> Result<Option<Cpu>> {
        let processes = &self.target.processes;
        if processes.is_empty() { Ok(None) } else { Cpu::of_all(processes).map(Some) }
    }

    fn memory(&self) -> Result<Option<u64>> {
        if self.load.rest.is_zero() || self.target.processes.is_empty() {
            return Ok(None);
        }
        let mut sum = 0;
        for process in &self.target.processes {
            sum += process::memory(*process)?;
        }
        Ok(Some(sum))
    }
}

fn check(load: &Load) -> Result<()> {
    let Load { channels, publishers, channels_a_connection: each, payload_bytes, .. } = load;
    let is_paced = !matches!(load.pace, Pace::PerSecond(rate) if !(rate > 0.0 && rate.is_finite()));
    if *channels == 0 || *publishers == 0 || *each == 0 || !is_paced {
        bail!("channels, publishers, channels a connection and the rate must be above 0");
    }
    if each > channels {
        bail!("a connection cannot read {each} of {channels} channels");
    }
    if *payload_bytes < mark::MARK_LEN {
        bail!("a payload has at least {} bytes: number and time stand in it", mark::MARK_LEN);
    }
    if (channels * publishers.div_ceil(*channels)) as u64 >= mark::LANES_MAX {
        bail!("too many channels and publishers");
    }
    if load.warm_up + load.measured > Duration::from_secs(18 * 3600) {
        bail!("a run lasts at most 18 hours");
    }
    Ok(())
}
