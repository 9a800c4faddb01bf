//! The answer in one table: for each kind of work efir, the best of the others, and how many times that efir is.

use std::fmt::Write;

use serde_json::Value;

use super::axis::number;
use super::bars::{Bar, Kind, Panel};
use super::measured;

/// The figures that are compared, and what each is called.
const FIGURES: &[(&str, &str)] = &[
    ("cpu_us", "µs of CPU a delivery"),
    ("p99_ms", "p99 latency, ms"),
    ("bytes_connection", "bytes a connection"),
    ("connect_us", "µs of CPU a connect and subscribe"),
];

/// The table; empty where nothing was compared.
pub(super) fn table(peers: &Value) -> String {
    let mut text = String::new();
    for (figure, title) in FIGURES {
        for panel in measured::panels(peers, figure, &[]) {
            row(&mut text, title, &panel);
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("| work | figure | efir | best of the others | efir / best |\n|---|---|---:|---:|---:|\n{text}")
}

fn row(text: &mut String, title: &str, panel: &Panel) {
    // Bars stand in ascending order.
    let first = |kind| panel.bars.iter().find(|bar: &&Bar| bar.kind == kind && bar.value > 0.0);
    let (Some(ours), Some(best), Some(ratio)) = (first(Kind::Ours), first(Kind::Peer), panel.ratio()) else {
        return;
    };
    let ratio = if ratio <= 1.0 { format!("**{ratio:.2}**") } else { format!("{ratio:.2}") };
    let (ours, best, name) = (number(ours.value), number(best.value), &best.name);
    writeln!(text, "| {} | {title} | {ours} | {best} ({name}) | {ratio} |", panel.title).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_lost_stands_there_as_what_is_won() {
        let row = |server: &str, cpu: f64, p99: f64| json!({ "server": server, "values": { "cpu_us": [cpu], "p99_ms": [p99] } });
        let peers = json!({ "groups": [{ "title": "SSE", "what": "", "rows": [row("efir", 4.0, 9.0), row("nchan", 8.0, 6.0), row("ws", 9.0, 7.0)] }] });
        let table = table(&peers);
        assert!(table.contains("| SSE | µs of CPU a delivery | 4.00 | 8.00 (Nchan) | **0.50** |"), "{table}");
        assert!(table.contains("| SSE | p99 latency, ms | 9.00 | 6.00 (Nchan) | 1.50 |"), "{table}");
        assert_eq!(super::table(&json!({ "groups": [] })), "");
    }
}
