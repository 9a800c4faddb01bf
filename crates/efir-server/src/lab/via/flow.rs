//! One direction of a connection: bytes on their way, each due at its time, at most so many, no faster than allowed.

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;

/// Bytes that may be on their way.
const BYTES_MAX: usize = 256 * 1024;
/// For a slow reader, so that what it does not take is seen to stand in the server: a second's worth, and never less than this.
const SLOW_BYTES_MIN: usize = 2 * 1024;
/// How often a slow reader takes something.
const PACE: Duration = Duration::from_millis(50);
/// Times that are told apart in a delay: what comes closer together goes on together.
const STEPS: u32 = 128;

#[derive(Debug)]
pub(super) struct Flow {
    /// Copied into one piece, however small the pieces are in which it came: each of those would keep a buffer of its own alive.
    bytes: BytesMut,
    parts: VecDeque<Part>,
    /// When the end of the stream is to be told.
    end: Option<Instant>,
    is_shut: bool,
    /// The receiver's socket takes no more for now.
    is_blocked: bool,
    /// Since when the receiver has taken nothing of what is due.
    stalled: Option<Instant>,
    /// A slow reader takes nothing before.
    next: Instant,
}

/// Bytes that go on at the same time.
#[derive(Debug)]
struct Part {
    bytes: usize,
    /// When the first of them was to go on.
    begin: Instant,
    /// When the last of them is, and so all do.
    due: Instant,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            parts: VecDeque::new(),
            end: None,
            is_shut: false,
            is_blocked: false,
            stalled: None,
            next: Instant::now(),
        }
    }

    /// Sends bytes on their way, which takes them this long.
    pub(super) fn push(&mut self, now: Instant, delay: Duration, bytes: &[u8]) {
        if bytes.is_empty() || self.is_shut {
            return;
        }
        // What is due goes on together, so that a receiver that takes nothing leaves one part and not thousands.
        while self.parts.get(1).is_some_and(|part| part.due <= now) {
            let first = self.parts.pop_front().map_or(0, |part| part.bytes);
            self.parts.iter_mut().take(1).for_each(|part| part.bytes += first);
        }
        let due = now + delay;
        match self.parts.back_mut() {
            Some(last) if due <= last.due.max(last.begin + delay / STEPS) => {
                last.bytes += bytes.len();
                last.due = last.due.max(due);
            }
            _ => self.parts.push_back(Part { bytes: bytes.len(), begin: due, due }),
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The sender has said that nothing more comes.
    pub(super) fn end(&mut self, due: Instant) {
        self.end.get_or_insert(due);
    }

    /// Forgets everything; whether there was something.
    pub(super) fn lose(&mut self) -> bool {
        (self.bytes, self.stalled) = (BytesMut::new(), None);
        !std::mem::take(&mut self.parts).is_empty()
    }

    /// Everything is due.
    pub(super) fn hurry(&mut self) {
        let now = Instant::now();
        self.parts.iter_mut().for_each(|part| part.due = now);
        self.end = self.end.map(|_| now);
    }

    pub(super) fn has_room(&self, held: usize, slow: u64) -> bool {
        let most = if slow > 0 { (slow as usize).clamp(SLOW_BYTES_MIN, BYTES_MAX) } else { BYTES_MAX };
        self.bytes.len() + held < most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes that are on their way.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Since when the receiver has taken nothing of what is due.
    pub(super) fn stalled(&self) -> Option<Instant> {
        self.stalled
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
        match self.parts.front() {
            Some(_) if self.is_blocked => None,
            Some(part) if slow > 0 => Some(part.due.max(self.next)),
            Some(part) => Some(part.due),
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
        while let Some(part) = self.parts.front_mut() {
            if part.due > now || (slow > 0 && self.next > now) {
                return Ok(sent);
            }
            let most = if slow > 0 {
                ((slow as usize).saturating_mul(PACE.as_millis() as usize) / 1_000).max(1)
            } else {
                part.bytes
            };
            let count = match to.try_write(self.bytes.get(..most.min(part.bytes)).unwrap_or_default()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    self.stalled.get_or_insert(now);
                    return Ok(sent);
                }
                Err(error) => return Err(error),
            };
            self.stalled = None;
            self.bytes.advance(count);
            part.bytes -= count;
            if part.bytes == 0 {
                self.parts.pop_front();
            }
            sent += count;
            if slow > 0 {
                self.next = now + Duration::from_secs(1).mul_f64(count as f64 / slow as f64);
            }
        }
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of sockets: what is written to the first can be read from the second.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (stream, listener.accept().await.unwrap().0)
    }

    #[test]
    fn small_pieces_take_little_room_and_none_goes_before_its_time() {
        let (begin, delay) = (Instant::now(), Duration::from_secs(5));
        let mut flow = Flow::new();
        for n in 0..50_000 {
            let now = begin + Duration::from_micros(100) * n;
            flow.push(now, delay, b"x");
            assert!(flow.parts.back().is_some_and(|part| part.due >= now + delay));
        }
        assert!(flow.parts.len() <= STEPS as usize + 1, "{}", flow.parts.len());
        assert!(flow.bytes.capacity() <= 128 * 1024, "{}", flow.bytes.capacity());
        // Nor when nobody takes it, or when the delay is another one.
        for n in 0..50_000 {
            flow.push(begin + 2 * delay + Duration::from_micros(100) * n, delay / (1 + n % 1_000), b"x");
        }
        assert!(flow.parts.len() <= 10 * STEPS as usize, "{}", flow.parts.len());
        assert_eq!(flow.parts.iter().map(|part| part.bytes).sum::<usize>(), flow.len());
        assert!(flow.parts.iter().is_sorted_by_key(|part| part.due));
    }

    #[tokio::test]
    async fn what_is_sent_comes_in_order_and_leaves_nothing_behind() {
        let (from, to) = pair().await;
        let (mut flow, now) = (Flow::new(), Instant::now());
        for (ms, text) in [(0, "one "), (0, "two "), (1, "three "), (0, "four")] {
            flow.push(now, Duration::from_millis(ms), text.as_bytes());
        }
        let mut bytes = BytesMut::new();
        while !flow.is_empty() {
            flow.send(&from, 0).unwrap();
            tokio::task::yield_now().await;
        }
        while bytes.len() < 18 {
            to.readable().await.unwrap();
            let _ = to.try_read_buf(&mut bytes);
        }
        assert_eq!((&bytes[..], flow.len(), flow.bytes.capacity()), (&b"one two three four"[..], 0, 0));
    }

    #[tokio::test]
    async fn a_receiver_that_takes_nothing_is_known() {
        let (from, to) = pair().await;
        let (mut flow, now) = (Flow::new(), Instant::now());
        while flow.stalled().is_none() {
            flow.push(now, Duration::ZERO, &[0; 64 * 1024]);
            flow.send(&from, 0).unwrap();
            tokio::task::yield_now().await;
        }
        assert!(flow.is_blocked() && !flow.is_empty());
        let mut bytes = BytesMut::new();
        while !flow.is_empty() {
            bytes.clear();
            let _ = to.try_read_buf(&mut bytes);
            flow.send(&from, 0).unwrap();
            tokio::task::yield_now().await;
        }
        assert!(flow.stalled().is_none());
    }
}
