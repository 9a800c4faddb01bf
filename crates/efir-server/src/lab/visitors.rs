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

/// All of them.
#[derive(Debug)]
pub(super) struct Visitors {
    known: Mutex<HashMap<String, Visitor>>,
    /// Connections through all networks.
    connections: Arc<AtomicUsize>,
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
}

/// The right to one connection through a visitor's network; ends with it.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) network: Arc<Network>,
    connections: Arc<AtomicUsize>,
}

impl Visitors {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            known: Mutex::default(),
            connections: Arc::default(),
            visitors_max: limits.lab_visitors_max,
            connections_max: limits.lab_connections_max,
            visitor_connections_max: limits.lab_visitor_connections_max,
        }
    }

    /// Sets the faults of a visitor's network until `ends`.
    pub(super) fn set(&self, visitor: &str, faults: Faults, ends: Instant) -> Result<NetworkReport, Problem> {
        let network = self.network(visitor, ends)?;
        if let Some(known) = self.known.lock().get_mut(visitor) {
            known.ends = ends;
        }
        network.set(faults);
        Ok(network.report(visitor, ends))
    }

    /// What is known of a visitor's network; asking makes nobody known.
    pub(super) fn report(&self, visitor: &str) -> NetworkReport {
        match self.known.lock().get(visitor) {
            Some(known) => known.network.report(visitor, known.ends),
            None => Network::new().report(visitor, Instant::now()),
        }
    }

    /// Lets one connection into a visitor's network, which is remembered at least until `kept`.
    pub(super) fn enter(&self, visitor: &str, kept: Instant) -> Result<Pass, Problem> {
        self.check_room(visitor)?;
        let network = self.network(visitor, kept)?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        network.counts.open.fetch_add(1, Ordering::Relaxed);
        network.counts.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Pass { network, connections: Arc::clone(&self.connections) })
    }

    /// Whether one more connection of this visitor may come.
    pub(super) fn check_room(&self, visitor: &str) -> Result<(), Problem> {
        let own = self
            .known
            .lock()
            .get(visitor)
            .map_or(0, |known| known.network.counts.open.load(Ordering::Relaxed));
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
            visitor.kept > now || visitor.network.counts.open.load(Ordering::Relaxed) > 0
        });
    }

    fn network(&self, visitor: &str, kept: Instant) -> Result<Arc<Network>, Problem> {
        let mut known = self.known.lock();
        if known.len() >= self.visitors_max && !known.contains_key(visitor) {
            let detail = format!("the lab has {} visitors already", known.len());
            return Err(full(detail, "lab_visitors_max", self.visitors_max));
        }
        let entry = known.entry(visitor.to_owned());
        let entry = entry.or_insert_with(|| Visitor { network: Arc::new(Network::new()), ends: kept, kept });
        entry.kept = entry.kept.max(kept);
        Ok(Arc::clone(&entry.network))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
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
        assert_eq!(limit(visitors.enter("c", ends)), "lab_visitors_max");
        drop(other);
        assert!(visitors.enter("b", ends).is_ok());
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
        let pass = visitors.enter("b", ends + Duration::from_secs(2)).unwrap();
        drop(pass);
        visitors.sweep(ends + Duration::from_secs(1));
        assert!(visitors.known.lock().contains_key("b"));
        visitors.sweep(ends + Duration::from_secs(2));
        assert!(visitors.known.lock().is_empty());
    }
}
