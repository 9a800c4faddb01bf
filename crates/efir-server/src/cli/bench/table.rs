//! What a run has shown, as a table for people.

use std::fmt::Write;

use efir_bench::Figures;

use super::plan::Plan;
use super::text::{bytes, count, grouped, ms, rate, seconds, us};
use crate::cli::is_stdout_terminal;

/// Colours, where there is a terminal that wants them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    /// `NO_COLOR` (no-color.org) turns them off everywhere.
    pub(super) fn new(is_terminal: bool) -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_on: is_terminal && !is_unwanted }
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A label and what stands behind it.
pub(super) fn row(paint: Paint, label: &str, text: &str) -> String {
    format!("  {}  {text}", paint.dim(&format!("{label:<12}")))
}

/// Columns that a warning may have.
const WIDTH: usize = 78;

pub(super) fn text(plan: &Plan, figures: &Figures) -> String {
    let paint = Paint::new(is_stdout_terminal());
    let mut rows: Vec<(&str, String)> = Vec::new();
    if figures.connections > 0 {
        rows.push(("connections", connections(paint, figures)));
        rows.extend(figures.memory_each().map(|each| ("memory", memory(paint, each))));
    }
    let published = format!(
        "{}, {} a second",
        count(figures.published as usize, "message"),
        paint.strong(&rate(figures.published_per_second()))
    );
    rows.push(("published", published));
    if figures.connections > 0 {
        rows.push(("delivered", delivered(paint, figures)));
        rows.push(("latency", latency(paint, figures)));
    }
    rows.push(("server CPU", cpu(paint, figures)));
    if figures.connections > 0 {
        rows.push(("on the wire", wire(paint, figures)));
        rows.push(("faults", faults(paint, figures)));
    }
    let mut text = String::new();
    for (label, value) in rows {
        text += &row(paint, label, &value);
        text.push('\n');
    }
    for warning in figures.warnings().iter().chain(&notes(plan, figures)) {
        text += &wrapped(paint, warning);
    }
    text.push('\n');
    text
}

fn connections(paint: Paint, figures: &Figures) -> String {
    let mut text = format!(
        "{}, all in after {}",
        paint.strong(&grouped(figures.connections as u64)),
        seconds(figures.joined_in)
    );
    if let Some(each) = figures.opening_us() {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {} of server CPU each", us(each));
    }
    text
}

/// Below this, a server has used memory that it had already: no connection is so small.
const MEMORY_EACH_MIN: u64 = 300;

fn memory(paint: Paint, each: u64) -> String {
    if each < MEMORY_EACH_MIN {
        return "not seen: the server had room from before; start it afresh to measure that".to_owned();
    }
    format!("{} a connection at rest", paint.strong(&bytes(each as f64)))
}

fn delivered(paint: Paint, figures: &Figures) -> String {
    format!(
        "{} of {}, {} a second, {:.1} a read",
        grouped(figures.seen.delivered),
        grouped(figures.expected),
        paint.strong(&rate(figures.delivered_per_second())),
        figures.messages_a_read()
    )
}

fn latency(paint: Paint, figures: &Figures) -> String {
    let seen = &figures.seen.latency;
    let each = |(name, share)| format!("{} {}", paint.dim(name), paint.strong(&ms(seen.quantile(share))));
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)].map(each);
    format!("{}   {} {} ms", shares.join("   "), paint.dim("max"), paint.strong(&ms(seen.max())))
}

fn cpu(paint: Paint, figures: &Figures) -> String {
    let Some(((user, system), cores)) = figures.cpu_us().zip(figures.cores()) else {
        return "not seen: the server is elsewhere, or its process may not be looked at".to_owned();
    };
    let what = if figures.deliveries() > 0 { "delivery" } else { "message" };
    format!(
        "{} a {what}: {} user + {} system; {cores:.2} cores",
        paint.strong(&us(user + system)),
        us(user),
        us(system)
    )
}

fn wire(paint: Paint, figures: &Figures) -> String {
    let (down, up) = figures.bytes_each();
    let requests = figures.requests_each();
    let mut text = format!("{} a delivery", paint.strong(&bytes(down)));
    if requests > 0.0 {
        let _ = write!(text, ", {} of requests ({requests:.2} each)", bytes(up));
    }
    text
}

fn faults(paint: Paint, figures: &Figures) -> String {
    let faults = figures.faults;
    if faults.is_none() && figures.seen.ended > 0 {
        return paint.with(
            "1;31",
            &format!("{} connections ended; the others lost nothing", grouped(figures.seen.ended)),
        );
    }
    if faults.is_none() {
        return paint.strong("none") + ": nothing lost, double or out of order";
    }
    let text = format!(
        "{} lost, {} double, {} out of order",
        grouped(faults.lost),
        grouped(faults.duplicated),
        grouped(faults.reordered)
    );
    paint.with("1;31", &text)
}

/// What is no fault of anybody, but has to be known.
fn notes(plan: &Plan, figures: &Figures) -> Vec<String> {
    let mut notes = Vec::new();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let used = figures.cores().unwrap_or_default();
    let own = (figures.reading + figures.publishing).as_secs_f64() / figures.measured.as_secs_f64().max(1e-9);
    if used + own > cores as f64 * 0.9 && !plan.target.processes.is_empty() {
        notes.push(format!(
            "This machine was full: server and tool shared its {} and took them from each other. What the server \
             can do alone is more.",
            count(cores, "core")
        ));
    }
    notes
}

/// A warning below the table, in lines of a readable length.
fn wrapped(paint: Paint, warning: &str) -> String {
    let mut text = format!("\n  {} ", paint.with("1;33", "!"));
    let mut column = 4;
    for (n, word) in warning.split(' ').enumerate() {
        let len = word.chars().count();
        if n > 0 && column + 1 + len > WIDTH {
            text += "\n    ";
            column = 4;
        } else if n > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += len;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_broken_between_words() {
        let text = wrapped(Paint { is_on: false }, &"word ".repeat(40));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 40);
    }
}
