//! What the benchmarks left in `target/bench`: reads `peers.json`, `scale.json` and `slow-readers.json` for the pictures.

use anyhow::{Context, Result};
use serde_json::Value;

use super::bars::{Bar, Kind, Panel};
use super::curves::Line;
use crate::root;

/// Servers by their names in results, and how their authors write them.
const NAMES: &[(&str, &str)] = &[
    ("floor", "bare send loop"),
    ("uwebsockets", "uWebSockets"),
    ("socket-io", "Socket.IO"),
    ("nchan", "Nchan"),
    ("nats", "NATS"),
    ("axum-baseline", "axum, 70 lines"),
    ("centrifugo", "Centrifugo"),
    ("mercure", "Mercure"),
];

/// One file of results; `None` where it was not measured yet, or only tried.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn read(name: &str) -> Result<Option<Value>> {
    let file = root::target().join("bench").join(name);
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&file)?;
    let results: Value =
        serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
    // A trial shows that the tool works; its numbers are none for a paper.
    if results["is_quick"] == true {
        println!("{} is of a quick trial and not drawn", file.display());
        return Ok(None);
    }
    Ok(Some(results))
}

/// When, of what and where it was measured.
pub(super) fn caption(results: &Value) -> String {
    let told = match &results["measured"] {
        Value::Null => results,
        measured => measured,
    };
    let word = |key: &str| told[key].as_str().unwrap_or_default();
    let mut caption = format!("{}, {}", word("date"), word("machine"));
    if !word("commit").is_empty() {
        caption += &format!(". efir at {}", word("commit"));
    }
    if let Some(runs) = told["runs"].as_u64() {
        caption += &match runs {
            1 => ". One run".to_owned(),
            _ => format!(". Medians of {runs} runs; thin lines: the least and the greatest"),
        };
    }
    caption += &format!(". {}", word("command"));
    caption
}

/// The groups of the peers' results that have a figure, each a panel with its shortest bar first.
pub(super) fn panels(peers: &Value, figure: &str, parts: &[&str]) -> Vec<Panel> {
    let panel = |group: &Value| {
        let mut bars: Vec<Bar> =
            list(&group["rows"]).iter().filter_map(|row| bar(row, figure, parts)).collect();
        bars.sort_by(|one, other| one.value.total_cmp(&other.value));
        let word = |key: &str| group[key].as_str().unwrap_or_default().to_owned();
        Panel { title: word("title"), about: word("what"), bars }
    };
    list(&peers["groups"]).iter().map(panel).filter(|panel| !panel.bars.is_empty()).collect()
}

fn bar(row: &Value, figure: &str, parts: &[&str]) -> Option<Bar> {
    let server = row["server"].as_str()?;
    let name = NAMES.iter().find(|(known, _)| *known == server).map_or(server, |(_, name)| name).to_owned();
    let runs = numbers(&row["values"][figure]);
    let value = median(&runs)?;
    let shares: Vec<f64> = parts.iter().filter_map(|part| median(&numbers(&row["values"][*part]))).collect();
    let sum: f64 = shares.iter().sum();
    // The medians of the parts need not add up to the median of the whole.
    let parts =
        if sum > 0.0 { shares.iter().map(|share| share / sum * value).collect() } else { vec![value] };
    let kind = match name.split(' ').next() {
        Some("efir") => Kind::Ours,
        _ if server == "floor" => Kind::Floor,
        _ => Kind::Peer,
    };
    let (least, most) =
        (runs.iter().copied().fold(f64::MAX, f64::min), runs.iter().copied().fold(0.0, f64::max));
    let spread = (runs.len() > 1).then_some((least, most));
    Some(Bar { name, kind, parts, value, spread })
}

/// One row of a scale's results by its name.
pub(super) fn row<'a>(results: &'a Value, name: &str) -> Option<&'a Value> {
    list(&results["rows"]).iter().find(|row| row["name"] == name)
}

/// The lines of a figure; points without it are left out.
pub(super) fn lines(row: &Value, figure: &str) -> Vec<Line> {
    let line = |series: &Value| {
        let point = |point: &Value| Some((point["at"].as_f64()?, point["values"][figure].as_f64()?));
        let mut points: Vec<(f64, f64)> = list(&series["points"]).iter().filter_map(point).collect();
        points.retain(|(x, y)| *x > 0.0 && *y > 0.0 && y.is_finite());
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Line { name: series["name"].as_str().unwrap_or_default().to_owned(), points }
    };
    list(&row["series"]).iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// The same as bars, where the points are kinds: a panel for each series.
pub(super) fn kinds(row: &Value, figure: &str) -> Vec<Panel> {
    let panel = |series: &Value| {
        let bar = |point: &Value| {
            let value = point["values"][figure].as_f64()?;
            let name = point["label"].as_str()?.to_owned();
            Some(Bar { name, kind: Kind::Ours, parts: vec![value], value, spread: None })
        };
        let bars = list(&series["points"]).iter().filter_map(bar).collect();
        Panel { title: series["name"].as_str().unwrap_or_default().to_owned(), about: String::new(), bars }
    };
    list(&row["series"]).iter().map(panel).filter(|panel| !panel.bars.is_empty()).collect()
}

/// What a figure of a row is called.
pub(super) fn title<'a>(row: &'a Value, figure: &str) -> &'a str {
    let found = list(&row["figures"]).iter().find(|one| one["name"] == figure);
    found.and_then(|one| one["title"].as_str()).unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().filter_map(Value::as_f64).filter(|number| number.is_finite()).collect()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_becomes_a_panel_with_the_best_first() {
        let row = |server: &str, cpu: [f64; 3]| json!({ "server": server, "values": { "cpu_us": cpu, "user_us": [1.0, 1.0, 1.0], "system_us": [3.0, 3.0, 3.0] } });
        let peers = json!({ "groups": [
            { "id": "sse", "title": "SSE", "what": "1 × 1,000", "rows": [row("nchan", [8.0, 9.0, 7.0]), row("efir", [4.0, 5.0, 4.5]), row("floor", [4.0, 4.0, 4.0])] },
            { "id": "idle", "title": "Idle", "rows": [{ "server": "efir", "values": { "bytes_connection": [900] } }] },
        ] });
        let panels = panels(&peers, "cpu_us", &["user_us", "system_us"]);
        assert_eq!(panels.len(), 1, "the idle group has no such figure");
        let names: Vec<_> = panels[0].bars.iter().map(|bar| (bar.name.as_str(), bar.kind)).collect();
        assert_eq!(names, [("bare send loop", Kind::Floor), ("efir", Kind::Ours), ("Nchan", Kind::Peer)]);
        let ours = &panels[0].bars[1];
        assert_eq!(
            (ours.value, ours.spread, ours.parts.clone()),
            (4.5, Some((4.0, 5.0)), vec![1.125, 3.375])
        );
        assert_eq!(super::panels(&peers, "bytes_connection", &[])[0].bars[0].spread, None);
    }

    #[test]
    fn points_that_no_logarithm_has_are_left_out() {
        let row = json!({ "figures": [{ "name": "cpu_us", "title": "µs of CPU a delivery" }], "series": [
            { "name": "sse", "points": [
                { "at": 100, "values": { "cpu_us": 5.0 } }, { "at": 1, "values": { "cpu_us": 9.0 } },
                { "at": 0, "values": { "cpu_us": 1.0 } }, { "at": 10, "values": {} },
            ] },
            { "name": "empty", "points": [] },
        ] });
        let lines = lines(&row, "cpu_us");
        assert_eq!((lines.len(), lines[0].points.clone()), (1, vec![(1.0, 9.0), (100.0, 5.0)]));
        assert_eq!(title(&row, "cpu_us"), "µs of CPU a delivery");
    }

    #[test]
    fn the_caption_says_when_and_where() {
        let measured = json!({ "measured": { "date": "2026-11-21", "machine": "2 cores", "commit": "abc", "command": "cargo xtask bench peers", "runs": 3 } });
        let caption = caption(&measured);
        assert!(caption.starts_with("2026-11-21, 2 cores. efir at abc. Medians of 3 runs"), "{caption}");
    }
}
