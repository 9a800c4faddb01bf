//! Messages of 16 bytes to 1 MiB, at a rate and as fast as it goes.

use anyhow::Result;
use efir_bench::{Load, Pace, Transport};

use super::delivery;
use super::figures::{Figure, Point, Row, Series};
use super::stage::{Plan, Setting};

const FULL: &[usize] = &[16, 100, 1_024, 16_384, 65_536, 1_048_576];
const QUICK: &[usize] = &[16, 16_384, 1_048_576];
const SUBSCRIBERS: usize = 100;
/// Bytes a second to all of them at a rate: far from full.
const BYTES: usize = 150_000_000;
const RATE_MAX: usize = 500;
/// Fewer would be too few to measure.
const RATE_MIN: usize = 2;
/// Room for the largest, and so much kept that nobody falls behind.
const SETTINGS: &[Setting<'static>] =
    &[("limits.message_bytes_max", "2MiB"), ("retention.bytes", "512MiB"), ("limits.log_bytes_max", "2GiB")];

const FIGURES: &[Figure] = &[
    Figure { name: "rate", title: "messages/s", digits: 0 },
    Figure { name: "cpu_us", title: "µs of CPU a delivery", digits: 2 },
    Figure { name: "ns_a_byte", title: "ns of CPU a byte", digits: 2 },
    Figure { name: "megabytes", title: "MB/s to all", digits: 0 },
    Figure { name: "megabytes_a_core", title: "MB a second of CPU", digits: 0 },
    Figure { name: "p50_ms", title: "p50 ms", digits: 2 },
    Figure { name: "p99_ms", title: "p99 ms", digits: 2 },
];

pub(super) fn measure(plan: &Plan) -> Result<Row> {
    let rate =
        |bytes: usize| Pace::PerSecond((BYTES / (bytes * SUBSCRIBERS)).clamp(RATE_MIN, RATE_MAX) as f64);
    let mut series = Vec::new();
    for (name, is_flat_out) in [("at a rate", false), ("as fast as it goes", true)] {
        let mut points = Vec::new();
        for bytes in plan.pick(FULL, QUICK) {
            let pace = if is_flat_out { Pace::flat_out(*bytes) } else { rate(*bytes) };
            points.push(point(plan, *bytes, pace)?);
        }
        series.push(Series { name: name.to_owned(), points });
    }
    Ok(Row {
        name: "message-size",
        title: "Size of a message",
        about: format!(
            "{SUBSCRIBERS} WebSocket subscribers of one channel; at a rate: {RATE_MAX} messages a second, fewer where that would be \
             more than 150 MB/s, but at least {RATE_MIN}. Settings beside the defaults: message_bytes_max 2 MiB, 512 MiB kept a channel. Bytes are those \
             read by all subscribers, with frames and objects (about 90 bytes a message)."
        ),
        axis: "bytes of payload",
        figures: FIGURES,
        series,
        goals: Vec::new(),
    })
}

fn point(plan: &Plan, payload_bytes: usize, pace: Pace) -> Result<Point> {
    let server = plan.server(SETTINGS)?;
    let load =
        Load { subscribers: SUBSCRIBERS, payload_bytes, pace, measured: plan.measured(), ..Load::default() };
    let figures = delivery::measure(&load, &delivery::target(&server, Transport::Websocket))?;
    let (bytes, cpu) = (figures.seen.bytes_in as f64, figures.cpu.unwrap_or_default().total());
    Ok(delivery::point(payload_bytes as u64, &load, &figures)
        .with("ns_a_byte", cpu.as_nanos() as f64 / bytes)
        .with("megabytes", bytes / 1e6 / figures.measured.as_secs_f64())
        .with("megabytes_a_core", bytes / 1e6 / cpu.as_secs_f64()))
}
