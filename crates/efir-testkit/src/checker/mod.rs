//! Judges a history: nothing lost, repeated, reordered or silently missing, and epochs as they must be.
//!
//! [`publishes`] judges what publishers were told, [`reads`] what readers saw against it. The clauses are those of
//! docs/guarantees.md. That the checker itself sees faults is proved with [`planted`] ones.

use std::fmt;

use crate::history::{Entry, Event};

pub mod planted;
mod publishes;
mod reads;
mod summary;
#[cfg(test)]
mod tests;

pub use summary::Summary;

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The clause, `D1` … `D8`.
    pub clause: &'static str,
    /// The line of the history at which it shows, counted from 0.
    pub line: usize,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}: {}", self.clause, self.line, self.text)
    }
}

/// Everything that is wrong with a history; empty if nothing is.
pub fn check(entries: &[Entry]) -> Vec<Violation> {
    let mut publishes = publishes::Publishes::default();
    let mut reads = reads::Reads::default();
    let mut found = Vec::new();
    for (line, Entry { actor, event }) in entries.iter().enumerate() {
        let mut report = |clause, text| found.push(Violation { clause, line, text });
        publishes.take(actor, event, &mut report);
        reads.take(actor, event, &publishes, &mut report);
        if *event == Event::Lost {
            publishes.lose();
            reads.lose();
        }
    }
    found
}

/// Where the rules report to: clause and text.
type Report<'a> = &'a mut dyn FnMut(&'static str, String);
