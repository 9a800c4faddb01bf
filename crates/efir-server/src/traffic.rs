//! Who sent and received how much: one tally per client and transport, and `GET /traffic` to read them.

use std::{collections::HashMap, sync::Arc, time::Instant};

use efir_engine::Tally;
use parking_lot::Mutex;
use serde::Serialize;

/// Clients whose traffic is kept; the one that was silent longest makes room.
const CLIENTS_MAX: usize = 4096;

#[derive(Debug)]
struct Client {
    tallies: Vec<(&'static str, Arc<Tally>)>,
    used: Instant,
}

/// All clients that asked to be counted (`?client=ID`).
#[derive(Debug, Default)]
pub(crate) struct Traffic(Mutex<HashMap<String, Client>>);

impl Traffic {
    /// The tally of a client on a transport (or `publish`).
    pub(crate) fn tally(&self, client: &str, transport: &'static str) -> Arc<Tally> {
        let mut clients = self.0.lock();
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(client) {
            let oldest = clients.iter().min_by_key(|(_, client)| client.used).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                clients.remove(&oldest);
            }
        }
        let now = Instant::now();
        let entry =
            clients.entry(client.to_owned()).or_insert_with(|| Client { tallies: Vec::new(), used: now });
        entry.used = now;
        if let Some((_, tally)) = entry.tallies.iter().find(|(name, _)| *name == transport) {
            return Arc::clone(tally);
        }
        let tally = Arc::<Tally>::default();
        entry.tallies.push((transport, Arc::clone(&tally)));
        tally
    }

    /// What these clients came to; unknown ones have no transports.
    pub(crate) fn report(&self, names: &[String]) -> Report {
        let clients = self.0.lock();
        let report = |name: &String| {
            let tallies = clients.get(name).map(|client| client.tallies.as_slice()).unwrap_or_default();
            let transports =
                tallies.iter().map(|(transport, tally)| (*transport, Figures::of(tally))).collect();
            ClientReport { client: name.clone(), transports }
        };
        Report { clients: names.iter().map(report).collect() }
    }
}

/// The body of `GET /traffic`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    clients: Vec<ClientReport>,
}

#[derive(Debug, Serialize)]
struct ClientReport {
    client: String,
    transports: HashMap<&'static str, Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    requests: u64,
    empty: u64,
    bytes_down: u64,
    bytes_up: u64,
}

impl Figures {
    fn of(tally: &Tally) -> Self {
        let traffic = tally.read();
        Self {
            requests: traffic.requests,
            empty: traffic.empty,
            bytes_down: traffic.bytes_down,
            bytes_up: traffic.bytes_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_kept_per_client_and_transport() {
        let traffic = Traffic::default();
        traffic.tally("a", "sse").add_down(3);
        traffic.tally("a", "sse").add_down(4);
        traffic.tally("a", "publish").add_request();
        let report = serde_json::to_value(traffic.report(&["a".into(), "b".into()])).unwrap();
        assert_eq!(report["clients"][0]["transports"]["sse"]["bytes_down"], 7);
        assert_eq!(report["clients"][0]["transports"]["publish"]["requests"], 1);
        assert_eq!(report["clients"][1], serde_json::json!({"client": "b", "transports": {}}));
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let traffic = Traffic::default();
        for client in 0..CLIENTS_MAX + 10 {
            traffic.tally(&client.to_string(), "sse");
        }
        assert_eq!(traffic.0.lock().len(), CLIENTS_MAX);
    }
}
