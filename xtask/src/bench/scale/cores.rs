//! One core or two.

use std::process::Command;

use anyhow::{Result, bail};
use efir_bench::{Load, Pace, Transport, system};

use super::delivery;
use super::figures::{Figure, Row, Series};
use super::stage::Plan;

const CORES: [(u64, &str); 2] = [(1, "0"), (2, "0,1")];
const SUBSCRIBERS: usize = 1_000;
/// What goes on: name, and how fast.
const WORK: [(&str, Option<f64>); 2] = [("100 messages/s", Some(100.0)), ("as fast as it goes", None)];

const FIGURES: &[Figure] = &[
    Figure { name: "deliveries", title: "deliveries/s", digits: 0 },
    Figure { name: "cpu_us", title: "µs of CPU a delivery", digits: 2 },
    Figure { name: "server", title: "server, % of a core", digits: 0 },
    Figure { name: "p50_ms", title: "p50 ms", digits: 2 },
    Figure { name: "p99_ms", title: "p99 ms", digits: 2 },
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    free_this_tool()?;
    let series = all_work(plan);
    system::pin(super::super::TOOL_CORE)?;
    Ok(Row {
        name: "cores",
        title: "Cores",
        about: format!(
            "{SUBSCRIBERS} WebSocket subscribers of one channel; the server has one worker on core 0, or one on each of two cores. The tool \
             may run on both cores in either case, because this machine has no third: with two workers it takes CPU from the server. \
             So this shows what a second worker costs (µs a delivery) and gains at a rate (latency), not how throughput would \
             double on free cores."
        ),
        axis: "cores",
        figures: FIGURES,
        series: series?,
        goals: Vec::new(),
    })
}

/// Lets every thread of this tool run on both cores.
fn free_this_tool() -> Result<()> {
    let process = std::process::id().to_string();
    let output = Command::new("taskset").args(["-a", "-p", "-c", "0,1", &process]).output()?;
    if !output.status.success() {
        bail!("taskset: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn all_work(plan: &Plan) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for (name, rate) in WORK {
        let mut points = Vec::new();
        for (count, cores) in CORES {
            let server = plan.server_on(cores, &[])?;
            let pace = rate.map_or(Pace::flat_out(100), Pace::PerSecond);
            let load = Load { subscribers: SUBSCRIBERS, pace, measured: plan.measured(), ..Load::default() };
            let figures = delivery::measure(&load, &delivery::target(&server, Transport::Websocket))?;
            let mut point = delivery::point(count, &load, &figures);
            // Two cores are shared here, whoever is full.
            point.notes.clear();
            points.push(point);
        }
        series.push(Series { name: name.to_owned(), points });
    }
    Ok(series)
}
