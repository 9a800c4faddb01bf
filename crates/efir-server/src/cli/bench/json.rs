//! What a run has shown, as one JSON object. Names end in their unit.

use efir_bench::{Figures, Pace};
use serde_json::{Value, json};

use super::plan::Plan;

pub(super) fn text(plan: &Plan, figures: &Figures) -> String {
    let value = json!({
        "server": {
            "url": plan.url,
            "version": plan.version,
            "processes": plan.target.processes,
        },
        "load": load(plan),
        "connections": {
            "count": figures.connections,
            "joined_in_s": rounded(figures.joined_in.as_secs_f64()),
            "server_cpu_us_each": figures.opening_us().map(rounded),
            "server_memory_bytes_each": figures.memory_each(),
            "ended": figures.seen.ended,
        },
        "measured_s": rounded(figures.measured.as_secs_f64()),
        "published": figures.published,
        "published_planned": figures.planned,
        "published_per_second": rounded(figures.published_per_second()),
        "expected": figures.expected,
        "delivered": figures.seen.delivered,
        "delivered_per_second": rounded(figures.delivered_per_second()),
        "latency_us": latency(figures),
        "server_cpu": cpu(figures),
        "wire": {
            "bytes_down_a_delivery": rounded(figures.bytes_each().0),
            "bytes_up_a_delivery": rounded(figures.bytes_each().1),
            "requests_a_delivery": rounded(figures.requests_each()),
            "deliveries_a_read": rounded(figures.messages_a_read()),
        },
        "faults": {
            "lost": figures.faults.lost,
            "duplicated": figures.faults.duplicated,
            "reordered": figures.faults.reordered,
        },
        "tool": {
            "reading_thread_busy": share(figures, figures.reading),
            "publishing_thread_busy": share(figures, figures.publishing),
            "published_late_us_p99": figures.late.quantile(0.99),
            "turn_us_p99": figures.seen.turns.quantile(0.99),
        },
        "warnings": figures.warnings(),
    });
    format!("{value:#}\n")
}

fn load(plan: &Plan) -> Value {
    let load = &plan.load;
    let rate = match load.pace {
        Pace::PerSecond(rate) => json!(rate),
        Pace::FlatOut { .. } => json!("max"),
    };
    json!({
        "channels": load.channels,
        "subscribers_a_channel": load.subscribers,
        "channels_a_connection": load.channels_a_connection,
        "transport": plan.transport.name(),
        "rate_per_second": rate,
        "payload_bytes": load.payload_bytes,
        "publishers": load.publishers,
        "publish": plan.target.publish.name(),
        "pipeline": load.pipeline,
        "duration_s": load.measured.as_secs_f64(),
    })
}

/// Nothing where nothing was delivered.
fn latency(figures: &Figures) -> Value {
    let seen = &figures.seen.latency;
    if seen.count() == 0 {
        return Value::Null;
    }
    json!({
        "p50": seen.quantile(0.5),
        "p90": seen.quantile(0.9),
        "p99": seen.quantile(0.99),
        "p99_9": seen.quantile(0.999),
        "max": seen.max(),
    })
}

/// A delivery; a published message where nobody subscribes.
fn cpu(figures: &Figures) -> Value {
    let Some(((user, system), cores)) = figures.cpu_us().zip(figures.cores()) else { return Value::Null };
    json!({ "user_us_each": rounded(user), "system_us_each": rounded(system), "cores": rounded(cores) })
}

fn share(figures: &Figures, time: std::time::Duration) -> f64 {
    rounded(time.as_secs_f64() / figures.measured.as_secs_f64().max(1e-9))
}

/// Nothing here is known to more than a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
