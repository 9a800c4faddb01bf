//! Who connects, by address: how many connections each may have, who is not counted, and which proxies are believed.
//!
//! IPv6 is counted by /64, which is what one household or one rented machine has. A network is remembered while it has connections
//! and until what it has published is made up for.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use efir_engine::{Guest, Network};
use efir_transports::Scheme;
use parking_lot::Mutex;

use crate::{config::networks::Trust, forwarded};

/// Locks of the table; a power of two.
const SHARDS: usize = 16;
/// Networks in one shard beyond which those that need not be remembered are looked for at once.
const SHARD_NETWORKS_MAX: usize = 16 * 1024;

/// The networks that are known.
#[derive(Debug)]
pub(crate) struct Addresses {
    trust: Trust,
    connections_max: usize,
    shards: [Mutex<HashMap<u64, Arc<Network>>>; SHARDS],
    next_sweep: AtomicUsize,
}

/// How many connections the network of a guest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// No more than it may.
    Free,
    /// This one is too many; it is told so.
    Full,
    /// Not even those that are told so have room.
    Overfull,
}

impl Addresses {
    pub(crate) fn new(trust: Trust, connections_max: usize) -> Self {
        Self { trust, connections_max, shards: Default::default(), next_sweep: AtomicUsize::new(0) }
    }

    /// Whether this peer says for whom it asks.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.trust.proxies.iter().any(|cidr| cidr.contains(peer))
    }

    /// A connection from `address`, which is a client's or a trusted proxy's. `None`: nothing limits it.
    pub(crate) fn arrive(&self, address: IpAddr) -> Option<Arc<Guest>> {
        if self.is_proxy(address) { Some(Guest::proxy(address)) } else { self.admit(address) }
    }

    /// A request that a trusted proxy hands on, by its headers. Without a client in them it is the proxy's own.
    pub(crate) fn arrive_behind(&self, proxy: &Guest, headers: &http::HeaderMap) -> Option<Arc<Guest>> {
        let client = forwarded::client(headers, self.trust.written, |address| self.is_proxy(address));
        self.admit(client.unwrap_or_else(|| proxy.address()))
    }

    /// By which scheme the client of a trusted proxy asked, if the proxy says so.
    pub(crate) fn scheme_behind(&self, headers: &http::HeaderMap) -> Option<Scheme> {
        forwarded::scheme(headers, self.trust.written, |address| self.is_proxy(address))
    }

    /// Whether there was room for a guest when it came.
    pub(crate) fn room(&self, guest: Option<&Arc<Guest>>) -> Room {
        match guest.map_or(0, |guest| guest.rank()) {
            rank if rank <= self.connections_max => Room::Free,
            rank if rank <= self.connections_max + self.connections_max / 8 + 1 => Room::Full,
            _ => Room::Overfull,
        }
    }

    /// The limit of connections of one address.
    pub(crate) fn connections_max(&self) -> usize {
        self.connections_max
    }

    fn admit(&self, address: IpAddr) -> Option<Arc<Guest>> {
        let is_unlimited = self.trust.unlimited.iter().any(|cidr| cidr.contains(address));
        (!is_unlimited).then(|| Guest::new(address, self.network(address)))
    }

    fn network(&self, address: IpAddr) -> Arc<Network> {
        let prefix = prefix(address);
        let Some(shard) = self.shards.get(shard(prefix)) else { return Arc::default() };
        let mut networks = shard.lock();
        if networks.len() >= SHARD_NETWORKS_MAX && !networks.contains_key(&prefix) {
            forget(&mut networks);
        }
        Arc::clone(networks.entry(prefix).or_default())
    }

    /// Forgets networks of one shard that need not be remembered.
    pub(crate) fn sweep(&self) {
        let next = self.next_sweep.fetch_add(1, Ordering::Relaxed) % SHARDS;
        if let Some(shard) = self.shards.get(next) {
            forget(&mut shard.lock());
        }
    }
}

fn forget(networks: &mut HashMap<u64, Arc<Network>>) {
    // Whoever holds one is about to take a place in it.
    networks.retain(|_, network| Arc::strong_count(network) > 1 || !network.is_forgettable());
    if networks.capacity() > 4 * networks.len() + 64 {
        networks.shrink_to_fit();
    }
}

/// What is counted as one: the /64 of an IPv6 address; an IPv4 address as a number that no global /64 has (`::/64` holds the
/// loopback and mapped ones only).
fn prefix(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => first_half(address),
    }
}

fn first_half(address: Ipv6Addr) -> u64 {
    (u128::from(address) >> 64) as u64
}

/// Neighbours differ in the last bits of an IPv4 address and in the last bits of a prefix.
fn shard(prefix: u64) -> usize {
    (prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(unlimited: &[&str], proxies: &[&str], connections_max: usize) -> Addresses {
        let cidrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Addresses::new(
            Trust { unlimited: cidrs(unlimited), proxies: cidrs(proxies), ..Trust::default() },
            connections_max,
        )
    }

    fn known(addresses: &Addresses) -> usize {
        addresses.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn arrive(addresses: &Addresses, address: &str) -> Option<Arc<Guest>> {
        addresses.arrive(address.parse().unwrap())
    }

    fn room(addresses: &Addresses, address: &str) -> Room {
        addresses.room(arrive(addresses, address).as_ref())
    }

    #[test]
    fn an_address_has_so_many_places_and_they_come_back() {
        let addresses = addresses(&["127.0.0.0/8"], &[], 2);
        let held: Vec<_> = (0..3).map(|_| arrive(&addresses, "192.0.2.1")).collect();
        let rooms: Vec<_> = held.iter().map(|guest| addresses.room(guest.as_ref())).collect();
        assert_eq!(rooms, [Room::Free, Room::Free, Room::Full]);
        assert_eq!(room(&addresses, "192.0.2.1"), Room::Overfull);
        assert_eq!(room(&addresses, "192.0.2.2"), Room::Free, "another address");
        drop(held);
        assert_eq!(room(&addresses, "192.0.2.1"), Room::Free);
        assert!(arrive(&addresses, "127.0.0.9").is_none());
        assert_eq!(addresses.room(None), Room::Free);
    }

    #[test]
    fn ipv6_is_counted_by_household_and_mapped_addresses_as_what_they_are() {
        let addresses = addresses(&[], &[], 2);
        let _held = [arrive(&addresses, "2001:db8:0:1::1"), arrive(&addresses, "2001:db8:0:1:ffff::2")];
        assert_eq!(room(&addresses, "2001:db8:0:1::3"), Room::Full);
        assert_eq!(room(&addresses, "2001:db8:0:2::1"), Room::Free);
        let _v4 = [arrive(&addresses, "192.0.2.1"), arrive(&addresses, "::ffff:192.0.2.1")];
        assert_eq!(room(&addresses, "192.0.2.1"), Room::Full);
    }

    #[test]
    fn networks_are_forgotten_when_they_have_left() {
        let addresses = addresses(&[], &[], 2);
        let guests: Vec<_> = (0..200).map(|n| arrive(&addresses, &format!("192.0.2.{n}"))).collect();
        let sweep = || (0..SHARDS).for_each(|_| addresses.sweep());
        sweep();
        assert_eq!(known(&addresses), 200);
        drop(guests);
        sweep();
        assert_eq!(known(&addresses), 0);
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_asks() {
        let addresses = addresses(&[], &["10.0.0.0/8"], 1);
        let mut headers = http::HeaderMap::new();
        headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        let proxy = arrive(&addresses, "10.0.0.1").unwrap();
        assert!(proxy.is_proxy());
        let behind = addresses.arrive_behind(&proxy, &headers).unwrap();
        assert_eq!(behind.address().to_string(), "192.0.2.1");
        assert_eq!(addresses.room(addresses.arrive_behind(&proxy, &headers).as_ref()), Room::Full);
        assert_eq!(room(&addresses, "192.0.2.1"), Room::Full, "the same place however it comes");
        let own = addresses.arrive_behind(&proxy, &http::HeaderMap::new()).unwrap();
        assert_eq!(own.address().to_string(), "10.0.0.1");
        // A stranger that sends the header is a stranger: nobody asks for it.
        assert!(!arrive(&addresses, "203.0.113.1").unwrap().is_proxy());
    }
}
