//! The storm: all connections are cut at once, messages are published meanwhile, and all come back at once with their
//! cursors. Nothing may be missed, and all must be back soon.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::histogram::Histogram;
use efir_bench::publisher::{self, Publishing};
use efir_bench::{Transport, process};

use super::crowd::{self, CHANNEL, Crowd};
use super::figures::{Figure, Goal, Point, Row, Series};
use super::spent::{Moment, Spent};
use super::stage::Plan;
use crate::server::Server;

const FULL: &[usize] = &[1_000, 5_000, 15_000];
const QUICK: &[usize] = &[1_000];
const GOAL_S: f64 = 5.0;
/// Messages a second before, meanwhile and after: 30,000 deliveries to 15,000.
const RATE: f64 = 2.0;
/// How long nobody is connected.
const OUTAGE: Duration = Duration::from_secs(3);
const BACK_MAX: Duration = Duration::from_secs(60);
/// Longer than any storm.
const PUBLISHING_MAX: Duration = Duration::from_secs(120);

const FIGURES: &[Figure] = &[
    Figure { name: "missed", title: "messages published meanwhile", digits: 0 },
    Figure { name: "p50_s", title: "back after s, p50", digits: 2 },
    Figure { name: "p99_s", title: "p99", digits: 2 },
    Figure { name: "back_s", title: "the last", digits: 2 },
    Figure { name: "cpu_us", title: "µs of CPU a return", digits: 1 },
    Figure { name: "gone_us", title: "µs of CPU a loss", digits: 1 },
    Figure { name: "bytes", title: "bytes a connection before", digits: 0 },
    Figure { name: "peak_bytes", title: "at most while they return", digits: 0 },
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let mut series = Vec::new();
    for transport in [Transport::Websocket, Transport::Sse] {
        let mut points = Vec::new();
        for count in plan.pick(FULL, QUICK) {
            points.push(Storm::begin(plan, transport, *count)?.rage()?);
        }
        series.push(Series { name: transport.name().to_owned(), points });
    }
    let goal = |series: &Series| {
        let point = series.points.last()?;
        let what = format!("all {} back with every message, {}", point.name(), series.name);
        Some(Goal::most(what, "s", GOAL_S, point.value("back_s")))
    };
    let goals = series.iter().filter_map(goal).collect();
    Ok(Row {
        name: "storm",
        title: "A storm of returns",
        about: format!(
            "Subscribers of one channel at {RATE} messages a second. All connections are reset at once; for {} s nobody is connected \
             while publishing goes on; then all connect at once, without waiting for one another, and ask with `after=` their \
             last position. A subscriber is back when it has every message that was published before the return began. The run fails if \
             one message is missing, comes twice or out of order at anybody, or a connection is refused.",
            OUTAGE.as_secs()
        ),
        axis: "connections",
        figures: FIGURES,
        series,
        goals,
    })
}

/// One storm of so many; fails if anybody misses a message.
///
/// # Errors
/// Somebody was refused, is not back, or misses something.
pub(crate) fn once(plan: &Plan, transport: Transport, count: usize) -> Result<Point> {
    Storm::begin(plan, transport, count)?.rage()
}

/// One storm on a server of its own.
struct Storm {
    server: Server,
    crowd: Crowd,
    publishing: Publishing,
    /// All positions of the channel are of this epoch; offsets are the numbers of the messages.
    epoch: String,
    memory_empty: u64,
    memory_full: u64,
}

/// Who is back since when.
struct Returns {
    start: Instant,
    /// The number before which everything has to have come.
    owed: u64,
    back: Vec<Option<Duration>>,
    /// The most memory that the server had.
    peak: u64,
}

impl Storm {
    /// Everybody is there, and messages come.
    fn begin(plan: &Plan, transport: Transport, count: usize) -> Result<Self> {
        let server = plan.server(&[])?;
        let memory_empty = process::memory(server.process())?;
        let mut crowd = Crowd::new(&server, transport)?;
        crowd.open(count)?;
        let memory_full = process::memory(server.process())?;
        let (epoch, offset) = standing(&server)?;
        if offset != 0 {
            bail!("a fresh channel stands at {offset}");
        }
        let publishing = crowd::publish(crowd.publisher(100)?, RATE, PUBLISHING_MAX);
        crowd.watch(Duration::from_millis(1_200))?;
        Ok(Self { server, crowd, publishing, epoch, memory_empty, memory_full })
    }

    fn rage(mut self) -> Result<Point> {
        let moment = Moment::now(self.server.process())?;
        let left = self.crowd.cut_all()?;
        let seen = left.iter().map(|left| left.next).min().unwrap_or(1);
        std::thread::sleep(OUTAGE);
        let gone = moment.spent()?;
        let (_, stood) = standing(&self.server)?;
        self.crowd.plan_return(&left, &self.epoch)?;

        let (moment, start) = (Moment::now(self.server.process())?, Instant::now());
        let mut returns = Returns { start, owed: stood + 1, back: vec![None; left.len()], peak: 0 };
        while !returns.are_all_back() {
            self.crowd.subscribers.turn(Duration::from_millis(2))?;
            self.crowd.all_stay()?;
            returns.note(&self.crowd, self.server.process())?;
        }
        let returned = moment.spent()?;

        // Two seconds of ordinary life prove that they are subscribed, and not only served once.
        self.crowd.watch(Duration::from_secs(2))?;
        let (publishers, _) = self.publishing.finish()?;
        self.crowd.read_all(publishers.ends())?;
        let memory = (self.memory_empty, self.memory_full);
        Ok(returns.point((stood + 1).saturating_sub(seen), (&gone, &returned), memory))
    }
}

/// The epoch and the offset at which the channel stands.
fn standing(server: &Server) -> Result<(String, u64)> {
    let cursor = publisher::cursor(server.address(), CHANNEL)?;
    let Some((epoch, offset)) = cursor.rsplit_once('-') else { bail!("no position: {cursor}") };
    Ok((epoch.to_owned(), offset.parse()?))
}

impl Returns {
    fn are_all_back(&self) -> bool {
        self.back.iter().all(Option::is_some)
    }

    fn note(&mut self, crowd: &Crowd, process: u32) -> Result<()> {
        let now = self.start.elapsed();
        self.peak = self.peak.max(process::memory(process)?);
        for connection in crowd.subscribers.connections() {
            if connection.next() >= self.owed
                && let Some(back) = self.back.get_mut(connection.seat.number as usize)
            {
                back.get_or_insert(now);
            }
        }
        if now > BACK_MAX && !self.are_all_back() {
            let missing = self.back.iter().filter(|time| time.is_none()).count();
            bail!("{missing} subscribers are not back after {BACK_MAX:?}");
        }
        Ok(())
    }

    fn point(&self, missed: u64, (gone, returned): (&Spent, &Spent), (empty, full): (u64, u64)) -> Point {
        let count = self.back.len() as u64;
        let mut times = Histogram::default();
        self.back.iter().flatten().for_each(|time| times.add(time.as_micros() as u64));
        let last = self.back.iter().flatten().max().copied().unwrap_or_default();
        let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / count as f64;
        let mut point = Point::at(count)
            .with("missed", missed as f64)
            .with("p50_s", times.quantile(0.5) as f64 / 1e6)
            .with("p99_s", times.quantile(0.99) as f64 / 1e6)
            .with("back_s", last.as_secs_f64())
            .with("cpu_us", returned.each_us(count))
            .with("gone_us", gone.each_us(count))
            .with("bytes", each(full))
            .with("peak_bytes", each(self.peak));
        returned.judge(&mut point);
        point
    }
}
