//! Who a connection comes from, as far as limits ask: its address, what it may still publish, and its place among the connections of
//! that address. Knows no headers and no tokens: whoever reads those makes a [`Guest`] or names a [`Holder`].

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use efir_core::{
    Problem,
    rate::{PublishRate, PublishRates, Purse},
};

use crate::clock;

/// An address, or a /64 of IPv6: what one household has.
#[derive(Debug, Default)]
pub struct Network {
    connections: AtomicUsize,
    purse: Purse,
}

impl Network {
    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether nothing needs to be remembered of it.
    pub fn is_forgettable(&self) -> bool {
        self.connections() == 0 && self.purse.is_full(clock::ticks_ns())
    }
}

/// The stranger behind a connection, or behind a request that a trusted proxy hands on. Its place is free when it is dropped.
#[derive(Debug)]
pub struct Guest {
    address: IpAddr,
    /// `None`: a trusted proxy, whose requests have guests of their own.
    network: Option<Arc<Network>>,
    /// How many connections the network had with it.
    rank: usize,
    purse: Purse,
}

impl Guest {
    /// Takes a place among the connections of a network.
    pub fn new(address: IpAddr, network: Arc<Network>) -> Arc<Self> {
        let rank = network.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Self { address, network: Some(network), rank, purse: Purse::default() })
    }

    /// A trusted proxy.
    pub fn proxy(address: IpAddr) -> Arc<Self> {
        Arc::new(Self { address, network: None, rank: 0, purse: Purse::default() })
    }

    /// Where it comes from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many connections its network had when it came, this one among them: those who were there before are not disturbed by it.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Whether it is a trusted proxy, and no guest itself.
    pub fn is_proxy(&self) -> bool {
        self.network.is_none()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(network) = &self.network {
            network.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Whoever has shown who it is, and pays for that.
#[derive(Debug, Clone)]
pub enum Holder {
    /// A user, with all of its connections.
    User(Arc<Purse>),
    /// A server key.
    Key(Arc<Purse>),
}

/// Who pays for what a response publishes: 8 bytes, and nobody where nothing is limited.
#[derive(Debug, Clone, Default)]
pub struct Account(Option<Box<Payers>>);

#[derive(Debug, Clone, Default)]
struct Payers {
    guest: Option<Arc<Guest>>,
    holder: Option<Holder>,
}

impl Account {
    /// That of a guest whom nobody knows.
    pub fn of_guest(guest: Option<&Arc<Guest>>) -> Self {
        Self(guest.map(|guest| Box::new(Payers { guest: Some(Arc::clone(guest)), holder: None })))
    }

    /// From now on the holder pays, besides the connection.
    pub fn set_holder(&mut self, holder: Option<Holder>) {
        if holder.is_some() || self.0.is_some() {
            self.0.get_or_insert_default().holder = holder;
        }
    }

    /// Pays for one message of so many bytes.
    ///
    /// # Errors
    /// `rate_limited`: nothing was paid.
    pub fn pay(&self, rates: &PublishRates, bytes: usize) -> Result<(), Problem> {
        match &self.0 {
            None => Ok(()),
            Some(payers) => payers.pay(rates, bytes),
        }
    }
}

impl Payers {
    fn pay(&self, rates: &PublishRates, bytes: usize) -> Result<(), Problem> {
        let now_ns = clock::ticks_ns();
        let guest = self.guest.as_deref();
        let own = guest.map(|guest| (&guest.purse, &rates.connection));
        let (own, shared) = match &self.holder {
            // A backend sends everything over few connections.
            Some(Holder::Key(purse)) => (None, Some((&**purse, &rates.key))),
            Some(Holder::User(purse)) => (own, Some((&**purse, &rates.user))),
            None => {
                let network = guest.and_then(|guest| guest.network.as_deref());
                (own, network.map(|network| (&network.purse, &rates.user)))
            }
        };
        if let Some((purse, rate)) = own {
            purse.pay(rate, bytes, now_ns)?;
        }
        let pay = |(purse, rate): (&Purse, &PublishRate)| purse.pay(rate, bytes, now_ns);
        shared.map_or(Ok(()), pay).inspect_err(|_| {
            if let Some((purse, rate)) = own {
                purse.refund(rate, bytes);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use efir_core::Limits;

    use super::*;

    fn rates() -> PublishRates {
        PublishRates::new(&Limits {
            connection_publishes_per_s_max: 3,
            user_publishes_per_s_max: 5,
            key_publishes_per_s_max: 7,
            ..Limits::default()
        })
    }

    /// How many messages are paid for before a limit refuses one, and the limit's name. Slower than the shortest rate only by an
    /// hour's halt in between.
    fn paid(accounts: &[&Account]) -> (usize, &'static str) {
        for count in 0.. {
            if let Err(problem) = accounts[count % accounts.len()].pay(&rates(), 10) {
                return (count, problem.limit.unwrap().0);
            }
        }
        unreachable!()
    }

    fn guests(count: usize) -> Vec<Account> {
        let network = Arc::<Network>::default();
        let address = "192.0.2.1".parse().unwrap();
        (0..count).map(|_| Account::of_guest(Some(&Guest::new(address, Arc::clone(&network))))).collect()
    }

    #[test]
    fn connection_address_user_and_key_have_limits_of_their_own() {
        let [alone] = &guests(1)[..] else { panic!() };
        assert_eq!(paid(&[alone]), (3, "connection_publishes_per_s_max"));
        let many = guests(4);
        assert_eq!(paid(&many.iter().collect::<Vec<_>>()), (5, "user_publishes_per_s_max"));

        let purse = Arc::<Purse>::default();
        let mut users: Vec<_> = guests(1).into_iter().chain(guests(1)).collect();
        users.iter_mut().for_each(|user| user.set_holder(Some(Holder::User(Arc::clone(&purse)))));
        assert_eq!(paid(&[&users[0], &users[1]]), (5, "user_publishes_per_s_max"), "over two addresses");

        let mut backend = guests(1).remove(0);
        backend.set_holder(Some(Holder::Key(Arc::default())));
        assert_eq!(paid(&[&backend]), (7, "key_publishes_per_s_max"));
    }

    #[test]
    fn who_is_exempt_pays_nothing_until_it_says_who_it_is() {
        let mut account = Account::default();
        assert!((0..1_000).all(|_| account.pay(&rates(), 1 << 20).is_ok()));
        account.set_holder(None);
        assert!(account.0.is_none());
        account.set_holder(Some(Holder::User(Arc::default())));
        assert_eq!(paid(&[&account]), (5, "user_publishes_per_s_max"));
        assert_eq!(size_of::<Account>(), 8);
    }

    #[test]
    fn a_place_is_free_again_when_the_guest_is_gone() {
        let network = Arc::<Network>::default();
        let address = "2001:db8::1".parse().unwrap();
        let guests = [Guest::new(address, Arc::clone(&network)), Guest::new(address, Arc::clone(&network))];
        assert_eq!(network.connections(), 2);
        assert!(!network.is_forgettable());
        let account = Account::of_guest(Some(&guests[0]));
        drop(guests);
        assert_eq!(network.connections(), 1, "a response that lasts keeps it");
        drop(account);
        assert!(network.is_forgettable());
        assert!(Guest::proxy(address).is_proxy());
    }

    #[test]
    fn threads_that_share_a_purse_get_no_more_than_it_holds() {
        let rates = PublishRates::new(&Limits { key_publishes_per_s_max: 1_000, ..Limits::default() });
        let purse = Purse::default();
        let paid: usize = std::thread::scope(|scope| {
            let pay = || (0..1_000).filter(|_| purse.pay(&rates.key, 1, 7).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(pay)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(paid, 1_000);
    }
}
