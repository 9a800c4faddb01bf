//! What the publishers and readers of one leg share: their history, and how far they are.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use efir_client::{Receipt, Transport};

use crate::history::{Event, History, Place};

/// Switches of transport, by the one before and the one after, in the order of [`Transport::ALL`].
pub(super) type Switches = [[u64; Transport::ALL.len()]; Transport::ALL.len()];

/// Shared by all of one leg.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) history: History,
    ops: AtomicU64,
    acknowledged: AtomicU64,
    /// By channel, what a publisher was told last.
    epochs: Mutex<HashMap<String, String>>,
    switches: Mutex<Switches>,
    wrong: Mutex<Vec<String>>,
    is_over: AtomicBool,
    /// Publishers have done their part and wait a little between messages.
    is_enough: AtomicBool,
}

/// One try to publish.
pub(super) struct Attempt<'a> {
    pub(super) actor: &'a str,
    pub(super) channel: &'a str,
    pub(super) key: Option<&'a str>,
    /// As it stands in the history.
    pub(super) mark: &'a str,
}

impl Ledger {
    /// A publish is sent; gives its number.
    pub(super) fn begin(&self, attempt: &Attempt<'_>) -> u64 {
        let op = self.ops.fetch_add(1, Ordering::Relaxed);
        let event = Event::Publish {
            op,
            channel: attempt.channel.into(),
            key: attempt.key.map(str::to_owned),
            payload: attempt.mark.into(),
        };
        self.history.record(attempt.actor, event);
        op
    }

    /// It was acknowledged.
    pub(super) fn accepted(&self, actor: &str, op: u64, receipt: &Receipt) {
        let Some(position) = Place::parse(&receipt.position) else {
            return self.wrong(format!("{actor} was told the position {}", receipt.position));
        };
        lock(&self.epochs).insert(receipt.channel.clone(), position.epoch.clone());
        self.history.record(actor, Event::Accepted { op, position, duplicate: receipt.duplicate });
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The epoch that a publisher was told last.
    pub(super) fn epoch(&self, channel: &str) -> Option<String> {
        lock(&self.epochs).get(channel).cloned()
    }

    /// Something does not hold that no history shows.
    pub(super) fn wrong(&self, words: String) {
        lock(&self.wrong).push(words);
    }

    pub(super) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.wrong))
    }

    pub(super) fn switched(&self, before: Transport, after: Transport) {
        let place = |wanted| Transport::ALL.iter().position(|transport| *transport == wanted);
        if let (Some(before), Some(after)) = (place(before), place(after)) {
            lock(&self.switches)[before][after] += 1;
        }
    }

    pub(super) fn switches(&self) -> Switches {
        *lock(&self.switches)
    }

    /// Publishers finish what they have begun, readers have no more habits.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(super) fn slow_down(&self) {
        self.is_enough.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_enough(&self) -> bool {
        self.is_enough.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
