//! The one place that reads the wall clock, and the clock of rates, which never goes back.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970 UTC; 0 before it.
pub fn now_ms() -> u64 {
    #[cfg(test)]
    if let Some(now_ms) = SET.get() {
        return now_ms;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Nanoseconds since some moment of this process.
pub fn ticks_ns() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
thread_local! {
    static SET: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// From now on the wall clock of this thread stands there.
#[cfg(test)]
pub(crate) fn set(now_ms: u64) {
    SET.set(Some(now_ms));
}
