//! One direction of a connection: bytes on their way, each due at its time, at most so many, no faster than allowed.

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;

/// Bytes that may be on their way.
const BYTES_MAX: usize = 256 * 1024;
/// For a slow reader, so that what it does not take is seen to stand in the server: a second's worth, and never less than this.
const SLOW_BYTES_MIN: usize = 2 * 1024;
/// How often a slow reader takes something.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Flow {
    queue: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// When the end of the stream is to be told.
    end: Option<Instant>,
    is_shut: bool,
    /// The receiver's socket takes no more for now.
    is_blocked: bool,
    /// A slow reader takes nothing before.
    next: Instant,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            end: None,
            is_shut: false,
            is_blocked: false,
            next: Instant::now(),
        }
    }

    pub(super) fn push(&mut self, due: Instant, bytes: Bytes) {
        if !bytes.is_empty() && !self.is_shut {
            self.bytes += bytes.len();
            self.queue.push_back((due, bytes));
        }
    }

    /// The sender has said that nothing more comes.
    pub(super) fn end(&mut self, due: Instant) {
        self.end.get_or_insert(due);
    }

    /// Forgets everything; whether there was something.
    pub(super) fn lose(&mut self) -> bool {
        self.bytes = 0;
        !std::mem::take(&mut self.queue).is_empty()
    }

    /// Everything is due.
    pub(super) fn hurry(&mut self) {
        let now = Instant::now();
        self.queue.iter_mut().for_each(|(due, _)| *due = now);
        self.end = self.end.map(|_| now);
    }

    pub(super) fn has_room(&self, held: usize, slow: u64) -> bool {
        let most = if slow > 0 { (slow as usize).clamp(SLOW_BYTES_MIN, BYTES_MAX) } else { BYTES_MAX };
        self.bytes + held < most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Whether the receiver was told the end.
    pub(super) fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// When there will be something to do, if the socket allows.
    pub(super) fn wakes_at(&self, slow: u64) -> Option<Instant> {
        match self.queue.front() {
            Some(_) if self.is_blocked => None,
            Some((due, _)) if slow > 0 => Some((*due).max(self.next)),
            Some((due, _)) => Some(*due),
            None if self.is_shut => None,
            None => self.end,
        }
    }

    /// Writes what is due; gives the number of bytes.
    ///
    /// # Errors
    /// The receiver is gone.
    pub(super) fn send(&mut self, to: &TcpStream, slow: u64) -> io::Result<usize> {
        let now = Instant::now();
        self.is_blocked = false;
        let mut sent = 0;
        while let Some((due, bytes)) = self.queue.front_mut() {
            if *due > now || (slow > 0 && self.next > now) {
                return Ok(sent);
            }
            let most = if slow > 0 {
                (slow as usize * PACE.as_millis() as usize / 1_000).max(1)
            } else {
                bytes.len()
            };
            let count = match to.try_write(bytes.get(..most.min(bytes.len())).unwrap_or_default()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Ok(sent);
                }
                Err(error) => return Err(error),
            };
            bytes.advance(count);
            if bytes.is_empty() {
                self.queue.pop_front();
            }
            self.bytes -= count;
            sent += count;
            if slow > 0 {
                self.next = now + Duration::from_secs(1).mul_f64(count as f64 / slow as f64);
            }
        }
        if !self.is_shut && self.end.is_some_and(|end| end <= now) {
            self.is_shut = true;
            // A receiver that is gone needs no end.
            let _ = socket2::SockRef::from(to).shutdown(std::net::Shutdown::Write);
        }
        Ok(sent)
    }

    /// The receiver is gone: nothing more is for it.
    pub(super) fn give_up(&mut self) {
        self.lose();
        (self.is_shut, self.is_blocked) = (true, false);
    }
}
