//! `cargo xtask bench scale [--quick] [--server PATH] [ROW…]`: how efir grows in every direction, one row a direction.
//!
//! A row is one file that starts servers of its own (`stage.rs`) and puts the load tool's load on them (`delivery.rs`), or
//! moves a crowd by hand (`crowd.rs`) and says what that cost (`spent.rs`). Its figures (`figures.rs`) go to
//! target/bench/scale.json and as tables (`tables.rs`) into docs/benchmarks.md.

mod channels;
mod channels_a_connection;
mod connects;
mod cores;
pub(super) mod crowd;
mod delivery;
pub(super) mod figures;
mod message_size;
mod publish;
pub(super) mod spent;
pub(super) mod stage;
pub(super) mod storm;
mod subscribers;
pub(super) mod tables;

use std::time::Instant;

use anyhow::{Result, bail};
use efir_bench::system;

use self::figures::{Row, Run};
use self::stage::Plan;
use crate::{Verdict, paper};

/// A direction: its name on the command line, and how it is measured.
type Direction = (&'static str, fn(&Plan) -> Result<Row>);

const ROWS: &[Direction] = &[
    ("subscribers", subscribers::measure),
    ("channels", channels::measure),
    ("channels-a-connection", channels_a_connection::measure),
    ("message-size", message_size::measure),
    ("publish", publish::measure),
    ("connects", connects::measure),
    ("storm", storm::measure),
    ("cores", cores::measure),
];

pub(super) fn run(arguments: &[String]) -> Result<Verdict> {
    let (plan, words) = Plan::read(arguments)?;
    if let Some(word) = words.iter().find(|word| !ROWS.iter().any(|(name, _)| name == word)) {
        let names: Vec<_> = ROWS.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no row `{word}`: cargo xtask bench scale [--quick] [--server PATH] [{}]",
            names.join("|")
        );
    }
    super::in_release(&["bench", "scale"], arguments)?;
    system::raise_files()?;
    system::pin(super::TOOL_CORE)?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (name, measure) in
        ROWS.iter().filter(|(name, _)| words.is_empty() || words.iter().any(|word| word == name))
    {
        let start = Instant::now();
        println!("{name}");
        match measure(&plan) {
            Ok(row) => {
                println!("{}", tables::of_row(&row));
                rows.push(row);
            }
            // The others are worth having, and this one is told again where they stand.
            Err(error) => failures.push(format!("{name} failed: {error:#}")),
        }
        println!("{name}: {:.0} s\n", start.elapsed().as_secs_f64());
    }
    let run = Run::of("cargo xtask bench scale", &plan, rows)?;
    run.write("scale")?;
    if plan.is_kept() && words.is_empty() {
        let failed: String = failures.iter().map(|failure| format!("\n**{failure}**\n")).collect();
        paper::write("docs/benchmarks.md", "scale", &(tables::of_run(&run) + &failed))?;
    }
    for failure in &failures {
        println!("{failure}");
    }
    run.tell_missed();
    Ok(if failures.is_empty() { Verdict::Held } else { Verdict::Failed })
}
