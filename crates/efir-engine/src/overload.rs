//! Memory in all: what is done when the process takes more than it may. How much it takes is told by whoever runs it, some times a
//! second, so that nothing is counted on the way of a message.
//!
//! First the connections that make the server keep the most are cut (readers that read nothing, messages that were begun and never
//! ended); when that was not enough, the least recently used logs are trimmed. Until there is room again nothing new is taken.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use efir_core::{Code, Problem};

/// What was freed shows only when the allocator has given its pages back, so between two measures so many ns pass.
const SETTLE_NS: u64 = 1_500_000_000;
/// Messages that clients have begun and not ended may take this part of the memory, together. They are not only measured but counted,
/// because they can bring what is left of the memory between two measurements.
const BEGUN_PART: usize = 4;
/// Who holds less is no debtor: the end of that would free nothing to speak of.
pub(crate) const DEBT_BYTES_MIN: usize = 8 * 1024;
/// When whoever is refused comes back: at random between the two, so that not all come at once.
const RETRY_MS: std::ops::RangeInclusive<u64> = 2_000..=10_000;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relief {
    Nothing,
    /// Cut the largest debtors.
    Debtors,
    /// Cut the largest debtors, and trim logs by so many bytes.
    DebtorsAndLogs(usize),
}

/// How the process stands.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    bytes_max: usize,
    is_over: AtomicBool,
    in_use: AtomicUsize,
    /// Bytes of messages that were begun and not ended, of those who hold more than a little.
    begun: AtomicUsize,
    /// Of how many clients.
    beginners: AtomicUsize,
    /// What the debtors still have to free.
    excess: AtomicUsize,
    /// Whose debt is less is left.
    debt_bytes_min: AtomicUsize,
    /// When the next measure may be taken.
    settled_ns: AtomicU64,
}

impl Overload {
    /// Begins within its bounds; without a bound (0) it stays there.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Takes a measurement; one caller at a time.
    pub(crate) fn weigh(&self, in_use: usize, now_ns: u64) -> Relief {
        self.in_use.store(in_use, Ordering::Relaxed);
        // A little below the bound, so that it is not passed again at once.
        let goal = self.bytes_max - self.bytes_max / 16;
        if self.bytes_max == 0 || in_use <= goal {
            self.is_over.store(false, Ordering::Relaxed);
            self.excess.store(0, Ordering::Relaxed);
            return Relief::Nothing;
        }
        let was_over = self.is_over.load(Ordering::Relaxed);
        if (in_use <= self.bytes_max && !was_over) || self.settled_ns.load(Ordering::Relaxed) > now_ns {
            return Relief::Nothing;
        }
        self.is_over.store(true, Ordering::Relaxed);
        self.debt_bytes_min.store(DEBT_BYTES_MIN, Ordering::Relaxed);
        self.excess.store(in_use - goal, Ordering::Relaxed);
        self.settled_ns.store(now_ns.saturating_add(SETTLE_NS), Ordering::Relaxed);
        if was_over { Relief::DebtorsAndLogs(in_use - goal) } else { Relief::Debtors }
    }

    /// What a client has begun and not ended was so many bytes, and is so many. True when that is too much with all the others': then the
    /// largest debtors have to free an eighth of what there may be.
    pub(crate) fn book_begun(&self, before: u32, after: u32) -> bool {
        if before == after || self.bytes_max == 0 {
            return false;
        }
        match (before, after) {
            (0, _) => self.beginners.fetch_add(1, Ordering::Relaxed),
            (_, 0) => self.beginners.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        let (less, more) = (before.saturating_sub(after) as usize, after.saturating_sub(before) as usize);
        if less > 0 {
            self.begun.fetch_sub(less, Ordering::Relaxed);
            return false;
        }
        let begun = self.begun.fetch_add(more, Ordering::Relaxed) + more;
        let begun_max = self.bytes_max / BEGUN_PART;
        if begun <= begun_max {
            return false;
        }
        // Who has begun no less than others: a worker sees its own connections only, and another one may have larger ones.
        let average = begun / self.beginners.load(Ordering::Relaxed).max(1);
        self.debt_bytes_min.store(average, Ordering::Relaxed);
        self.excess.fetch_max(begun - begun_max + begun_max / 8, Ordering::Relaxed);
        true
    }

    /// Who holds less is not cut now.
    pub(crate) fn debt_bytes_min(&self) -> usize {
        self.debt_bytes_min.load(Ordering::Relaxed).max(DEBT_BYTES_MIN)
    }

    /// Whether debtors still have to free something.
    pub(crate) fn has_excess(&self) -> bool {
        self.excess.load(Ordering::Relaxed) > 0
    }

    /// A debtor of so many bytes is about to be cut; false when enough were.
    pub(crate) fn claim(&self, bytes: usize) -> bool {
        let take = |excess: usize| (excess > 0).then(|| excess.saturating_sub(bytes));
        self.excess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// What was measured last, in bytes.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// What whoever is refused or cut is told.
    pub(crate) fn problem(&self) -> Problem {
        let detail =
            format!("the server takes {} bytes of memory, its limit; come back later", self.bytes_max);
        Problem::new(Code::Overloaded, detail)
            .with_limit("memory_bytes_max", self.bytes_max as u64)
            .with_retry_after_ms(fastrand::u64(RETRY_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debtors_go_first_logs_next_and_nothing_new_comes_until_there_is_room() {
        let overload = Overload::new(1_600);
        let at = |in_use, settles: u64| overload.weigh(in_use, settles * SETTLE_NS);
        assert_eq!(at(1_600, 1), Relief::Nothing);
        assert!(!overload.is_over() && !overload.claim(1));
        assert_eq!(at(1_700, 2), Relief::Debtors);
        assert!(overload.is_over());
        assert!(overload.claim(150) && overload.claim(1_000), "200 are to be freed, by whole debtors");
        assert!(!overload.claim(1));
        assert_eq!(overload.weigh(1_700, 2 * SETTLE_NS + 1), Relief::Nothing, "it has to show first");
        assert_eq!(at(1_650, 3), Relief::DebtorsAndLogs(150));
        assert_eq!(at(1_550, 4), Relief::DebtorsAndLogs(50), "the bound itself is not room enough");
        assert!(overload.is_over());
        assert_eq!(at(1_500, 5), Relief::Nothing);
        assert!(!overload.is_over() && overload.in_use() == 1_500);
        let problem = overload.problem();
        assert_eq!((problem.code, problem.limit), (Code::Overloaded, Some(("memory_bytes_max", 1_600))));
        let waits: std::collections::BTreeSet<_> =
            (0..64).map(|_| overload.problem().retry_after_ms.unwrap()).collect();
        assert!(waits.len() > 8 && waits.iter().all(|ms| RETRY_MS.contains(ms)), "{waits:?}");
    }

    #[test]
    fn messages_that_are_begun_are_bounded_together() {
        let overload = Overload::new(1_600);
        assert!(!overload.book_begun(0, 300) && !overload.book_begun(0, 50) && !overload.book_begun(50, 100));
        assert!(!overload.claim(1));
        assert_eq!(overload.debt_bytes_min(), DEBT_BYTES_MIN);
        assert!(overload.book_begun(0, 40), "440 of 400");
        assert_eq!((overload.debt_bytes_min(), overload.has_excess()), (DEBT_BYTES_MIN, true));
        assert!(overload.claim(80) && overload.claim(20), "40, and 50 besides");
        assert!(!overload.claim(1), "and no more");
        assert!(!overload.book_begun(300, 0), "who has less is not cut for it");
        assert!(!overload.book_begun(40, 300));
        assert!(!overload.is_over(), "others are served");

        let overload = Overload::new(1 << 20);
        assert!(!overload.book_begun(0, 200 << 10) && !overload.book_begun(0, 20 << 10));
        assert!(overload.book_begun(0, 80 << 10));
        assert_eq!(overload.debt_bytes_min(), 100 << 10, "the one of 80 KiB, on its own worker, stays");
    }

    #[test]
    fn without_a_bound_nothing_is_done() {
        let overload = Overload::new(0);
        assert_eq!(overload.weigh(usize::MAX, 1), Relief::Nothing);
        assert!(!overload.book_begun(0, u32::MAX));
        assert!(!overload.is_over());
    }
}
