//! How much a worker does of one kind before others get their turn: so many connections, and no longer than a moment, because one that is
//! owed a backlog costs a hundred times what another does.

use std::time::{Duration, Instant};

/// Connections at most.
const COUNT_MAX: usize = 256;
/// Between two looks at the clock.
const LOOK_EVERY: usize = 8;
const TIME_MAX: Duration = Duration::from_millis(1);

/// A portion that has begun.
#[derive(Debug)]
pub(super) struct Portion {
    count: usize,
    count_max: usize,
    begin: Option<Instant>,
}

impl Portion {
    pub(super) fn begin() -> Self {
        Self { count: 0, count_max: COUNT_MAX, begin: None }
    }

    /// One that is over at the first look at the clock: for work that gets on while other work waits, and no more.
    pub(super) fn small() -> Self {
        Self { count_max: LOOK_EVERY, ..Self::begin() }
    }

    /// Whether another connection belongs to it.
    pub(super) fn has_room(&mut self) -> bool {
        self.has_room_at(Instant::now)
    }

    fn has_room_at(&mut self, now: impl FnOnce() -> Instant) -> bool {
        self.count += 1;
        if !self.count.is_multiple_of(LOOK_EVERY) {
            return true;
        }
        // The first look is not at the beginning: most portions are over before it.
        let now = now();
        let begin = *self.begin.get_or_insert(now);
        self.count < self.count_max && now.duration_since(begin) < TIME_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_ends_by_count_and_by_time() {
        let begin = Instant::now();
        let mut quick = Portion::begin();
        assert_eq!((0..).take_while(|_| quick.has_room_at(|| begin)).count(), COUNT_MAX - 1);
        let mut small = Portion::small();
        assert_eq!((0..).take_while(|_| small.has_room_at(|| begin)).count(), LOOK_EVERY - 1);
        let (mut slow, mut served) = (Portion::begin(), 0);
        while slow.has_room_at(|| begin + TIME_MAX / 10 * served) {
            served += 1;
        }
        assert!((10..=10 + 2 * LOOK_EVERY as u32).contains(&served), "{served}");
    }
}
