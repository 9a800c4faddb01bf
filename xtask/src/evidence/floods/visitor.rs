//! Somebody else over HTTP/2, twice a second, on a new connection each time: an honest request, and how long its answer takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use super::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, Scanner, block,
    push,
};

const EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);
/// `:status: 200` of the static table (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// How they fared.
#[derive(Clone, Debug, Default)]
pub(super) struct Visits {
    pub(super) answered: u64,
    pub(super) longest: Duration,
    /// Why the first one was not answered, if one was not.
    pub(super) failed: Option<String>,
}

/// Comes and goes until told to end.
pub(super) struct Visitor {
    thread: JoinHandle<Visits>,
    should_stop: Arc<AtomicBool>,
}

impl Visitor {
    pub(super) fn begin(server: SocketAddr) -> Self {
        let should_stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&should_stop);
        let thread = std::thread::spawn(move || {
            let mut visits = Visits::default();
            while !told.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match visit(server) {
                    Ok(()) => visits.answered += 1,
                    Err(error) => drop(visits.failed.get_or_insert(format!("{error:#}"))),
                }
                let took = begun.elapsed();
                visits.longest = visits.longest.max(took);
                std::thread::sleep(EVERY.saturating_sub(took));
            }
            visits
        });
        Self { thread, should_stop }
    }

    pub(super) fn end(self) -> Result<Visits> {
        self.should_stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the visitor's thread panicked"))
    }
}

fn visit(server: SocketAddr) -> Result<()> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut request = PREFACE.to_vec();
    push(&mut request, (SETTINGS, 0), 0, &[]);
    push(&mut request, (HEADERS, END_HEADERS | END_STREAM), 1, &block("GET", "/info"));
    socket.write_all(&request)?;
    let (mut scanner, mut place) = (Scanner::default(), vec![0; 16 * 1024]);
    let (mut is_whole, mut refusal) = (false, None);
    let deadline = Instant::now() + PATIENCE;
    while !is_whole {
        let count = socket.read(&mut place)?;
        ensure!(count > 0 && Instant::now() < deadline, "a request was not answered");
        scanner.scan(&place[..count], |frame| {
            refusal = refusal.take().or(refused(frame));
            let is_last = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
            is_whole |= is_last && frame.stream == 1;
        });
        if let Some(refusal) = refusal {
            bail!("{refusal}");
        }
    }
    Ok(())
}

fn refused(frame: Frame<'_>) -> Option<String> {
    match frame.kind {
        HEADERS if frame.payload.first() != Some(&STATUS_200) => Some("the status is not 200".to_owned()),
        RST_STREAM | GOAWAY => Some(format!("a frame of kind {}: {:?}", frame.kind, frame.payload)),
        _ => None,
    }
}
