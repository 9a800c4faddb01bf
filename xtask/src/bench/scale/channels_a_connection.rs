//! 1 to 10,000 channels on each connection of `/socket`.

use std::time::Duration;

use anyhow::{Context, Result};
use efir_bench::{Load, Pace, Transport};

use super::delivery;
use super::figures::{Figure, Goal, Point, Row, Series};
use super::stage::Plan;

/// Channels a connection, and how many connections.
const FULL: &[(usize, usize)] = &[(1, 2_000), (10, 2_000), (100, 500), (1_000, 100), (10_000, 20)];
const QUICK: &[(usize, usize)] = &[(1, 500), (10, 500), (1_000, 10)];
/// Deliveries a second where all read the same channels.
const DELIVERIES: usize = 50_000;
/// Messages a second where each channel has one reader.
const MESSAGES: usize = 5_000;
const GOAL_BYTES: f64 = 2_500.0;

const FIGURES: &[Figure] = &[
    Figure { name: "connections", title: "connections", digits: 0 },
    Figure { name: "bytes", title: "bytes a connection", digits: 0 },
    Figure { name: "bytes_a_subscription", title: "bytes a subscription", digits: 0 },
    Figure { name: "subscribe_us", title: "µs of CPU a subscription", digits: 2 },
    Figure { name: "rate", title: "messages/s", digits: 0 },
    Figure { name: "cpu_us", title: "µs of CPU a delivery", digits: 2 },
    Figure { name: "user_us", title: "of it user", digits: 2 },
    Figure { name: "p99_ms", title: "p99 ms", digits: 2 },
];

/// Who reads which channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// Everybody the same ones.
    Same,
    /// Nobody reads a channel of another.
    Own,
}

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let mut series = Vec::new();
    for (name, sharing) in [("the same channels", Sharing::Same), ("channels of its own", Sharing::Own)] {
        let mut points = Vec::new();
        for (channels, connections) in plan.pick(FULL, QUICK) {
            points.push(point(plan, sharing, *channels, *connections)?);
        }
        series.push(Series { name: name.to_owned(), points });
    }
    let ten = |series: &Series| {
        let point = series.points.iter().find(|point| point.at == 10)?;
        let what = format!("an idle /socket with 10 channels, {}", series.name);
        Some(Goal::most(what, "bytes", GOAL_BYTES, point.value("bytes")))
    };
    let goals = series.iter().filter_map(ten).collect();
    Ok(Row {
        name: "channels-a-connection",
        title: "Channels of one connection",
        about: "Connections to `/socket`, each subscribed by as many commands: once all to the same channels, once each to channels \
                that nobody else reads (then what the worker keeps of each watched channel is counted in, too). Bytes: growth of RssAnon since no \
                connection, before the first message; the CPU of a subscription holds its part of the connect. Then messages of \
                100 bytes go to one channel after the other: about 50,000 deliveries a second, or 5,000 where each has one reader \
                and a delivery bears its whole publish."
            .to_owned(),
        axis: "channels a connection",
        figures: FIGURES,
        series,
        goals,
    })
}

fn point(plan: &Plan, sharing: Sharing, each: usize, connections: usize) -> Result<Point> {
    let server = plan.server(&[("limits.channels_max", "2000000")])?;
    let (channels, subscribers, rate) = match sharing {
        Sharing::Same => (each, connections, DELIVERIES / connections),
        Sharing::Own => (each * connections, 1, MESSAGES),
    };
    let load = Load {
        channels,
        subscribers,
        channels_a_connection: each,
        pace: Pace::PerSecond(rate as f64),
        rest: Duration::from_secs(1),
        measured: plan.measured(),
        ..Load::default()
    };
    let figures = delivery::measure(&load, &delivery::target(&server, Transport::Socket))?;
    let (before, after) = figures.memory.context("the server's memory could not be seen")?;
    let bytes = after.saturating_sub(before) as f64 / connections as f64;
    Ok(delivery::point(each as u64, &load, &figures)
        .with("connections", connections as f64)
        .with("bytes", bytes)
        .with("bytes_a_subscription", bytes / each as f64)
        .with("subscribe_us", figures.opening_us().unwrap_or_default() / each as f64))
}
