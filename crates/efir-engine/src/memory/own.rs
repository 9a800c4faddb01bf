//! Channels in memory that keep less than the node lets them. A channel that keeps what all do costs a look at one byte; the others
//! remember which retention of the table holds for them. Each new table makes all channels forget that; they look it up when they are
//! next published to, read or swept.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use efir_core::{Log, Retention};
use parking_lot::Mutex;

use super::Memory;
use crate::{
    channel::Channel,
    retention::{AS_NODE, RetentionRules, UNKNOWN},
};

/// The first of two generations that take turns: all channels have forgotten the other when one is used again.
const FIRST_GENERATION: u16 = UNKNOWN + 1;
/// How many channels one look at a shard asks the rules for; there may be a thousand rules.
const ASKED_PER_LOOK: u32 = 1_024;

/// What channels keep that do not keep what the node does.
#[derive(Debug, Default)]
pub(super) struct Own {
    table: ArcSwapOption<Table>,
    /// Whoever replaces the table, until all channels have forgotten the one before.
    replacing: Mutex<()>,
}

#[derive(Debug)]
struct Table {
    generation: u16,
    /// By number: what a channel keeps, and what the log of its members does.
    kept: Vec<[Retention; 2]>,
    age_ms_min: u64,
    rules: RetentionRules,
}

impl Own {
    /// What a channel is marked with that begins now. To be asked under the lock of its shard.
    pub(super) fn mark(&self) -> u16 {
        if self.table.load().is_some() { UNKNOWN } else { AS_NODE }
    }

    /// The shortest life of a message in any channel of the table, in ms; no bound where there is none.
    pub(super) fn age_ms_min(&self) -> u64 {
        self.table.load().as_ref().map_or(u64::MAX, |table| table.age_ms_min)
    }
}

impl Table {
    fn retention(&self, number: u16, channel: &Channel) -> Option<Retention> {
        let [channels, members] = self.kept.get(usize::from(number))?;
        Some(if channel.name().is_presence_log() { *members } else { *channels })
    }
}

/// How much longer one look at a shard goes on to ask the rules.
#[derive(Debug)]
pub(super) struct Patience {
    left: u32,
    is_over: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: ASKED_PER_LOOK, is_over: false }
    }
}

impl Patience {
    /// Whether this channel is looked at now, or another time.
    pub(super) fn reaches(&mut self, channel: &Channel) -> bool {
        if channel.retention().generation() != UNKNOWN {
            return true;
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.is_over = true,
        }
        !self.is_over
    }

    /// Whether channels were passed over.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Memory {
    /// What the channel keeps where that is not what the node does; applied at once where nobody knew. Under the channel's lock.
    #[inline]
    pub(super) fn own_retention(&self, channel: &Channel, log: &mut Log, now_ms: u64) -> Option<Retention> {
        if channel.keeps_as_node() { None } else { self.look_up(channel, log, now_ms) }
    }

    /// How old the messages of the channel may become. Under the channel's lock.
    pub(super) fn age_ms_max(&self, channel: &Channel, log: &mut Log, now_ms: u64) -> u64 {
        match self.own_retention(channel, log, now_ms) {
            Some(own) => own.age_ms_max,
            None if channel.name().is_presence_log() => self.presence_retention.age_ms_max,
            None => self.retention.age_ms_max,
        }
    }

    #[cold]
    fn look_up(&self, channel: &Channel, log: &mut Log, now_ms: u64) -> Option<Retention> {
        let table = self.own.table.load();
        // Without a table whoever took it away will soon be here.
        let table = table.as_ref()?;
        let mark = channel.retention();
        if mark.generation() == table.generation {
            return table.retention(mark.number(), channel);
        }
        let found = table.rules.number_of(channel.name());
        let found = found.and_then(|number| Some((number, table.retention(number, channel)?)));
        let Some((number, retention)) = found else {
            mark.set(AS_NODE, 0);
            return None;
        };
        mark.set(table.generation, number);
        self.change_log(log, |log| log.apply(now_ms, &retention));
        Some(retention)
    }

    /// From now on channels keep what these rules say. Takes one shard after another, each for as long as a sweep does.
    pub(super) fn replace_own(&self, rules: Option<RetentionRules>) {
        let _alone = self.own.replacing.lock();
        let before = self.own.table.load_full();
        if before.is_none() && rules.is_none() {
            return;
        }
        let generation = match before {
            Some(table) if table.generation == FIRST_GENERATION => FIRST_GENERATION + 1,
            _ => FIRST_GENERATION,
        };
        let table = rules.map(|rules| {
            let both =
                |own: &crate::OwnRetention| [own.within(self.retention), own.within(self.presence_retention)];
            let kept: Vec<_> = rules.own.iter().map(both).collect();
            let age_ms_min = kept.iter().flatten().map(|kept| kept.age_ms_max).min().unwrap_or(u64::MAX);
            Arc::new(Table { generation, kept, age_ms_min, rules })
        });
        let mark = if table.is_some() { UNKNOWN } else { AS_NODE };
        self.own.table.store(table);
        for shard in &self.shards {
            let mut shard = shard.lock();
            for channel in shard.channels() {
                // The lock, because somebody may be about to mark it by the table before.
                channel.with(|_| channel.retention().set(mark, 0));
            }
            shard.due_ms = 0;
        }
    }
}
