//! The storm: all connections are cut at once, messages are published meanwhile, and all come back at once with their
//! cursors. Nothing may be missed, and all must be back soon.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use efir_bench::histogram::Histogram;
use efir_bench::sequence::Sequence;
use efir_bench::{process, publisher, system};
use socket2::{Domain, Socket, Type};

use super::crowd::{self, Crowd, Line};
use super::delivery::CHANNEL;
use super::figures::{Figure, Goal, Point, Row, Series};
use super::speaker::{Pace, Speaker, Speech, Timetable};
use super::spent::Moment;
use super::stage::Plan;
use crate::server::Server;

const FULL: &[usize] = &[1_000, 5_000, 15_000];
const QUICK: &[usize] = &[1_000];
const GOAL_S: f64 = 5.0;
/// Messages a second before, meanwhile and after: 30,000 deliveries to 15,000.
const RATE: u64 = 2;
/// How long nobody is connected.
const OUTAGE: Duration = Duration::from_secs(3);
const BACK_MAX: Duration = Duration::from_secs(60);

const FIGURES: &[Figure] = &[
    Figure { name: "missed", title: "messages published meanwhile", digits: 0 },
    Figure { name: "p50_s", title: "back after s, p50", digits: 2 },
    Figure { name: "p99_s", title: "p99", digits: 2 },
    Figure { name: "back_s", title: "the last", digits: 2 },
    Figure { name: "cpu_us", title: "µs of CPU a return", digits: 1 },
    Figure { name: "gone_us", title: "µs of CPU a loss", digits: 1 },
    Figure { name: "bytes", title: "bytes a connection before", digits: 0 },
    Figure { name: "peak_bytes", title: "at most while they return", digits: 0 },
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let mut series = Vec::new();
    for transport in ["websocket", "sse"] {
        let mut points = Vec::new();
        for count in plan.pick(FULL, QUICK) {
            points.push(Storm::begin(plan, transport, *count)?.rage()?);
        }
        series.push(Series { name: transport.to_owned(), points });
    }
    let goal = |series: &Series| {
        let point = series.points.last()?;
        let what = format!("all {} back with every message, {}", point.name(), series.name);
        Some(Goal::most(what, "s", GOAL_S, point.value("back_s")))
    };
    let goals = series.iter().filter_map(goal).collect();
    Ok(Row {
        name: "storm",
        title: "A storm of returns",
        about: format!(
            "Subscribers of one channel at {RATE} messages a second. All connections are reset at once; for {} s nobody is connected \
             while publishing goes on; then all connect at once, without waiting for one another, and ask with `after=` their \
             last position. A subscriber is back when it has every message that was published before the return began. The run fails if \
             one message is missing, comes twice or out of order at anybody, or a connection is refused.",
            OUTAGE.as_secs()
        ),
        axis: "connections",
        figures: FIGURES,
        series,
        goals,
    })
}

/// One storm on a server of its own.
struct Storm {
    transport: &'static str,
    server: Server,
    crowd: Crowd,
    speaker: Speaker,
    /// All positions of the channel are of this epoch, and offsets are the numbers.
    epoch: String,
    memory_empty: u64,
    memory_full: u64,
}

impl Storm {
    /// Everybody is there, and messages come.
    fn begin(plan: &Plan, transport: &'static str, count: usize) -> Result<Self> {
        let server = plan.server(&[])?;
        let memory_empty = process::memory(server.process())?;
        let mut crowd = Crowd::new(server.address())?;
        crowd.open(count, &crowd::request(transport, &format!("/channels/{CHANNEL}")), 1)?;
        let memory_full = process::memory(server.process())?;
        let cursor = publisher::cursor(server.address(), CHANNEL)?;
        let Some((epoch, "0")) = cursor.rsplit_once('-') else { bail!("a fresh channel stands at {cursor}") };
        let epoch = epoch.to_owned();
        let speech =
            Speech { address: server.address(), channels: vec![CHANNEL.to_owned()], payload_bytes: 100 };
        let timetable = Timetable { start: Instant::now(), first: 1, rate: RATE };
        let speaker = Speaker::start(&speech, 1, Pace::Planned(timetable), Duration::from_secs(120))?;
        crowd.watch(Duration::from_millis(1_200))?;
        crowd.all_stay()?;
        Ok(Self { transport, server, crowd, speaker, epoch, memory_empty, memory_full })
    }

    fn rage(mut self) -> Result<Point> {
        let count = self.crowd.lines().count();
        let moment = Moment::now(self.server.process())?;
        let mut lost = Vec::new();
        for (n, line) in self.crowd.take_all() {
            system::reset_on_close(&line.socket)?;
            // Closing the socket sends the reset; what it has seen stays.
            lost.push((n, line.sequence));
        }
        let seen = lost.iter().map(|(_, sequence)| sequence.next()).max().unwrap_or(1);
        std::thread::sleep(OUTAGE);
        let gone = moment.spent()?;
        let stood = offset(&publisher::cursor(self.server.address(), CHANNEL)?)?;

        let (moment, start) = (Moment::now(self.server.process())?, Instant::now());
        let mut returns = Returns { start, owed: stood + 1, waiting: Vec::new(), back: Vec::new(), peak: 0 };
        self.come_back(lost, &mut returns)?;
        self.until_back(&mut returns)?;
        let returned = moment.spent()?;

        // Two seconds of ordinary life prove that they are subscribed, and not only served once.
        self.crowd.watch(Duration::from_secs(2))?;
        let end = self.speaker.finish()?;
        self.crowd.read_up_to(end, Duration::from_secs(10))?;
        self.crowd.check(end)?;

        let mut times = Histogram::new();
        returns.back.iter().flatten().for_each(|time| times.add(time.as_micros() as u64));
        let last = returns.back.iter().flatten().max().copied().unwrap_or_default();
        let each = |bytes: u64| bytes.saturating_sub(self.memory_empty) as f64 / count as f64;
        let mut point = Point::at(count as u64)
            .with("missed", (stood + 1).saturating_sub(seen) as f64)
            .with("p50_s", times.quantile(0.5) as f64 / 1e6)
            .with("p99_s", times.quantile(0.99) as f64 / 1e6)
            .with("back_s", last.as_secs_f64())
            .with("cpu_us", returned.each_us(count as u64))
            .with("gone_us", gone.each_us(count as u64))
            .with("bytes", each(self.memory_full))
            .with("peak_bytes", each(returns.peak));
        returned.judge(&mut point);
        Ok(point)
    }

    /// Everybody connects without waiting for anybody.
    fn come_back(&mut self, lost: Vec<(usize, Sequence)>, returns: &mut Returns) -> Result<()> {
        returns.back = vec![None; lost.len()];
        for (done, (n, sequence)) in lost.into_iter().enumerate() {
            let after = format!("{}-{}", self.epoch, sequence.next() - 1);
            let request = crowd::request(self.transport, &format!("/channels/{CHANNEL}?after={after}"));
            let socket = connect_now(n, self.crowd.server())?;
            if !is_sent(&socket, &request)? {
                returns.waiting.push((n, request));
            }
            self.crowd.place(n, Line::with(socket, sequence))?;
            if done % 256 == 255 {
                self.crowd.turn(Duration::ZERO)?;
                returns.note(&self.crowd, self.server.process())?;
            }
        }
        Ok(())
    }

    fn until_back(&mut self, returns: &mut Returns) -> Result<()> {
        loop {
            self.crowd.turn(Duration::from_millis(2))?;
            self.crowd.all_stay()?;
            let crowd = &self.crowd;
            let mut failed = Ok(());
            returns.waiting.retain(|(n, request)| {
                let Some(line) = crowd.line(*n) else { return false };
                match is_sent(&line.socket, request) {
                    Ok(is_sent) => !is_sent,
                    Err(error) => {
                        failed = Err(error);
                        false
                    }
                }
            });
            failed?;
            returns.note(&self.crowd, self.server.process())?;
            if returns.back.iter().all(Option::is_some) {
                return Ok(());
            }
            if returns.start.elapsed() > BACK_MAX {
                let missing = returns.back.iter().filter(|time| time.is_none()).count();
                bail!("{missing} subscribers are not back after {BACK_MAX:?}");
            }
        }
    }
}

/// Who is back since when.
struct Returns {
    start: Instant,
    /// The number before which everything has to have come.
    owed: u64,
    /// Whose handshake is not done, so that the request could not be written.
    waiting: Vec<(usize, String)>,
    back: Vec<Option<Duration>>,
    /// The most memory that the server had.
    peak: u64,
}

impl Returns {
    fn note(&mut self, crowd: &Crowd, process: u32) -> Result<()> {
        let now = self.start.elapsed();
        self.peak = self.peak.max(process::memory(process)?);
        for (n, back) in self.back.iter_mut().enumerate().filter(|(_, back)| back.is_none()) {
            if crowd.line(n).is_some_and(|line| line.sequence.next() >= self.owed) {
                *back = Some(now);
            }
        }
        Ok(())
    }
}

/// The number behind the last `-` of a position.
fn offset(cursor: &str) -> Result<u64> {
    let Some((_, offset)) = cursor.rsplit_once('-') else { bail!("no position: {cursor}") };
    Ok(offset.parse()?)
}

/// Begins to connect; does not wait for the handshake.
fn connect_now(n: usize, server: SocketAddrV4) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(Crowd::source(n), 0).into())?;
    match socket.connect(&server.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(socket.into())
}

/// Writes the request if the connection stands.
fn is_sent(mut socket: &TcpStream, request: &str) -> Result<bool> {
    match socket.write(request.as_bytes()) {
        Ok(len) if len == request.len() => Ok(true),
        Ok(_) => bail!("a fresh connection took half of a request"),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
