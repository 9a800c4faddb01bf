//! What was found, as the paper has it: medians, and how much chance is in them.

use std::fmt::Write;

use super::Extent;
use super::kinds::{Kind, TOGETHER};
use super::side::{MESSAGES, Side, Turn};
use crate::machine;
use crate::paper::grouped;

/// What a delivery may cost more for tokens and limits.
const RATIO_MAX: f64 = 1.03;
/// Above this part of its core the tool has nothing to spare.
const FULL: f64 = 0.93;

/// Everything of one kind.
#[derive(Clone, Debug, Default)]
struct Found {
    connect_us: Vec<f64>,
    bytes: Vec<f64>,
    cpu_us: Vec<f64>,
    /// To the first kind, in the same round.
    ratios: Vec<f64>,
    gathered: Vec<f64>,
}

/// Everything of all kinds.
pub(super) struct Findings {
    extent: Extent,
    all: Vec<Found>,
    tool_shares: Vec<f64>,
}

impl Findings {
    pub(super) fn new(extent: Extent) -> Self {
        Self { extent, all: vec![Found::default(); Kind::ALL.len()], tool_shares: Vec::new() }
    }

    pub(super) fn add_rest(&mut self, kind: &Kind, side: &Side) {
        let place = Kind::ALL.iter().position(|one| one == kind);
        if let Some(found) = place.and_then(|place| self.all.get_mut(place)) {
            found.connect_us.push(side.connect_us);
            found.bytes.push(side.bytes);
        }
    }

    /// A turn of each kind, in their order.
    pub(super) fn add_round(&mut self, turns: &[Turn]) {
        let Some(first) = turns.first().map(|turn| turn.cpu_us) else { return };
        for (found, turn) in self.all.iter_mut().zip(turns) {
            found.cpu_us.push(turn.cpu_us);
            found.ratios.push(turn.cpu_us / first);
            found.gathered.push(turn.gathered);
            self.tool_shares.push(turn.tool_share);
        }
    }

    pub(super) fn text(&self) -> String {
        let Extent { sittings, subscribers, .. } = self.extent;
        let turns = self.all.first().map_or(0, |found| found.cpu_us.len());
        let mut text = format!(
            "Measured with `cargo xtask bench strangers` on {}, efir at {}: {}.\nOf each server {} WebSocket subscribers of one \
             channel; medians of {turns} turns of {MESSAGES} messages of 100 bytes, in brackets the middle half of them; {sittings} servers of \
             each kind.\n\n",
            machine::date(),
            machine::commit(),
            machine::line(),
            grouped(subscribers as u64),
        );
        text += "| server | µs of CPU a delivery | × open | µs of CPU a connection | × open | bytes a connection at rest | + |\n\
                 |---|---|---|---|---|---|---|\n";
        let Some(open) = self.all.first() else { return text };
        for (kind, found) in Kind::ALL.iter().zip(&self.all) {
            let (connect, bytes) = (middle(&found.connect_us), middle(&found.bytes));
            let more = bytes - middle(&open.bytes);
            let sign = if more < 0.0 { "−" } else { "+" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | **{:.2}** ({:.2}–{:.2}) | **{:.3}** ({:.3}–{:.3}) | {connect:.0} | {:.2} | {} | {sign}{} |",
                kind.name,
                middle(&found.cpu_us),
                part(&found.cpu_us, 0.25),
                part(&found.cpu_us, 0.75),
                middle(&found.ratios),
                part(&found.ratios, 0.25),
                part(&found.ratios, 0.75),
                connect / middle(&open.connect_us),
                grouped(bytes as u64),
                grouped(more.abs() as u64),
            );
        }
        text.push('\n');
        for line in self.remarks() {
            let _ = writeln!(text, "- {line}");
        }
        text
    }

    fn remarks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let ratio = |name: &str| {
            let found = Kind::ALL.iter().zip(&self.all).find(|(kind, _)| kind.name == name);
            found.map_or(f64::NAN, |(_, found)| middle(&found.ratios))
        };
        let together = ratio(TOGETHER.name);
        let verdict = if together <= RATIO_MAX { "met" } else { "missed" };
        lines.push(format!(
            "tokens and limits, of a delivery: {together:.3} × (goal ≤ {RATIO_MAX}): {verdict}"
        ));
        let again = self.all.get(1).map(|found| found.ratios.as_slice()).unwrap_or_default();
        lines.push(format!(
            "the same server once more is {:.3} ×, in half of the rounds {:.3} to {:.3} ×: so much is chance",
            middle(again),
            part(again, 0.25),
            part(again, 0.75),
        ));
        let gathered = self.all.iter().map(|found| middle(&found.gathered)).fold(0.0, f64::max);
        lines.push(format!(
            "messages a read, at most: {gathered:.2}; above 1 the server gathered, and a delivery cost less"
        ));
        let share = middle(&self.tool_shares);
        let warning = if share > FULL { ", so it was the limit" } else { "" };
        lines.push(format!("the tool took {:.0} % of its own core{warning}", share * 100.0));
        lines
    }
}

fn middle(values: &[f64]) -> f64 {
    part(values, 0.5)
}

/// The value below which this part of all lies.
fn part(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn turn(cpu_us: f64) -> Turn {
        Turn { cpu_us, gathered: 1.0, tool_share: 0.4 }
    }

    #[test]
    fn a_kind_is_compared_within_its_round() {
        let mut findings = Findings::new(Extent { sittings: 1, time: Duration::ZERO, subscribers: 1 });
        // The machine becomes three times as slow, the servers stay as they are.
        for mood in [1.0, 3.0, 2.0] {
            let turns: Vec<Turn> =
                (0..Kind::ALL.len()).map(|n| turn(mood * (1.0 + n as f64 / 100.0))).collect();
            findings.add_round(&turns);
        }
        let found = &findings.all[6];
        assert_eq!((middle(&found.cpu_us), middle(&found.ratios)), (2.12, 1.06));
        let remarks = findings.remarks().join("\n");
        assert!(remarks.contains("1.060 × (goal ≤ 1.03): missed"), "{remarks}");
        assert!(remarks.contains("the same server once more is 1.010 ×, in half"), "{remarks}");
    }

    #[test]
    fn the_middle_half_is_around_the_median() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!((part(&values, 0.25), middle(&values), part(&values, 0.75)), (2.0, 3.0, 4.0));
        assert!(middle(&[]).is_nan());
    }
}
