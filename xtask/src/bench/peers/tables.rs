//! The tables for docs/benchmarks.md: a row a server, the best first, and what efir is not best at.

use std::fmt::Write;

use efir_bench::sequence::Faults;

use super::results::{Group, Measure, Results, Series};
use super::rows::{Plan, Shape};
use super::servers::EFIR;
use crate::machine;
use crate::paper::grouped;

impl Results {
    /// All of it, as Markdown.
    pub(super) fn text(&self, plan: &Plan) -> String {
        let mut text = format!(
            "Measured with `cargo xtask bench peers` on {}, efir {} at {}: {}.\n\
             Medians of {} runs of {} s, one server after the other within each run; in brackets the least and the greatest.\n\
             {}What each server does stands in [benches/peers](../benches/peers/README.md).\n",
            machine::date(),
            self.version(EFIR),
            machine::commit(),
            machine::line(),
            plan.runs,
            plan.seconds(),
            plan.share(),
        );
        let mut behind = Vec::new();
        for group in &self.groups {
            let Group { row, .. } = group;
            add(&mut text, format_args!("\n### {}\n\n{}.\n\n", row.title, row.what));
            let is_idle = row.shape == Shape::Idle;
            let of: fn(&Measure) -> f64 = if is_idle { |run| run.bytes_connection } else { Measure::cpu_us };
            if is_idle {
                idle(&mut text, group, plan);
            } else {
                load(&mut text, group);
            }
            failures(&mut text, group);
            behind.extend(lost(group, "", of));
            if !is_idle {
                behind.extend(lost(group, ", p99 latency", |run| run.p99_ms));
            }
        }
        self.ending(&mut text, &behind);
        text
    }

    fn ending(&self, text: &mut String, behind: &[String]) {
        if behind.is_empty() {
            text.push_str(
                "\nefir is first in every table above: in cost, and in p99 latency where it is measured.\n",
            );
        } else {
            text.push_str("\nWhere efir is not first:\n\n");
            behind.iter().for_each(|line| add(text, format_args!("- {line}\n")));
        }
        text.push_str("\n| server | version |\n|---|---|\n");
        for (server, version) in self.versions.iter().filter(|(_, version)| !version.is_empty()) {
            add(text, format_args!("| {server} | {version} |\n"));
        }
        for (server, why) in &self.missing {
            add(text, format_args!("| {server} | not run: {why} |\n"));
        }
    }
}

fn load(text: &mut String, group: &Group) {
    text.push_str(
        "| server | µs of CPU a delivery | × efir | user | system | p50 ms | p99 ms | deliveries/s | messages a read | lost / duplicated / reordered |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let ours = median_of(group, Measure::cpu_us);
    for series in sorted(group, Measure::cpu_us) {
        let (least, most) = ends(series, Measure::cpu_us);
        let each = series.median(Measure::cpu_us);
        // Where this tool was busy all the time, it set the pace.
        let mark = if series.median(|run| run.tool_busy) > 0.9 { "†" } else { "" };
        add(
            text,
            format_args!(
                "| {} | **{each:.2}** ({least:.2}–{most:.2}) | {} | {:.2} | {:.2} | {:.1} | {:.1} | {}{mark} | {:.1} | {} |\n",
                shown(series),
                ratio(each, ours),
                series.median(|run| run.user_us),
                series.median(|run| run.system_us),
                series.median(|run| run.p50_ms),
                series.median(|run| run.p99_ms),
                grouped(series.median(|run| run.deliveries_s) as u64),
                series.median(|run| run.per_read),
                faults(series),
            ),
        );
    }
    if group.series.iter().any(|series| series.median(|run| run.tool_busy) > 0.9) {
        text.push_str("\n† The load tool was busy more than 90 % of the time, so it set the pace.\n");
    }
}

fn idle(text: &mut String, group: &Group, plan: &Plan) {
    add(
        text,
        format_args!(
            "{} connections.\n\n| server | bytes a connection | × efir | µs of CPU to connect and subscribe |\n|---|---|---|---|\n",
            grouped(plan.idle() as u64)
        ),
    );
    let ours = median_of(group, |run| run.bytes_connection);
    for series in sorted(group, |run| run.bytes_connection) {
        let (least, most) = ends(series, |run| run.bytes_connection);
        let bytes = series.median(|run| run.bytes_connection);
        add(
            text,
            format_args!(
                "| {} | **{}** ({}–{}) | {} | {:.1} |\n",
                shown(series),
                grouped(bytes as u64),
                grouped(least as u64),
                grouped(most as u64),
                ratio(bytes, ours),
                series.median(|run| run.connect_us),
            ),
        );
    }
}

fn failures(text: &mut String, group: &Group) {
    for series in &group.series {
        if let Some(why) = &series.failure {
            add(
                text,
                format_args!(
                    "\n{}: {} runs failed or were not possible: {why}\n",
                    series.server,
                    if series.runs.is_empty() { "all" } else { "some" }
                ),
            );
        }
    }
}

/// A sentence where a peer has less than efir.
fn lost(group: &Group, figure: &str, value: fn(&Measure) -> f64) -> Option<String> {
    let ours = median_of(group, value)?;
    let peers = sorted(group, value).into_iter().filter(|series| series.server != EFIR && !series.is_floor());
    let best = peers.into_iter().next()?;
    let theirs = best.median(value);
    (theirs < ours).then(|| {
        format!(
            "{}{figure}: {} has {theirs:.2}, efir {ours:.2} ({} ×)",
            group.row.title,
            best.server,
            two(ours / theirs)
        )
    })
}

/// Of all runs together.
fn faults(series: &Series) -> Faults {
    let mut sum = Faults::default();
    series.runs.iter().for_each(|run| sum += run.faults);
    sum
}

/// Those that have runs, the least first.
fn sorted(group: &Group, value: fn(&Measure) -> f64) -> Vec<&Series> {
    let mut series: Vec<&Series> = group.series.iter().filter(|series| !series.runs.is_empty()).collect();
    series.sort_by(|one, other| one.median(value).total_cmp(&other.median(value)));
    series
}

fn median_of(group: &Group, value: fn(&Measure) -> f64) -> Option<f64> {
    let ours = group.series.iter().find(|series| series.server == EFIR && !series.runs.is_empty())?;
    Some(ours.median(value))
}

fn ends(series: &Series, value: fn(&Measure) -> f64) -> (f64, f64) {
    let values = || series.runs.iter().map(value);
    (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max))
}

fn ratio(value: f64, ours: Option<f64>) -> String {
    ours.filter(|ours| *ours > 0.0).map_or("–".to_owned(), |ours| two(value / ours))
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

fn shown(series: &Series) -> String {
    match series.server {
        EFIR => format!("**{EFIR}**"),
        _ if series.is_floor() => format!("*{}: a bare send loop*", series.server),
        other => other.to_owned(),
    }
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::rows::{FULL, ROWS};

    #[test]
    fn the_best_stands_first_and_a_loss_is_told() {
        let mut results = Results::default();
        let measure = |cpu, p99| Ok(Measure { system_us: cpu, p99_ms: p99, ..Measure::default() });
        results.add(&ROWS[0], "efir", measure(5.0, 7.0));
        results.add(&ROWS[0], "uwebsockets", measure(4.0, 8.0));
        results.add(&ROWS[0], "floor", measure(3.0, 1.0));
        results.missing.push(("mercure", "no Go".into()));
        let text = results.text(&FULL);
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("| *floor") < at("| uwebsockets |") && at("| uwebsockets |") < at("| **efir**"));
        assert!(text.contains("| uwebsockets | **4.00** (4.00–4.00) | 0.80 |"), "{text}");
        assert!(
            text.contains("- WebSocket fan-out, 100 messages/s: uwebsockets has 4.00, efir 5.00 (1.25 ×)")
        );
        assert!(!text.contains("p99 latency:"), "{text}");
        assert!(text.contains("| mercure | not run: no Go |"));
    }
}
