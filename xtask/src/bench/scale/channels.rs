//! 1 to 1,000,000 channels, nearly all of them idle, with one retained message each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use efir_bench::process;

use super::crowd::{self, Crowd};
use super::figures::{Figure, Goal, Point, Row, Series};
use super::number;
use super::pipeline::{self, Amount};
use super::spent::Moment;
use super::stage::{Plan, Setting};
use crate::server::Server;

const FULL: &[u64] = &[1, 1_000, 10_000, 100_000, 300_000, 1_000_000];
const QUICK: &[u64] = &[1, 1_000, 20_000];
/// So many fit, and stay while it is measured.
const SETTINGS: &[Setting<'static>] =
    &[("limits.channels_max", "2000000"), ("limits.log_bytes_max", "8GiB"), ("retention.age", "24h")];
const PAYLOAD_BYTES: usize = 100;
/// Publishes without an answer.
const AHEAD: u64 = 2_000;
/// Channels that are read again at each point.
const READS: u64 = 2_000;
const FILLED_MAX: Duration = Duration::from_secs(120);
const GOAL_BYTES: f64 = 400e6;

const FIGURES: &[Figure] = &[
    Figure { name: "bytes", title: "bytes a channel", digits: 0 },
    Figure { name: "megabytes", title: "RssAnon MB", digits: 1 },
    Figure { name: "fill_rate", title: "channels/s while filling", digits: 0 },
    Figure { name: "publish_us", title: "µs of CPU a publish", digits: 2 },
    Figure { name: "read_us", title: "µs of CPU a read of any channel", digits: 2 },
    Figure { name: "rest_ms", title: "ms of CPU a second at rest", digits: 1 },
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let server = plan.server(SETTINGS)?;
    let mut crowd = Crowd::new(server.address())?;
    crowd.open(1, &crowd::request("websocket", "/socket"), 1)?;
    let empty = process::memory(server.process())?;
    let (mut points, mut filled) = (Vec::new(), 0);
    for count in plan.pick(FULL, QUICK) {
        points.push(point(&server, &mut crowd, (filled, *count), empty)?);
        filled = *count;
    }
    let goals = points.iter().filter(|point| point.at == 1_000_000).map(|point| {
        Goal::most("1,000,000 idle channels, RssAnon", "MB", GOAL_BYTES / 1e6, point.value("megabytes"))
    });
    let goals = goals.collect();
    Ok(Row {
        name: "channels",
        title: "Channels",
        about: format!(
            "One server, filled step by step through one `/socket` (pipelined): one message of {PAYLOAD_BYTES} bytes into each \
             channel, names of 8 bytes. Bytes: growth of RssAnon since no channel, divided by their number (one channel alone shows the \
             allocator's pages). At each point {READS} channels far apart are read again by short polls over one kept-alive \
             connection, and each must hold its message; then nobody asks anything for a while."
        ),
        axis: "channels",
        figures: FIGURES,
        series: vec![Series { name: "one message each".to_owned(), points }],
        goals,
    })
}

fn name(number: u64) -> String {
    format!("c{number:07}")
}

/// Fills from so many channels to so many, and looks.
fn point(server: &Server, crowd: &mut Crowd, (from, to): (u64, u64), empty: u64) -> Result<Point> {
    let moment = Moment::now(server.process())?;
    let amount = Amount { first: from + 1, end: to + 1, time: FILLED_MAX, ahead: AHEAD };
    let sent = pipeline::send(crowd, &amount, |number| {
        let (channel, data) = (name(number), number::payload(number, PAYLOAD_BYTES));
        // The id comes back, and with it the number.
        format!("{{\"id\":\"@{number:010}\",\"publish\":{{\"channel\":\"{channel}\",\"data\":{data}}}}}")
    })?;
    crowd.read_up_to(sent, Duration::from_secs(20))?;
    if sent <= to {
        bail!("only {sent} channels were filled in {FILLED_MAX:?}");
    }
    crowd.check(sent)?;
    let fill = moment.spent()?;
    std::thread::sleep(Duration::from_millis(300));
    let bytes = process::memory(server.process())?.saturating_sub(empty);
    let read_us = read_again(server, to)?;
    let rest = Moment::now(server.process())?;
    std::thread::sleep(Duration::from_secs(2));
    let rest = rest.spent()?;
    let mut point = Point::at(to)
        .with("bytes", bytes as f64 / to as f64)
        .with("megabytes", bytes as f64 / 1e6)
        .with("fill_rate", fill.a_second(to - from))
        .with("publish_us", fill.each_us(to - from))
        .with("read_us", read_us)
        .with("rest_ms", rest.server_share() * 1e3);
    fill.judge(&mut point);
    Ok(point)
}

/// Reads channels all over the table and checks what they hold; CPU of the server for each.
fn read_again(server: &Server, count: u64) -> Result<f64> {
    let mut socket = TcpStream::connect(server.address())?;
    socket.set_nodelay(true)?;
    let mut answer = vec![0; 64 * 1024];
    let moment = Moment::now(server.process())?;
    for n in 0..READS {
        // Far apart, and every one of them when there are few.
        let number = 1 + n * 7_919 % count;
        write!(socket, "GET /channels/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", name(number))?;
        let len = read_answer(&mut socket, &mut answer)?;
        let mut found = Vec::new();
        number::search(&answer[..len], |number| found.push(number));
        if found != [number] {
            let text = String::from_utf8_lossy(&answer[..len]);
            bail!("channel {} should hold message {number}: {text}", name(number));
        }
    }
    Ok(moment.spent()?.each_us(READS))
}

/// One answer; it ends with the brace of its batch.
fn read_answer(socket: &mut TcpStream, answer: &mut [u8]) -> Result<usize> {
    let mut len = 0;
    loop {
        let read = socket.read(&mut answer[len..])?;
        len += read;
        if read == 0 {
            bail!("the server ended the connection");
        }
        let text = std::str::from_utf8(&answer[..len]).context("not UTF-8")?;
        if text.ends_with("\"more\":false}") {
            return Ok(len);
        }
        if len == answer.len() {
            bail!("a batch of one message does not end");
        }
    }
}
