//! The run while it goes on, on stderr: one block that is rewritten on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use efir_bench::{Pace, Progress, Stage, Transport};

use super::plan::Plan;
use super::table::{Paint, row};
use super::text::{bytes, count, grouped, ms, rate, seconds};

/// How wide the bar is, in characters.
const BAR: usize = 30;
/// How often a line comes where no block can be rewritten.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What is shown, and what was shown last.
pub(super) struct View<'a> {
    plan: &'a Plan,
    is_quiet: bool,
    is_terminal: bool,
    paint: Paint,
    /// Lines of the block that stand on the terminal now.
    lines: usize,
    last: Option<(Stage, Instant)>,
    /// The server's CPU time when the stage began.
    cpu: Duration,
}

impl<'a> View<'a> {
    pub(super) fn new(plan: &'a Plan, is_quiet: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let paint = Paint::new(is_terminal);
        Self { plan, is_quiet, is_terminal, paint, lines: 0, last: None, cpu: Duration::ZERO }
    }

    /// What is going to be done.
    pub(super) fn head(&self) {
        if self.is_quiet {
            return;
        }
        let (plan, load) = (self.plan, &self.plan.load);
        let processes: Vec<String> = plan.target.processes.iter().map(ToString::to_string).collect();
        let process = match processes.as_slice() {
            [] => String::new(),
            [one] => format!(", process {one}"),
            many => format!(", processes {}", many.join(", ")),
        };
        let over = match plan.transport {
            Transport::Socket => "/socket",
            other => other.name(),
        };
        let subscribers = match load.subscribers {
            0 => ", nobody subscribes".to_owned(),
            some => format!(" × {} over {over}", count(some, "subscriber")),
        };
        let several = match load.channels_a_connection {
            1 => String::new(),
            each => format!(", {} a connection", count(each, "channel")),
        };
        let pace = match load.pace {
            Pace::PerSecond(each) if load.channels == 1 => format!("{} messages a second", rate(each)),
            Pace::PerSecond(each) => format!("{} messages a second on all together", rate(each)),
            Pace::FlatOut { .. } => "messages as fast as they are delivered".to_owned(),
        };
        let title = self.paint.strong(&plan.url);
        let server = self.paint.dim(&format!("efir {}{process}", plan.version));
        let (channels, payload) = (count(load.channels, "channel"), bytes(load.payload_bytes as f64));
        tell(&format!(
            "\n  {title}  {server}\n  {channels}{subscribers}{several}\n  {pace}, {payload} each, by {}\n\n",
            plan.publish
        ));
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        let is_new = self.last.is_none_or(|(stage, _)| stage != progress.stage);
        if is_new {
            self.cpu = progress.cpu.unwrap_or_default().total();
        }
        if self.is_quiet {
        } else if self.is_terminal {
            self.rewrite(progress);
        } else if is_new || self.last.is_some_and(|(_, at)| at.elapsed() > LINE_INTERVAL) {
            tell(&format!("  {}\n", self.line(progress)));
        } else {
            return;
        }
        self.last = Some((progress.stage, Instant::now()));
    }

    /// Takes the block away, for the table that comes in its place.
    pub(super) fn clear(&mut self) {
        if self.lines > 0 {
            // Up to the block's first line, and everything from there on away.
            tell(&format!("\x1b[{}F\x1b[J", self.lines));
            self.lines = 0;
        }
    }

    fn rewrite(&mut self, progress: &Progress) {
        let mut block = vec![row(self.paint, name(progress.stage), &self.bar(progress))];
        if progress.stage == Stage::Measuring {
            block.extend(self.figures(progress));
        }
        let mut text = String::new();
        if self.lines > 0 {
            text = format!("\x1b[{}F\x1b[J", self.lines);
        }
        self.lines = block.len();
        block.iter().for_each(|line| text += &format!("{line}\n"));
        tell(&text);
    }

    /// How far the stage is.
    fn bar(&self, progress: &Progress) -> String {
        let connections = self.plan.load.connections();
        let (share, text) = match progress.stage {
            Stage::Connecting => (
                progress.joined as f64 / connections.max(1) as f64,
                format!("{} of {}", grouped(progress.joined as u64), count(connections, "connection")),
            ),
            Stage::Draining => (1.0, "the last messages are on their way".to_owned()),
            _ => (
                progress.elapsed.as_secs_f64() / progress.of.as_secs_f64().max(1e-9),
                format!("{} of {}", progress.elapsed.as_secs(), seconds(progress.of)),
            ),
        };
        let full = ((share * BAR as f64) as usize).min(BAR);
        format!("{}{}  {text}", "━".repeat(full), self.paint.dim(&"━".repeat(BAR - full)))
    }

    fn figures(&self, progress: &Progress) -> Vec<String> {
        let (seen, elapsed) = (&progress.seen, progress.elapsed.as_secs_f64().max(1e-9));
        let each = |value: u64| rate(value as f64 / elapsed);
        let mut rows = vec![row(self.paint, "published", &format!("{} a second", each(progress.published)))];
        if self.plan.load.subscribers > 0 {
            rows.push(row(self.paint, "delivered", &format!("{} a second", each(seen.delivered))));
            let latency = |share| ms(seen.latency.quantile(share));
            let text =
                format!("p50 {}   p99 {}   max {} ms", latency(0.5), latency(0.99), ms(seen.latency.max()));
            rows.push(row(self.paint, "latency", &text));
        }
        if let Some(cpu) = progress.cpu {
            let cores = cpu.total().saturating_sub(self.cpu).as_secs_f64() / elapsed;
            rows.push(row(self.paint, "server", &format!("{cores:.2} cores")));
        }
        rows
    }

    /// The same in one line.
    fn line(&self, progress: &Progress) -> String {
        let stage = name(progress.stage);
        let seen = &progress.seen;
        match progress.stage {
            Stage::Connecting => {
                format!("{stage}: {} of {}", progress.joined, self.plan.load.connections())
            }
            Stage::Measuring if seen.delivered > 0 => format!(
                "{stage}: {} of {}, {} delivered a second, p99 {} ms",
                progress.elapsed.as_secs(),
                seconds(progress.of),
                rate(seen.delivered as f64 / progress.elapsed.as_secs_f64()),
                ms(seen.latency.quantile(0.99))
            ),
            Stage::Draining => stage.to_owned(),
            _ => format!("{stage}: {} of {}", progress.elapsed.as_secs(), seconds(progress.of)),
        }
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Connecting => "connecting",
        Stage::Resting => "resting",
        Stage::WarmingUp => "warming up",
        Stage::Measuring => "measuring",
        Stage::Draining => "draining",
    }
}

/// On stderr; nobody can be told where that is closed.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
