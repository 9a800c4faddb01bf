//! A run as tables of Markdown.

use std::fmt::Write;

use super::figures::{Goal, Point, Row, Run};
use crate::machine;
use crate::paper::grouped;

/// What it was measured on, then every row.
pub(crate) fn of_run(run: &Run) -> String {
    let mut text = format!(
        "Measured with `{}` on {}, efir {} at {}: {}.\n\n",
        run.command,
        machine::date(),
        run.version,
        machine::commit(),
        machine::line(),
    );
    for row in &run.rows {
        text += &of_row(row);
        text.push('\n');
    }
    text
}

/// Title, how it was measured, the points, what a reader has to know of some of them, the goals.
pub(crate) fn of_row(row: &Row) -> String {
    let mut text = format!("### {}\n\n{}\n\n|  | {} |", row.title, row.about, row.axis);
    for figure in row.figures {
        write!(text, " {} |", figure.title).unwrap_or_default();
    }
    text += " tool's core |\n|---|---|";
    text += &"---|".repeat(row.figures.len() + 1);
    text.push('\n');
    for series in &row.series {
        for point in &series.points {
            write!(text, "| {} | {} |", series.name, point.name()).unwrap_or_default();
            for figure in row.figures {
                write!(text, " {} |", shown(point.values.get(figure.name).copied(), figure.digits))
                    .unwrap_or_default();
            }
            writeln!(text, " {:.0} % |", point.tool_share * 100.0).unwrap_or_default();
        }
    }
    for series in &row.series {
        for point in series.points.iter().filter(|point| !point.notes.is_empty()) {
            text += &note(&series.name, point);
        }
    }
    if !row.goals.is_empty() {
        text.push('\n');
    }
    for goal in &row.goals {
        text += &of_goal(goal);
    }
    text
}

fn note(series: &str, point: &Point) -> String {
    format!("\n{series}, {}: {}\n", point.name(), point.notes.join(" "))
}

fn of_goal(goal: &Goal) -> String {
    let digits = if goal.bound < 10.0 { 2 } else { usize::from(goal.bound < 100.0) };
    let side = if goal.is_least { "≥" } else { "≤" };
    let verdict = if goal.is_met() { "met" } else { "**missed**" };
    format!(
        "- {}: {} {} (goal {side} {}): {verdict}\n",
        goal.what,
        shown(Some(goal.seen), digits),
        goal.unit,
        shown(Some(goal.bound), digits),
    )
}

fn shown(value: Option<f64>, digits: usize) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if !value.is_finite() => "–".to_owned(),
        Some(value) if digits == 0 && value >= 0.0 => grouped(value.round() as u64),
        Some(value) => format!("{value:.digits$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scale::figures::{Figure, Series};

    #[test]
    fn a_row_becomes_a_table_with_its_notes_and_goals() {
        let mut point = Point::at(1_000).with("cpu_us", 4.914);
        point.tool_share = 0.42;
        point.notes.push("Nobody knows.".to_owned());
        let row = Row {
            name: "subscribers",
            title: "Subscribers",
            about: "How.".to_owned(),
            axis: "subscribers",
            figures: &[
                Figure { name: "cpu_us", title: "µs", digits: 2 },
                Figure { name: "other", title: "other", digits: 0 },
            ],
            series: vec![Series { name: "sse".to_owned(), points: vec![point] }],
            goals: vec![Goal::most("a delivery", "µs", 4.5, 4.914)],
        };
        assert_eq!(
            of_row(&row),
            "### Subscribers\n\nHow.\n\n|  | subscribers | µs | other | tool's core |\n|---|---|---|---|---|\n\
             | sse | 1,000 | 4.91 | – | 42 % |\n\nsse, 1,000: Nobody knows.\n\n\
             - a delivery: 4.91 µs (goal ≤ 4.50): **missed**\n"
        );
    }
}
