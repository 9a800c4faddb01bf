//! Who lets the storm loose: a few threads, each with some connections at a time. A connection sends its burst and its end, and then has to come to
//! its end from the other side, too.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fastrand::Rng;

use super::ANSWER_MAX;
use super::pieces::{Kind, burst};
use efir_bench::system;

const THREADS: u64 = 4;
/// Connections of a thread at a time.
const AT_ONCE: usize = 32;
/// How long a connection is waited for that is late already.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a storm.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Sent, in the order of [`Kind::ALL`].
    pub(super) pieces: [u64; 4],
    pub(super) connections: u64,
    /// Of answers over HTTP/1.1.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// Answers of status 503 that name no limit.
    pub(super) unnamed: u64,
    /// From the last byte of a connection to its end.
    pub(super) slowest: Duration,
    /// Connections for which that was too long.
    pub(super) late: u64,
}

/// The threads while they run.
pub(super) struct Attackers(Vec<JoinHandle<Result<Told>>>);

impl Attackers {
    /// Sends so many pieces from this seed, to the listeners of cleartext and of TLS.
    pub(super) fn begin([plain, tls]: [SocketAddr; 2], (seed, pieces): (u64, u64)) -> Self {
        let thread = |number: u64| {
            std::thread::spawn(move || {
                let mut attacker = Attacker {
                    source: Ipv4Addr::new(127, 67, 0, number as u8 + 1),
                    plain,
                    tls,
                    random: Rng::with_seed(seed.wrapping_mul(THREADS).wrapping_add(number)),
                    told: Told::default(),
                };
                while attacker.told.pieces.iter().sum::<u64>() < pieces / THREADS {
                    attacker.round()?;
                }
                Ok(attacker.told)
            })
        };
        Self((0..THREADS).map(thread).collect())
    }

    pub(super) fn are_done(&self) -> bool {
        self.0.iter().all(JoinHandle::is_finished)
    }

    /// What came of it.
    ///
    /// # Errors
    /// When the server could not be connected to.
    pub(super) fn finish(self) -> Result<Told> {
        let mut sum = Told::default();
        for thread in self.0 {
            match thread.join() {
                Ok(told) => sum.add(told?),
                Err(_) => bail!("a thread of the storm itself panicked"),
            }
        }
        Ok(sum)
    }
}

impl Told {
    fn add(&mut self, other: Self) {
        for (sum, count) in self.pieces.iter_mut().zip(other.pieces) {
            *sum += count;
        }
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.connections += other.connections;
        self.unnamed += other.unnamed;
        self.late += other.late;
        self.slowest = self.slowest.max(other.slowest);
    }
}

struct Attacker {
    source: Ipv4Addr,
    plain: SocketAddr,
    tls: SocketAddr,
    random: Rng,
    told: Told,
}

impl Attacker {
    /// Some connections at once, from their beginning to their end.
    fn round(&mut self) -> Result<()> {
        let mut sockets = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            let kind = match self.random.u8(..16) {
                0..=6 => Kind::Http1,
                7..=10 => Kind::Socket,
                11..=14 => Kind::Http2,
                _ => Kind::Tls,
            };
            let target = if kind == Kind::Tls { self.tls } else { self.plain };
            let SocketAddr::V4(target) = target else { bail!("the server listens on IPv4") };
            let burst = burst(kind, &mut self.random);
            let mut socket = system::connect_from(self.source, target)?;
            socket.set_write_timeout(Some(ANSWER_MAX))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            // A server that has refused already takes no more, and has a right to.
            let _ = socket.write_all(&burst.bytes);
            let _ = socket.shutdown(Shutdown::Write);
            self.told.connections += 1;
            if let Some(index) = Kind::ALL.iter().position(|known| *known == kind) {
                self.told.pieces[index] += burst.pieces as u64;
            }
            sockets.push((kind, socket, Instant::now()));
        }
        for (kind, socket, sent) in sockets {
            let answered = read_to_the_end(socket);
            let took = sent.elapsed();
            self.told.slowest = self.told.slowest.max(took);
            self.told.late += u64::from(took > ANSWER_MAX);
            if matches!(kind, Kind::Http1 | Kind::Socket) {
                self.count(&answered);
            }
        }
        Ok(())
    }

    fn count(&mut self, answers: &[u8]) {
        for (status, body) in Answers(answers) {
            *self.told.statuses.entry(status).or_default() += 1;
            let names_limit = body.windows(8).any(|bytes| bytes == b"\"limit\":");
            self.told.unnamed += u64::from(status == 503 && !names_limit);
        }
    }
}

fn read_to_the_end(mut socket: TcpStream) -> Vec<u8> {
    let mut answered = Vec::new();
    loop {
        match socket.read_to_end(&mut answered) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A reset is an end, too.
            _ => return answered,
        }
    }
}

/// Answers of HTTP/1.1 one behind the other, with their bodies, as far as they have a length.
struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.strip_prefix(b"HTTP/1.")?;
        let status = std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok()?;
        let end = self.0.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let (head, rest) = self.0.split_at(end);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        // An answer without a body may carry the length of one that it does not have: what follows tells.
        let length = length.unwrap_or(0_usize).min(rest.len());
        let length = if rest.starts_with(b"HTTP/1.") { 0 } else { length };
        let (body, rest) = rest.split_at(length);
        self.0 = rest;
        Some((status, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let bytes = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbadHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\
                      HTTP/1.1 503 Service Unavailable\r\ncontent-length: 14\r\n\r\n{\"limit\":true}HTTP/1.1 101 Switching\r\n\r\n\x81";
        let told: Vec<_> = Answers(bytes).map(|(status, body)| (status, body.len())).collect();
        assert_eq!(told, [(400, 3), (200, 0), (503, 14), (101, 0)]);
    }
}
