//! What publishers were told: positions are dense, in order and given once; a key stands for one message.

use std::collections::{HashMap, HashSet};

use crate::history::{Event, Place};

use super::Report;

#[derive(Debug)]
struct Op {
    channel: String,
    key: Option<String>,
    payload: String,
    /// The greatest offset acknowledged before this was sent: its own must be greater.
    floor: u64,
    /// The loss of the server that preceded it.
    life: u32,
    /// Nothing was said of it yet: its sender may still be trying.
    is_under_way: bool,
}

/// A positive answer.
struct Ack<'a> {
    position: &'a Place,
    duplicate: bool,
}

/// What is known of a channel in the present life of the server.
#[derive(Debug)]
pub(super) struct ChannelState {
    /// The epoch in force, once somebody was told it.
    pub(super) epoch: Option<String>,
    /// Epochs of lives that ended: they must not come back.
    pub(super) dead: HashSet<String>,
    /// The newest acknowledged offset.
    pub(super) acknowledged: u64,
    /// How many messages can have been appended at most.
    pub(super) invoked: u64,
    /// How many messages are kept; `None`: nobody can say.
    pub(super) kept: Option<u64>,
}

impl Default for ChannelState {
    /// Nobody published yet, and everything is kept.
    fn default() -> Self {
        Self { epoch: None, dead: HashSet::new(), acknowledged: 0, invoked: 0, kept: Some(u64::MAX) }
    }
}

impl ChannelState {
    /// The greatest offset that can be gone by now.
    pub(super) fn gone_most(&self) -> u64 {
        self.kept.map_or(u64::MAX, |kept| self.invoked.saturating_sub(kept))
    }
}

/// All publishes of a history, so far.
#[derive(Debug, Default)]
pub(super) struct Publishes {
    ops: HashMap<u64, Op>,
    channels: HashMap<String, ChannelState>,
    life: u32,
    /// What stands at a position; the first to say it is believed.
    content: HashMap<(String, Place), String>,
    /// Positions that were given to an op that was no duplicate.
    given: HashSet<(String, Place)>,
    keyed: HashMap<(String, String, String), (Place, String)>,
    /// The last offset per sending connection, channel and epoch.
    sent: HashMap<(String, String, String), u64>,
    /// Payloads per channel.
    payloads: HashMap<(String, String), Sendings>,
}

/// How often a payload was sent to a channel.
#[derive(Debug, Default)]
struct Sendings {
    sent: u64,
    refused: u64,
    /// Sent without a key: each may stand once.
    unkeyed: usize,
    /// Sent with a key: each key may stand once, however often it was sent.
    keys: HashSet<String>,
}

impl Publishes {
    pub(super) fn channel(&mut self, name: &str) -> &mut ChannelState {
        self.channels.entry(name.to_owned()).or_default()
    }

    pub(super) fn state(&self, name: &str) -> Option<&ChannelState> {
        self.channels.get(name)
    }

    /// Whether somebody sent this payload to this channel and it was not refused each time.
    pub(super) fn may_stand(&self, channel: &str, payload: &str) -> Result<(), &'static str> {
        match self.payloads.get(&(channel.to_owned(), payload.to_owned())) {
            None => Err("nobody published it there"),
            Some(sendings) if sendings.refused >= sendings.sent => Err("its publish was refused"),
            Some(_) => Ok(()),
        }
    }

    /// At how many positions of one epoch a payload may stand at most: retries with a key add none.
    pub(super) fn stands_most(&self, channel: &str, payload: &str) -> usize {
        let sendings = self.payloads.get(&(channel.to_owned(), payload.to_owned()));
        sendings.map_or(0, |sendings| sendings.unkeyed + sendings.keys.len())
    }

    pub(super) fn content(&self, channel: &str, position: &Place) -> Option<&String> {
        self.content.get(&(channel.to_owned(), position.clone()))
    }

    pub(super) fn take(&mut self, actor: &str, event: &Event, report: Report<'_>) {
        match event {
            Event::Publish { op, channel, key, payload } => {
                let life = self.life;
                let is_retry = self.is_retry(channel, key.as_deref());
                let state = self.channel(channel);
                // The retry of an acknowledged publish appends nothing.
                state.invoked += u64::from(!is_retry);
                let floor = state.acknowledged;
                let sendings = self.payloads.entry((channel.clone(), payload.clone())).or_default();
                sendings.sent += 1;
                match key {
                    Some(key) => drop(sendings.keys.insert(key.clone())),
                    None => sendings.unkeyed += 1,
                }
                let sent = Op {
                    channel: channel.clone(),
                    key: key.clone(),
                    payload: payload.clone(),
                    floor,
                    life,
                    is_under_way: true,
                };
                if self.ops.insert(*op, sent).is_some() {
                    report("history", format!("op {op} is sent twice"));
                }
            }
            Event::Accepted { op, position, duplicate } => {
                self.accept(actor, *op, &Ack { position, duplicate: *duplicate }, report);
            }
            Event::Refused { op, .. } => {
                if let Some(sent) = self.ops.get_mut(op) {
                    sent.is_under_way = false;
                    let payload = (sent.channel.clone(), sent.payload.clone());
                    self.payloads.entry(payload).or_default().refused += 1;
                }
            }
            Event::Unanswered { op } => {
                if let Some(sent) = self.ops.get_mut(op) {
                    sent.is_under_way = false;
                }
            }
            Event::Keeps { channel, messages_max } => self.channel(channel).kept = *messages_max,
            _ => {}
        }
    }

    fn is_retry(&self, channel: &str, key: Option<&str>) -> bool {
        let epoch = self.state(channel).and_then(|state| state.epoch.clone());
        let (Some(epoch), Some(key)) = (epoch, key) else { return false };
        self.keyed.contains_key(&(channel.to_owned(), epoch, key.to_owned()))
    }

    fn accept(&mut self, actor: &str, op: u64, ack: &Ack<'_>, report: Report<'_>) {
        let Ack { position, duplicate } = *ack;
        let Some(Op { channel, key, payload, floor, life, .. }) = self.ops.remove(&op) else {
            return report("history", format!("op {op} was acknowledged and never sent"));
        };
        let is_late = life < self.life
            && self.state(&channel).is_some_and(|state| state.dead.contains(&position.epoch));
        if is_late {
            // Given before the loss and under way since: it says nothing of what is there now.
            return;
        }
        self.see_epoch(&channel, &position.epoch, report);
        let place = (channel.clone(), position.clone());
        if let Some(key) = key {
            let keyed = (channel.clone(), position.epoch.clone(), key.clone());
            match self.keyed.get(&keyed) {
                Some((first, _)) if first != position => {
                    report("D3", format!("key {key} stands for {first} and for {position}"));
                }
                Some((_, before)) if *before != payload => {
                    report("D3", format!("key {key} was accepted for two payloads"));
                }
                _ => drop(self.keyed.insert(keyed, (position.clone(), payload.clone()))),
            }
        } else if duplicate {
            report("D3", format!("{position} is called a duplicate without a key"));
        }
        match self.content.get(&place) {
            Some(there) if *there != payload => {
                report("D1", format!("{channel} {position} holds {there:?} and {payload:?}"));
            }
            _ => drop(self.content.insert(place.clone(), payload)),
        }
        if !duplicate {
            if !self.given.insert(place) {
                report("D1", format!("{channel} {position} was given to two publishes"));
            }
            if life == self.life && position.offset <= floor {
                report(
                    "D1",
                    format!("{position} was acknowledged later than {floor} was, and sent after that"),
                );
            }
            let last = self.sent.entry((actor.into(), channel.clone(), position.epoch.clone())).or_default();
            if *last >= position.offset {
                report("D1", format!("{actor} sent {position} after offset {last}"));
            }
            *last = position.offset;
        }
        let state = self.channel(&channel);
        state.acknowledged = state.acknowledged.max(position.offset);
        if position.offset > state.invoked {
            let (offset, invoked) = (position.offset, state.invoked);
            report("D1", format!("{channel} is at {offset} after at most {invoked} messages: not dense"));
        }
    }

    /// Somebody was told that this epoch is in force.
    pub(super) fn see_epoch(&mut self, channel: &str, epoch: &str, report: Report<'_>) {
        let state = self.channel(channel);
        if state.dead.contains(epoch) {
            report("D6", format!("{channel} keeps epoch {epoch} although the server lost it"));
        }
        match &state.epoch {
            Some(known) if known != epoch => {
                report("D6", format!("{channel} changes from epoch {known} to {epoch} without a loss"));
            }
            _ => state.epoch = Some(epoch.to_owned()),
        }
    }

    pub(super) fn lose(&mut self) {
        self.life += 1;
        for state in self.channels.values_mut() {
            state.dead.extend(state.epoch.take());
            (state.acknowledged, state.invoked) = (0, 0);
        }
        // What is under way may arrive in the new life.
        for sent in self.ops.values().filter(|sent| sent.is_under_way) {
            if let Some(state) = self.channels.get_mut(&sent.channel) {
                state.invoked += 1;
            }
        }
    }
}
