//! Where a bug ends: a panic is caught at the boundary of one connection, counted, and everything else goes on (decision 0023). What
//! a panic says is never written, because it may repeat what a client sent; where it came up is told by whoever has the log's hook.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use efir_core::{Code, Problem};

use crate::counters::Counters;

/// When whoever was ended by a bug comes back, in ms: at random between the two.
const RETRY_MS: std::ops::RangeInclusive<u64> = 500..=2_000;

/// Runs `work`; `None` where it panicked. Whoever asks sees to it that nothing which others use is left half done.
pub fn contained<T>(counters: &Counters, what: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        note(counters, what);
    }
    done
}

/// As [`contained`], of something that takes its time.
pub async fn contained_future<F: Future>(
    counters: &Counters,
    what: &'static str,
    work: F,
) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| match contained(counters, what, || work.as_mut().poll(cx)) {
        Some(Poll::Pending) => Poll::Pending,
        Some(Poll::Ready(done)) => Poll::Ready(Some(done)),
        None => Poll::Ready(None),
    })
    .await
}

/// Counts a panic that was caught, and tells what it ended.
#[cold]
pub(crate) fn note(counters: &Counters, what: &'static str) {
    counters.note_panic();
    tracing::error!(event = "panic_contained", what, "a bug in efir has ended this, and nothing else");
}

/// What a client is told whose request or connection was ended by a bug. Whether a message was accepted by then is not known.
pub fn internal_problem() -> Problem {
    let detail =
        "a fault of the server; whether a message was accepted is not known, so send it again with its key";
    Problem::new(Code::Internal, detail).with_retry_after_ms(fastrand::u64(RETRY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_here_and_is_counted() {
        let counters = Counters::default();
        assert_eq!(contained(&counters, "a test", || 7), Some(7));
        assert_eq!(contained(&counters, "a test", || -> u8 { panic!("planted") }), None);
        assert_eq!(counters.sum().panics, 1);
    }

    #[tokio::test]
    async fn a_future_that_panics_later_ends_here_too() {
        let counters = Counters::default();
        let late = async {
            tokio::task::yield_now().await;
            panic!("planted")
        };
        assert_eq!(contained_future(&counters, "a test", late).await, None::<()>);
        assert_eq!(contained_future(&counters, "a test", async { 7 }).await, Some(7));
        assert_eq!(counters.sum().panics, 1);
    }
}
