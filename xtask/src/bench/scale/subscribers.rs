//! 1 to 19,000 subscribers of one channel.

use anyhow::Result;

use super::delivery::{self, Delivery, Tempo};
use super::figures::{Figure, Goal, Point, Row, Series};
use super::stage::Plan;

/// The system allows 20,000 files a process here; some are not connections.
const FULL: &[usize] = &[1, 10, 100, 1_000, 5_000, 10_000, 19_000];
const QUICK: &[usize] = &[1, 100, 2_000];
/// Deliveries a second, about half of what a core can do.
const DELIVERIES: u64 = 100_000;
const RATE_MAX: u64 = 100;

const FIGURES: &[Figure] = &[
    Figure { name: "rate", title: "messages/s", digits: 0 },
    Figure { name: "cpu_us", title: "µs of CPU a delivery", digits: 2 },
    Figure { name: "user_us", title: "of it user", digits: 2 },
    Figure { name: "message_us", title: "µs of CPU a message", digits: 0 },
    Figure { name: "p50_ms", title: "p50 ms", digits: 2 },
    Figure { name: "p99_ms", title: "p99 ms", digits: 2 },
    Figure { name: "bytes", title: "bytes a connection", digits: 0 },
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let mut series = Vec::new();
    for transport in ["websocket", "sse"] {
        let mut points = Vec::new();
        for count in plan.pick(FULL, QUICK) {
            points.push(point(plan, transport, *count)?);
        }
        series.push(Series { name: transport.to_owned(), points });
    }
    let user = series[0].points.iter().find(|point| point.at == 1_000).map(|point| point.value("user_us"));
    Ok(Row {
        name: "subscribers",
        title: "Subscribers of one channel",
        about: format!(
            "One channel, 100-byte payloads, a fresh server on one core for each point. At most {RATE_MAX} messages a second, and \
             fewer where that would be more than 100,000 deliveries. With few subscribers a delivery bears the whole of \
             its publish and of the wake-up. Latency is from the planned time until the last reader's read; with N readers \
             it is bound to be about N × the CPU of a delivery. Bytes: RssAnon of the server, right after they came."
        ),
        axis: "subscribers",
        figures: FIGURES,
        series,
        goals: user
            .map(|user| Goal::most("user part of a delivery, websocket, 1 × 1,000", "µs", 0.3, user))
            .into_iter()
            .collect(),
    })
}

fn point(plan: &Plan, transport: &'static str, subscribers: usize) -> Result<Point> {
    let server = plan.server(&[])?;
    let rate = (DELIVERIES / subscribers as u64).clamp(1, RATE_MAX);
    let tempo = Tempo::Rate(rate);
    let delivery = Delivery { transport, subscribers, payload_bytes: 100, tempo, measured: plan.measured() };
    let seen = delivery::measure(&server, delivery)?;
    let point = Point::at(subscribers as u64)
        .with("rate", rate as f64)
        .with("message_us", seen.spent.each_us(seen.messages))
        .with("bytes", seen.memory_each);
    Ok(seen.into_point(point))
}
