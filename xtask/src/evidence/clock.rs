//! The clock of the wall is set, ahead and back, by a second and by ten years, while readers read. Nothing may be lost, nobody be sent
//! away, and what ages must age as time passes; only what is compared with other clocks, a token's end, goes by the wall.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use efir_access::{Actions, Algorithm, Claims, SigningKey};
use efir_bench::http;
use serde_json::Value;

use super::audience::{Audience, Kept, Seats, ms};
use super::{Outcome, Size};
use crate::paper::grouped;
use crate::{machine, root};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Where the clock is set to, one after the other: seconds beside the true time.
const STEPS: [i64; 30] = [
    1,
    0,
    -1,
    0,
    10,
    -10,
    0,
    60,
    -60,
    600,
    -600,
    0,
    HOUR,
    -HOUR,
    0,
    DAY,
    -DAY,
    0,
    30 * DAY,
    -30 * DAY,
    0,
    YEAR,
    -YEAR,
    0,
    10 * YEAR,
    0,
    -10 * YEAR,
    10 * YEAR,
    -10 * YEAR,
    0,
];
const QUICK_STEPS: [i64; 6] = [HOUR, -HOUR, 0, 10 * YEAR, -10 * YEAR, 0];

/// How much.
struct Plan {
    steps: &'static [i64],
    readers: usize,
    /// How long messages, keys and leases last, in seconds.
    age_s: u64,
    /// How long is looked on after a step.
    after: Duration,
}

const FULL: Plan = Plan { steps: &STEPS, readers: 400, age_s: 10, after: Duration::from_millis(1_200) };
const QUICK: Plan = Plan { steps: &QUICK_STEPS, readers: 40, age_s: 4, after: Duration::from_millis(600) };

/// Sets the clock of a process that does not ask the kernel for it; other clocks stay.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];
const SECRET: &str = "what signs the tokens of this run, and of no other one";
/// How long the tokens are good, by the wall.
const TOKEN_S: u64 = 30 * 60;
/// How far a time that is shown may be from the clock: it follows a step within half a second, and this machine is busy.
const SHOWN_MS: u64 = 3_000;

/// When a lease that is over must have been swept, beside whatever else the machine does.
const SWEPT_MAX: Duration = Duration::from_secs(5);

/// What the run showed.
struct Seen {
    kept: Kept,
    latency: (u64, u64),
    steps: usize,
    /// Tokens that the wall's clock let in, and refused.
    tokens: (usize, usize),
    wrong: Vec<String>,
}

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    let plan = if size == Size::Full { FULL } else { QUICK };
    let Some(library) = LIBRARIES.into_iter().find(|path| Path::new(path).exists()) else {
        if size == Size::Full {
            bail!("the clock is set by libfaketime, which is not there (Debian: libfaketime)");
        }
        println!("no libfaketime: no clock is set");
        return Ok(Outcome { text: String::new(), broken: Vec::new() });
    };
    let workshop = Workshop::new(plan.age_s)?;
    let seen = run(&plan, workshop.server(binary, library), &workshop)?;
    let mut broken = seen.kept.broken();
    broken.extend(seen.wrong.iter().cloned());
    Ok(Outcome { text: text(&plan, &seen, &broken), broken })
}

fn run(plan: &Plan, (command, words): (Command, Vec<String>), workshop: &Workshop) -> Result<Seen> {
    let seats = Seats { channel: "clock", readers: plan.readers, messages_per_second: 20 };
    let mut audience = Audience::start_by(seats, command, &words)?;
    let server = audience.address();
    let token = workshop.token()?;
    let mut held = hold(server, &token)?;
    let (mut rooms, mut tokens, mut wrong) = (Vec::new(), (0, 0), Vec::new());
    for (n, offset_s) in plan.steps.iter().enumerate() {
        let room = Room::furnish(server, n)?;
        workshop.set_clock(*offset_s)?;
        audience.watch(plan.after, || Ok(()))?;
        let mut say = |looked: Result<()>| {
            if let Err(error) = looked {
                wrong.push(format!("step {} to {offset_s} s: {error:#}", n + 1));
            }
        };
        say(room.is_as_it_was(server, *offset_s));
        say(is_alive(&mut held).context("the stream of a token that has not ended"));
        match admits(server, &token) {
            Ok(()) if *offset_s < TOKEN_S as i64 => tokens.0 += 1,
            Err(_) if *offset_s >= TOKEN_S as i64 => tokens.1 += 1,
            other => say(other.and_then(|()| bail!("a token that is over by the wall is good"))),
        }
        rooms.push(room);
        for room in rooms.iter_mut().filter(|room| room.is_over(plan.age_s)) {
            say(room.is_empty(server, plan.age_s));
        }
    }
    while let Some(room) = rooms.iter_mut().find(|room| !room.is_judged) {
        audience.watch(Duration::from_millis(50), || Ok(()))?;
        if room.is_over(plan.age_s)
            && let Err(error) = room.is_empty(server, plan.age_s)
        {
            wrong.push(format!("in the end: {error:#}"));
        }
    }
    let latency = audience.latency();
    Ok(Seen { latency, steps: plan.steps.len(), tokens, wrong, kept: audience.finish()? })
}

/// A channel with a message that has a key, and with a member that entered for a time.
struct Room {
    channel: String,
    key: String,
    position: Value,
    begun: Instant,
    is_judged: bool,
}

impl Room {
    fn furnish(server: SocketAddr, n: usize) -> Result<Self> {
        let (channel, key) = (format!("/channels/room-{n}"), format!("Idempotency-Key: key-{n}\r\n"));
        let receipt = ask(server, ("POST", &channel), &key, "kept")?;
        ask(server, ("PUT", &format!("{channel}/presence?member=anna")), "", "{}")?;
        let position = receipt["position"].clone();
        Ok(Self { channel, key, position, begun: Instant::now(), is_judged: false })
    }

    /// Message, key and member are there, and a further message shows the time of the wall.
    fn is_as_it_was(&self, server: SocketAddr, offset_s: i64) -> Result<()> {
        let batch = ask(server, ("GET", &format!("{}?after=start", self.channel)), "", "")?;
        let count = batch["messages"].as_array().map_or(0, Vec::len);
        ensure!(count == 1 && batch.get("gap").is_none(), "what was kept: {batch}");
        let again = ask(server, ("POST", &self.channel), &self.key, "kept")?;
        ensure!(again["duplicate"] == true && again["position"] == self.position, "the key: {again}");
        let members = ask(server, ("GET", &format!("{}/presence", self.channel)), "", "")?;
        ensure!(members["presence"]["count"] == 1, "who is there: {members}");
        let clock = format!("{}-shown", self.channel);
        ask(server, ("POST", &clock), "", "now")?;
        let shown = ask(server, ("GET", &format!("{clock}?last=1")), "", "")?;
        let shown_ms = shown["messages"][0]["time"].as_u64().context("no time is shown")?;
        let wall_ms = now_s()?.saturating_add_signed(offset_s) * 1_000;
        ensure!(shown_ms.abs_diff(wall_ms) <= SHOWN_MS, "{shown_ms} is shown, the clock says {wall_ms}");
        Ok(())
    }

    /// Whether everything in it must have ended, and nobody has looked.
    fn is_over(&self, age_s: u64) -> bool {
        !self.is_judged && self.begun.elapsed() > Duration::from_secs(age_s + 1)
    }

    /// What was there has ended, as its time has passed.
    fn is_empty(&mut self, server: SocketAddr, age_s: u64) -> Result<()> {
        let most = Duration::from_secs(age_s) + SWEPT_MAX;
        self.is_judged = true;
        loop {
            let members = ask(server, ("GET", &format!("{}/presence", self.channel)), "", "")?;
            if members["presence"]["count"] == 0 {
                break;
            }
            // They are swept twice a second, by a thread that has other things to do.
            ensure!(self.begun.elapsed() < most, "a lease that is over: {members}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let batch = ask(server, ("GET", &format!("{}?after=start", self.channel)), "", "")?;
        let count = batch["messages"].as_array().map_or(0, Vec::len);
        ensure!(count == 0, "a message that is too old: {batch}");
        let again = ask(server, ("POST", &self.channel), &self.key, "kept")?;
        ensure!(again["duplicate"] == false, "a key whose window is over: {again}");
        Ok(())
    }
}

/// Configuration, secret and clock of the server, in a folder of their own.
struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    fn new(age_s: u64) -> Result<Self> {
        let folder = root::target().join(format!("clock-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let workshop = Self { folder };
        std::fs::write(workshop.file("secret"), SECRET)?;
        let text = format!(
            "[retention]\nage = \"{age_s}s\"\n[limits]\nkey_window = \"{age_s}s\"\n[times]\npresence_lease = \"{age_s}s\"\n\
             [[rules]]\nchannels = [\"closed\"]\nsubscribe = \"authenticated\"\n\
             [[rules]]\nchannels = [\"**\"]\nsubscribe = \"anyone\"\npublish = \"anyone\"\npresence = \"anyone\"\n\
             [[token_keys]]\nname = \"clock\"\nalgorithms = [\"HS256\"]\nsecret_file = {:?}\n",
            workshop.file("secret").display().to_string()
        );
        std::fs::write(workshop.file("efir.toml"), text)?;
        workshop.set_clock(0)?;
        Ok(workshop)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What starts the server, and its words.
    fn server(&self, binary: &Path, library: &str) -> (Command, Vec<String>) {
        let mut command = Command::new(binary);
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file("clock"))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_NO_CACHE", "1");
        (command, vec!["--config".to_owned(), self.file("efir.toml").display().to_string()])
    }

    /// In one go: the server reads it with each look at the clock.
    fn set_clock(&self, offset_s: i64) -> Result<()> {
        std::fs::write(self.file("next"), format!("{offset_s:+}\n"))?;
        Ok(std::fs::rename(self.file("next"), self.file("clock"))?)
    }

    fn token(&self) -> Result<String> {
        let claims = Claims {
            user: "anna".to_owned(),
            expires_s: now_s()? + TOKEN_S,
            grants: vec![(vec!["**".to_owned()], Actions::ALL)],
            ..Claims::default()
        };
        let key = SigningKey::from_secret(Algorithm::Hs256, SECRET.as_bytes())?;
        key.token(None, &claims).context("a token was not signed")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // Somebody else has tidied up.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn now_s() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// One request on a connection of its own.
fn ask(server: SocketAddr, (method, target): (&str, &str), headers: &str, body: &str) -> Result<Value> {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: {server}\r\nContent-Type: text/plain\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    let answer = http::exchange(&server.into(), &request).with_context(|| format!("{method} {target}"))?;
    Ok(serde_json::from_str(&answer)?)
}

/// Whether a token opens the closed channel now.
fn admits(server: SocketAddr, token: &str) -> Result<()> {
    ask(server, ("GET", "/channels/closed"), &format!("Authorization: Bearer {token}\r\n"), "").map(drop)
}

/// A stream of the closed channel.
fn hold(server: SocketAddr, token: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    let head = format!(
        "GET /channels/closed?transport=sse HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut greeting = [0; 4_096];
    let count = stream.read(&mut greeting)?;
    ensure!(greeting[..count].starts_with(b"HTTP/1.1 200"), "the token does not open a stream");
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Reads what is there; an end is an error.
fn is_alive(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; 4_096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => bail!("it was ended"),
            Ok(count) => {
                let text = String::from_utf8_lossy(&buffer[..count]);
                ensure!(!text.contains("event: problem"), "it was told a problem: {text}");
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn text(plan: &Plan, seen: &Seen, broken: &[String]) -> String {
    let verdict =
        if broken.is_empty() { "**holds**".to_owned() } else { format!("**broken**: {}", broken.join("; ")) };
    format!(
        "`cargo xtask evidence clock`, {}, {}: {verdict}.\n\n| what | seen |\n|---|---|\n\
         | times that the clock was set; the largest step | {}; 20 years |\n\
         | readers on four transports; messages to each; ended | {}; {}; {} |\n\
         | lost / duplicated / reordered | {} |\n\
         | p99 / longest time from due to read | {} |\n\
         | messages, keys and members of {} s that were there after the step, and over when their time had passed | {} of each |\n\
         | a token of 30 minutes, by the wall: let in; refused | {}; {} |\n\
         | its stream, open from the beginning | open at the end |\n",
        machine::date(),
        machine::line(),
        seen.steps,
        grouped(plan.readers as u64),
        grouped(seen.kept.messages),
        seen.kept.ended,
        seen.kept.faults,
        ms(seen.latency),
        plan.age_s,
        seen.steps,
        seen.tokens.0,
        seen.tokens.1,
    )
}
