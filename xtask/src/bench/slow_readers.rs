//! `cargo xtask bench slow-readers`: 5 % of the subscribers never read. The others must not notice, the server's memory
//! stays bounded, and those who were slow resume or get exactly one gap when they begin to read.

pub(crate) mod slow;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::publisher::Publishers;
use efir_bench::{Transport, process, system};

use self::slow::{Caught, Slow};
use super::scale::crowd::{self, CHANNEL, Crowd};
use super::scale::figures::{Figure, Goal, Point, Row, Run, Series, median};
use super::scale::spent::Moment;
use super::scale::stage::{Plan, Setting};
use super::scale::tables;
use crate::server::Server;
use crate::{Verdict, paper};

const SUBSCRIBERS: usize = 1_000;
const SLOW: usize = 50;
const RATE: f64 = 100.0;
/// In eleven seconds these are 4.4 MB for each: more than the kernel keeps for somebody who does not read.
const PAYLOAD_BYTES: usize = 4_000;
/// What is published while nobody slow reads is all kept; what comes after it drives the oldest out.
const SETTINGS: &[Setting<'static>] = &[("retention.messages", "1150")];
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(10);
/// How long the second half of the slow ones goes on not to read.
const LONGER: Duration = Duration::from_secs(5);
const P99_RATIO_MAX: f64 = 1.2;
/// Growth of the server's memory for each slow reader: a frame that was cut and the bookkeeping beside it.
const BYTES_MAX: f64 = 64.0 * 1024.0;

const FIGURES: &[Figure] = &[
    Figure { name: "p50_ms", title: "p50 ms of the others", digits: 2 },
    Figure { name: "p99_ms", title: "p99 ms", digits: 2 },
    Figure { name: "most_ms", title: "longest ms", digits: 1 },
    Figure { name: "cpu_us", title: "µs of CPU a delivery", digits: 2 },
    Figure { name: "memory_mb", title: "RssAnon MB, at most", digits: 2 },
    Figure { name: "resumed", title: "slow ones that resumed", digits: 0 },
    Figure { name: "gaps", title: "that got one gap", digits: 0 },
];

pub(super) fn run(arguments: &[String]) -> Result<Verdict> {
    let (plan, words) = Plan::read(arguments)?;
    if !words.is_empty() {
        bail!("cargo xtask bench slow-readers [--quick] [--server PATH]");
    }
    super::in_release(&["bench", "slow-readers"], arguments)?;
    system::raise_files()?;
    system::pin(super::TOOL_CORE)?;
    let row = measure(&plan)?;
    println!("{}", tables::of_row(&row));
    let run = Run::of("cargo xtask bench slow-readers", &plan, vec![row])?;
    run.write("slow-readers")?;
    if plan.is_kept() {
        paper::write("docs/benchmarks.md", "slow-readers", &tables::of_run(&run))?;
    }
    run.tell_missed();
    Ok(Verdict::Held)
}

/// Runs with and without them in turns, so that a change of the machine's mood meets both.
fn measure(plan: &Plan) -> Result<Row> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for turn in 1..=plan.pick(3, 1) {
        without.push(one_run(plan, 0, turn)?);
        with.push(one_run(plan, SLOW, turn)?);
    }
    let p99 = |points: &[Point]| median(points.iter().map(|point| point.value("p99_ms")).collect());
    let memory = |points: &[Point]| points.iter().map(|point| point.value("memory_mb")).fold(0.0, f64::max);
    let ratio = p99(&with) / p99(&without);
    let each = (memory(&with) - memory(&without)).max(0.0) * 1e6 / SLOW as f64;
    Ok(Row {
        name: "slow-readers",
        title: "Slow readers",
        about: format!(
            "{SUBSCRIBERS} WebSocket subscribers of one channel at {RATE} messages of {PAYLOAD_BYTES} bytes a second; the channel keeps 1,150. Without: \
             all read. With: {SLOW} of them have a receive buffer of 4 KiB and read nothing for {} s, in which the others are timed. Then half of the slow \
             ones begin to read, and the rest after {} s more, when the oldest messages are gone; each is checked to get every \
             message, or exactly one gap that begins where it stood and ends before the message that follows. The runs \
             alternate; the goal compares the medians of p99.",
            (WARM_UP + MEASURED).as_secs(),
            LONGER.as_secs(),
        ),
        axis: "run",
        figures: FIGURES,
        series: vec![
            Series { name: "without".to_owned(), points: without },
            Series { name: format!("{SLOW} of {SUBSCRIBERS} do not read"), points: with },
        ],
        goals: vec![
            Goal::most("p99 of the others, with / without slow readers", "×", P99_RATIO_MAX, ratio),
            Goal::most("more memory at its peak, for each slow reader", "bytes", BYTES_MAX, each),
        ],
    })
}

/// One server, its subscribers, and what was seen of them.
struct Scene {
    server: Server,
    crowd: Crowd,
    slow: Vec<Slow>,
    peak: u64,
}

fn one_run(plan: &Plan, slow: usize, turn: u64) -> Result<Point> {
    let server = plan.server(SETTINGS)?;
    let mut crowd = Crowd::new(&server, Transport::Websocket)?;
    crowd.open(SUBSCRIBERS - slow)?;
    let slow = (0..slow).map(|_| Slow::open(server.address(), CHANNEL)).collect::<Result<Vec<_>>>()?;
    let publishers = crowd.publisher(PAYLOAD_BYTES)?;
    let mut scene = Scene { server, crowd, slow, peak: 0 };
    let publishers = scene.publish(publishers, WARM_UP)?;
    scene.crowd.subscribers.seen.latency.clear();
    let (delivered, moment) = (scene.crowd.subscribers.seen.delivered, Moment::now(scene.server.process())?);
    let publishers = scene.publish(publishers, MEASURED)?;
    let spent = moment.spent()?;
    let deliveries = scene.crowd.subscribers.seen.delivered - delivered;
    let latency = scene.crowd.subscribers.seen.latency.clone();
    let caught = scene.catch_up(publishers)?;
    let ms = |us: u64| us as f64 / 1e3;
    let mut point = Point::at(turn)
        .with("p50_ms", ms(latency.quantile(0.5)))
        .with("p99_ms", ms(latency.quantile(0.99)))
        .with("most_ms", ms(latency.max()))
        .with("cpu_us", spent.each_us(deliveries))
        .with("memory_mb", scene.peak as f64 / 1e6)
        .with("resumed", caught.resumed as f64)
        .with("gaps", caught.gaps as f64);
    spent.judge(&mut point);
    Ok(point)
}

impl Scene {
    /// Publishes for a time; everybody who reads has to get all of it in order.
    fn publish(&mut self, publishers: Publishers, time: Duration) -> Result<Publishers> {
        let publishing = crowd::publish(publishers, RATE, time);
        let mut looked = Instant::now();
        while !publishing.is_finished() {
            self.crowd.subscribers.turn(Duration::from_millis(5))?;
            if looked.elapsed() > Duration::from_millis(250) {
                looked = Instant::now();
                self.peak = self.peak.max(process::memory(self.server.process())?);
            }
        }
        let (publishers, _) = publishing.finish()?;
        self.crowd.read_all(publishers.ends())?;
        Ok(publishers)
    }

    /// Half of the slow ones read what was published until now; the others only after more has been published.
    fn catch_up(&mut self, publishers: Publishers) -> Result<Caught> {
        let mut caught = Caught::default();
        let late = self.slow.split_off(self.slow.len() / 2);
        for reader in std::mem::take(&mut self.slow) {
            caught.add(reader.read_up_to(publishers.published() + 1)?);
        }
        if !late.is_empty() {
            let publishers = self.publish(publishers, LONGER)?;
            for reader in late {
                caught.add(reader.read_up_to(publishers.published() + 1)?);
            }
        }
        Ok(caught)
    }
}
