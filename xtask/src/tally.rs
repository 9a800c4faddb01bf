//! Counts of tests, read from what the runners print: `cargo test`'s result lines and `node --test`'s summary.

use std::ops::AddAssign;

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One test, for a stage that counts none of its own.
    pub(crate) fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), skipped: 0 }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Adds what a line of output says, if it is one that counts.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += number_before(counts, " passed");
            self.failed += number_before(counts, " failed");
            self.skipped += number_before(counts, " ignored");
        } else if let Some(count) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            self.passed += number_after(count, "pass ");
            self.failed += number_after(count, "fail ") + number_after(count, "cancelled ");
            self.skipped += number_after(count, "skipped ") + number_after(count, "todo ");
        }
    }
}

impl Tally {
    /// What the closing line of a text says, if it has one.
    pub(crate) fn closing(text: &str) -> Option<Self> {
        let line = text.trim_end().rsplit('\n').next()?;
        let tally = Self {
            passed: number_before(line, " passed"),
            failed: number_before(line, " failed"),
            skipped: number_before(line, " skipped"),
        };
        (tally.to_string() == line).then_some(tally)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The closing line: `12 passed, 0 failed`, and what was skipped if anything was.
impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(out, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let Some(end) = text.find(word) else { return 0 };
    let digits = text[..end].rsplit(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn number_after(text: &str, word: &str) -> u64 {
    text.strip_prefix(word).and_then(|digits| digits.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read_line(line));
        tally
    }

    #[test]
    fn cargo_and_node_are_summed() {
        let text = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out\n\
                    test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured\n\
                    # tests 6\n# pass 5\n# fail 1\n# cancelled 0\n# skipped 2\nℹ pass 40\nℹ fail 0\n";
        assert_eq!(tally(text), Tally { passed: 60, failed: 3, skipped: 3 });
    }

    #[test]
    fn other_lines_count_nothing() {
        assert!(tally("9 passed, 9 failed\nit said: # pass 3\n# passport 3\n").is_empty());
    }

    #[test]
    fn the_closing_line_is_read_as_it_is_written() {
        for tally in [Tally { passed: 12, failed: 3, skipped: 4 }, Tally::one(true), Tally::default()] {
            assert_eq!(Tally::closing(&format!("=== stages\n9 passed, 9 failed\n\n{tally}\n")), Some(tally));
        }
        for text in ["", "ended", "4 passed, 0 failed\nended", "4 passed, 0 failed, then it ended"] {
            assert_eq!(Tally::closing(text), None, "{text}");
        }
    }

    #[test]
    fn closing_line_names_skipped_tests_only_if_there_are_any() {
        assert_eq!(tally("# pass 2").to_string(), "2 passed, 0 failed");
        assert_eq!(Tally { passed: 1, failed: 2, skipped: 3 }.to_string(), "1 passed, 2 failed, 3 skipped");
    }
}
