//! One connection's numbers: what was missed, what came twice, what came late.

/// Counts over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
}

impl Faults {
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} / {} / {}", self.lost, self.duplicated, self.reordered)
    }
}

/// What one connection has seen. Numbers begin at `first` and go up by one.
#[derive(Debug)]
pub struct Sequence {
    next: u64,
    /// Numbers below `next` that have not come; empty as long as all is well.
    missing: Vec<u64>,
    duplicated: u64,
    reordered: u64,
}

impl Sequence {
    pub fn starting_at(first: u64) -> Self {
        Self { next: first, missing: Vec::new(), duplicated: 0, reordered: 0 }
    }

    /// A message came.
    pub fn receive(&mut self, number: u64) {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if let Some(at) = self.missing.iter().position(|missing| *missing == number) {
            self.missing.swap_remove(at);
            self.reordered += 1;
        } else {
            self.duplicated += 1;
        }
    }

    /// The number that is expected next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What went wrong if every number below `end` was published.
    pub fn faults(&self, end: u64) -> Faults {
        Faults {
            lost: self.missing.len() as u64 + end.saturating_sub(self.next),
            duplicated: self.duplicated,
            reordered: self.reordered,
        }
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
    }
}
