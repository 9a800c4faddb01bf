//! What legs came to, in rows and in words.

use efir_client::Transport;

use super::{Way, ledger::Switches};
use crate::{checker::Summary, proxy::Kind};

/// What one leg, or several of one way, came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) way: Option<Way>,
    pub(super) legs: u64,
    /// In the order of [`Kind::ALL`].
    pub(super) faults: [u64; Kind::ALL.len()],
    pub(super) kills: u64,
    pub(super) connections: u64,
    pub(super) published: u64,
    pub(super) switches: Switches,
    pub(super) summary: Summary,
    pub(super) seconds: f64,
    /// What does not hold, in words.
    pub(super) wrong: Vec<String>,
}

impl Row {
    /// Faults that took effect, and kills.
    pub(super) fn faults(&self) -> u64 {
        self.faults.iter().sum::<u64>() + self.kills
    }

    /// Adds another leg.
    pub(super) fn add(&mut self, other: Self) {
        let Self { way, legs, faults, kills, connections, published, switches, summary, seconds, wrong } =
            other;
        self.way = self.way.or(way);
        self.legs += legs;
        self.faults.iter_mut().zip(faults).for_each(|(sum, count)| *sum += count);
        self.kills += kills;
        self.connections += connections;
        self.published += published;
        let pairs = self.switches.iter_mut().flatten().zip(switches.iter().flatten());
        pairs.for_each(|(sum, count)| *sum += count);
        self.seconds += seconds;
        let sums = &mut self.summary;
        sums.publishes += summary.publishes;
        sums.accepted += summary.accepted;
        sums.received += summary.received;
        sums.gaps += summary.gaps;
        sums.lost += summary.lost;
        sums.duplicated += summary.duplicated;
        sums.reordered += summary.reordered;
        sums.silent_gaps += summary.silent_gaps;
        sums.other += summary.other;
        self.wrong.extend(wrong);
    }
}

type Column = (&'static str, fn(&Row) -> u64);

/// What is known of a leg behind a proxy.
pub(super) const OF_FAULTS: &[Column] =
    &[("legs", |row| row.legs), ("faults", Row::faults), ("kills", |row| row.kills)];
/// What is known of every leg.
const OF_ALL: &[Column] = &[
    ("connections", |row| row.connections),
    ("switches", |row| row.switches.iter().flatten().sum()),
    ("published", |row| row.published),
    ("received", |row| row.summary.received),
    ("gaps", |row| row.summary.gaps),
    ("lost", |row| row.summary.lost),
    ("duplicated", |row| row.summary.duplicated),
    ("reordered", |row| row.summary.reordered),
    ("silent gaps", |row| row.summary.silent_gaps),
    ("other", |row| row.summary.other),
];

/// The table in Markdown: a row for each way, and the sum; `more` columns stand before those of all.
pub(super) fn markdown(rows: &[Row], more: &[Column]) -> String {
    let columns = || more.iter().chain(OF_ALL);
    let line = |row: &Row, transport: &str, carrier: &str| {
        let cells: Vec<String> = columns().map(|(_, count)| grouped(count(row))).collect();
        format!("| {transport} | {carrier} | {} |", cells.join(" | "))
    };
    let heads: Vec<&str> = columns().map(|(head, _)| *head).collect();
    let mut lines = vec![
        format!("| transport | carrier | {} |", heads.join(" | ")),
        format!("|---|---|{}", "--:|".repeat(heads.len())),
    ];
    for row in rows {
        let (transport, carrier) = row.way.map_or(("", ""), |way| (way.name(), way.carrier.name()));
        lines.push(line(row, transport, carrier));
    }
    lines.push(line(&sum(rows), "together", ""));
    lines.join("\n")
}

/// All rows as one.
pub(super) fn sum(rows: &[Row]) -> Row {
    let mut together = Row::default();
    rows.iter().for_each(|row| together.add(row.clone()));
    together
}

/// How often each kind of fault took effect, and each pair of transports was switched.
pub(super) fn kinds(together: &Row) -> String {
    let names = Kind::ALL.into_iter().map(Kind::name).zip(together.faults);
    let kinds = names.chain([("kill -9", together.kills)]);
    let kinds: Vec<String> = kinds.map(|(name, count)| format!("{name} {}", grouped(count))).collect();
    format!("Faults by kind: {}. {}", kinds.join(", "), pairs(&together.switches))
}

/// In how many of the pairs of two different transports somebody switched.
pub(super) fn pairs(switches: &Switches) -> String {
    let all = 0..Transport::ALL.len();
    let pairs = all.clone().flat_map(|before| all.clone().map(move |after| (before, after)));
    let counts: Vec<u64> = pairs
        .filter(|(before, after)| before != after)
        .map(|(before, after)| switches[before][after])
        .collect();
    let switched = counts.iter().filter(|count| **count > 0).count();
    let (fewest, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    format!("Switched: {switched} of {} pairs of transports, {fewest} to {most} times each.", counts.len())
}

/// `65536` → `65,536`.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_add_up() {
        let way = Way::all().next();
        let one =
            Row { way, legs: 1, kills: 1, published: 1_200, wrong: vec!["lost".into()], ..Row::default() };
        let together = sum(&[one.clone(), one.clone()]);
        assert_eq!((together.faults(), together.published, together.wrong.len()), (2, 2_400, 2));
        let text = markdown(&[one], OF_FAULTS);
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("| short-poll | h1 | 1 | 1 | 1 | 0 | 0 | 1,200 |"), "{text}");
    }

    #[test]
    fn switches_are_counted_by_pair() {
        let mut switches = Switches::default();
        switches[0][1] = 3;
        assert_eq!(pairs(&switches), "Switched: 1 of 20 pairs of transports, 0 to 3 times each.");
    }
}
