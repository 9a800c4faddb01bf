//! The purses of users and server keys, by name: what each of them has published lately, over all of its connections.

use std::{collections::HashMap, sync::Arc};

use efir_core::rate::Purse;
use parking_lot::Mutex;

use crate::{clock, guest::Holder};

/// Purses that are remembered; each is forgotten when nobody holds it and it is full again.
const PURSES_MAX: usize = 100_000;

/// All of them.
#[derive(Debug, Default)]
pub struct Holders {
    users: Purses,
    keys: Purses,
}

#[derive(Debug, Default)]
struct Purses {
    by_name: Mutex<HashMap<Box<str>, Arc<Purse>>>,
    /// Shared by those for whom there is no room: many names must not make a limit larger.
    crowd: Arc<Purse>,
}

impl Holders {
    /// A user, by the name in its token.
    pub fn user(&self, name: &str) -> Holder {
        Holder::User(self.users.purse(name))
    }

    /// A server key, by its name.
    pub fn key(&self, name: &str) -> Holder {
        Holder::Key(self.keys.purse(name))
    }

    /// Forgets those of whom nothing needs to be remembered.
    pub fn sweep(&self) {
        self.users.forget(0);
        self.keys.forget(0);
    }
}

impl Purses {
    fn purse(&self, name: &str) -> Arc<Purse> {
        if let Some(known) = self.by_name.lock().get(name) {
            return Arc::clone(known);
        }
        self.forget(PURSES_MAX);
        let mut by_name = self.by_name.lock();
        if by_name.len() >= PURSES_MAX {
            return Arc::clone(&self.crowd);
        }
        Arc::clone(by_name.entry(name.into()).or_default())
    }

    /// Forgets what is not needed where there are so many or more.
    fn forget(&self, from: usize) {
        let mut by_name = self.by_name.lock();
        if !by_name.is_empty() && by_name.len() >= from {
            let now_ns = clock::ticks_ns();
            by_name.retain(|_, purse| Arc::strong_count(purse) > 1 || !purse.is_full(now_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purse(holder: &Holder) -> &Arc<Purse> {
        match holder {
            Holder::User(purse) | Holder::Key(purse) => purse,
        }
    }

    #[test]
    fn a_name_has_one_purse_and_is_forgotten_when_it_is_full() {
        let holders = Holders::default();
        let (anna, again, key) = (holders.user("anna"), holders.user("anna"), holders.key("anna"));
        assert!(Arc::ptr_eq(purse(&anna), purse(&again)) && !Arc::ptr_eq(purse(&anna), purse(&key)));
        holders.sweep();
        assert_eq!(holders.users.by_name.lock().len(), 1, "somebody holds it");
        drop((anna, again));
        holders.sweep();
        assert!(holders.users.by_name.lock().is_empty());
    }

    #[test]
    fn more_names_than_there_is_room_for_share_one_purse() {
        let holders = Holders::default();
        let held: Vec<_> = (0..PURSES_MAX).map(|n| holders.user(&n.to_string())).collect();
        let (one, other) = (holders.user("one"), holders.user("other"));
        assert!(Arc::ptr_eq(purse(&one), purse(&other)));
        assert_eq!(holders.users.by_name.lock().len(), PURSES_MAX);
        drop(held);
        assert!(!Arc::ptr_eq(purse(&holders.user("one")), purse(&one)), "there is room again");
    }
}
