//! The tables: medians of all runs, as text for people and for docs/benchmarks.md.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Plan;
use super::fan_out::Measured;
use crate::machine;
use crate::paper::grouped;

/// All runs of all rows, in the order of their first run.
#[derive(Default)]
pub(super) struct Results {
    pub(super) version: String,
    rows: Vec<(String, Vec<Measured>)>,
    idle_order: Vec<String>,
    idle: BTreeMap<String, Vec<u64>>,
}

impl Results {
    pub(super) fn add(&mut self, name: &str, measured: Measured) {
        let each = measured.user_us + measured.system_us;
        println!("  {name}: {each:.2} µs a message, faults {}", measured.faults);
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, runs)) => runs.push(measured),
            None => self.rows.push((name.to_owned(), vec![measured])),
        }
    }

    pub(super) fn add_idle(&mut self, name: &str, bytes: u64) {
        println!("  {name}: {bytes} bytes a connection");
        if !self.idle.contains_key(name) {
            self.idle_order.push(name.to_owned());
        }
        self.idle.entry(name.to_owned()).or_default().push(bytes);
    }

    pub(super) fn is_faultless(&self) -> bool {
        self.rows.iter().flat_map(|(_, runs)| runs).all(|run| run.faults.is_none())
    }

    pub(super) fn text(&self, plan: Plan) -> String {
        let mut text = format!(
            "Measured with `cargo xtask bench` on {}, efir {} at {}: {}.\nMedians of {} runs of {} s; in brackets the least and the \
             greatest.\n\n",
            machine::date(),
            self.version,
            machine::commit(),
            machine::line(),
            plan.runs,
            plan.measured.as_secs(),
        );
        text += "| 1 channel × SUBSCRIBERS subscribers, 100-byte payloads | µs of CPU a delivered message | user | system | × floor | \
                 deliveries/s | messages a read | p50 ms | p99 ms | lost / duplicated / reordered |\n|---|---|---|---|---|---|---|---|---|---|\n";
        text = text.replace("SUBSCRIBERS", &grouped(plan.subscribers as u64));
        let floor = self.rows.iter().find(|(name, _)| name.starts_with("floor"));
        let floor = floor.map(|(_, runs)| median(runs, together));
        for (name, runs) in &self.rows {
            self.row(&mut text, name, runs, floor);
        }
        let softirq =
            self.rows.iter().flat_map(|(_, runs)| runs).map(|run| run.softirq_us).fold(0.0, f64::max);
        writeln!(text, "\nThe kernel's own packet threads (ksoftirqd) took at most {softirq:.2} µs a message beside it.\n")
            .unwrap_or_default();
        writeln!(
            text,
            "| {} idle connections | bytes a connection (RssAnon) |\n|---|---|",
            grouped(plan.idle as u64)
        )
        .unwrap_or_default();
        for name in &self.idle_order {
            let runs = self.idle.get(name).map(Vec::as_slice).unwrap_or_default();
            let bytes = median(runs, |bytes| *bytes as f64) as u64;
            let name = name.trim_start_matches("idle ");
            writeln!(text, "| {name} | {} |", grouped(bytes)).unwrap_or_default();
        }
        text
    }

    fn row(&self, text: &mut String, name: &str, runs: &[Measured], floor: Option<f64>) {
        let each = median(runs, together);
        let least = runs.iter().map(together).fold(f64::MAX, f64::min);
        let most = runs.iter().map(together).fold(0.0, f64::max);
        let (user, system) = (median(runs, |run| run.user_us), median(runs, |run| run.system_us));
        let rate = grouped(median(runs, |run| run.deliveries_per_second) as u64);
        let ratio = match floor {
            Some(floor) if name.ends_with("100 messages/s") => format!("{:.2}", each / floor),
            _ => "–".into(),
        };
        let per_read = median(runs, |run| run.per_read);
        let ms = |us: f64| if us == 0.0 { "–".to_owned() } else { format!("{:.1}", us / 1000.0) };
        let (p50, p99) =
            (ms(median(runs, |run| run.p50_us as f64)), ms(median(runs, |run| run.p99_us as f64)));
        let faults = runs.iter().map(|run| run.faults).find(|faults| !faults.is_none()).unwrap_or_default();
        writeln!(
            text,
            "| {name} | **{each:.2}** ({least:.2}–{most:.2}) | {user:.2} | {system:.2} | {ratio} | {rate} | {per_read:.1} | {p50} | {p99} | {faults} |"
        )
        .unwrap_or_default();
    }
}

fn together(run: &Measured) -> f64 {
    run.user_us + run.system_us
}

fn median<V>(runs: &[V], value: impl Fn(&V) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0], |value| *value), 2.0);
    }
}
