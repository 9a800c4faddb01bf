//! `/metrics`: the one table of what is told, and its text for Prometheus (exposition format 0.0.4).
//!
//! Labels come from tables of the code: transports, reasons, codes, limits. None is a channel, a user or an address, so that the
//! number of series is known before the server starts.

use std::{fmt::Write, time::SystemTime};

use efir_core::{GapReason, LIMITS, TIMES};
use efir_engine::{Counts, Stock, Transport};

use super::process::{Process, unix_s};

/// What a reading of the server came to.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) counts: Counts,
    pub(super) stock: Stock,
    pub(super) process: Process,
    pub(super) started: SystemTime,
    pub(super) connections: u64,
    pub(super) workers: u64,
    pub(super) workers_hanging: u64,
    pub(super) is_draining: bool,
    pub(super) revocations: u64,
    pub(super) memory_bytes: u64,
    pub(super) allocated_bytes: Option<u64>,
    pub(super) is_overloaded: bool,
    pub(super) reloads: [u64; 2],
    /// Limits and times in force, in the order of their tables.
    pub(super) limits: Vec<u64>,
    pub(super) times: Vec<u64>,
}

/// Whether a metric only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, and begins at 0 with the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// The name in the text format.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One line of [`METRICS`].
#[derive(Debug)]
pub(crate) struct MetricRow {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The names of its labels, for people.
    pub(crate) labels: &'static str,
    pub(crate) meaning: &'static str,
    read: fn(&Reading, &mut Series<'_>),
}

macro_rules! metrics {
    ($($name:literal $kind:ident $labels:literal $meaning:literal: $read:expr;)*) => {
        /// Every metric, in the order of the docs.
        pub(crate) const METRICS: &[MetricRow] = &[
            $(MetricRow { name: $name, kind: Kind::$kind, labels: $labels, meaning: $meaning, read: $read },)*
        ];
    };
}

metrics! {
    "efir_build_info" Gauge "version" "Always 1; the version is the label.":
        |_, out| out.say(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    "efir_connections" Gauge "" "Connections that are open: sockets, whatever goes on in them.":
        |reading, out| out.say(&[], reading.connections);
    "efir_responses" Gauge "transport" "Responses that are open: streams, sockets and held polls. An HTTP/2 connection may carry many.":
        |reading, out| by_transport(out, |transport| reading.counts.open(transport));
    "efir_responses_total" Counter "transport" "Responses that began, short polls included.":
        |reading, out| by_transport(out, |transport| of(&reading.counts.opened, transport));
    "efir_deliveries_total" Counter "transport" "Messages that went out to readers; history on a socket counts as short-poll.":
        |reading, out| by_transport(out, |transport| of(&reading.counts.deliveries, transport));
    "efir_publishes_total" Counter "" "Messages that were appended to their channels.":
        |reading, out| out.say(&[], reading.counts.publishes);
    "efir_publish_bytes_total" Counter "" "Bytes of the payloads of those messages.":
        |reading, out| out.say(&[], reading.counts.publish_bytes);
    "efir_publish_duplicates_total" Counter "" "Publishes that came again with their key and got the first position.":
        |reading, out| out.say(&[], reading.counts.duplicates);
    "efir_gaps_total" Counter "reason" "Gaps that readers were told: something after their cursor is no longer there.":
        |reading, out| for (reason, count) in GapReason::ALL.iter().zip(reading.counts.gaps) {
            out.say(&[("reason", reason.as_str())], count);
        };
    "efir_refusals_total" Counter "code, limit" "Problems that clients were told, by error code and, where one was passed, limit.":
        |reading, out| for one in &reading.counts.refusals {
            out.say(&[("code", one.code.row().name), ("limit", one.limit.unwrap_or_default())], one.count);
        };
    "efir_closures_total" Counter "limit" "Connections that were closed without a word, because of a limit or time.":
        |reading, out| for (limit, count) in &reading.counts.closures {
            out.say(&[("limit", limit)], *count);
        };
    "efir_slow_readers" Gauge "" "Readers that are behind now because they take less than they are owed.":
        |reading, out| out.say(&[], reading.counts.stalled());
    "efir_stalls_total" Counter "" "Times that a reader took less than it was owed.":
        |reading, out| out.say(&[], reading.counts.stalls);
    "efir_slow_readers_given_up_total" Counter "" "Readers whose connection was closed because they took nothing for `stall_ms_max`.":
        |reading, out| out.say(&[], reading.counts.given_up);
    "efir_channels" Gauge "" "Channels that keep at least one message.":
        |reading, out| out.say(&[], reading.stock.channels as u64);
    "efir_log_bytes" Gauge "" "Bytes of all messages that are kept, as `log_bytes_max` bounds them.":
        |reading, out| out.say(&[], reading.stock.log_bytes as u64);
    "efir_keys" Gauge "" "Idempotency keys that are remembered.":
        |reading, out| out.say(&[], reading.stock.keys as u64);
    "efir_panics_total" Counter "" "Bugs in efir, each of which ended a connection or a request and nothing else; `panicked` in the log says where they are. Please report them.":
        |reading, out| out.say(&[], reading.counts.panics);
    "efir_memory_bytes" Gauge "" "Memory in use, as `memory_bytes_max` bounds it.":
        |reading, out| out.say(&[], reading.memory_bytes);
    "efir_memory_allocated_bytes" Gauge "" "Bytes that are allocated and not freed, as the allocator counts them: without what it keeps in reserve.":
        |reading, out| out.say_if(reading.allocated_bytes);
    "efir_overloaded" Gauge "" "1 while more memory is in use than may be, and nothing new is taken.":
        |reading, out| out.say(&[], u64::from(reading.is_overloaded));
    "efir_limit" Gauge "limit, unit" "The limits in force, to compare with.":
        |reading, out| for (row, value) in LIMITS.iter().zip(&reading.limits) {
            out.say(&[("limit", row.name), ("unit", row.unit)], *value);
        };
    "efir_time_seconds" Gauge "time" "The times in force.":
        |reading, out| for (row, ms) in TIMES.iter().zip(&reading.times) {
            out.say_float(&[("time", row.name)], Some(*ms as f64 / 1_000.0));
        };
    "efir_workers" Gauge "" "Worker threads that run.":
        |reading, out| out.say(&[], reading.workers);
    "efir_workers_hanging" Gauge "" "Workers whose event loop has not turned for 30 s; `/livez` fails then.":
        |reading, out| out.say(&[], reading.workers_hanging);
    "efir_draining" Gauge "" "1 while the server goes away; `/readyz` fails then.":
        |reading, out| out.say(&[], u64::from(reading.is_draining));
    "efir_revocations" Gauge "" "Users and tokens that are revoked.":
        |reading, out| out.say(&[], reading.revocations);
    "efir_reloads_total" Counter "outcome" "Times that the configuration was read again: taken over, or refused because it was not valid.":
        |reading, out| for (outcome, count) in ["taken_over", "refused"].iter().zip(reading.reloads) {
            out.say(&[("outcome", outcome)], count);
        };
    "process_start_time_seconds" Gauge "" "When the server started, in seconds since 1970 UTC.":
        |reading, out| out.say_float(&[], Some(unix_s(reading.started)));
    "process_cpu_seconds_total" Counter "" "Processor time that the process used.":
        |reading, out| out.say_float(&[], reading.process.cpu_s);
    "process_resident_memory_bytes" Gauge "" "Memory of the process that is in RAM.":
        |reading, out| out.say_if(reading.process.resident_bytes);
    "process_virtual_memory_bytes" Gauge "" "Memory that the process has mapped.":
        |reading, out| out.say_if(reading.process.virtual_bytes);
    "process_open_fds" Gauge "" "Files and sockets that are open.":
        |reading, out| out.say_if(reading.process.open_files);
    "process_max_fds" Gauge "" "How many there may be.":
        |reading, out| out.say_if(reading.process.open_files_max);
    "process_threads" Gauge "" "Threads of the process.":
        |reading, out| out.say_if(reading.process.threads);
}

fn by_transport(out: &mut Series<'_>, count: impl Fn(Transport) -> u64) {
    for transport in Transport::ALL {
        out.say(&[("transport", transport.name())], count(transport));
    }
}

fn of(counts: &[u64], transport: Transport) -> u64 {
    counts.get(transport as usize).copied().unwrap_or_default()
}

/// The text of all metrics.
pub(super) fn text(reading: &Reading) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for row in METRICS {
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "# HELP {} {}\n# TYPE {} {}", row.name, row.meaning, row.name, row.kind.name());
        (row.read)(reading, &mut Series { name: row.name, text: &mut text });
    }
    text
}

/// The lines of one metric.
struct Series<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Series<'_> {
    fn say(&mut self, labels: &[(&str, &str)], value: u64) {
        self.begin(labels);
        let _ = writeln!(self.text, " {value}");
    }

    fn say_if(&mut self, value: Option<u64>) {
        value.into_iter().for_each(|value| self.say(&[], value));
    }

    fn say_float(&mut self, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.begin(labels);
            let _ = writeln!(self.text, " {value}");
        }
    }

    /// Names and labels are ours: they contain nothing that would have to be escaped, which a test holds.
    fn begin(&mut self, labels: &[(&str, &str)]) {
        self.text.push_str(self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use efir_core::{Code, Limits, Problem, Times};
    use efir_engine::Counters;

    use super::*;

    fn reading() -> Reading {
        let counters = Counters::default();
        counters.refuse(&Problem::new(Code::NotFound, "a \"secret\"\n"));
        counters.refuse(&Problem::new(Code::Overloaded, "b").with_limit("connections_max", 1));
        counters.close_for("idle_ms_max");
        counters.open(Transport::Sse, 1);
        counters.deliver(Transport::Sse, 7);
        Reading {
            counts: counters.sum(),
            stock: Stock { channels: 1, log_bytes: 2, keys: 3 },
            process: Process::read(),
            started: SystemTime::now(),
            connections: 5,
            workers: 2,
            workers_hanging: 0,
            is_draining: true,
            revocations: 4,
            memory_bytes: 9,
            allocated_bytes: Some(8),
            is_overloaded: false,
            reloads: [1, 2],
            limits: Limits::default().values().map(|(_, value)| value).collect(),
            times: Times::default().values().map(|(_, value)| value).collect(),
        }
    }

    /// As strict as the format: every sample belongs to the metric declared before it, no series comes twice.
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let (mut series, mut declared) = (BTreeMap::new(), BTreeSet::new());
        let mut current = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                current = help.split(' ').next().unwrap().to_owned();
                assert!(declared.insert(current.clone()), "{current} twice");
                continue;
            }
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(name == current && ["counter", "gauge"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            assert_eq!(bare, current, "{line}");
            assert!(bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            if let Some(labels) = name.strip_prefix(bare).filter(|labels| !labels.is_empty()) {
                let labels = labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).unwrap();
                for label in labels.split(',') {
                    let (_, value) = label.split_once('=').unwrap();
                    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
                    assert!(!value.contains(['"', '\\']), "{line}");
                }
            }
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
        }
        assert!(text.ends_with('\n'));
        series
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let series = parse(&text(&reading()));
        assert_eq!(series["efir_deliveries_total{transport=\"sse\"}"], 7.0);
        assert_eq!(series["efir_responses{transport=\"sse\"}"], 1.0);
        assert_eq!(series["efir_refusals_total{code=\"not_found\",limit=\"\"}"], 1.0);
        assert_eq!(series["efir_refusals_total{code=\"overloaded\",limit=\"connections_max\"}"], 1.0);
        assert_eq!(series["efir_closures_total{limit=\"idle_ms_max\"}"], 1.0);
        assert_eq!(series["efir_gaps_total{reason=\"trimmed\"}"], 0.0);
        assert_eq!(series["efir_limit{limit=\"message_bytes_max\",unit=\"bytes\"}"], 65_536.0);
        assert_eq!(series["efir_time_seconds{time=\"heartbeat_ms\"}"], 15.0);
        assert_eq!(series["efir_memory_allocated_bytes"], 8.0);
        assert_eq!((series["efir_connections"], series["efir_draining"]), (5.0, 1.0));
        assert!(series["process_resident_memory_bytes"] > 100_000.0);
    }

    #[test]
    fn no_label_has_a_value_of_a_client() {
        let known =
            ["version", "transport", "reason", "code, limit", "limit", "limit, unit", "time", "outcome", ""];
        for row in METRICS {
            assert!(known.contains(&row.labels), "{}: {}", row.name, row.labels);
            assert!(row.meaning.ends_with('.') && !row.meaning.contains('\n'), "{}", row.name);
        }
    }
}
