//! What all runs have shown, and the file that keeps it: `target/bench/peers.json`.

use anyhow::Result;
use efir_bench::Figures;
use efir_bench::sequence::Faults;
use serde_json::{Value, json};

use super::rows::{Plan, Row, Shape};
use super::servers::{FLOOR, SERVERS};
use crate::{machine, root};

/// One run of one row on one server. Units are in the names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measure {
    pub(super) user_us: f64,
    pub(super) system_us: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) deliveries_s: f64,
    pub(super) per_read: f64,
    pub(super) bytes_connection: f64,
    pub(super) connect_us: f64,
    /// Lost, duplicated, reordered.
    pub(super) faults: Faults,
    /// The share of its core that this tool's busiest thread used.
    pub(super) tool_busy: f64,
}

impl Measure {
    pub(super) fn of(figures: &Figures) -> Self {
        let (user_us, system_us) = figures.cpu_us().unwrap_or_default();
        let ms = |share| figures.seen.latency.quantile(share) as f64 / 1000.0;
        let busiest = figures.reading.max(figures.publishing).as_secs_f64();
        Self {
            user_us,
            system_us,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            deliveries_s: figures.deliveries() as f64 / figures.measured.as_secs_f64().max(1e-9),
            per_read: figures.messages_a_read(),
            bytes_connection: figures.memory_each().unwrap_or_default() as f64,
            connect_us: figures.opening_us().unwrap_or_default(),
            faults: figures.faults,
            tool_busy: busiest / figures.measured.as_secs_f64().max(1e-9),
        }
    }

    pub(super) fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// All runs of one row on one server, or why there are none.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) server: &'static str,
    pub(super) runs: Vec<Measure>,
    pub(super) failure: Option<String>,
}

impl Series {
    /// The value in the middle; of two, the greater.
    pub(super) fn median(&self, value: impl Fn(&Measure) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }

    pub(super) fn is_floor(&self) -> bool {
        self.server == FLOOR
    }
}

/// The series of one row, in the order of the servers.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) row: Row,
    pub(super) series: Vec<Series>,
}

#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) groups: Vec<Group>,
    /// Name and version of each server that was installed.
    pub(super) versions: Vec<(&'static str, String)>,
    /// Name of each server that was not, and why.
    pub(super) missing: Vec<(&'static str, String)>,
}

impl Results {
    pub(super) fn add(&mut self, row: &Row, server: &'static str, measured: Result<Measure>) {
        let group = match self.groups.iter().position(|group| group.row.id == row.id) {
            Some(at) => &mut self.groups[at],
            None => {
                self.groups.push(Group { row: *row, series: Vec::new() });
                let last = self.groups.len() - 1;
                &mut self.groups[last]
            }
        };
        let series = match group.series.iter().position(|series| series.server == server) {
            Some(at) => &mut group.series[at],
            None => {
                group.series.push(Series { server, runs: Vec::new(), failure: None });
                let last = group.series.len() - 1;
                &mut group.series[last]
            }
        };
        match measured {
            Ok(measure) => series.runs.push(measure),
            Err(error) => series.failure = Some(format!("{error:#}")),
        }
    }

    pub(super) fn version(&self, server: &str) -> &str {
        let found = self.versions.iter().find(|(name, _)| *name == server);
        found.map(|(_, version)| version.as_str()).unwrap_or_default()
    }

    /// Everything, with what it was measured on. Each value is the list of all runs; units are in the keys.
    pub(super) fn json(&self, plan: &Plan) -> Value {
        let groups: Vec<Value> = self.groups.iter().map(|group| self.group(group)).collect();
        let missing = self.missing.iter().map(|(server, why)| json!({ "server": server, "reason": why }));
        json!({
            "measured": {
                "date": machine::date(),
                "commit": machine::commit(),
                "machine": machine::line(),
                "command": "cargo xtask bench peers",
                "runs": plan.runs,
                "seconds": plan.seconds(),
                "idle_connections": plan.idle(),
            },
            "groups": groups,
            "not_run": missing.collect::<Vec<_>>(),
        })
    }

    fn group(&self, group: &Group) -> Value {
        let Row { id, title, what, shape, .. } = group.row;
        let series = group.series.iter().filter(|series| !series.runs.is_empty());
        let rows = series.map(|series| {
            let note = SERVERS.iter().find(|server| server.name == series.server);
            json!({
                "server": series.server,
                "version": self.version(series.server),
                "note": note.map(|server| server.note).unwrap_or_default(),
                "values": values(series, shape == Shape::Idle),
            })
        });
        let failed = group.series.iter().filter_map(|series| {
            let failure = series.failure.as_ref()?;
            Some(json!({ "server": series.server, "reason": failure }))
        });
        json!({
            "id": id, "title": title, "what": what,
            "rows": rows.collect::<Vec<_>>(), "failed": failed.collect::<Vec<_>>(),
        })
    }

    /// Writes it; returns where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, plan: &Plan, name: &str) -> Result<std::path::PathBuf> {
        let folder = root::target().join("bench");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(name);
        std::fs::write(&file, format!("{:#}\n", self.json(plan)))?;
        Ok(file)
    }
}

fn values(series: &Series, is_idle: bool) -> Value {
    let list = |value: fn(&Measure) -> f64| -> Vec<f64> {
        series.runs.iter().map(|run| (value(run) * 1000.0).round() / 1000.0).collect()
    };
    if is_idle {
        return json!({
            "bytes_connection": list(|run| run.bytes_connection),
            "connect_us": list(|run| run.connect_us),
        });
    }
    json!({
        "cpu_us": list(Measure::cpu_us),
        "user_us": list(|run| run.user_us),
        "system_us": list(|run| run.system_us),
        "p50_ms": list(|run| run.p50_ms),
        "p99_ms": list(|run| run.p99_ms),
        "deliveries_s": list(|run| run.deliveries_s),
        "messages_read": list(|run| run.per_read),
        "lost": list(|run| run.faults.lost as f64),
        "duplicated": list(|run| run.faults.duplicated as f64),
        "reordered": list(|run| run.faults.reordered as f64),
        "tool_busy": list(|run| run.tool_busy),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::rows::{FULL, ROWS};

    #[test]
    fn every_run_is_kept_and_failures_beside() {
        let mut results = Results::default();
        for cpu in [3.0, 1.0, 2.0] {
            results.add(&ROWS[0], "efir", Ok(Measure { system_us: cpu, ..Measure::default() }));
        }
        results.add(&ROWS[0], "nats", Err(anyhow::anyhow!("it fell over")));
        let json = results.json(&FULL);
        let group = &json["groups"][0];
        assert_eq!(group["id"], "websocket");
        assert_eq!(group["rows"][0]["values"]["cpu_us"], json!([3.0, 1.0, 2.0]));
        assert_eq!(group["rows"].as_array().map(Vec::len), Some(1));
        assert_eq!(group["failed"][0]["reason"], "it fell over");
        assert_eq!(results.groups[0].series[0].median(Measure::cpu_us), 2.0);
    }
}
