//! What is wrong with a visitor's network, and what went through it.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use efir_core::{Code, Problem, Times};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::too_great;

/// The faults of one network; without any it is the server's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Faults {
    /// Connections are reset, and new ones as soon as they say what they want.
    pub(super) cut: bool,
    /// Milliseconds that every byte takes longer there and back; half of it each way.
    pub(super) delay_ms: u64,
    /// Bytes vanish, in both directions; connections look open.
    pub(super) drop: bool,
    /// Answers are held back until they end or 64 KiB have gathered, as by a buffering proxy.
    pub(super) buffer: bool,
    /// How fast the visitor takes what the server sends, in bytes a second; 0: as fast as it comes.
    pub(super) slow_bytes_per_s: u64,
}

/// The slowest reader: below it a head takes minutes.
const SLOW_MIN: u64 = 64;

impl Faults {
    /// Reads the body of a `PUT`: what is not named is off.
    pub(super) fn parse(body: &[u8], times: &Times) -> Result<Self, Problem> {
        // Nothing at all takes all faults away, as `{}` does.
        let text = if body.is_empty() { &b"{}"[..] } else { body };
        let faults: Self = serde_json::from_slice(text)
            .map_err(|error| Problem::new(Code::InvalidJson, format!("the network's faults: {error}")))?;
        let most = times.lab_delay_ms_max;
        if faults.delay_ms > most {
            return Err(too_great("delay_ms", faults.delay_ms, "lab_delay_ms_max", most));
        }
        if (1..SLOW_MIN).contains(&faults.slow_bytes_per_s) {
            let detail = format!("`slow_bytes_per_s` is 0 (not slow) or at least {SLOW_MIN}");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(faults)
    }

    /// How long a byte is under way in one direction.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_ms * 500)
    }
}

/// One visitor's network.
#[derive(Debug)]
pub(super) struct Network {
    /// Every connection listens to it.
    faults: watch::Sender<Faults>,
    pub(super) counts: Counts,
}

/// What went through a network since it is known.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Connections that are open.
    pub(super) open: AtomicUsize,
    /// Connections that there were.
    pub(super) connections: AtomicU64,
    /// Those of them that a fault has reset.
    pub(super) resets: AtomicU64,
    /// From the visitor to the server, as the visitor sent them.
    pub(super) bytes_up: AtomicU64,
    /// From the server, those that reached the visitor.
    pub(super) bytes_down: AtomicU64,
}

/// What a `GET` of the network shows.
#[derive(Debug, Serialize)]
pub(super) struct NetworkReport {
    visitor: String,
    #[serde(flatten)]
    faults: Faults,
    /// When the faults end by themselves; 0 where there are none.
    ends_in_ms: u64,
    connections: usize,
    connections_total: u64,
    resets: u64,
    bytes_up: u64,
    bytes_down: u64,
}

impl Network {
    pub(super) fn new() -> Self {
        Self { faults: watch::Sender::new(Faults::default()), counts: Counts::default() }
    }

    pub(super) fn set(&self, faults: Faults) {
        self.faults.send_if_modified(|known| {
            let is_new = *known != faults;
            *known = faults;
            is_new
        });
    }

    pub(super) fn faults(&self) -> Faults {
        *self.faults.borrow()
    }

    /// The faults now and from now on.
    pub(super) fn listen(&self) -> watch::Receiver<Faults> {
        self.faults.subscribe()
    }

    /// `ends` is when the faults would end.
    pub(super) fn report(&self, visitor: &str, ends: Instant) -> NetworkReport {
        let (faults, counts) = (self.faults(), &self.counts);
        let left = ends.saturating_duration_since(Instant::now());
        NetworkReport {
            visitor: visitor.to_owned(),
            faults,
            ends_in_ms: if faults == Faults::default() { 0 } else { left.as_millis() as u64 },
            connections: counts.open.load(Ordering::Relaxed),
            connections_total: counts.connections.load(Ordering::Relaxed),
            resets: counts.resets.load(Ordering::Relaxed),
            bytes_up: counts.bytes_up.load(Ordering::Relaxed),
            bytes_down: counts.bytes_down.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_off() {
        let parse = |text: &str| Faults::parse(text.as_bytes(), &Times::default());
        assert_eq!(parse(""), Ok(Faults::default()));
        assert_eq!(parse("{}"), Ok(Faults::default()));
        let faults = parse(r#"{"delay_ms":300,"drop":true}"#).unwrap();
        assert_eq!(faults, Faults { delay_ms: 300, drop: true, ..Faults::default() });
        assert_eq!(faults.delay(), Duration::from_millis(150));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refusal = |text: &str| Faults::parse(text.as_bytes(), &Times::default()).unwrap_err();
        assert_eq!(refusal(r#"{"cutt":true}"#).code, Code::InvalidJson);
        assert_eq!(refusal(r#"{"delay_ms":-1}"#).code, Code::InvalidJson);
        assert_eq!(refusal(r#"{"delay_ms":10001}"#).limit, Some(("lab_delay_ms_max", 10_000)));
        assert_eq!(refusal(r#"{"slow_bytes_per_s":1}"#).code, Code::InvalidRequest);
    }

    #[test]
    fn a_network_tells_its_listeners_what_has_changed() {
        let network = Network::new();
        let mut listener = network.listen();
        network.set(Faults::default());
        assert!(!listener.has_changed().unwrap());
        network.set(Faults { cut: true, ..Faults::default() });
        assert!(listener.has_changed().unwrap() && listener.borrow_and_update().cut);
        let shown =
            serde_json::to_value(network.report("v", Instant::now() + Duration::from_secs(9))).unwrap();
        assert_eq!((&shown["cut"], &shown["delay_ms"]), (&true.into(), &0.into()));
        assert!((8_000..=9_000).contains(&shown["ends_in_ms"].as_u64().unwrap()));
    }
}
