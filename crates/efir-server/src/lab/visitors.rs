//! The visitors whose networks are known: who is one, for how long, and how many connections each may have.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use efir_core::{Code, Limits, Problem};
use parking_lot::Mutex;

use super::network::{Faults, Network, NetworkReport};

/// When somebody who was refused may come again.
const RETRY_MS: u64 = 5_000;
/// How long somebody is remembered whose connections have ended and who has never set faults: as long as a page needs to ask what
/// went through. Any page can make a browser come by under any name.
const PASSED_MAX: Duration = Duration::from_secs(5);

/// Bytes that may be on their way through all networks together.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What each connection may have on its way nevertheless, so that nobody stands still for what others do.
const OWN_BYTES: usize = 32 * 1024;

/// All of them.
#[derive(Debug)]
pub(super) struct Visitors {
    known: Mutex<HashMap<String, Visitor>>,
    /// Connections through all networks.
    connections: Arc<AtomicUsize>,
    /// Bytes on their way through all networks.
    pub(super) bytes: Arc<AtomicUsize>,
    pub(super) bytes_max: usize,
    visitors_max: usize,
    connections_max: usize,
    visitor_connections_max: usize,
}

#[derive(Debug)]
struct Visitor {
    network: Arc<Network>,
    /// When its faults end.
    ends: Instant,
    /// Until when it is remembered, and longer while it has connections.
    kept: Instant,
    /// It has set faults; others only pass and take nobody's place.
    is_set: bool,
}

/// The right to one connection through a visitor's network; ends with it.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) network: Arc<Network>,
    connections: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    /// Of them by this connection.
    own_bytes: usize,
    bytes_max: usize,
}

impl Visitors {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            known: Mutex::default(),
            connections: Arc::default(),
            bytes: Arc::default(),
            bytes_max: BYTES_MAX,
            visitors_max: limits.lab_visitors_max,
            connections_max: limits.lab_connections_max,
            visitor_connections_max: limits.lab_visitor_connections_max,
        }
    }

    /// Sets the faults of a visitor's network until `ends`.
    pub(super) fn set(&self, visitor: &str, faults: Faults, ends: Instant) -> Result<NetworkReport, Problem> {
        let mut known = self.known.lock();
        let set = known.values().filter(|visitor| visitor.is_set).count();
        if set >= self.visitors_max && !known.get(visitor).is_some_and(|visitor| visitor.is_set) {
            let detail = format!("the lab has {set} visitors already");
            return Err(full(detail, "lab_visitors_max", self.visitors_max));
        }
        let entry = known.entry(visitor.to_owned()).or_insert_with(Visitor::new);
        (entry.ends, entry.kept, entry.is_set) = (ends, entry.kept.max(ends), true);
        entry.network.set(faults);
        Ok(entry.network.report(visitor, ends))
    }

    /// What is known of a visitor's network; asking makes nobody known.
    pub(super) fn report(&self, visitor: &str) -> NetworkReport {
        match self.known.lock().get(visitor) {
            Some(known) => known.network.report(visitor, known.ends),
            None => Network::new().report(visitor, Instant::now()),
        }
    }

    /// Lets one connection into a visitor's network, which is remembered at least until `kept` if faults were set for it.
    pub(super) fn enter(&self, visitor: &str, kept: Instant) -> Result<Pass, Problem> {
        let mut known = self.known.lock();
        self.check_among(&known, visitor)?;
        // Of those with connections there are as many as connections at most.
        if known.len() >= self.visitors_max + self.connections_max && !known.contains_key(visitor) {
            known.retain(|_, visitor| visitor.is_set || visitor.is_open());
        }
        let entry = known.entry(visitor.to_owned()).or_insert_with(Visitor::new);
        let kept = if entry.is_set { kept } else { kept.min(Instant::now() + PASSED_MAX) };
        entry.kept = entry.kept.max(kept);
        self.connections.fetch_add(1, Ordering::Relaxed);
        entry.network.counts.open.fetch_add(1, Ordering::Relaxed);
        entry.network.counts.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Pass {
            network: Arc::clone(&entry.network),
            connections: Arc::clone(&self.connections),
            bytes: Arc::clone(&self.bytes),
            own_bytes: 0,
            bytes_max: self.bytes_max,
        })
    }

    /// Whether one more connection of this visitor may come.
    pub(super) fn check_room(&self, visitor: &str) -> Result<(), Problem> {
        self.check_among(&self.known.lock(), visitor)
    }

    fn check_among(&self, known: &HashMap<String, Visitor>, visitor: &str) -> Result<(), Problem> {
        let own = known.get(visitor).map_or(0, |known| known.network.counts.open.load(Ordering::Relaxed));
        let all = self.connections.load(Ordering::Relaxed);
        for (count, name, most) in [
            (own, "lab_visitor_connections_max", self.visitor_connections_max),
            (all, "lab_connections_max", self.connections_max),
        ] {
            if count >= most {
                return Err(full(format!("{count} connections go through the lab already"), name, most));
            }
        }
        Ok(())
    }

    /// Faults end, and who has nothing left is forgotten.
    pub(super) fn sweep(&self, now: Instant) {
        self.known.lock().retain(|_, visitor| {
            if visitor.ends <= now {
                visitor.network.set(Faults::default());
            }
            if visitor.is_open() {
                visitor.kept = visitor.kept.max(now + PASSED_MAX);
            }
            visitor.kept > now
        });
    }
}

impl Visitor {
    fn new() -> Self {
        let now = Instant::now();
        Self { network: Arc::new(Network::new()), ends: now, kept: now, is_set: false }
    }

    fn is_open(&self) -> bool {
        self.network.counts.open.load(Ordering::Relaxed) > 0
    }
}

impl Pass {
    /// Notes how many bytes the connection has on their way; whether it may take more.
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.own_bytes, bytes);
        if bytes >= before {
            self.bytes.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - bytes, Ordering::Relaxed);
        }
        bytes < OWN_BYTES || self.bytes.load(Ordering::Relaxed) < self.bytes_max
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.own_bytes, Ordering::Relaxed);
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.network.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A problem that is over when others have left.
pub(super) fn full(detail: String, name: &'static str, most: usize) -> Problem {
    Problem::new(Code::LabFull, detail).with_limit(name, most as u64).with_retry_after_ms(RETRY_MS)
}

/// When something that begins now and lasts `ms` ends.
pub(super) fn in_ms(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitors() -> Visitors {
        let limits = Limits {
            lab_visitors_max: 2,
            lab_connections_max: 3,
            lab_visitor_connections_max: 2,
            ..Limits::default()
        };
        Visitors::new(&limits)
    }

    fn limit(refused: Result<Pass, Problem>) -> &'static str {
        refused.unwrap_err().limit.unwrap().0
    }

    #[test]
    fn connections_are_bounded_for_each_and_for_all() {
        let visitors = visitors();
        let ends = in_ms(60_000);
        let first = [visitors.enter("a", ends).unwrap(), visitors.enter("a", ends).unwrap()];
        assert_eq!(limit(visitors.enter("a", ends)), "lab_visitor_connections_max");
        let other = visitors.enter("b", ends).unwrap();
        assert_eq!(limit(visitors.enter("b", ends)), "lab_connections_max");
        drop(first);
        assert!(visitors.enter("c", ends).is_ok());
        drop(other);
        assert!(visitors.enter("b", ends).is_ok());
    }

    #[test]
    fn bytes_on_their_way_are_bounded_for_all() {
        let visitors = Visitors { bytes_max: 100_000, ..visitors() };
        let ends = in_ms(60_000);
        let (mut greedy, mut other) =
            (visitors.enter("a", ends).unwrap(), visitors.enter("b", ends).unwrap());
        assert!(greedy.hold(99_000) && !greedy.hold(100_000));
        assert!(other.hold(10_000) && !other.hold(40_000), "everybody may hold a little");
        assert!(greedy.hold(50_000) && other.hold(40_000));
        drop(greedy);
        assert_eq!(visitors.bytes.load(Ordering::Relaxed), 40_000);
        drop(other);
        assert_eq!(visitors.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_only_passes_takes_nobody_s_place() {
        let visitors = visitors();
        let ends = in_ms(60_000);
        for n in 0..1_000 {
            drop(visitors.enter(&n.to_string(), ends).unwrap());
        }
        assert!(visitors.known.lock().len() <= 5);
        for visitor in ["a", "b", "a"] {
            assert!(visitors.set(visitor, Faults::default(), ends).is_ok(), "{visitor}");
        }
        assert_eq!(
            visitors.set("c", Faults::default(), ends).unwrap_err().limit.unwrap().0,
            "lab_visitors_max"
        );
        // It is remembered while it is there and a moment longer.
        let pass = visitors.enter("c", ends).unwrap();
        let later = Instant::now() + 2 * PASSED_MAX;
        visitors.sweep(later);
        drop(pass);
        let names = || visitors.known.lock().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        visitors.sweep(later + PASSED_MAX / 2);
        assert_eq!(names().len(), 3, "{:?}", names());
        visitors.sweep(later + PASSED_MAX);
        assert_eq!(names().len(), 2, "{:?}", names());
    }

    #[test]
    fn faults_end_and_visitors_are_forgotten() {
        let visitors = visitors();
        let (now, cut) = (Instant::now(), Faults { cut: true, ..Faults::default() });
        let ends = now + Duration::from_secs(2);
        visitors.set("a", cut, ends).unwrap();
        visitors.set("b", cut, ends).unwrap();
        let pass = visitors.enter("b", ends).unwrap();
        visitors.sweep(ends - Duration::from_millis(1));
        assert!(pass.network.faults().cut);
        visitors.sweep(ends);
        assert_eq!(pass.network.faults(), Faults::default());
        assert_eq!(
            visitors.known.lock().keys().collect::<Vec<_>>(),
            ["b"],
            "a is forgotten, b has a connection"
        );
        drop(pass);
        // Who comes back is remembered for longer, with its faults as they were.
        let pass = visitors.enter("b", ends + Duration::from_secs(20)).unwrap();
        drop(pass);
        visitors.sweep(ends + Duration::from_secs(19));
        assert!(visitors.known.lock().contains_key("b"));
        visitors.sweep(ends + Duration::from_secs(20));
        assert!(visitors.known.lock().is_empty());
    }
}
