//! A judged history in numbers: how much was looked at, and how many violations of each kind were found.

use crate::history::{Entry, Event};

use super::Violation;

/// The numbers of one history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Publishes that were sent, retries among them.
    pub publishes: u64,
    /// Positive answers.
    pub accepted: u64,
    /// Messages that readers got, all readers together.
    pub received: u64,
    /// Gaps that readers were told, all readers together.
    pub gaps: u64,
    /// D4: acknowledged, and a reader that has settled did not get it.
    pub lost: u64,
    /// D3, D7: came again.
    pub duplicated: u64,
    /// D1: came too late, or stands in another order than it was sent.
    pub reordered: u64,
    /// D5: something is missing and no gap, or a wrong one, was told.
    pub silent_gaps: u64,
    /// Everything else: contents, epochs.
    pub other: u64,
}

impl Summary {
    /// Counts.
    pub fn of(entries: &[Entry], found: &[Violation]) -> Self {
        let mut summary = Self::default();
        for Entry { event, .. } in entries {
            match event {
                Event::Publish { .. } => summary.publishes += 1,
                Event::Accepted { .. } => summary.accepted += 1,
                Event::Received { .. } => summary.received += 1,
                Event::Gap { .. } => summary.gaps += 1,
                _ => {}
            }
        }
        for violation in found {
            let count = match violation.clause {
                "D1" => &mut summary.reordered,
                "D3" | "D7" => &mut summary.duplicated,
                "D4" => &mut summary.lost,
                "D5" => &mut summary.silent_gaps,
                _ => &mut summary.other,
            };
            *count += 1;
        }
        summary
    }

    /// One JSON object in one line.
    pub fn to_json(&self, file: &str) -> String {
        serde_json::json!({
            "file": file,
            "publishes": self.publishes,
            "accepted": self.accepted,
            "received": self.received,
            "gaps": self.gaps,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "silent_gaps": self.silent_gaps,
            "other": self.other,
        })
        .to_string()
    }
}
