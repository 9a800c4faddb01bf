//! Ten times what fits: logs, readers that do not read, and messages that are begun and never ended, against a server that is killed if it
//! takes more than its group may. It cuts the largest debtors first, and those beside it lose nothing.

mod beside;
mod group;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::beside::{Beside, Kept, post};
use self::group::Group;
use super::audience::mib;
use super::{Outcome, Size};
use crate::machine;
use crate::paper::grouped;
use crate::server::{self, Server};
use efir_bench::{process, system};

/// How much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    limit: u64,
    /// Streams of which nothing is read.
    deaf: usize,
}

const FULL: Plan = Plan { limit: 512 << 20, deaf: 2_000 };
const QUICK: Plan = Plan { limit: 96 << 20, deaf: 200 };

/// How many times what fits is brought.
const TIMES: u64 = 10;
const MESSAGE_BYTES: usize = 60_000;
/// Messages that are sent ahead of their answers.
const PIPELINED: usize = 16;
/// Of a command that is begun; what a command may have is a little more.
const BEGUN_BYTES: usize = 380_000;
/// Of one by somebody who is a debtor, and a small one: others go first.
const SMALL_BYTES: usize = 20_000;
const SMALL: usize = 20;
/// Begun commands that are open at once: three times what fits of them.
const OPEN_TIMES: u64 = 3;
const BACK_MAX: Duration = Duration::from_secs(5);
const ADDRESS_CONNECTIONS: usize = 250;

struct Seen {
    /// By whom the limit is held.
    held_by: &'static str,
    published: u64,
    begun: u64,
    most: Option<u64>,
    memory_most: u64,
    cut: f64,
    small_left: usize,
    back: Duration,
    kept: Kept,
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let seen = run(plan, binary)?;
    Ok(Outcome { text: text(plan, &seen), broken: seen.broken() })
}

/// The server in its group.
struct Limited {
    server: Server,
    admin: SocketAddr,
    group: Option<Group>,
}

impl Limited {
    fn start(plan: Plan, binary: &Path) -> Result<Self> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, server::free_port()?));
        let group = Group::make(plan.limit);
        let mut command = Command::new("sh");
        match &group {
            Some(group) => {
                command.args(["-c", "echo $$ > \"$0\" && exec \"$@\"", &group.processes()]).arg(binary)
            }
            None => command.args(["-c", "exec \"$@\"", "sh"]).arg(binary),
        };
        // Without a group it is told what it would have found there.
        let bytes_max = if group.is_some() { 0 } else { plan.limit / 4 * 3 };
        command
            .env("EFIR_ADMIN__LISTEN", admin.to_string())
            .env("EFIR_LIMITS__MEMORY_BYTES_MAX", bytes_max.to_string())
            // Nobody is late here, however slow the machine.
            .env("EFIR_TIMES__BODY_MAX", "10m");
        let server = Server::start_with(command, &[], server::free_port()?)?;
        Ok(Self { server, admin, group })
    }

    /// Memory of its own that it takes; fails where it was killed.
    fn memory(&self) -> Result<u64> {
        process::memory(self.server.process()).context("the server is gone")
    }

    fn metric(&self, name: &str) -> Result<f64> {
        let metrics = server::get(self.admin, "/metrics").context("the operator's metrics")?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        Ok(value.unwrap_or_default())
    }
}

fn run(plan: Plan, binary: &Path) -> Result<Seen> {
    let limited = Limited::start(plan, binary)?;
    let address = limited.server.address();
    let beside = Beside::begin(address).context("readers beside it")?;
    let mut memory_most = 0;
    let published = fill(address, plan.limit * TIMES).context("publishing")?;
    let deaf = deaf_readers(address, plan.deaf).context("readers that read nothing")?;
    memory_most = limited.memory()?.max(memory_most);
    let mut small: Vec<TcpStream> = (0..SMALL)
        .map(|number| begin_command(address, number, SMALL_BYTES))
        .collect::<Result<_>>()
        .context("small debtors")?;
    let mut debtors = Vec::new();
    let mut begun = 0;
    let open_max = (plan.limit * OPEN_TIMES) as usize / BEGUN_BYTES;
    for number in SMALL.. {
        if begun >= plan.limit * TIMES {
            break;
        }
        // Who is refused, or cut while it sends, has brought what it could.
        if let Ok(socket) = begin_command(address, number, BEGUN_BYTES) {
            debtors.push(socket);
        }
        begun += BEGUN_BYTES as u64;
        if debtors.len() > open_max {
            debtors.drain(..open_max / 2);
        }
        if number % 50 == 0 {
            memory_most = limited.memory()?.max(memory_most);
        }
    }
    let small_left = small.iter_mut().filter_map(|socket| is_there(socket).then_some(())).count();
    drop((debtors, small, deaf));
    let ended = Instant::now();
    while post(address, "after", b"room again").context("publishing after it")?.0 != 200
        || limited.metric("efir_overloaded")? > 0.0
    {
        if ended.elapsed() > 4 * BACK_MAX {
            bail!("the server does not come back");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let back = ended.elapsed();
    let kept = beside.finish()?;
    Ok(Seen {
        held_by: if limited.group.is_some() {
            "a control group (v1), which kills"
        } else {
            "`memory_bytes_max` alone"
        },
        published,
        begun,
        most: limited.group.as_ref().map(Group::most_bytes).transpose()?,
        memory_most,
        cut: limited.metric("efir_closures_total{limit=\"memory_bytes_max\"}")?,
        small_left,
        back,
        kept,
    })
}

/// Publishes so many bytes, each message to a channel of its own but for one in four, which go to one.
fn fill(address: SocketAddr, bytes: u64) -> Result<u64> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let body = "x".repeat(MESSAGE_BYTES);
    let (mut sent, mut accepted) = (0_u64, 0_u64);
    let mut buffer = vec![0; 64 * 1024];
    while sent * (MESSAGE_BYTES as u64) < bytes {
        let mut requests = Vec::with_capacity(PIPELINED * (MESSAGE_BYTES + 200));
        for _ in 0..PIPELINED {
            sent += 1;
            let channel = if sent % 4 == 0 { "large".to_owned() } else { format!("many-{sent}") };
            write!(
                requests,
                "POST /channels/{channel} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
        socket.write_all(&requests)?;
        let mut answers = String::new();
        while answers.matches("HTTP/1.1 ").count() < PIPELINED || !answers.ends_with('}') {
            let count = socket.read(&mut buffer).context("no answer to a publish")?;
            if count == 0 {
                bail!("the server ended a connection that publishes: {answers}");
            }
            answers.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        accepted += answers.matches("HTTP/1.1 200").count() as u64;
        // The rate of a connection has a limit, too.
        if answers.contains("HTTP/1.1 429") {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(accepted * MESSAGE_BYTES as u64)
}

fn source(number: usize) -> Ipv4Addr {
    let address = number / ADDRESS_CONNECTIONS;
    Ipv4Addr::new(127, 68, (address / 250) as u8, (address % 250) as u8 + 1)
}

fn connect(address: SocketAddr, number: usize) -> Result<TcpStream> {
    let SocketAddr::V4(target) = address else { bail!("the server listens on IPv4") };
    let target: SocketAddrV4 = target;
    let socket = system::connect_from(source(number), target)?;
    socket.set_write_timeout(Some(Duration::from_secs(2)))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket)
}

/// Streams of the large channel from its beginning, which nobody reads.
fn deaf_readers(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let one = |number| {
        let mut socket = connect(address, number)?;
        socket.write_all(
            b"GET /channels/large?after=start&transport=sse HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )?;
        Ok(socket)
    };
    (0..count).map(one).collect()
}

/// A command on a socket of its own that is sent but for its last byte.
fn begin_command(address: SocketAddr, number: usize, bytes: usize) -> Result<TcpStream> {
    let mut socket = connect(address, number)?;
    socket.write_all(
        b"GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let length = match u16::try_from(bytes) {
        Ok(short) => [&[0xfe][..], &short.to_be_bytes()].concat(),
        Err(_) => [&[0xff][..], &(bytes as u64).to_be_bytes()].concat(),
    };
    let head = [&[0x81][..], &length, &[0; 4]].concat();
    socket.write_all(&[head, vec![b'x'; bytes - 1]].concat())?;
    Ok(socket)
}

/// Whether the server has not ended it. What it has said is read.
fn is_there(socket: &mut TcpStream) -> bool {
    let mut heard = [0; 4096];
    if socket.set_nonblocking(true).is_err() {
        return false;
    }
    loop {
        match socket.read(&mut heard) {
            Ok(0) => return false,
            // A close frame of the server; what else it says is no longer than a heartbeat.
            Ok(count) if heard[..count].windows(10).any(|bytes| bytes == b"overloaded") => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

impl Seen {
    /// What did not hold, if anything.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let Kept { published, gaps: _, wrong, ended, messages } = &self.kept;
        if *wrong > 0 || *ended > 0 {
            broken.push(format!(
                "readers beside it: {wrong} numbers missing or twice without a gap, {ended} ended"
            ));
        }
        if self.kept.gaps == 0 && *messages < published.accepted * Kept::READERS as u64 {
            broken.push(format!("{messages} messages read of {} to each", published.accepted));
        }
        if let Some(first) = published.otherwise.first() {
            broken.push(format!(
                "{} publishes were answered otherwise, first {first}",
                published.otherwise.len()
            ));
        }
        if self.cut == 0.0 {
            broken.push("nobody was cut for memory".to_owned());
        }
        if self.small_left < SMALL {
            broken.push(format!(
                "{} of {SMALL} small debtors were cut, beside larger ones",
                SMALL - self.small_left
            ));
        }
        if self.back > BACK_MAX {
            broken.push(format!("back after {:.1} s", self.back.as_secs_f64()));
        }
        broken
    }
}

fn text(plan: Plan, seen: &Seen) -> String {
    let broken = seen.broken();
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    let most = seen.most.map_or_else(|| "not known".to_owned(), |bytes| format!("{:.0} MiB", mib(bytes)));
    format!(
        "`cargo xtask evidence memory`, {}, {}: {verdict}.\n\n\
         | what | seen |\n|---|--:|\n\
         | the limit | {:.0} MiB, held by {} |\n\
         | published, of messages of 60 KB, to many channels and one large | {:.0} MiB |\n\
         | streams of the large channel that nobody reads | {} |\n\
         | commands of 380 KB begun and never ended | {:.0} MiB |\n\
         | memory of the server (RssAnon) at its worst look; the group's most, the kernel's pages included | {:.0} MiB; {most} |\n\
         | connections that were cut for memory | {} |\n\
         | small debtors, of 20 KB, that were left while larger ones were cut | {} of {SMALL} |\n\
         | publishes beside it: accepted / refused with 503 and the limit / otherwise | {} / {} / {} |\n\
         | {} readers beside it: messages read / gaps told / lost or twice without a gap / ended | {} / {} / {} / {} |\n\
         | from the end of the overload until what is new is taken | {:.1} s |\n",
        machine::date(),
        machine::line(),
        mib(plan.limit),
        seen.held_by,
        mib(seen.published),
        grouped(plan.deaf as u64),
        mib(seen.begun),
        mib(seen.memory_most),
        grouped(seen.cut as u64),
        seen.small_left,
        grouped(seen.kept.published.accepted),
        grouped(seen.kept.published.refused),
        seen.kept.published.otherwise.len(),
        Kept::READERS,
        grouped(seen.kept.messages),
        seen.kept.gaps,
        seen.kept.wrong,
        seen.kept.ended,
        seen.back.as_secs_f64(),
    )
}
