//! Publishing flat out: by HTTP, each connection waiting for its answers, and pipelined through WebSockets, into one
//! channel and many.

use std::sync::Arc;

use anyhow::Result;
use efir_bench::efir::{HttpPublisher, SocketPublisher, WebsocketPublisher};
use efir_bench::{Load, Pace, Publish, Transport};

use super::delivery;
use super::figures::{Figure, Goal, Point, Row, Series};
use super::spent;
use super::stage::{Plan, Setting};

/// Publishes without an answer where it is pipelined.
const PIPELINE: usize = 5_000;
/// Readers of a channel that is published to flat out must not fall out of what it keeps.
const SETTINGS: &[Setting<'static>] =
    &[("retention.messages", "100000"), ("retention.bytes", "256MiB"), ("limits.log_bytes_max", "2GiB")];

const FIGURES: &[Figure] = &[
    Figure { name: "rate", title: "publishes/s", digits: 0 },
    Figure { name: "cpu_us", title: "µs of CPU a publish", digits: 2 },
    Figure { name: "user_us", title: "of it user", digits: 2 },
    Figure { name: "deliveries", title: "deliveries/s", digits: 0 },
    Figure { name: "server", title: "server's core, %", digits: 0 },
];

/// One way to publish: its name, what its axis counts and at which points, and what it does.
struct Way {
    name: &'static str,
    axis: &'static str,
    counts: &'static [usize],
    publish: fn(&str) -> Arc<dyn Publish>,
    load: fn(usize) -> Load,
}

const WAYS: [Way; 4] = [
    Way {
        name: "HTTP keep-alive",
        axis: "connections that wait for each answer",
        counts: &[1, 4, 16, 64],
        publish: |host| Arc::new(HttpPublisher::new(host, "")),
        load: |publishers| Load { publishers, pipeline: 1, subscribers: 0, ..Load::default() },
    },
    Way {
        name: "HTTP, pipelined",
        axis: "connections",
        counts: &[1],
        publish: |host| Arc::new(HttpPublisher::new(host, "")),
        load: |publishers| Load { publishers, subscribers: 0, ..Load::default() },
    },
    Way {
        name: "WebSocket, pipelined, with acks",
        axis: "subscribers beside the publisher",
        counts: &[0, 1, 5, 20],
        publish: |host| Arc::new(WebsocketPublisher::new(host, "")),
        load: |subscribers| Load { subscribers, pipeline: PIPELINE, ..Load::default() },
    },
    Way {
        name: "/socket, pipelined",
        axis: "channels in turn",
        counts: &[1, 100, 10_000],
        publish: |host| Arc::new(SocketPublisher::new(host, "")),
        load: |channels| Load { channels, subscribers: 0, pipeline: PIPELINE, ..Load::default() },
    },
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let mut series = Vec::new();
    for way in &WAYS {
        let mut points = Vec::new();
        for count in plan.pick(way.counts, &way.counts[..1]) {
            points.push(point(plan, way, *count)?);
        }
        series.push(Series { name: way.name.to_owned(), points });
    }
    let goals = goals(&series);
    Ok(Row {
        name: "publish",
        title: "Publishing, flat out on one core",
        about: format!(
            "Payloads of 100 bytes, a fresh server on one core for each point. HTTP keep-alive: each connection sends its next \
             request when its answer is there, so that with one connection the server sleeps and wakes for each. Pipelined: up to \
             {PIPELINE} publishes without an answer through a WebSocket, 64 by HTTP. A channel's WebSocket reads the channel, so \
             that its publisher gets each message and its acknowledgement; a publish's CPU holds all deliveries. `/socket` \
             answers each command."
        ),
        axis: "with",
        figures: FIGURES,
        series,
        goals,
    })
}

fn goals(series: &[Series]) -> Vec<Goal> {
    let [http, _, websocket, socket] = series else { return Vec::new() };
    let least = http.points.iter().map(|point| point.value("cpu_us")).fold(f64::INFINITY, f64::min);
    let mut goals = vec![Goal::most("CPU a publish by HTTP keep-alive, the best point", "µs", 9.0, least)];
    for series in [websocket, socket] {
        let rate = series.points.first().map_or(f64::NAN, |point| point.value("rate"));
        goals.push(Goal::least(format!("publishes, {}", series.name), "a second", 100_000.0, rate));
    }
    goals
}

fn point(plan: &Plan, way: &Way, count: usize) -> Result<Point> {
    let server = plan.server(SETTINGS)?;
    let publish = (way.publish)(&server.address().to_string());
    let load = Load {
        pace: Pace::FlatOut { ahead: PIPELINE as u64, lag: 2 * PIPELINE as u64 },
        measured: plan.measured(),
        ..(way.load)(count)
    };
    let target = delivery::published_by(&server, Transport::Websocket, publish);
    let figures = delivery::measure(&load, &target)?;
    let cpu = figures.cpu.unwrap_or_default();
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / figures.published as f64;
    let mut point = delivery::point(count as u64, &load, &figures).with("cpu_us", each(cpu.total()));
    if spent::divides(cpu) {
        point = point.with("user_us", each(cpu.user));
    }
    point.label = Some(format!("{} {}", point.name(), way.axis));
    Ok(point)
}
