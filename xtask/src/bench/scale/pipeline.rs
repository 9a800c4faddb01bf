//! One WebSocket that sends numbered frames without waiting for answers, as fast as the server takes them.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::crowd::{self, Crowd};

/// Bytes that are put together before they are sent.
const CHUNK: usize = 64 * 1024;
/// A socket that takes nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// How much may be sent.
pub(crate) struct Amount {
    /// The first number.
    pub(crate) first: u64,
    /// The number before which to stop.
    pub(crate) end: u64,
    /// When to stop.
    pub(crate) time: Duration,
    /// How many may be on their way.
    pub(crate) ahead: u64,
}

/// Sends `text(n)` for the numbers of `amount` over the first connection of the crowd, while all of it reads. A number is
/// on its way until that connection has read it, in a reply or as a message. Returns the number after the last one sent.
///
/// # Errors
/// When the connection ends or takes nothing for ten seconds.
pub(crate) fn send(crowd: &mut Crowd, amount: &Amount, mut text: impl FnMut(u64) -> String) -> Result<u64> {
    let start = Instant::now();
    let (mut number, mut chunk, mut done) = (amount.first, Vec::with_capacity(CHUNK * 2), 0);
    let mut moved = Instant::now();
    loop {
        if done == chunk.len() {
            chunk.clear();
            done = 0;
            let most = (come_back(crowd) + amount.ahead).min(amount.end);
            while chunk.len() < CHUNK && number < most && start.elapsed() < amount.time {
                chunk.extend(crowd::frame(&text(number)));
                number += 1;
            }
        }
        if chunk.is_empty() && (number >= amount.end || start.elapsed() >= amount.time) {
            return Ok(number);
        }
        let wrote = write(crowd, &chunk[done..])?;
        done += wrote;
        if wrote > 0 {
            moved = Instant::now();
        }
        crowd.turn(if wrote > 0 { Duration::ZERO } else { Duration::from_millis(1) })?;
        crowd.all_stay()?;
        if moved.elapsed() > STUCK {
            bail!("the server takes nothing more");
        }
    }
}

/// The number after the last one that was read.
fn come_back(crowd: &Crowd) -> u64 {
    crowd.lines().next().map_or(0, |line| line.sequence.next())
}

fn write(crowd: &Crowd, bytes: &[u8]) -> Result<usize> {
    let Some(line) = crowd.lines().next() else { bail!("nobody can publish") };
    match (&line.socket).write(bytes) {
        Ok(len) => Ok(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}
