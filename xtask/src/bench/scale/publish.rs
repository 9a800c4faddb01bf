//! Publishing flat out: by HTTP with and without waiting for answers, and through WebSockets, into one channel and many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::histogram::Histogram;
use efir_bench::system::Poll;

use super::crowd::{self, Crowd};
use super::figures::{Figure, Goal, Point, Row, Series};
use super::number;
use super::pipeline::{self, Amount};
use super::spent::Moment;
use super::stage::{Plan, Setting};
use crate::server::Server;

const PAYLOAD_BYTES: usize = 100;
/// Publishes on their way.
const AHEAD: u64 = 5_000;
const CHANNEL: &str = "scale";
/// Readers of a channel that is published to flat out must not fall out of what it keeps.
const KEPT: &[Setting<'static>] =
    &[("retention.messages", "100000"), ("retention.bytes", "256MiB"), ("limits.log_bytes_max", "2GiB")];

const FIGURES: &[Figure] = &[
    Figure { name: "rate", title: "publishes/s", digits: 0 },
    Figure { name: "cpu_us", title: "µs of CPU a publish", digits: 2 },
    Figure { name: "user_us", title: "of it user", digits: 2 },
    Figure { name: "p50_ms", title: "p50 ms until answered", digits: 3 },
    Figure { name: "p99_ms", title: "p99 ms", digits: 3 },
    Figure { name: "server", title: "server's core, %", digits: 0 },
];

/// One way to publish: its name, what its axis counts and at which points, and how.
type Way = (&'static str, &'static str, &'static [usize], fn(&Plan, usize) -> Result<Point>);

const WAYS: [Way; 3] = [
    ("HTTP keep-alive", "connections that wait for each answer", &[1, 4, 16, 64], by_http),
    ("WebSocket, pipelined", "readers, the publisher among them", &[1, 5, 20], by_websocket),
    ("/socket, pipelined", "channels in turn", &[1, 100, 10_000], by_socket),
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let mut series = Vec::new();
    for (name, axis, counts, measure) in WAYS {
        let mut points = Vec::new();
        for count in plan.pick(counts, &counts[..2]) {
            let mut point = measure(plan, *count)?;
            point.label = Some(format!("{} {axis}", point.name()));
            points.push(point);
        }
        series.push(Series { name: name.to_owned(), points });
    }
    let goals = goals(&series);
    Ok(Row {
        name: "publish",
        title: "Publishing, flat out on one core",
        about: format!(
            "Payloads of {PAYLOAD_BYTES} bytes, a fresh server on one core for each point. HTTP: each connection sends its next request when its \
             answer is there, so that with one connection the server sleeps and wakes for each. WebSocket: a frame is on its way until the \
             publisher itself has read it, so that a publish's CPU holds its deliveries; `/socket`: until its reply is there, and nobody reads. At most \
             {AHEAD} are on their way."
        ),
        axis: "with",
        figures: FIGURES,
        series,
        goals,
    })
}

fn goals(series: &[Series]) -> Vec<Goal> {
    let best = |series: &Series| {
        series.points.iter().map(|point| point.value("cpu_us")).fold(f64::INFINITY, f64::min)
    };
    let mut goals = Vec::new();
    if let [http, websocket, socket] = series {
        goals.push(Goal::most("CPU a publish by HTTP keep-alive, the busiest point", "µs", 9.0, best(http)));
        for (what, series) in [("a WebSocket", websocket), ("/socket", socket)] {
            let rate = series.points.first().map_or(f64::NAN, |point| point.value("rate"));
            goals.push(Goal::least(format!("publishes pipelined over {what}"), "a second", 100_000.0, rate));
        }
    }
    goals
}

/// Connections of which each waits for its answer.
fn by_http(plan: &Plan, connections: usize) -> Result<Point> {
    let server = plan.server(&[])?;
    let payload = number::payload(1, PAYLOAD_BYTES);
    let request = format!(
        "POST /channels/{CHANNEL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {PAYLOAD_BYTES}\r\n\r\n{payload}"
    );
    let (mut poll, mut sockets) = (Poll::new()?, Vec::new());
    for n in 0..connections {
        let mut socket = TcpStream::connect(server.address())?;
        socket.set_nodelay(true)?;
        socket.write_all(request.as_bytes())?;
        poll.add(&socket, n as u64)?;
        sockets.push((socket, Instant::now()));
    }
    let (mut ready, mut answer, mut latency) = (Vec::new(), vec![0; 4096], Histogram::new());
    let (mut count, end) = (0, Instant::now() + plan.measured());
    let moment = Moment::now(server.process())?;
    while Instant::now() < end {
        poll.wait(Duration::from_millis(100), &mut ready)?;
        for token in &ready {
            let (socket, asked) = &mut sockets[*token as usize];
            let len = socket.read(&mut answer)?;
            // A receipt is short: it comes in one piece.
            if !answer[..len].starts_with(b"HTTP/1.1 200") || answer[..len].last() != Some(&b'}') {
                bail!("a publish was answered: {}", String::from_utf8_lossy(&answer[..len]));
            }
            latency.add(asked.elapsed().as_micros() as u64);
            *asked = Instant::now();
            socket.write_all(request.as_bytes())?;
            count += 1;
        }
    }
    let spent = moment.spent()?;
    let mut point = Point::at(connections as u64)
        .with("rate", spent.a_second(count))
        .with("cpu_us", spent.each_us(count))
        .with("user_us", spent.each_user_us(count))
        .with("p50_ms", latency.quantile(0.5) as f64 / 1e3)
        .with("p99_ms", latency.quantile(0.99) as f64 / 1e3)
        .with("server", spent.server_share() * 100.0);
    spent.judge(&mut point);
    Ok(point)
}

/// One WebSocket that publishes, and readers. It reads its channel, too, as every channel's socket does.
fn by_websocket(plan: &Plan, readers: usize) -> Result<Point> {
    let server = plan.server(KEPT)?;
    let mut crowd = Crowd::new(server.address())?;
    let request = crowd::request("websocket", &format!("/channels/{CHANNEL}?payload=json"));
    crowd.open(readers, &request, 1)?;
    pipelined(plan, (&server, crowd), readers, |number| number::payload(number, PAYLOAD_BYTES))
}

/// One `/socket` that publishes into one channel after the other; nobody reads.
fn by_socket(plan: &Plan, channels: usize) -> Result<Point> {
    let server = plan.server(KEPT)?;
    let mut crowd = Crowd::new(server.address())?;
    crowd.open(1, &crowd::request("websocket", "/socket"), 1)?;
    pipelined(plan, (&server, crowd), channels, |number| {
        let (channel, data) = (number as usize % channels, number::payload(number, PAYLOAD_BYTES));
        // The id comes back, and with it the number.
        format!(
            "{{\"id\":\"@{number:010}\",\"publish\":{{\"channel\":\"room-{channel:05}\",\"data\":{data}}}}}"
        )
    })
}

/// Sends through the first connection for a while and waits until every number has come to everybody.
fn pipelined(
    plan: &Plan,
    (server, mut crowd): (&Server, Crowd),
    count: usize,
    text: impl FnMut(u64) -> String,
) -> Result<Point> {
    let amount = Amount { first: 1, end: u64::MAX, time: plan.measured(), ahead: AHEAD };
    let moment = Moment::now(server.process())?;
    let end = pipeline::send(&mut crowd, &amount, text)?;
    crowd.read_up_to(end, Duration::from_secs(20))?;
    crowd.check(end)?;
    let spent = moment.spent()?;
    let mut point = Point::at(count as u64)
        .with("rate", spent.a_second(end - 1))
        .with("cpu_us", spent.each_us(end - 1))
        .with("user_us", spent.each_user_us(end - 1))
        .with("server", spent.server_share() * 100.0);
    spent.judge(&mut point);
    Ok(point)
}
