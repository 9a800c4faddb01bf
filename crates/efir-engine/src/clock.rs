//! The one place that reads clocks.
//!
//! Three of them, because the clock of the wall may be set, and that must not empty a log, forget a key or end a lease. What ages
//! is measured by [`age_ms`], what people and other servers read is [`now_ms`], and rates are counted in [`ticks_ns`].

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The moment at which this process first asked for a time, by both clocks.
static BEGIN: LazyLock<(Instant, u64)> = LazyLock::new(|| (Instant::now(), now_ms()));

/// Milliseconds since 1970 UTC, as the clock of the wall says; 0 before it. It goes back and jumps ahead when it is set: for what is
/// compared with other clocks, as the end of a token, or shown.
pub fn now_ms() -> u64 {
    #[cfg(test)]
    if let Some(now_ms) = SET.get() {
        return now_ms;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Milliseconds that go on as time does, whatever the clock of the wall is set to: what it said at the beginning of this process, and
/// what has passed since. Ages, windows and leases are counted in them.
pub fn age_ms() -> u64 {
    #[cfg(test)]
    if let Some(now_ms) = SET.get() {
        return now_ms;
    }
    let (begin, begin_ms) = *BEGIN;
    begin_ms.saturating_add(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Nanoseconds since some moment of this process.
pub fn ticks_ns() -> u64 {
    u64::try_from(BEGIN.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What the clock of the wall says at a time of [`age_ms`]. Where it was set, that is known after half a second: one reading of a clock
/// is enough for a publish.
pub fn shown_ms(age_ms: u64) -> u64 {
    static SHIFT: Shift = Shift::new();
    SHIFT.apply(age_ms, || (now_ms(), self::age_ms()))
}

/// By how much the clock of the wall is ahead of the clock of ages.
struct Shift {
    ms: AtomicI64,
    /// When it is looked at again.
    next_ms: AtomicU64,
}

/// Between two looks.
const LOOK_EACH_MS: u64 = 500;
/// A difference of so little is that between two readings, and not worth a time that goes back.
const NOISE_MS: u64 = 5;

impl Shift {
    const fn new() -> Self {
        Self { ms: AtomicI64::new(0), next_ms: AtomicU64::new(0) }
    }

    /// `read` reads both clocks, the wall's first.
    fn apply(&self, age_ms: u64, read: impl FnOnce() -> (u64, u64)) -> u64 {
        if age_ms >= self.next_ms.load(Ordering::Relaxed) {
            self.next_ms.store(age_ms.saturating_add(LOOK_EACH_MS), Ordering::Relaxed);
            let (wall_ms, now_ms) = read();
            let shift = wall_ms.wrapping_sub(now_ms).cast_signed();
            if shift.abs_diff(self.ms.load(Ordering::Relaxed)) > NOISE_MS {
                self.ms.store(shift, Ordering::Relaxed);
            }
        }
        age_ms.saturating_add_signed(self.ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_go_on_beside_the_wall() {
        let before = age_ms();
        assert!(before.abs_diff(now_ms()) < 60_000);
        assert!(age_ms() >= before);
        assert!(shown_ms(before).abs_diff(before) < 60_000);
    }

    #[test]
    fn what_is_shown_follows_the_wall_when_it_is_set() {
        const DAY_MS: u64 = 86_400_000;
        let shift = Shift::new();
        assert_eq!(shift.apply(10 * DAY_MS, || (10 * DAY_MS + 2, 10 * DAY_MS)), 10 * DAY_MS, "noise");
        let ahead = |ms| move || (ms + DAY_MS, ms);
        // Within half a second nobody looks.
        assert_eq!(shift.apply(10 * DAY_MS + 499, ahead(10 * DAY_MS)), 10 * DAY_MS + 499);
        assert_eq!(shift.apply(10 * DAY_MS + 500, ahead(10 * DAY_MS + 500)), 11 * DAY_MS + 500);
        let behind = |ms| move || (ms - DAY_MS, ms);
        assert_eq!(shift.apply(10 * DAY_MS + 1_000, behind(10 * DAY_MS + 1_000)), 9 * DAY_MS + 1_000);
        // Before 1970 nothing is shown but its beginning.
        assert_eq!(shift.apply(DAY_MS / 2, behind(DAY_MS)), 0);
    }
}

#[cfg(test)]
thread_local! {
    static SET: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// From now on the clocks of this thread stand there.
#[cfg(test)]
pub(crate) fn set(now_ms: u64) {
    SET.set(Some(now_ms));
}
