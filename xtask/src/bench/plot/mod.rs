//! `cargo xtask bench plots`: the pictures of docs/benchmarks.md, from what the benchmarks left in `target/bench`.
//!
//! A picture is one line of a table below. `measured.rs` reads results, `bars.rs` and `curves.rs` lay them out, `drawing.rs` knows
//! how they look. What was not measured is not drawn, and a picture of an earlier run stays.

mod answer;
mod axis;
mod bars;
mod curves;
mod drawing;
mod measured;

use anyhow::{Result, bail};
use serde_json::Value;

use self::bars::{Bars, Panel};
use self::curves::Curves;
use self::drawing::Drawing;
use crate::root::root;
use crate::{Verdict, paper};

const PAPER: &str = "docs/benchmarks.md";
const FOLDER: &str = "docs/benchmarks";

/// A picture of all servers: file, figure in the results, parts of its bars, title, and what it shows.
struct Compared {
    file: &'static str,
    figure: &'static str,
    parts: &'static [&'static str],
    title: &'static str,
    about: &'static str,
}

const COMPARED: &[Compared] = &[
    Compared {
        file: "peers-cpu",
        figure: "cpu_us",
        parts: &["user_us", "system_us"],
        title: "CPU for a delivered message",
        about: "Microseconds of the server's CPU for each message that one subscriber gets; shorter is better. On loopback the system \
                part is mostly the kernel's send. All servers in turns, each pinned to the same core.",
    },
    Compared {
        file: "peers-p99",
        figure: "p99_ms",
        parts: &[],
        title: "Latency that 99 of 100 deliveries stay below",
        about: "Milliseconds from when the publisher meant to send until the subscriber's end has read it; shorter is better. The \
                tool's own work is in it, the same for all.",
    },
    Compared {
        file: "peers-memory",
        figure: "bytes_connection",
        parts: &[],
        title: "Memory of an idle connection",
        about: "Bytes of the server's own memory (RssAnon) for each connection that waits; shorter is better. The kernel's part of a \
                socket, about 4 KB, comes on top for all.",
    },
];

/// A picture of growth: the results' file, row and figure, and the file and title of the picture.
struct Grown {
    results: &'static str,
    row: &'static str,
    figure: &'static str,
    title: &'static str,
}

const fn grown(row: &'static str, figure: &'static str, title: &'static str) -> Grown {
    Grown { results: "scale.json", row, figure, title }
}

const GROWN: &[Grown] = &[
    grown("subscribers", "cpu_us", "CPU for a delivery, by subscribers of the channel"),
    grown("subscribers", "p99_ms", "Latency (p99), by subscribers of the channel"),
    grown("channels", "bytes", "Memory of a channel with one message, by channels"),
    grown(
        "channels-a-connection",
        "bytes_a_subscription",
        "Memory of a subscription, by channels of a connection",
    ),
    grown("channels-a-connection", "cpu_us", "CPU for a delivery, by channels of a connection"),
    grown("message-size", "cpu_us", "CPU for a delivery, by size of the message"),
    grown("publish", "cpu_us", "CPU for a publish, as fast as it goes"),
    grown("connects", "connect_us", "CPU for a connect and subscribe"),
    grown("storm", "back_s", "Seconds until the last is back, after all lost their connections"),
    grown("cores", "deliveries", "Deliveries a second, by cores"),
    Grown {
        results: "slow-readers.json",
        row: "slow-readers",
        figure: "p99_ms",
        title: "Latency (p99) of those who read, while others do not",
    },
];

/// Draws everything that was measured, and puts it into the paper.
pub(super) fn run(arguments: &[String]) -> Result<Verdict> {
    if !arguments.is_empty() {
        bail!("cargo xtask bench plots");
    }
    let (mut beside, mut grows) = (Vec::new(), Vec::new());
    if let Some(peers) = measured::read("peers.json")? {
        for picture in COMPARED {
            beside.extend(write((picture.file, picture.title), compared(picture, &peers))?);
        }
        paper::write(PAPER, "answer", &answer::table(&peers))?;
    }
    for picture in GROWN {
        if let Some(results) = measured::read(picture.results)? {
            let file = format!("scale-{}-{}", picture.row, picture.figure.replace('_', "-"));
            grows.extend(write((&file, picture.title), growth(picture, &results))?);
        }
    }
    if beside.is_empty() && grows.is_empty() {
        println!("nothing was measured yet: `cargo xtask bench peers`, `cargo xtask bench scale`");
    }
    for (name, pictures) in [("peers-plots", beside), ("scale-plots", grows)] {
        if !pictures.is_empty() {
            paper::write(PAPER, name, &pictures.join("\n\n"))?;
        }
    }
    Ok(Verdict::Held)
}

/// Writes a picture, if there is one; how the paper shows it.
fn write((file, title): (&str, &str), drawing: Option<Drawing>) -> Result<Option<String>> {
    let Some(drawing) = drawing else { return Ok(None) };
    let folder = root().join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{file}.svg")), drawing.svg())?;
    println!("{FOLDER}/{file}.svg written");
    Ok(Some(format!("![{title}](benchmarks/{file}.svg)")))
}

fn compared(picture: &Compared, peers: &Value) -> Option<Drawing> {
    let panels = measured::panels(peers, picture.figure, picture.parts);
    if panels.is_empty() {
        return None;
    }
    let has_parts = !picture.parts.is_empty();
    let parts =
        if has_parts { vec!["user".to_owned(), "system (the kernel)".to_owned()] } else { Vec::new() };
    let bars = Bars {
        title: picture.title.into(),
        about: picture.about.into(),
        parts,
        panels,
        is_one_scale: false,
        caption: measured::caption(peers),
    };
    Some(bars.draw())
}

fn growth(picture: &Grown, results: &Value) -> Option<Drawing> {
    let row = measured::row(results, picture.row)?;
    let (title, caption) = (picture.title.to_owned(), measured::caption(results));
    let figure = measured::title(row, picture.figure).to_owned();
    let lines = measured::lines(row, picture.figure);
    // Growth is seen from three sizes on, and where the axis counts.
    let is_curve = lines.iter().any(|line| line.points.len() > 2) && is_quantity(row);
    if is_curve {
        let x = row["axis"].as_str().unwrap_or_default().to_owned();
        return Some(Curves { title, about: String::new(), x, y: figure, lines, caption }.draw());
    }
    let panels = measured::kinds(row, picture.figure);
    let bars =
        Bars { title, about: figure, is_one_scale: are_alike(&panels), panels, caption, ..Bars::default() };
    (!bars.panels.is_empty()).then(|| bars.draw())
}

/// Whether one scale shows all of them.
fn are_alike(panels: &[Panel]) -> bool {
    let values = || panels.iter().flat_map(|panel| &panel.bars).map(|bar| bar.value);
    values().fold(0.0, f64::max) < 50.0 * values().fold(f64::MAX, f64::min)
}

/// Whether the points of a row are sizes; kinds have places 0, 1, 2 … and names of their own, and runs are no sizes.
fn is_quantity(row: &Value) -> bool {
    if row["axis"] == "run" {
        return false;
    }
    let series = row["series"].as_array().map(Vec::as_slice).unwrap_or_default();
    let points = series.iter().filter_map(|series| series["points"].as_array()).flatten();
    let is_size = |point: &Value| {
        let label = point["label"].as_str().unwrap_or_default();
        let digits: String = label.chars().filter(char::is_ascii_digit).collect();
        point["at"].as_u64().is_some_and(|at| digits == at.to_string()) || label.is_empty()
    };
    points.into_iter().all(is_size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_become_curves_and_kinds_become_bars() {
        let points = |labels: [&str; 3], at: [u64; 3]| {
            json!([
                { "at": at[0], "label": labels[0], "values": { "cpu_us": 3.0 } },
                { "at": at[1], "label": labels[1], "values": { "cpu_us": 2.5 } },
                { "at": at[2], "label": labels[2], "values": { "cpu_us": 2.0 } },
            ])
        };
        let row = |points: Value| {
            json!({ "date": "2026-11-21", "machine": "2 cores", "commit": "abc", "command": "cargo xtask bench scale", "rows": [
                { "name": "publish", "axis": "with", "figures": [{ "name": "cpu_us", "title": "µs" }],
                  "series": [{ "name": "HTTP", "points": points }] } ] })
        };
        let picture = grown("publish", "cpu_us", "CPU for a publish");
        let curves = growth(&picture, &row(points(["10", "1,000", "10,000"], [10, 1_000, 10_000]))).unwrap();
        let bars =
            growth(&picture, &row(points(["1 connection", "4 connections", "16 connections"], [0, 1, 2])))
                .unwrap();
        assert!(curves.svg().contains("<polyline") && !bars.svg().contains("<polyline"));
        assert!(bars.svg().contains(">16 connections<"));
        assert!(curves.faults().is_empty() && bars.faults().is_empty());
        let mut runs = row(points(["1", "2", "3"], [1, 2, 3]));
        runs["rows"][0]["axis"] = "run".into();
        assert!(!growth(&picture, &runs).unwrap().svg().contains("<polyline"), "runs are no sizes");
        assert!(growth(&grown("storm", "back_s", "Storm"), &row(json!([]))).is_none());
    }
}
