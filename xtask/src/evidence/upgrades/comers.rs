//! Those who come and go all the time: each connects, asks once, reads the answer and leaves. What stops them from that is counted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use efir_bench::system;

const THREADS: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How they fared.
#[derive(Clone, Debug, Default)]
pub(super) struct Visits {
    pub(super) answered: u64,
    /// Connections that were refused or reset before they stood.
    pub(super) refused: u64,
    /// Requests on a connection that stood, and no answer.
    pub(super) unanswered: u64,
    pub(super) longest: Duration,
    /// What the first of those said.
    pub(super) why: Option<String>,
}

/// All of them.
pub(super) struct Comers {
    threads: Vec<JoinHandle<Visits>>,
    should_stop: Arc<AtomicBool>,
}

impl Comers {
    /// Begins so many visits a second, or as many as this machine gets done.
    pub(super) fn begin(server: SocketAddrV4, per_second: u32) -> Self {
        let should_stop = Arc::<AtomicBool>::default();
        let pause = Duration::from_secs(1) * THREADS / per_second;
        let threads = (0..THREADS).map(|number| {
            let told = Arc::clone(&should_stop);
            // A source of its own each, so that no port is used again soon.
            let source = Ipv4Addr::new(127, 68, 0, number as u8 + 1);
            std::thread::spawn(move || {
                let (mut visits, mut due) = (Visits::default(), Instant::now());
                while !told.load(Ordering::Relaxed) {
                    visits.add(source, server);
                    due = (due + pause).max(Instant::now() - pause * 100);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                visits
            })
        });
        Self { threads: threads.collect(), should_stop }
    }

    /// # Errors
    /// One of them panicked.
    pub(super) fn end(self) -> Result<Visits> {
        self.should_stop.store(true, Ordering::Relaxed);
        let mut sum = Visits::default();
        for thread in self.threads {
            let visits = thread.join().map_err(|_| anyhow!("a visitor's thread panicked"))?;
            sum.answered += visits.answered;
            sum.refused += visits.refused;
            sum.unanswered += visits.unanswered;
            sum.longest = sum.longest.max(visits.longest);
            sum.why = sum.why.or(visits.why);
        }
        Ok(sum)
    }
}

impl Visits {
    fn add(&mut self, source: Ipv4Addr, server: SocketAddrV4) {
        let begun = Instant::now();
        let done = match system::connect_from(source, server).context("connecting") {
            Err(error) => {
                self.refused += 1;
                Err(error)
            }
            Ok(stream) => {
                let answered = ask(stream);
                self.unanswered += u64::from(answered.is_err());
                answered
            }
        };
        match done {
            Ok(()) => self.answered += 1,
            Err(error) => drop(self.why.get_or_insert(format!("{error:#}"))),
        }
        self.longest = self.longest.max(begun.elapsed());
    }
}

fn ask(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    // Its port is free again at once.
    system::reset_on_close(&stream)?;
    stream.write_all(REQUEST).context("asking")?;
    let (mut answer, mut place) = (Vec::new(), [0; 8 * 1024]);
    while !is_whole(&answer) {
        let count = stream.read(&mut place).context("reading")?;
        ensure!(count > 0, "the connection ended without an answer");
        answer.extend_from_slice(&place[..count]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "another answer than 200");
    Ok(())
}

fn is_whole(answer: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(answer) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    length.is_some_and(|length| body.len() >= length)
}
