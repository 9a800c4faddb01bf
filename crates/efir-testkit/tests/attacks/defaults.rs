//! V19: without configuration everything is finite.

use anyhow::{Context, Result, ensure};
use efir_core::{LIMITS, TIMES};
use efir_testkit::ask::Ask;

use crate::victim::Victim;

/// What counts as infinite: nobody has so many of anything.
const INFINITE: u64 = 1 << 40;

/// Waits for nothing unless it is told to; that is the least, not the most.
const NOTHING: &str = "drain_delay_ms";

/// Every limit and time in force is a number, more than nothing and less than what is as good as infinite.
pub(crate) async fn everything_is_finite() -> Result<()> {
    let victim = Victim::start().await?;
    let told = victim.ask(Ask::get("/info")).await?.json()?;
    for (table, rows) in [("limits", LIMITS), ("times", TIMES)] {
        let shown = told[table].as_object().with_context(|| format!("/info tells no {table}"))?;
        for row in rows {
            let value = shown.get(row.name).and_then(serde_json::Value::as_u64);
            let value = value.with_context(|| format!("/info does not tell {}", row.name))?;
            ensure!((value > 0 || row.name == NOTHING) && value < INFINITE, "{} is {value}", row.name);
        }
        for (name, value) in shown {
            ensure!(value.as_u64().is_some_and(|value| value < INFINITE), "{name} is {value}");
        }
    }
    Ok(())
}
