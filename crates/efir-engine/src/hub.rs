//! The node's channels as everybody else sees them: publish, read, join. Limits and permissions are checked here; storing is the
//! broker's.

use std::{
    cmp::Reverse,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use efir_core::{
    ChannelName, Code, Cursor, Limits, Payload, Position, Problem, ReadMost, Receipt, Start, Times,
    rate::PublishRates,
};

use parking_lot::Mutex;
use slab::Slab;

use crate::{
    broker::{Broker, PublishError, Stock},
    channel::Noted,
    clock,
    counters::{Counters, Transport},
    holders::Holders,
    memory::Memory,
    overload::{DEBT_BYTES_MIN, Overload, Relief},
    presence::Presence,
    retention::RetentionRules,
    seam::{Seam, Seams},
    shortage::Shortage,
};

/// A message on its way in.
#[derive(Debug)]
pub struct Publish<'a> {
    /// Where to.
    pub channel: &'a ChannelName,
    /// What.
    pub payload: &'a Payload,
    /// Idempotency key: a retry with the same key and payload gets the first position.
    pub key: Option<&'a str>,
    /// The proven sender.
    pub from: Option<&'a str>,
}

/// What a poll reads at once.
#[derive(Debug)]
pub struct Page {
    /// The read itself: gap, messages, cursor, more.
    pub read: efir_core::Read,
    /// The newest position of the channel.
    pub head: Position,
}

struct Shared {
    broker: Memory,
    presence: Presence,
    holders: Holders,
    overload: Overload,
    seams: Seams,
    counters: Counters,
    /// Who is told when the node drains.
    carriers: Mutex<Slab<Arc<dyn Noted>>>,
    is_draining: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("broker", &self.broker).finish_non_exhaustive()
    }
}

/// The channels, and the terms on which whoever has this handle uses them.
#[derive(Debug)]
struct Handle {
    limits: Limits,
    times: Times,
    rates: PublishRates,
    shared: Arc<Shared>,
}

impl Deref for Handle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// A cheap handle on the node's channels.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Handle>);

impl Hub {
    /// A hub whose channels live in this process's memory. The node's epoch is random.
    pub fn new(limits: Limits, times: Times) -> Self {
        let broker = Memory::new(limits.clone());
        let shared = Arc::new(Shared {
            presence: Presence::new(&limits, &times),
            holders: Holders::default(),
            overload: Overload::new(limits.memory_bytes_max),
            broker,
            seams: Seams::default(),
            counters: Counters::default(),
            carriers: Mutex::default(),
            is_draining: AtomicBool::new(false),
        });
        Self::on(shared, limits, times)
    }

    /// The same channels on other terms, for what begins from now on. What channels keep at most, and how much of everything the node has,
    /// is decided when the hub is made and stays.
    #[must_use]
    pub fn with_terms(&self, limits: Limits, times: Times) -> Self {
        Self::on(Arc::clone(&self.0.shared), limits, times)
    }

    fn on(shared: Arc<Shared>, limits: Limits, times: Times) -> Self {
        let rates = PublishRates::new(&limits);
        Self(Arc::new(Handle { limits, times, rates, shared }))
    }

    /// From now on channels keep what these rules say, and never more than the limits with which the hub was made; `None`: all keep
    /// that. A channel that is there already is trimmed when it is next published to, read or swept. Takes as long as a sweep of all
    /// channels; publishing goes on meanwhile.
    pub fn keep_by(&self, rules: Option<RetentionRules>) {
        self.0.broker.keep_by(rules);
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The times in force.
    pub fn times(&self) -> &Times {
        &self.0.times
    }

    /// How often anybody may publish.
    pub fn rates(&self) -> &PublishRates {
        &self.0.rates
    }

    /// What users and server keys have published lately.
    pub fn holders(&self) -> &Holders {
        &self.0.holders
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// What the channels hold now.
    pub fn stock(&self) -> Stock {
        self.0.broker.stock()
    }

    pub(crate) fn broker(&self) -> &dyn Broker {
        &self.0.broker
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> &Memory {
        &self.0.broker
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.0.presence
    }

    /// Appends a message to its channel and wakes the channel's subscribers.
    ///
    /// # Errors
    /// As [`PublishError`] lists; nothing was appended then.
    pub fn publish(&self, publish: &Publish<'_>) -> Result<Receipt, PublishError> {
        let (bytes, bytes_max) = (publish.payload.len(), self.0.limits.message_bytes_max);
        if bytes > bytes_max {
            return Err(PublishError::PayloadTooLarge { bytes, bytes_max });
        }
        if self.is_overloaded() {
            return Err(PublishError::Overloaded { problem: Box::new(self.overload().problem()) });
        }
        let published = self.0.broker.publish(publish, clock::age_ms());
        if let Ok(receipt) = &published {
            self.0.counters.publish(bytes, receipt.duplicate);
        }
        published
    }

    /// Publishes text, for embedders.
    ///
    /// # Errors
    /// A bad channel name or a refused publish, as the problem that a client would see.
    pub fn publish_text(&self, channel: &str, text: &str) -> Result<Receipt, Problem> {
        let payload = Payload::text(Bytes::copy_from_slice(text.as_bytes()))
            .map_err(|error| Problem::new(Code::InvalidUtf8, error.to_string()))?;
        self.publish_payload(channel, &payload)
    }

    /// Publishes JSON, given as its text, for embedders.
    ///
    /// # Errors
    /// A bad channel name, bad JSON or a refused publish, as the problem that a client would see.
    pub fn publish_json(&self, channel: &str, json: &str) -> Result<Receipt, Problem> {
        let payload = Payload::json(Bytes::copy_from_slice(json.as_bytes()))
            .map_err(|error| Problem::new(Code::InvalidJson, error.to_string()))?;
        self.publish_payload(channel, &payload)
    }

    fn publish_payload(&self, channel: &str, payload: &Payload) -> Result<Receipt, Problem> {
        let channel = ChannelName::parse(channel)
            .map_err(|error| Problem::new(Code::InvalidChannel, error.to_string()))?;
        let publish = Publish { channel: &channel, payload, key: None, from: None };
        self.publish(&publish).map_err(|error| error.problem())
    }

    /// Where a channel's newest message stands. Asking creates nothing.
    pub fn position(&self, channel: &ChannelName) -> Position {
        self.0.broker.position(channel)
    }

    /// Reads at once, as a short poll does. `Start::Now` reads the newest messages.
    pub fn read(&self, channel: &ChannelName, start: Start, most: ReadMost) -> Page {
        let page = self.0.broker.read(channel, start, most);
        self.0.counters.deliver(Transport::ShortPoll, page.read.messages.len() as u64);
        if let Some(missed) = &page.read.gap {
            self.0.counters.tell_gap(missed.reason);
        }
        page
    }

    /// The cursor after which a new subscriber reads.
    pub(crate) fn resolve(&self, channel: &ChannelName, start: Start) -> Cursor {
        let cursor = self.0.broker.resolve(channel, start);
        self.0.seams.pass(Seam::Resolved, channel);
        cursor
    }

    /// Frees what has expired and lets go of members whose time is over. The carrier of the process calls it at least twice a second.
    pub fn sweep(&self) {
        self.sweep_members();
        self.0.holders.sweep();
        self.0.broker.sweep(clock::age_ms());
    }

    /// Tells how many bytes of memory the process takes; whoever runs it does so some times a second. Beyond `memory_bytes_max` the
    /// connections that hold the most are cut, then the least recently used logs are trimmed, and nothing new is taken.
    pub fn weigh(&self, in_use: usize) {
        let relief = self.overload().weigh(in_use, clock::ticks_ns());
        if relief != Relief::Nothing {
            self.shed();
        }
        if let Relief::DebtorsAndLogs(bytes) = relief {
            self.0.broker.trim(bytes);
        }
    }

    /// Lets all carriers cut their largest debtors, soon.
    pub(crate) fn shed_elsewhere(&self) {
        self.carriers().iter().for_each(|carrier| carrier.shed());
    }

    fn shed(&self) {
        let carriers = self.carriers();
        carriers.iter().for_each(|carrier| carrier.shed());
        let mut debtors: Vec<_> = carriers.iter().map(|carrier| (carrier.held_bytes(), carrier)).collect();
        debtors.retain(|(bytes, _)| *bytes >= DEBT_BYTES_MIN);
        debtors.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        for (bytes, carrier) in debtors {
            if !self.claim_debtor(bytes) {
                return;
            }
            carrier.cut();
        }
    }

    /// For a carrier that holds memory for its clients and cuts those that hold the most when there is too little.
    pub fn shortage(&self) -> Shortage {
        Shortage::new(self)
    }

    /// A debtor of so many bytes is about to be cut; false when enough were.
    pub fn claim_debtor(&self, bytes: usize) -> bool {
        let is_needed = self.overload().claim(bytes);
        if is_needed {
            self.counters().close_for("memory_bytes_max");
        }
        is_needed
    }

    /// Whether the process takes more memory than it may: nothing new is taken.
    pub fn is_overloaded(&self) -> bool {
        self.overload().is_over()
    }

    /// What [`Hub::weigh`] was told last, in bytes.
    pub fn memory_in_use(&self) -> usize {
        self.overload().in_use()
    }

    /// Refuses what is new while there is no room for it.
    ///
    /// # Errors
    /// `overloaded`, with `memory_bytes_max` and when to come back.
    pub fn check_room(&self) -> Result<(), Problem> {
        if self.is_overloaded() { Err(self.overload().problem()) } else { Ok(()) }
    }

    pub(crate) fn overload(&self) -> &Overload {
        &self.0.overload
    }

    fn carriers(&self) -> Vec<Arc<dyn Noted>> {
        self.0.carriers.lock().iter().map(|(_, carrier)| Arc::clone(carrier)).collect()
    }

    /// Tells every long-lived response that who may do what has changed, so that it asks again.
    pub fn recheck(&self) {
        self.carriers().iter().for_each(|carrier| carrier.recheck());
    }

    /// Tells every long-lived response that the node is about to stop. Later ones are told as they come.
    pub fn drain(&self) {
        self.0.is_draining.store(true, Ordering::SeqCst);
        for carrier in self.carriers() {
            carrier.drain();
        }
    }

    /// Whether [`Hub::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::SeqCst)
    }

    /// Enters a carrier that wants to know when the node drains.
    pub(crate) fn enlist(&self, carrier: &Arc<impl Noted + 'static>) -> usize {
        let id = self.0.carriers.lock().insert(Arc::clone(carrier) as _);
        if self.is_draining() {
            carrier.drain();
        }
        id
    }

    pub(crate) fn delist(&self, id: usize) {
        self.0.carriers.lock().try_remove(id);
    }

    /// Calls `hook` whenever a join passes one of its seams, so that a test can publish in between.
    #[doc(hidden)]
    pub fn on_seam(&self, hook: impl Fn(Seam, &ChannelName) + Send + Sync + 'static) {
        self.0.seams.set(hook);
    }

    pub(crate) fn seams(&self) -> &Seams {
        &self.0.seams
    }
}
