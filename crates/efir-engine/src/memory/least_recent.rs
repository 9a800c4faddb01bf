//! Which channel was published to least recently, asked only when memory runs out. No channel pays for the answer before that: it
//! is found by a look at all channels of a shard, which lists the oldest of them in advance.

use std::{cmp::Reverse, sync::Arc};

use crate::channel::Channel;

/// A look at a shard lists this part of its channels: so each look is paid by many answers.
const LISTED_PART: usize = 8;
/// It lists at least so many.
const LISTED_MIN: usize = 32;

/// A channel, and when its newest message was accepted as it was listed (ms since 1970 UTC).
pub(super) type Listed = (u64, Arc<Channel>);

/// Per shard the channels that were published to least recently, the least recent last.
#[derive(Debug, Default)]
pub(super) struct LeastRecent(Vec<Vec<Listed>>);

impl LeastRecent {
    /// The channel whose newest message is the oldest of all; `None` when no channel keeps any. `list` lists a shard by
    /// [`list`].
    ///
    /// A channel that was published to, or emptied, since it was listed is no longer what the list says and is passed over; where it
    /// keeps messages, they are newer than those of all channels that stand before it.
    pub(super) fn next(
        &mut self,
        shards: usize,
        list: impl Fn(usize) -> Vec<Listed>,
    ) -> Option<Arc<Channel>> {
        self.0.resize_with(shards, Vec::new);
        loop {
            for (shard, listed) in self.0.iter_mut().enumerate() {
                if listed.is_empty() {
                    *listed = list(shard);
                }
            }
            let oldest = self.0.iter_mut().filter(|listed| !listed.is_empty());
            let oldest = oldest.min_by_key(|listed| listed.last().map(|(time_ms, _)| *time_ms))?;
            let (time_ms, channel) = oldest.last()?;
            if channel.newest_ms() == Some(*time_ms) {
                return Some(Arc::clone(channel));
            }
            oldest.pop();
        }
    }

    /// Lists a shard before that is asked for, so that no publish has to wait for all shards.
    pub(super) fn prepare(&mut self, (shard, shards): (usize, usize), list: impl Fn(usize) -> Vec<Listed>) {
        self.0.resize_with(shards, Vec::new);
        if let Some(listed) = self.0.get_mut(shard).filter(|listed| listed.is_empty()) {
            *listed = list(shard);
        }
    }

    /// There is room again; the lists, and the channels in them that are gone, are let go.
    pub(super) fn forget(&mut self) {
        self.0 = Vec::new();
    }
}

/// Lists the channels that were published to least recently.
pub(super) fn list<'a>(channels: impl Iterator<Item = &'a Arc<Channel>>) -> Vec<Listed> {
    let mut listed: Vec<Listed> =
        channels.filter_map(|channel| Some((channel.newest_ms()?, Arc::clone(channel)))).collect();
    let count = (listed.len() / LISTED_PART).max(LISTED_MIN);
    if count < listed.len() {
        listed.select_nth_unstable_by_key(count, |(time_ms, _)| *time_ms);
        listed.truncate(count);
        listed.shrink_to_fit();
    }
    listed.sort_unstable_by_key(|(time_ms, _)| Reverse(*time_ms));
    listed
}
