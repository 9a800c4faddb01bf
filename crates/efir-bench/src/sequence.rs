//! The numbers that one connection has seen in one lane: what was missed, what came twice, what came late.

/// Counts over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Never came.
    pub lost: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one.
    pub reordered: u64,
}

impl Faults {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} / {} / {}", self.lost, self.duplicated, self.reordered)
    }
}

/// What one connection has seen of one lane. Numbers go up by one. Small: there may be ten thousand on a connection.
#[derive(Debug)]
pub struct Sequence {
    next: u32,
    /// As long as all is well there is none.
    trouble: Option<Box<Trouble>>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// Numbers below `next` that have not come: ranges, ascending.
    missing: Vec<std::ops::Range<u32>>,
    duplicated: u64,
    reordered: u64,
}

impl Sequence {
    /// Nothing was seen yet; `first` is the first number that is owed, and 0 whichever comes first.
    #[must_use]
    pub fn starting_at(first: u64) -> Self {
        Self { next: first as u32, trouble: None }
    }

    /// A message came.
    pub fn receive(&mut self, number: u64) {
        let number = number as u32;
        if number == self.next || self.next == 0 {
            self.next = number;
            self.next += 1;
            return;
        }
        let trouble = self.trouble.get_or_insert_default();
        if number > self.next {
            trouble.missing.push(self.next..number);
            self.next = number + 1;
        } else {
            trouble.late(number);
        }
    }

    /// The number that is expected next.
    #[must_use]
    pub fn next(&self) -> u64 {
        u64::from(self.next)
    }

    /// What went wrong if every number below `end` was published.
    #[must_use]
    pub fn faults(&self, end: u64) -> Faults {
        // Whoever has not begun is owed nothing.
        let end = if self.next == 0 { 0 } else { end };
        let mut faults = Faults { lost: end.saturating_sub(self.next()), ..Faults::default() };
        if let Some(trouble) = &self.trouble {
            faults.lost += trouble.missing.iter().map(|range| range.len() as u64).sum::<u64>();
            faults.duplicated = trouble.duplicated;
            faults.reordered = trouble.reordered;
        }
        faults
    }
}

impl Trouble {
    /// A number below `next`: late if it was missing, double otherwise.
    fn late(&mut self, number: u32) {
        let at = self.missing.partition_point(|range| range.end <= number);
        let Some(range) = self.missing.get(at).filter(|range| range.contains(&number)).cloned() else {
            self.duplicated += 1;
            return;
        };
        self.reordered += 1;
        let rest = [range.start..number, number + 1..range.end];
        self.missing.splice(at..=at, rest.into_iter().filter(|range| !range.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(numbers: &[u64], end: u64) -> Faults {
        let mut sequence = Sequence::starting_at(1);
        numbers.iter().for_each(|number| sequence.receive(*number));
        sequence.faults(end)
    }

    #[test]
    fn each_fault_is_told_apart() {
        assert!(faults(&[1, 2, 3], 4).is_none());
        assert_eq!(faults(&[1, 3], 6), Faults { lost: 3, duplicated: 0, reordered: 0 });
        assert_eq!(faults(&[1, 2, 2, 1, 3], 4), Faults { lost: 0, duplicated: 2, reordered: 0 });
        assert_eq!(faults(&[2, 1, 3], 4), Faults { lost: 0, duplicated: 0, reordered: 1 });
        assert_eq!(faults(&[9, 5, 5, 1, 8], 10), Faults { lost: 5, duplicated: 1, reordered: 3 });
    }

    #[test]
    fn who_begins_anywhere_is_owed_what_follows() {
        let mut sequence = Sequence::starting_at(0);
        assert!(sequence.faults(9).is_none());
        sequence.receive(5);
        assert!(sequence.faults(6).is_none());
        sequence.receive(7);
        assert_eq!(sequence.faults(9), Faults { lost: 2, duplicated: 0, reordered: 0 });
    }
}
