//! Messages of 16 bytes to 1 MiB, at a rate and as fast as it goes.

use anyhow::Result;

use super::delivery::{self, Delivery, Tempo};
use super::figures::{Figure, Point, Row, Series};
use super::stage::{Plan, Setting};

const FULL: &[usize] = &[16, 100, 1_024, 16_384, 65_536, 1_048_576];
const QUICK: &[usize] = &[16, 16_384, 1_048_576];
const SUBSCRIBERS: usize = 100;
/// Bytes a second to all of them at a rate: far from full.
const BYTES: u64 = 150_000_000;
const RATE_MAX: u64 = 500;
/// Bytes of messages on their way when it goes as fast as it goes.
const AHEAD_BYTES: u64 = 32 << 20;
const AHEAD_MAX: u64 = 500;
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
    let mut series = Vec::new();
    for (name, is_flat_out) in [("at a rate", false), ("as fast as it goes", true)] {
        let mut points = Vec::new();
        for bytes in plan.pick(FULL, QUICK) {
            let tempo = if is_flat_out { flat_out(*bytes as u64) } else { rate(*bytes as u64) };
            points.push(point(plan, *bytes, tempo)?);
        }
        series.push(Series { name: name.to_owned(), points });
    }
    Ok(Row {
        name: "message-size",
        title: "Size of a message",
        about: format!(
            "{SUBSCRIBERS} WebSocket subscribers of one channel; at a rate: {RATE_MAX} messages a second, fewer where that would be \
             more than 150 MB/s. Settings beside the defaults: message_bytes_max 2 MiB, 512 MiB kept a channel. Bytes are those \
             read by all subscribers, with frames and objects (about 90 bytes a message)."
        ),
        axis: "bytes of payload",
        figures: FIGURES,
        series,
        goals: Vec::new(),
    })
}

fn rate(bytes: u64) -> Tempo {
    Tempo::Rate((BYTES / (bytes * SUBSCRIBERS as u64)).clamp(1, RATE_MAX))
}

fn flat_out(bytes: u64) -> Tempo {
    Tempo::FlatOut { ahead: (AHEAD_BYTES / bytes).clamp(2, AHEAD_MAX) }
}

fn point(plan: &Plan, payload_bytes: usize, tempo: Tempo) -> Result<Point> {
    let server = plan.server(SETTINGS)?;
    let transport = "websocket";
    let measured = plan.measured();
    let delivery = Delivery { transport, subscribers: SUBSCRIBERS, payload_bytes, tempo, measured };
    let seen = delivery::measure(&server, delivery)?;
    let point = Point::at(payload_bytes as u64)
        .with("rate", seen.spent.a_second(seen.messages))
        .with("ns_a_byte", seen.spent.total().as_nanos() as f64 / seen.bytes as f64)
        .with("megabytes", seen.spent.a_second(seen.bytes) / 1e6)
        .with("megabytes_a_core", seen.bytes as f64 / 1e6 / seen.spent.total().as_secs_f64());
    Ok(seen.into_point(point))
}
