//! Connections that come, subscribe and go, as fast as one core of clients can make them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::{Transport, process};

use super::crowd::Crowd;
use super::figures::{Figure, Goal, Point, Row, Series};
use super::spent::Moment;
use super::stage::Plan;

const FULL: &[usize] = &[1_000, 5_000, 19_000];
const QUICK: &[usize] = &[500];
const GOAL_US: f64 = 30.0;
/// Files that the server may have open for reasons of its own.
const FILES_SLACK: usize = 8;
const GONE_MAX: Duration = Duration::from_secs(20);

const FIGURES: &[Figure] = &[
    Figure { name: "connects", title: "connects/s", digits: 0 },
    Figure { name: "connect_us", title: "µs of CPU a connect + subscribe", digits: 1 },
    Figure { name: "user_us", title: "of it user", digits: 1 },
    Figure { name: "disconnects", title: "disconnects/s", digits: 0 },
    Figure { name: "disconnect_us", title: "µs of CPU a disconnect", digits: 1 },
    Figure { name: "bytes", title: "bytes a connection", digits: 0 },
    Figure { name: "again_bytes", title: "the same for a second crowd", digits: 0 },
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
    let goal = |series: &Series| {
        let seen = series.points.last()?.value("connect_us");
        Some(Goal::most(format!("CPU a connect + subscribe, {}", series.name), "µs", GOAL_US, seen))
    };
    let goals = series.iter().filter_map(goal).collect();
    Ok(Row {
        name: "connects",
        title: "Connections that come and go",
        about: "One thread of clients connects, asks for a channel and reads the greeting, 256 at once, until all are open; then all are \
                reset, and it ends when the server holds none. A second crowd of the same size comes to the same server and has to \
                find its memory again. CPU is that of the server's process; bytes: RssAnon."
            .to_owned(),
        axis: "connections",
        figures: FIGURES,
        series,
        goals,
    })
}

fn point(plan: &Plan, transport: Transport, count: usize) -> Result<Point> {
    let server = plan.server(&[])?;
    let (empty, files) = (process::memory(server.process())?, process::open_files(server.process())?);
    let mut crowd = Crowd::new(&server, transport)?;
    let moment = Moment::now(server.process())?;
    crowd.open(count)?;
    let coming = moment.spent()?;
    let full = process::memory(server.process())?;

    let moment = Moment::now(server.process())?;
    crowd.cut_all()?;
    let deadline = Instant::now() + GONE_MAX;
    while process::open_files(server.process())? > files + FILES_SLACK {
        if Instant::now() > deadline {
            bail!("the server still holds connections that were closed");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let going = moment.spent()?;

    let mut second = Crowd::new(&server, transport)?;
    second.open(count)?;
    let again = process::memory(server.process())?;
    let count = count as u64;
    let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / count as f64;
    let mut point = Point::at(count)
        .with("connects", coming.a_second(count))
        .with("connect_us", coming.each_us(count))
        .with("disconnects", going.a_second(count))
        .with("disconnect_us", going.each_us(count))
        .with("bytes", each(full))
        .with("again_bytes", each(again));
    if let Some(user) = coming.each_user_us(count) {
        point = point.with("user_us", user);
    }
    coming.judge(&mut point);
    Ok(point)
}
