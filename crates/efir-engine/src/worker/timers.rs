//! When a worker has to look at a connection although nothing happens to it: heartbeats and ends, which the exchange asks for, and the
//! end of those that make no progress.
//!
//! A connection has at most one entry that counts, its earliest. An entry that was overtaken, or whose connection is gone, stays in the heap
//! until its time and is skipped then, or until there are more of those than of others.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::{Worker, connection::Phase};

/// How long the write side may be shut before the client has to be gone.
const LINGER: Duration = Duration::from_secs(2);
/// Entries that may stand in the heap beside two for each connection.
const ENTRIES_SPARE: usize = 1_024;

impl Worker {
    /// The earliest moment at which the connection wants to be looked at.
    pub(super) fn set_timer(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let due = match connection.phase {
            Phase::Open => connection.exchange.due(),
            Phase::Ending(_) => None,
            Phase::Lingering => connection.stalled_since.map(|since| since + LINGER),
        };
        let stall = connection.stall_due(self.stall_max);
        let Some(next) = due.into_iter().chain(stall).min() else { return };
        if connection.timer.is_none_or(|timer| next < timer) {
            connection.timer = Some(next);
            self.timers.push(Reverse((next, key)));
            if self.timers.len() > ENTRIES_SPARE + 2 * self.connections.len() {
                self.forget_overtaken();
            }
        }
    }

    /// Frees what a flood of short connections has left behind: else each is remembered for as long as it might have been idle.
    #[cold]
    fn forget_overtaken(&mut self) {
        let Self { timers, connections, .. } = self;
        timers.retain(|Reverse((at, key))| {
            connections.get(*key as usize).is_some_and(|connection| connection.timer == Some(*at))
        });
        timers.shrink_to(2 * timers.len() + ENTRIES_SPARE);
    }

    /// Looks at the connections whose time has come; true if there were any.
    pub(super) fn run_timers(&mut self, now: Instant) -> bool {
        let mut has_run = false;
        while let Some(Reverse((at, key))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            has_run = true;
            let Some(connection) = self.connections.get_mut(key as usize) else { continue };
            if connection.timer != Some(at) {
                continue;
            }
            connection.timer = None;
            self.at_hand.set(key);
            self.time_out(key, now);
        }
        has_run
    }

    fn time_out(&mut self, key: u32, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let is_over = match connection.phase {
            Phase::Lingering => {
                connection.stalled_since.is_some_and(|since| now.duration_since(since) >= LINGER)
            }
            _ => connection.is_given_up(now, self.stall_max),
        };
        if is_over {
            if connection.phase != Phase::Lingering {
                self.hub.counters().give_up();
            }
            return self.remove(key);
        }
        if connection.phase == Phase::Open {
            connection.bear_silence(now, self.silent_max);
        }
        if connection.phase == Phase::Open && connection.exchange.due().is_some_and(|due| due <= now) {
            self.call(key, now, |connection, out| connection.exchange.tick(now, &mut connection.reader, out));
        }
        self.set_timer(key);
    }
}
