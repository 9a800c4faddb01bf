//! Who reads slowly is not given up: before a connection ends because nothing of what is pending was written for `stall_max`, or because
//! nothing was heard for `silent_max`, the kernel is asked what its peer has taken meanwhile. Pings stand behind what is unread, and a full
//! socket asks for more only when a good part of it is free: at a kilobyte a second both take minutes.
//!
//! It judges by bytes and times and knows nothing of what they carry. Nothing here runs unless half of such a time is over.

use std::time::{Duration, Instant};

use super::connection::Connection;

/// Fewer bytes from one question to the next are no progress. A segment carries at least 536 (RFC 9293 §3.7.1), so whoever reads at all, and
/// be it 50 bytes a second, shows more; and who takes byte after byte to keep a connection is out in the usual time.
const PROGRESS_BYTES_MIN: u64 = 512;

/// What the kernel said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    at: Instant,
    /// `None`: nothing waited, or the system does not say.
    taken_bytes: Option<u64>,
}

/// What comes of asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It has taken enough for another while.
    Reads,
    /// It is too early to say.
    Unknown,
    ReadsNothing,
}

/// What `now` says, compared with what was said before, of somebody who may take nothing for `time_max`.
fn judge(before: Option<Asked>, now: Asked, time_max: Duration) -> Verdict {
    let Some(taken) = now.taken_bytes else { return Verdict::ReadsNothing };
    // What was said long ago belongs to another trouble.
    let known = before.filter(|before| now.at.duration_since(before.at) <= time_max * 3 / 2);
    let Some((at, known)) = known.and_then(|before| Some((before.at, before.taken_bytes?))) else {
        return Verdict::Unknown;
    };
    if taken.saturating_sub(known) >= PROGRESS_BYTES_MIN {
        Verdict::Reads
    } else if now.at.duration_since(at) < time_max / 2 {
        Verdict::Unknown
    } else {
        Verdict::ReadsNothing
    }
}

impl Connection {
    /// When it is to be looked at because its socket takes nothing: half-way to ask for the first time, and at the end.
    pub(super) fn stall_due(&self, stall_max: Duration) -> Option<Instant> {
        let since = self.stalled_since?;
        Some(since + if self.was_asked_since(since) { stall_max } else { stall_max / 2 })
    }

    fn was_asked_since(&self, since: Instant) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.at >= since)
    }

    /// Whether its time to take something is over and it has taken nothing.
    pub(super) fn is_given_up(&mut self, now: Instant, stall_max: Duration) -> bool {
        let Some(since) = self.stalled_since else { return false };
        let stalled = now.duration_since(since);
        if stalled >= stall_max {
            // Nobody may have come by half-way: a machine that slept has not asked, and decides by what it knows.
            let is_given_up = self.ask(now, stall_max) != Verdict::Reads;
            if !is_given_up {
                self.stalled_since = Some(now);
            }
            return is_given_up;
        }
        if stalled >= stall_max / 2 && !self.was_asked_since(since) {
            self.remember(Asked { at: now, taken_bytes: self.socket.taken_bytes() });
        }
        false
    }

    /// Puts off its end for want of a sign of life where it takes what it is owed.
    pub(super) fn bear_silence(&mut self, now: Instant, silent_max: Duration) {
        if self.exchange.silent_at().is_none_or(|at| at > now) {
            return;
        }
        let since = match self.ask(now, silent_max) {
            Verdict::Reads => Some(now),
            // Half as long again, and it is known.
            Verdict::Unknown => now.checked_sub(silent_max / 2),
            Verdict::ReadsNothing => None,
        };
        if let Some(since) = since {
            self.exchange.bear_silence(since);
        }
    }

    fn ask(&mut self, now: Instant, time_max: Duration) -> Verdict {
        let asked = Asked { at: now, taken_bytes: self.socket.taken_bytes() };
        let before = self.asked.as_deref().copied();
        let verdict = judge(before, asked, time_max);
        // What is too young to judge by has to get older.
        let is_young = verdict == Verdict::Unknown
            && before.is_some_and(|before| {
                before.taken_bytes.is_some() && now.duration_since(before.at) < time_max / 2
            });
        if !is_young {
            self.remember(asked);
        }
        verdict
    }

    fn remember(&mut self, asked: Asked) {
        self.asked = Some(Box::new(asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME_MAX: Duration = Duration::from_secs(60);

    /// The verdict of `taken` bytes, so many seconds after `before`.
    fn judged(before: Option<u64>, secs: u64, taken: Option<u64>) -> Verdict {
        let begin = Instant::now();
        let now = Asked { at: begin + Duration::from_secs(secs), taken_bytes: taken };
        judge(Some(Asked { at: begin, taken_bytes: before }), now, TIME_MAX)
    }

    #[test]
    fn only_who_takes_enough_in_time_reads() {
        assert_eq!(judged(Some(1_000), 60, Some(1_512)), Verdict::Reads);
        assert_eq!(judged(Some(1_000), 5, Some(1_512)), Verdict::Reads);
        assert_eq!(judged(Some(1_000), 60, Some(1_511)), Verdict::ReadsNothing);
        assert_eq!(judged(Some(1_000), 30, Some(1_000)), Verdict::ReadsNothing);
        assert_eq!(judged(Some(1_000), 29, Some(1_000)), Verdict::Unknown);
        // Nothing waits: whoever had room for everything has no excuse.
        assert_eq!(judged(Some(1_000), 60, None), Verdict::ReadsNothing);
        assert_eq!(judged(None, 60, Some(9_000)), Verdict::Unknown);
        assert_eq!(judged(Some(1_000), 91, Some(900_000)), Verdict::Unknown);
    }

    /// However the questions fall, one byte a second keeps nobody for longer than half as long again.
    #[test]
    fn byte_after_byte_buys_half_a_time_at_most() {
        let begin = Instant::now();
        for step in 1..=60 {
            let (mut known, mut ended) = (None, None);
            for secs in (0..1_000).step_by(step) {
                let now = Asked { at: begin + Duration::from_secs(secs), taken_bytes: Some(secs) };
                match judge(known, now, TIME_MAX) {
                    Verdict::ReadsNothing => {
                        ended = Some(secs);
                        break;
                    }
                    Verdict::Unknown => known = known.or(Some(now)),
                    Verdict::Reads => panic!("after {secs} s, each {step}"),
                }
            }
            assert!(ended.is_some_and(|secs| secs < 30 + step as u64), "each {step} s: {ended:?}");
        }
    }
}
