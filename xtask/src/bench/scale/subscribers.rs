//! 1 to 19,000 subscribers of one channel.

use std::time::Duration;

use anyhow::Result;
use efir_bench::{Load, Pace, Transport};

use super::delivery;
use super::figures::{Figure, Goal, Point, Row, Series};
use super::stage::Plan;

/// The system allows 20,000 files a process here; some are not connections.
const FULL: &[usize] = &[1, 10, 100, 1_000, 5_000, 10_000, 19_000];
const QUICK: &[usize] = &[1, 100, 2_000];
/// Deliveries a second, about half of what a core can do.
const DELIVERIES: usize = 100_000;
const RATE_MAX: usize = 100;
/// So few connections do not show beside the pages of the allocator.
const MEMORY_MIN: usize = 1_000;

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
    for transport in [Transport::Websocket, Transport::Sse] {
        let mut points = Vec::new();
        for count in plan.pick(FULL, QUICK) {
            points.push(point(plan, transport, *count)?);
        }
        series.push(Series { name: transport.name().to_owned(), points });
    }
    let user = series[0].points.iter().find(|point| point.at == 1_000).map(|point| point.value("user_us"));
    let goal = |user| Goal::most("user part of a delivery, websocket, 1 × 1,000", "µs", 0.3, user);
    Ok(Row {
        name: "subscribers",
        title: "Subscribers of one channel",
        about: format!(
            "One channel, 100-byte payloads, a fresh server on one core for each point. At most {RATE_MAX} messages a second, and \
             fewer where that would be more than 100,000 deliveries. With few subscribers a delivery bears the whole of \
             its publish and of the wake-up. Latency is from the planned time until read; with N readers the last one \
             is bound to wait about N × the CPU of a delivery. Bytes: RssAnon of the server, a second after they came."
        ),
        axis: "subscribers",
        figures: FIGURES,
        series,
        goals: user.map(goal).into_iter().collect(),
    })
}

fn point(plan: &Plan, transport: Transport, subscribers: usize) -> Result<Point> {
    let server = plan.server(&[])?;
    let load = Load {
        subscribers,
        pace: Pace::PerSecond((DELIVERIES / subscribers).clamp(1, RATE_MAX) as f64),
        rest: Duration::from_secs(1),
        measured: plan.measured(),
        ..Load::default()
    };
    let figures = delivery::measure(&load, &delivery::target(&server, transport))?;
    let mut point = delivery::point(subscribers as u64, &load, &figures);
    point = point.with(
        "message_us",
        figures.cpu.unwrap_or_default().total().as_secs_f64() * 1e6 / figures.published as f64,
    );
    if let Some((before, after)) = figures.memory.filter(|_| subscribers >= MEMORY_MIN) {
        point = point.with("bytes", after.saturating_sub(before) as f64 / subscribers as f64);
    }
    Ok(point)
}
