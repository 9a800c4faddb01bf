//! 1 to 10,000 channels on each connection of `/socket`.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::process;

use super::crowd::{self, Crowd};
use super::delivery::{self, Tempo};
use super::figures::{Figure, Goal, Point, Row, Series};
use super::speaker::Speech;
use super::spent::Moment;
use super::stage::Plan;
use crate::server::Server;

/// Channels a connection, and how many connections.
const FULL: &[(usize, usize)] = &[(1, 2_000), (10, 2_000), (100, 500), (1_000, 100), (10_000, 20)];
const QUICK: &[(usize, usize)] = &[(1, 300), (10, 300), (1_000, 10)];
/// Commands that are sent before their replies are awaited.
const COMMANDS: usize = 500;
/// Deliveries a second where all read the same channels.
const DELIVERIES: u64 = 50_000;
/// Messages a second where each channel has one reader.
const MESSAGES: u64 = 5_000;
const GOAL_BYTES: f64 = 2_500.0;

const FIGURES: &[Figure] = &[
    Figure { name: "connections", title: "connections", digits: 0 },
    Figure { name: "bytes", title: "bytes a connection", digits: 0 },
    Figure { name: "bytes_a_subscription", title: "bytes a subscription", digits: 0 },
    Figure { name: "subscribe_us", title: "µs of CPU a subscribe", digits: 2 },
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
        about: "Connections to `/socket`, each subscribed by as many commands; once all to the same channels, once each to channels \
                that nobody else reads (then the memory of a channel's place on the worker is counted in, too). Bytes: growth of RssAnon since no connection, before \
                the first message. Then messages of 100 bytes go to one channel after the other: about 50,000 deliveries a second, \
                or 5,000 where each has one reader and a delivery bears its whole publish."
            .to_owned(),
        axis: "channels a connection",
        figures: FIGURES,
        series,
        goals,
    })
}

fn point(plan: &Plan, sharing: Sharing, channels: usize, connections: usize) -> Result<Point> {
    let server = plan.server(&[("limits.channels_max", "2000000")])?;
    let mut crowd = Crowd::new(server.address())?;
    let empty = process::memory(server.process())?;
    // Numbers begin with 0: those of the pings that end each round of commands.
    crowd.open(connections, &crowd::request("websocket", "/socket"), 0)?;
    let bare = process::memory(server.process())?;
    let moment = Moment::now(server.process())?;
    let first = subscribe(&mut crowd, sharing, channels)?;
    let subscribing = moment.spent()?;
    std::thread::sleep(Duration::from_secs(1));
    let full = process::memory(server.process())?;
    let subscriptions = (channels * connections) as u64;
    let point = Point::at(channels as u64)
        .with("connections", connections as f64)
        .with("bytes", full.saturating_sub(empty) as f64 / connections as f64)
        .with("bytes_a_subscription", full.saturating_sub(bare) as f64 / subscriptions as f64)
        .with("subscribe_us", subscribing.each_us(subscriptions));
    deliver(plan, &server, (crowd, first), (sharing, channels), point)
}

fn channel(sharing: Sharing, connection: usize, nth: usize) -> String {
    match sharing {
        Sharing::Same => format!("room-{nth:05}"),
        Sharing::Own => format!("room-{nth:05}-{connection:05}"),
    }
}

/// Subscribes every connection, in rounds that end with a ping; returns the number of the first message.
fn subscribe(crowd: &mut Crowd, sharing: Sharing, channels: usize) -> Result<u64> {
    let rounds = channels.div_ceil(COMMANDS);
    for round in 0..rounds {
        let connections = crowd.lines().count();
        for n in 0..connections {
            let mut bytes = Vec::new();
            for nth in round * COMMANDS..channels.min((round + 1) * COMMANDS) {
                let channel = channel(sharing, n, nth);
                bytes.extend(crowd::frame(&format!(
                    "{{\"id\":1,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
                )));
            }
            bytes.extend(crowd::frame(&format!("{{\"id\":\"@{round:010}\",\"ping\":{{}}}}")));
            write_all(crowd, n, &bytes)?;
        }
        crowd.read_up_to(round as u64 + 1, Duration::from_secs(30))?;
        crowd.check(round as u64 + 1)?;
    }
    Ok(rounds as u64)
}

/// Writes while everybody reads, so that the server never waits for us.
fn write_all(crowd: &mut Crowd, n: usize, mut bytes: &[u8]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !bytes.is_empty() {
        let Some(line) = crowd.lines().nth(n) else { bail!("connection {n} is gone") };
        match (&line.socket).write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {}
            Err(error) => return Err(error.into()),
        }
        crowd.turn(Duration::ZERO)?;
    }
    Ok(())
}

/// Messages to one channel after the other.
fn deliver(
    plan: &Plan,
    server: &Server,
    (mut crowd, first): (Crowd, u64),
    (sharing, channels): (Sharing, usize),
    point: Point,
) -> Result<Point> {
    let connections = crowd.lines().count();
    let (names, rate): (Vec<String>, u64) = match sharing {
        Sharing::Same => {
            let names = (0..channels).map(|nth| channel(sharing, 0, nth)).collect();
            (names, (DELIVERIES / connections as u64).max(1))
        }
        Sharing::Own => {
            let all = (0..channels).flat_map(|nth| (0..connections).map(move |n| channel(sharing, n, nth)));
            (all.collect(), MESSAGES)
        }
    };
    let speech = Speech { address: server.address(), channels: names, payload_bytes: 100 };
    let (delivered, moment) = (crowd.delivered(), Moment::now(server.process())?);
    crowd.only_counts = sharing == Sharing::Own;
    let end = delivery::publish(&mut crowd, &speech, first, (Tempo::Rate(rate), plan.measured()))?;
    let messages = end - first;
    let each = if sharing == Sharing::Own { 1 } else { connections as u64 };
    // Between channels there is no order, so that their number says when all has come.
    let owed = delivered + messages * each;
    let has_come = crowd.read_until(delivery::ARRIVED_MAX, |crowd| crowd.delivered() >= owed)?;
    crowd.all_stay()?;
    let faults = crowd.faults(end);
    if !has_come
        || crowd.delivered() > owed
        || sharing == Sharing::Same && faults.lost + faults.duplicated > 0
    {
        bail!(
            "{} of {} came; lost / duplicated / reordered: {faults}",
            crowd.delivered() - delivered,
            messages * each
        );
    }
    let spent = moment.spent()?;
    let deliveries = crowd.delivered() - delivered;
    let mut point = point
        .with("rate", spent.a_second(messages))
        .with("cpu_us", spent.each_us(deliveries))
        .with("user_us", spent.each_user_us(deliveries))
        .with("p99_ms", crowd.latency.quantile(0.99) as f64 / 1e3);
    spent.judge(&mut point);
    Ok(point)
}
