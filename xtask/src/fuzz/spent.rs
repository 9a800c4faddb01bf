//! How much was thrown at each target in all, as docs/reliability.md has it: each longer run adds to it.

use anyhow::{Context, Result};

use super::Run;
use crate::machine;
use crate::paper::{self, grouped};
use crate::root::root;

const PAPER: &str = "docs/reliability.md";
const NAME: &str = "fuzz";

#[derive(Debug, Clone, PartialEq)]
struct Row {
    target: String,
    executions: u64,
    cpu_s: f64,
    features: u64,
    crashes: u64,
}

/// The table.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Spent(Vec<Row>);

impl Spent {
    pub(super) fn read() -> Result<Self> {
        let text = std::fs::read_to_string(root().join(PAPER)).with_context(|| format!("reading {PAPER}"))?;
        let (begin, end) = (format!("<!-- {NAME}: begin -->"), format!("<!-- {NAME}: end -->"));
        let (_, rest) =
            text.split_once(&begin).with_context(|| format!("{PAPER} has no marks for {NAME}"))?;
        let (table, _) = rest.split_once(&end).with_context(|| format!("{PAPER} has no end of {NAME}"))?;
        Ok(Self::parse(table))
    }

    /// Rows look like `| frames | 1,234 | 0.5 min | 77 | 0 |`; what does not is none.
    fn parse(table: &str) -> Self {
        let number = |cell: &str| cell.replace(',', "").parse().ok();
        let row = |line: &str| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [target, executions, cpu, features, crashes] = cells[..] else { return None };
            let minutes: f64 = cpu.strip_suffix(" min")?.replace(',', "").parse().ok()?;
            Some(Row {
                target: target.to_owned(),
                executions: number(executions)?,
                cpu_s: minutes * 60.0,
                features: number(features)?,
                crashes: number(crashes)?,
            })
        };
        let rows = table.lines().filter_map(row).filter(|row| row.target != "together");
        Self(rows.collect())
    }

    pub(super) fn with(mut self, run: &Run) -> Self {
        let place = self.0.iter().position(|row| row.target == run.target);
        let place = place.unwrap_or_else(|| {
            let target = run.target.clone();
            self.0.push(Row { target, executions: 0, cpu_s: 0.0, features: 0, crashes: 0 });
            self.0.len() - 1
        });
        let row = &mut self.0[place];
        row.executions += run.executions;
        row.cpu_s += run.cpu.as_secs_f64();
        row.features = row.features.max(run.features);
        // Of this run: what was found before is mended, or found again.
        row.crashes = run.crashes.len() as u64;
        self.0.sort_by(|one, other| one.target.cmp(&other.target));
        self
    }

    pub(super) fn write(&self) -> Result<()> {
        paper::write(PAPER, NAME, &self.text())
    }

    fn text(&self) -> String {
        let mut text = format!(
            "`cargo xtask fuzz`, summed over all runs until {}, {}.\n\n\
             | target | inputs thrown | CPU in all | features seen | crashes open |\n|---|--:|--:|--:|--:|\n",
            machine::date(),
            machine::line()
        );
        let line = |row: &Row| {
            format!(
                "| {} | {} | {:.1} min | {} | {} |\n",
                row.target,
                grouped(row.executions),
                row.cpu_s / 60.0,
                grouped(row.features),
                row.crashes
            )
        };
        self.0.iter().for_each(|row| text.push_str(&line(row)));
        let sum = Row {
            target: "together".to_owned(),
            executions: self.0.iter().map(|row| row.executions).sum(),
            cpu_s: self.0.iter().map(|row| row.cpu_s).sum(),
            features: self.0.iter().map(|row| row.features).sum(),
            crashes: self.0.iter().map(|row| row.crashes).sum(),
        };
        text.push_str(&line(&sum));
        text.push_str(&format!("\n{:.2} hours of CPU in all.\n", sum.cpu_s / 3600.0));
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_added_to() {
        let row = |target: &str, executions| Row {
            target: target.to_owned(),
            executions,
            cpu_s: 90.0,
            features: 1_234,
            crashes: 0,
        };
        let spent = Spent(vec![row("a", 1_000_000), row("b", 2)]);
        assert_eq!(Spent::parse(&spent.text()), spent);
        assert!(spent.text().contains("\n| together | 1,000,002 | 3.0 min | 2,468 | 0 |\n\n0.05 hours"));
        let more = spent.with(&Run::held("a", 5, Duration::from_secs(30)));
        assert_eq!((more.0[0].executions, more.0[0].cpu_s, more.0.len()), (1_000_005, 120.0, 2));
    }
}
