//! 1 to 1,000,000 channels, nearly all of them idle, with one retained message each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use efir_bench::{process, websocket};

use super::figures::{Figure, Goal, Point, Row, Series};
use super::spent::Moment;
use super::stage::{Plan, Setting};
use crate::server::Server;

const FULL: &[u64] = &[1, 1_000, 10_000, 100_000, 300_000, 1_000_000];
const QUICK: &[u64] = &[1, 1_000, 20_000];
/// So many fit, and stay while it is measured.
const SETTINGS: &[Setting<'static>] =
    &[("limits.channels_max", "2000000"), ("limits.log_bytes_max", "8GiB"), ("retention.age", "24h")];
const PAYLOAD_BYTES: usize = 100;
/// Publishes without an answer: so many at most, and half of them after each write.
const AHEAD: u64 = 2_000;
/// Channels that are read again at each point.
const READS: u64 = 2_000;
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
    let mut filler = Filler::connect(&server)?;
    let empty = process::memory(server.process())?;
    let (mut points, mut filled) = (Vec::new(), 0);
    for count in plan.pick(FULL, QUICK) {
        points.push(point(&server, &mut filler, (filled, *count), empty)?);
        filled = *count;
    }
    let million = points.iter().find(|point| point.at == 1_000_000).map(|point| point.value("megabytes"));
    let goal = |seen| Goal::most("1,000,000 idle channels, RssAnon", "MB", GOAL_BYTES / 1e6, seen);
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
        goals: million.map(goal).into_iter().collect(),
    })
}

fn name(number: u64) -> String {
    format!("c{number:07}")
}

fn payload(number: u64) -> String {
    format!("{number:.<PAYLOAD_BYTES$}")
}

/// Fills from so many channels to so many, and looks.
fn point(server: &Server, filler: &mut Filler, (from, to): (u64, u64), empty: u64) -> Result<Point> {
    let moment = Moment::now(server.process())?;
    filler.fill(from + 1, to)?;
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

/// One `/socket` that publishes into a new channel each time.
struct Filler {
    socket: TcpStream,
    unanswered: u64,
    /// What may be half of a reply's beginning.
    cut: Vec<u8>,
}

/// What each reply has once; no payload and no name holds it.
const REPLY: &[u8] = b"\"reply\"";

impl Filler {
    fn connect(server: &Server) -> Result<Self> {
        let mut socket = TcpStream::connect(server.address())?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        socket.write_all(websocket::upgrade(&server.address().to_string(), "/socket", "").as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte)?;
            head.extend(byte);
        }
        ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Ok(Self { socket, unanswered: 0, cut: Vec::new() })
    }

    /// One message into each channel from number `first` to `last`; returns when all are answered.
    fn fill(&mut self, first: u64, last: u64) -> Result<()> {
        let mut frames = Vec::new();
        for number in first..=last {
            let (channel, text) = (name(number), payload(number));
            let command =
                format!("{{\"id\":1,\"publish\":{{\"channel\":\"{channel}\",\"text\":\"{text}\"}}}}");
            websocket::text(command.as_bytes(), &mut frames);
            self.unanswered += 1;
            if self.unanswered == AHEAD || number == last {
                self.socket.write_all(&frames)?;
                frames.clear();
                self.until_unanswered(if number == last { 0 } else { AHEAD / 2 })?;
            } else if self.unanswered.is_multiple_of(AHEAD / 4) {
                self.socket.write_all(&frames)?;
                frames.clear();
            }
        }
        Ok(())
    }

    fn until_unanswered(&mut self, most: u64) -> Result<()> {
        let mut buffer = [0; 64 * 1024];
        while self.unanswered > most {
            let len = self.socket.read(&mut buffer)?;
            ensure!(len > 0, "the server ended the connection");
            self.cut.extend_from_slice(&buffer[..len]);
            if self.cut.windows(9).any(|window| window == b"\"problem\"") {
                bail!("refused: {}", String::from_utf8_lossy(&self.cut));
            }
            self.unanswered -= self.cut.windows(REPLY.len()).filter(|window| *window == REPLY).count() as u64;
            // A reply's mark that is cut stands at the end.
            self.cut.drain(..self.cut.len().saturating_sub(REPLY.len() - 1));
        }
        Ok(())
    }
}

/// Reads channels all over the table and checks what they hold; CPU of the server for each.
fn read_again(server: &Server, count: u64) -> Result<f64> {
    let mut socket = TcpStream::connect(server.address())?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let moment = Moment::now(server.process())?;
    for n in 0..READS {
        // Far apart, and every one of them when there are few.
        let number = 1 + n * 7_919 % count;
        write!(socket, "GET /channels/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", name(number))?;
        let answer = read_batch(&mut socket)?;
        ensure!(answer.contains(&payload(number)), "channel {} holds something else: {answer}", name(number));
    }
    Ok(moment.spent()?.each_us(READS))
}

/// One answer; it ends with the end of its batch.
fn read_batch(socket: &mut TcpStream) -> Result<String> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"\"more\":false}") {
        let len = socket.read(&mut buffer)?;
        ensure!(len > 0, "the server ended the connection: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..len]);
    }
    Ok(String::from_utf8(answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_length_and_nothing_that_marks_a_reply() {
        assert_eq!(payload(7).len(), PAYLOAD_BYTES);
        assert!(payload(70).starts_with("70.") && !payload(7).contains("reply"));
    }
}
