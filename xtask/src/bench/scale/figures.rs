//! What a run found: rows of series of points, and the goals that they are held against. One shape for every row, so
//! that the tables and the plots need not know them.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::stage::Plan;
use crate::{machine, root, server};

/// A figure of a row: a column of its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// How many digits behind the point are worth showing.
    pub(crate) digits: usize,
}

/// One direction in which efir grows.
#[derive(Debug)]
pub(crate) struct Row {
    /// As on the command line; fits a file name.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// How it was measured, for readers of the table.
    pub(crate) about: String,
    /// What a point's `at` counts.
    pub(crate) axis: &'static str,
    pub(crate) figures: &'static [Figure],
    pub(crate) series: Vec<Series>,
    pub(crate) goals: Vec<Goal>,
}

/// The points of one transport or kind.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

/// What was measured at one place of the axis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Point {
    pub(crate) at: u64,
    /// What stands at the axis when `at` is no quantity.
    pub(crate) label: Option<String>,
    pub(crate) values: BTreeMap<&'static str, f64>,
    /// Which part of its core this tool took: near 1, the tool was what was measured.
    pub(crate) tool_share: f64,
    /// What a reader has to know about this point alone.
    pub(crate) notes: Vec<String>,
}

/// A bound and what was seen.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) bound: f64,
    /// `bound` is the least that will do; otherwise the most.
    pub(crate) is_least: bool,
    pub(crate) seen: f64,
}

/// All rows of one run, and what they were measured on.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) command: &'static str,
    pub(crate) version: String,
    is_quick: bool,
    pub(crate) rows: Vec<Row>,
}

impl Point {
    pub(crate) fn at(at: u64) -> Self {
        Self { at, ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.values.insert(name, value);
        self
    }

    pub(crate) fn value(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn name(&self) -> String {
        self.label.clone().unwrap_or_else(|| crate::paper::grouped(self.at))
    }
}

impl Goal {
    /// Seen should be at most `bound`.
    pub(crate) fn most(what: impl Into<String>, unit: &'static str, bound: f64, seen: f64) -> Self {
        Self { what: what.into(), unit, bound, is_least: false, seen }
    }

    /// Seen should be at least `bound`.
    pub(crate) fn least(what: impl Into<String>, unit: &'static str, bound: f64, seen: f64) -> Self {
        Self { is_least: true, ..Self::most(what, unit, bound, seen) }
    }

    pub(crate) fn is_met(&self) -> bool {
        if self.is_least { self.seen >= self.bound } else { self.seen <= self.bound }
    }
}

impl Run {
    /// # Errors
    /// When the server does not start, which is asked for its version.
    pub(crate) fn of(command: &'static str, plan: &Plan, rows: Vec<Row>) -> Result<Self> {
        let server = plan.server(&[])?;
        let told: Value = serde_json::from_str(&server::get(server.address(), "/info")?)?;
        let version = told["version"].as_str().unwrap_or_default().to_owned();
        Ok(Self { command, version, is_quick: plan.is_quick, rows })
    }

    /// Says which goals were not met. That is no fault of the run: what is lost or refused ends it by an error.
    pub(crate) fn tell_missed(&self) {
        for goal in self.rows.iter().flat_map(|row| &row.goals).filter(|goal| !goal.is_met()) {
            println!("missed: {}: {:.2} {}, the goal is {}", goal.what, goal.seen, goal.unit, goal.bound);
        }
    }

    /// Writes target/bench/NAME.json, for the plots.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str) -> Result<()> {
        let folder = root::target().join("bench");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.json"));
        std::fs::write(&file, serde_json::to_string_pretty(&self.to_json())?)?;
        println!("{} written", file.display());
        Ok(())
    }

    fn to_json(&self) -> Value {
        json!({
            "command": self.command,
            "date": machine::date(),
            "commit": machine::commit(),
            "machine": machine::line(),
            "version": self.version,
            "is_quick": self.is_quick,
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|figure| json!({"name": figure.name, "title": figure.title, "digits": figure.digits}))
            .collect();
        let series: Vec<_> = self
            .series
            .iter()
            .map(|series| json!({"name": series.name, "points": series.points.iter().map(Point::to_json).collect::<Vec<_>>()}))
            .collect();
        json!({
            "name": self.name, "title": self.title, "about": self.about, "axis": self.axis,
            "figures": figures, "series": series,
            "goals": self.goals.iter().map(Goal::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Point {
    fn to_json(&self) -> Value {
        json!({"at": self.at, "label": self.name(), "values": self.values, "tool_share": self.tool_share, "notes": self.notes})
    }
}

impl Goal {
    fn to_json(&self) -> Value {
        json!({"what": self.what, "unit": self.unit, "bound": self.bound, "is_least": self.is_least, "seen": self.seen, "is_met": self.is_met()})
    }
}

/// The value that stands in the middle; of an even number, the upper one. 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_on_its_own_side() {
        assert!(Goal::most("a", "µs", 9.0, 9.0).is_met());
        assert!(!Goal::most("a", "µs", 9.0, 9.1).is_met());
        assert!(Goal::least("a", "a second", 100.0, 100.0).is_met());
        assert!(!Goal::least("a", "a second", 100.0, 99.0).is_met());
        assert!(!Goal::most("never measured", "µs", 9.0, f64::NAN).is_met());
    }

    #[test]
    fn a_row_has_one_shape() {
        let row = Row {
            name: "storm",
            title: "Storm",
            about: String::new(),
            axis: "connections",
            figures: &[Figure { name: "back_s", title: "seconds", digits: 1 }],
            series: vec![Series { name: "sse".into(), points: vec![Point::at(15_000).with("back_s", 1.5)] }],
            goals: vec![Goal::most("all back", "s", 5.0, 1.5)],
        };
        let json = row.to_json();
        assert_eq!(json["series"][0]["points"][0]["values"]["back_s"], 1.5);
        assert_eq!(json["series"][0]["points"][0]["label"], "15,000");
        assert_eq!(json["goals"][0]["is_met"], true);
    }

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
