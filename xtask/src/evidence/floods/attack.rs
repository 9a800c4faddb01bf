//! Those who flood: some connections, in a thread of their own, that send as fast as the server takes it, and begin again when it has
//! ended them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use efir_bench::system;

use super::frames::{ACK, GOAWAY, PING, PREFACE, Scanner, WINDOW_UPDATE, push};
use super::kinds::Kind;

/// Turns of a kind in one write.
const AT_ONCE: u32 = 200;
/// Reads and writes of one connection before the next has its turn.
const ROUNDS: usize = 8;
/// Addresses from which they come, one after the other.
const SOURCES: u64 = 200;
/// Of a connection's beginning (RFC 9113 §6.9.2).
const WINDOW: u32 = 65_535;
/// How often somebody who has sent everything shows that he is still there.
const SIGN: Duration = Duration::from_secs(1);

/// What they did, all together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Connections.
    pub(super) begun: u64,
    /// … that the server ended.
    pub(super) ended: u64,
    /// GOAWAY frames that they read.
    pub(super) goaways: u64,
    /// Bytes sent.
    pub(super) sent: u64,
}

/// An attack that goes on.
pub(super) struct Attack {
    thread: JoinHandle<Result<Done>>,
    should_stop: Arc<AtomicBool>,
}

impl Attack {
    pub(super) fn begin(kind: Kind, server: SocketAddr, connections: usize) -> Result<Self> {
        let SocketAddr::V4(server) = server else { bail!("the server listens on IPv4") };
        let should_stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&should_stop);
        let thread = std::thread::spawn(move || {
            let mut crowd = Crowd { kind, server, done: Done::default(), place: vec![0; 256 * 1024] };
            let mut attackers: Vec<Option<Attacker>> = (0..connections).map(|_| None).collect();
            while !told.load(Ordering::Relaxed) {
                let mut has_moved = false;
                for attacker in &mut attackers {
                    has_moved |= crowd.turn(attacker)?;
                }
                if !has_moved {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(crowd.done)
        });
        Ok(Self { thread, should_stop })
    }

    pub(super) fn end(self) -> Result<Done> {
        self.should_stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the attackers' thread panicked"))?
    }
}

struct Crowd {
    kind: Kind,
    server: SocketAddrV4,
    done: Done,
    place: Vec<u8>,
}

struct Attacker {
    socket: TcpStream,
    unsent: Vec<u8>,
    sent: usize,
    /// Which of the kind's turns is next.
    next: u32,
    /// What the connection's window has room for.
    window: u32,
    signed: Instant,
    scanner: Scanner,
}

/// The server has ended the connection.
struct Ended;

impl Crowd {
    /// Lets one go on, or begin again; true if anything happened.
    fn turn(&mut self, place: &mut Option<Attacker>) -> Result<bool> {
        if place.is_none() {
            *place = Some(self.open()?);
        }
        let Some(attacker) = place else { return Ok(false) };
        let mut has_moved = false;
        for _ in 0..ROUNDS {
            match attacker.step(self) {
                Ok(true) => has_moved = true,
                Ok(false) => break,
                Err(Ended) => {
                    self.done.ended += 1;
                    *place = None;
                    return Ok(true);
                }
            }
        }
        Ok(has_moved)
    }

    fn open(&mut self) -> Result<Attacker> {
        let source = Ipv4Addr::new(127, 67, 0, 1 + (self.done.begun % SOURCES) as u8);
        let socket = system::connect_from(source, self.server)?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        // Leaves no ports behind.
        system::reset_on_close(&socket)?;
        self.done.begun += 1;
        let mut unsent = PREFACE.to_vec();
        self.kind.begin(&mut unsent);
        let signed = Instant::now();
        let scanner = Scanner::default();
        Ok(Attacker { socket, unsent, sent: 0, next: 0, window: WINDOW, signed, scanner })
    }
}

impl Attacker {
    /// Sends and reads once; false if neither was possible.
    fn step(&mut self, crowd: &mut Crowd) -> Result<bool, Ended> {
        if self.sent == self.unsent.len() {
            self.prepare(crowd.kind);
        }
        let sent = match self.socket.write(&self.unsent[self.sent..]) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                // What it had to say may stand before its end.
                while crowd.kind.reads && self.read(crowd).is_ok_and(|count| count > 0) {}
                return Err(Ended);
            }
        };
        self.sent += sent;
        crowd.done.sent += sent as u64;
        let read = if crowd.kind.reads { self.read(crowd)? } else { 0 };
        Ok(sent + read > 0)
    }

    fn prepare(&mut self, kind: Kind) {
        self.unsent.clear();
        self.sent = 0;
        let room = self.window.checked_div(kind.body_bytes).unwrap_or(AT_ONCE);
        let count = AT_ONCE.min(kind.count_max - self.next).min(room);
        self.window -= count * kind.body_bytes;
        for n in self.next..self.next + count {
            kind.next(&mut self.unsent, n);
        }
        self.next += count;
        if count == 0 && self.signed.elapsed() > SIGN {
            self.signed = Instant::now();
            push(&mut self.unsent, (PING, 0), 0, &[7; 8]);
        }
    }

    fn read(&mut self, crowd: &mut Crowd) -> Result<usize, Ended> {
        let count = match self.socket.read(&mut crowd.place) {
            Ok(0) => return Err(Ended),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(Ended),
        };
        let (unsent, window, done) = (&mut self.unsent, &mut self.window, &mut crowd.done);
        self.scanner.scan(&crowd.place[..count], |frame| match frame.kind {
            GOAWAY => done.goaways += 1,
            // Whoever does not answer would be taken for gone.
            PING if frame.flags & ACK == 0 => push(unsent, (PING, ACK), 0, frame.payload),
            WINDOW_UPDATE if frame.stream == 0 => {
                let more = <[u8; 4]>::try_from(frame.payload).map_or(0, u32::from_be_bytes);
                *window = window.saturating_add(more);
            }
            _ => {}
        });
        Ok(count)
    }
}
