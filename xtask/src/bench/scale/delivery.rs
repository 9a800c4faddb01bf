//! One channel and many readers: what a delivered message costs and how long it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::process;

use super::crowd::{self, Crowd};
use super::figures::Point;
use super::speaker::{Pace, Speaker, Speech, Timetable};
use super::spent::{Moment, Spent};
use crate::server::Server;

/// What is delivered to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) transport: &'static str,
    pub(crate) subscribers: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) tempo: Tempo,
    pub(crate) measured: Duration,
}

/// How fast.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tempo {
    /// So many messages a second.
    Rate(u64),
    /// As fast as it goes, with so many messages on their way.
    FlatOut { ahead: u64 },
}

/// What one run showed.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) spent: Spent,
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    pub(crate) bytes: u64,
    /// Of the server's own memory, for each connection before the first message.
    pub(crate) memory_each: f64,
    /// From the planned time until read; only at a rate.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

pub(crate) const CHANNEL: &str = "scale";
const WARM_UP: Duration = Duration::from_secs(1);
/// How long what was published may be on its way.
pub(crate) const ARRIVED_MAX: Duration = Duration::from_secs(20);

impl Tempo {
    /// What a publisher is told who begins now with this number.
    pub(crate) fn pace(self, crowd: &Crowd, first: u64) -> Pace {
        match self {
            Self::Rate(rate) => Pace::Planned(Timetable { start: Instant::now(), first, rate }),
            Self::FlatOut { ahead } => Pace::Ahead {
                ahead,
                readers: crowd.lines().count() as u64,
                delivered: Arc::clone(&crowd.delivered),
            },
        }
    }
}

/// Publishes from `first` on for a time and reads until all has arrived; returns the number after the last one.
///
/// # Errors
/// When a message was refused, lost, came twice or out of order, or a connection ended.
pub(crate) fn speak(crowd: &mut Crowd, speech: &Speech, first: u64, plan: (Tempo, Duration)) -> Result<u64> {
    let end = publish(crowd, speech, first, plan)?;
    crowd.read_up_to(end, ARRIVED_MAX)?;
    crowd.check(end)?;
    Ok(end)
}

/// Publishes, and reads what comes meanwhile; some of it may still be on its way.
///
/// # Errors
/// When a message was refused.
pub(crate) fn publish(
    crowd: &mut Crowd,
    speech: &Speech,
    first: u64,
    plan: (Tempo, Duration),
) -> Result<u64> {
    let (tempo, time) = plan;
    let pace = tempo.pace(crowd, first);
    crowd.timetable = match &pace {
        Pace::Planned(timetable) => Some(*timetable),
        Pace::Ahead { .. } => None,
    };
    let speaker = Speaker::start(speech, first, pace, time)?;
    while !speaker.is_finished() {
        crowd.turn(Duration::from_millis(5))?;
    }
    speaker.finish()
}

/// Readers of one channel on a fresh server: a second to warm up, then the run.
///
/// # Errors
/// As [`speak`].
pub(crate) fn measure(server: &Server, delivery: Delivery) -> Result<Delivered> {
    let mut crowd = Crowd::new(server.address())?;
    let before = process::memory(server.process())?;
    let request = crowd::request(delivery.transport, &format!("/channels/{CHANNEL}"));
    crowd.open(delivery.subscribers, &request, 1)?;
    let memory = process::memory(server.process())?.saturating_sub(before);

    let speech = Speech {
        address: server.address(),
        channels: vec![CHANNEL.to_owned()],
        payload_bytes: delivery.payload_bytes,
    };
    let warm = speak(&mut crowd, &speech, 1, (delivery.tempo, WARM_UP.min(delivery.measured)))?;
    crowd.latency.clear();
    let (delivered, bytes, moment) = (crowd.delivered(), crowd.bytes, Moment::now(server.process())?);
    let end = speak(&mut crowd, &speech, warm, (delivery.tempo, delivery.measured))?;
    let deliveries = crowd.delivered() - delivered;
    if deliveries == 0 {
        bail!("nothing was delivered");
    }
    Ok(Delivered {
        spent: moment.spent()?,
        messages: end - warm,
        deliveries,
        bytes: crowd.bytes - bytes,
        memory_each: memory as f64 / delivery.subscribers as f64,
        p50_us: crowd.latency.quantile(0.5),
        p99_us: crowd.latency.quantile(0.99),
    })
}

impl Delivered {
    /// Puts what every row of deliveries shows into the point.
    pub(crate) fn into_point(self, point: Point) -> Point {
        let mut point = point
            .with("cpu_us", self.spent.each_us(self.deliveries))
            .with("user_us", self.spent.each_user_us(self.deliveries))
            .with("deliveries", self.spent.a_second(self.deliveries));
        if self.p99_us > 0 {
            point = point.with("p50_ms", self.p50_us as f64 / 1e3).with("p99_ms", self.p99_us as f64 / 1e3);
        }
        self.spent.judge(&mut point);
        point
    }
}
