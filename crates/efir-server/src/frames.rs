//! What an HTTP/2 client may send that is no request and no body: frames that cost the server work and the client almost nothing.
//!
//! The HTTP library bounds what such frames occupy (streams that are reset before or after they are answered, header blocks, bodies in
//! tiny pieces, answers that wait to be written). This bounds how many of them it has to look at: each kind has a budget that grows with
//! time, and a connection that overdraws one ends. The frames' contents are not looked at.

use std::time::Instant;

/// What the client says first (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const END_STREAM: u8 = 0x1;

/// A head of a request costs about as much as so many other frames.
const REQUEST_WORK: u64 = 8;

/// Frames of one kind: at once, and each second.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: f64,
    per_s: f64,
}

/// RST_STREAM, PRIORITY, SETTINGS, PING, empty DATA, CONTINUATION and what is in no specification: a browser sends a handful.
const CONTROL: Rate = Rate { burst: 1_000.0, per_s: 100.0 };
/// WINDOW_UPDATE: some clients send two for each piece of a stream that they read.
const WINDOW: Rate = Rate { burst: 40_000.0, per_s: 20_000.0 };

/// A connection has sent more frames than its budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overdrawn {
    /// RFC 9113 §6.
    pub(crate) kind: u8,
}

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct FrameBudget {
    head: [u8; HEAD_BYTES],
    /// How much of the head has come.
    has: usize,
    /// Bytes before the next head.
    skip: usize,
    /// What the frames so far cost us to look at.
    work: u64,
    control: Purse,
    window: Purse,
}

#[derive(Debug)]
struct Purse {
    rate: Rate,
    left: f64,
    since: Instant,
}

impl FrameBudget {
    /// That of a connection whose preface comes first.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            head: [0; HEAD_BYTES],
            has: 0,
            skip: PREFACE_BYTES,
            work: 0,
            control: Purse::new(CONTROL, now),
            window: Purse::new(WINDOW, now),
        }
    }

    /// Looks at what has come.
    ///
    /// # Errors
    /// [`Overdrawn`] when it is too much; the connection has to end.
    pub(crate) fn take(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Overdrawn> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_BYTES - self.has).min(bytes.len());
            self.head[self.has..self.has + taken].copy_from_slice(&bytes[..taken]);
            self.has += taken;
            bytes = &bytes[taken..];
            if self.has == HEAD_BYTES {
                self.has = 0;
                self.count(&now)?;
            }
        }
        Ok(())
    }

    /// What all frames that have begun cost us to look at: one each, and a request some more.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    fn count(&mut self, now: &impl Fn() -> Instant) -> Result<(), Overdrawn> {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.work += if kind == 1 { REQUEST_WORK } else { 1 };
        let is_paid = match kind {
            // DATA that carries something or ends something.
            0 if self.skip > 0 || flags & END_STREAM != 0 => true,
            // HEADERS: a request, which other limits bound.
            1 => true,
            8 => self.window.pay(now),
            _ => self.control.pay(now),
        };
        if is_paid { Ok(()) } else { Err(Overdrawn { kind }) }
    }
}

impl Purse {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst, since: now }
    }

    fn pay(&mut self, now: &impl Fn() -> Instant) -> bool {
        if self.left < 1.0 {
            // Only now the time matters.
            let now = now();
            let grown = now.duration_since(self.since).as_secs_f64() * self.rate.per_s;
            (self.left, self.since) = ((self.left + grown).min(self.rate.burst), now);
        }
        let is_paid = self.left >= 1.0;
        if is_paid {
            self.left -= 1.0;
        }
        is_paid
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head[..], &vec![0xff; payload]].concat()
    }

    fn begun() -> (FrameBudget, Instant) {
        let now = Instant::now();
        let mut budget = FrameBudget::new(now);
        budget.take(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", || now).unwrap();
        (budget, now)
    }

    #[test]
    fn each_kind_of_flood_is_seen() {
        // RST_STREAM, PRIORITY, SETTINGS, PING, CONTINUATION, empty DATA, unknown.
        for (kind, payload) in [(3, 4), (2, 5), (4, 6), (6, 8), (9, 1), (0, 0), (200, 0)] {
            let (mut budget, now) = begun();
            let one = frame(kind, 0, payload);
            for _ in 0..1_000 {
                assert_eq!(budget.take(&one, || now), Ok(()));
            }
            assert_eq!(budget.take(&one, || now), Err(Overdrawn { kind }), "kind {kind}");
            assert_eq!(budget.take(&one, || now + Duration::from_millis(20)), Ok(()), "time pays");
        }
    }

    #[test]
    fn bodies_and_requests_cost_nothing() {
        let (mut budget, now) = begun();
        let parts = [frame(1, 4, 30), frame(0, 0, 1), frame(0, END_STREAM, 0)].concat();
        for _ in 0..5_000 {
            assert_eq!(budget.take(&parts, || now), Ok(()));
        }
    }

    #[test]
    fn heads_are_found_wherever_they_are_cut() {
        let (mut budget, now) = begun();
        let parts = [frame(6, 0, 8), frame(0, 0, 700), frame(6, 0, 8)].concat();
        for _ in 0..500 {
            for byte in &parts {
                assert_eq!(budget.take(std::slice::from_ref(byte), || now), Ok(()));
            }
        }
        assert_eq!(budget.take(&parts, || now), Err(Overdrawn { kind: 6 }));
    }
}
