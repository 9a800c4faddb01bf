//! What readers saw: from its cursor on, each gets every message once and in order, or is told of a gap first.

use std::collections::{HashMap, HashSet};

use crate::history::{Event, From, Place};

use super::{
    Report,
    publishes::{ChannelState, Publishes},
};

/// Where one reader stands in one channel.
#[derive(Debug)]
enum Stand {
    /// Just opened, nothing heard yet; the offset that was acknowledged before.
    Unknown { from: From, acknowledged: u64 },
    /// Has everything up to here.
    At(Place),
    /// Gave a cursor that no server made.
    Foreign(String),
}

#[derive(Debug)]
struct Track {
    stand: Stand,
    /// Opened in a life of the server that is over: what comes may have been under way.
    is_stale: bool,
    acknowledged_at_open: u64,
    /// What came since it was opened, to tell what comes again from what comes late.
    seen: HashSet<Place>,
}

/// All readers of a history, so far.
#[derive(Debug, Default)]
pub(super) struct Reads {
    tracks: HashMap<(String, String), Track>,
    /// At which offsets a payload was seen, by channel, epoch and payload.
    stands: HashMap<(String, String, String), HashSet<u64>>,
}

impl Reads {
    pub(super) fn lose(&mut self) {
        self.tracks.values_mut().for_each(|track| track.is_stale = true);
    }

    pub(super) fn take(&mut self, actor: &str, event: &Event, known: &Publishes, report: Report<'_>) {
        let (Event::Open { channel, .. }
        | Event::At { channel, .. }
        | Event::Received { channel, .. }
        | Event::Gap { channel, .. }
        | Event::Settled { channel }) = event
        else {
            return;
        };
        let fresh = ChannelState::default();
        let state = known.state(channel).unwrap_or(&fresh);
        let name = (actor.to_owned(), channel.clone());
        if let Event::Open { from, .. } = event {
            self.tracks.insert(name, Track::open(from, state.acknowledged));
            return;
        }
        let Some(track) = self.tracks.get_mut(&name) else {
            return report("D1", format!("{actor} got something of {channel}, which it does not read"));
        };
        match event {
            Event::At { cursor, .. } => track.at(cursor, report),
            Event::Received { position, payload, .. } => {
                check_content(channel, position, payload, known, report);
                let place = (channel.clone(), position.epoch.clone(), payload.clone());
                let stands = self.stands.entry(place).or_default();
                if stands.insert(position.offset) && stands.len() > known.stands_most(channel, payload) {
                    report("D3", format!("{channel} {position} is {payload:?} once more"));
                }
                track.receive(position, state, report);
            }
            Event::Gap { reason, after, resume_from, epoch, .. } => {
                if resume_from.epoch != *epoch {
                    report("D5", format!("gap of epoch {epoch} resumes from {resume_from}"));
                }
                track.gap(&GapSeen { reason, after, resume_from }, state, report);
            }
            Event::Settled { .. } => track.settle(channel, state, report),
            _ => {}
        }
    }
}

fn check_content(channel: &str, position: &Place, payload: &str, known: &Publishes, report: Report<'_>) {
    if let Err(why) = known.may_stand(channel, payload) {
        report("D2", format!("{channel} {position} came as {payload:?}, but {why}"));
    }
    if let Some(there) = known.content(channel, position)
        && there != payload
    {
        report("D1", format!("{channel} {position} is {there:?} and came as {payload:?}"));
    }
}

struct GapSeen<'a> {
    reason: &'a str,
    after: &'a str,
    resume_from: &'a Place,
}

impl Track {
    fn open(from: &From, acknowledged: u64) -> Self {
        let stand = match from {
            From::After(cursor) => match Place::parse(cursor) {
                Some(place) => Stand::At(place),
                None => Stand::Foreign(cursor.clone()),
            },
            from => Stand::Unknown { from: from.clone(), acknowledged },
        };
        Self { stand, is_stale: false, acknowledged_at_open: acknowledged, seen: HashSet::new() }
    }

    fn at(&mut self, cursor: &str, report: Report<'_>) {
        match &self.stand {
            Stand::At(place) if place.to_string() == cursor => {}
            Stand::Foreign(text) if text == cursor => {}
            Stand::At(place) => {
                report("D7", format!("the server says {cursor}, the reader stands at {place}"));
            }
            Stand::Foreign(text) => report("D7", format!("the server says {cursor}, the reader gave {text}")),
            Stand::Unknown { from, acknowledged } => match Place::parse(cursor) {
                Some(place) => {
                    if *from == From::Now && place.offset < *acknowledged {
                        report(
                            "D7",
                            format!("joined at {cursor}, but {acknowledged} was acknowledged before"),
                        );
                    }
                    self.stand = Stand::At(place);
                }
                None => report("D7", format!("{cursor} is not a position")),
            },
        }
    }

    fn receive(&mut self, position: &Place, state: &ChannelState, report: Report<'_>) {
        match &self.stand {
            Stand::At(place) if place.epoch != position.epoch => {
                report("D5", format!("{position} came after {place} without a gap"));
            }
            Stand::At(place) if position.offset <= place.offset => {
                let clause = if self.seen.contains(position) { "D7" } else { "D1" };
                report(clause, format!("{position} came although the reader stands at {place}"));
            }
            Stand::At(place) if position.offset > place.offset + 1 => {
                report("D5", format!("{position} came after {place}: something is missing and no gap told"));
            }
            Stand::At(_) => {}
            Stand::Foreign(text) => report("D5", format!("{position} came after {text} without a gap")),
            Stand::Unknown { from, acknowledged } => first(from, *acknowledged, position, state, report),
        }
        self.judge_epoch(position, state, report);
        self.seen.insert(position.clone());
        self.stand = Stand::At(position.clone());
    }

    /// What a reader that is fresh in this life sees belongs to this life.
    fn judge_epoch(&self, position: &Place, state: &ChannelState, report: Report<'_>) {
        if self.is_stale {
            return;
        }
        if state.dead.contains(&position.epoch) {
            report("D6", format!("{position} is of an epoch that the server lost"));
        } else if state.epoch.as_ref().is_some_and(|epoch| *epoch != position.epoch) {
            report("D6", format!("{position} is not of the epoch in force"));
        }
    }

    fn gap(&mut self, gap: &GapSeen<'_>, state: &ChannelState, report: Report<'_>) {
        let GapSeen { reason, after, resume_from } = gap;
        match &self.stand {
            Stand::At(place) => {
                if place.to_string() != *after {
                    report("D5", format!("a gap after {after}, but the reader stands at {place}"));
                }
                self.judge_reason(place, reason, resume_from, report);
            }
            Stand::Foreign(text) => {
                if text != after || *reason != "epoch_changed" {
                    report("D5", format!("{text} was answered with a gap {reason} after {after}"));
                }
            }
            Stand::Unknown { from, .. } => report("D5", format!("a gap for a reader that began at {from:?}")),
        }
        let gone_most = state.gone_most();
        if resume_from.offset > gone_most {
            report("D5", format!("the gap ends at {resume_from}, but at most {gone_most} can be gone"));
        }
        if !state.dead.contains(&resume_from.epoch) {
            self.is_stale = false;
        }
        self.judge_epoch(resume_from, state, report);
        self.stand = Stand::At((*resume_from).clone());
    }

    fn judge_reason(&self, place: &Place, reason: &str, resume_from: &Place, report: Report<'_>) {
        let is_same = place.epoch == resume_from.epoch;
        let is_right = match reason {
            "trimmed" | "expired" => is_same && resume_from.offset > place.offset,
            "epoch_changed" => !is_same,
            "position_ahead" => is_same && place.offset > self.acknowledged_at_open,
            _ => true,
        };
        if !is_right {
            report("D5", format!("gap {reason} after {place} with resume_from {resume_from}"));
        }
    }

    fn settle(&self, channel: &str, state: &ChannelState, report: Report<'_>) {
        let acknowledged = state.acknowledged;
        match &self.stand {
            Stand::At(place) => {
                let is_there = state.epoch.as_ref().is_none_or(|epoch| *epoch == place.epoch);
                if acknowledged > 0 && (!is_there || place.offset < acknowledged) {
                    report(
                        "D4",
                        format!(
                            "{channel} was acknowledged up to {acknowledged}; the reader stays at {place}"
                        ),
                    );
                }
            }
            Stand::Foreign(text) => report("D5", format!("nothing was said about the cursor {text}")),
            Stand::Unknown { acknowledged: before, .. } if acknowledged > *before => {
                report(
                    "D4",
                    format!("{channel} was acknowledged up to {acknowledged}; the reader got nothing"),
                );
            }
            Stand::Unknown { .. } => {}
        }
    }
}

/// The first message of a reader that gave no cursor.
fn first(from: &From, acknowledged: u64, position: &Place, state: &ChannelState, report: Report<'_>) {
    let before = position.offset.saturating_sub(1);
    match from {
        From::Now if before < acknowledged => {
            report("D7", format!("{position} is from before the reader began"));
        }
        From::Start if before > state.gone_most() => {
            report("D4", format!("{position} is not the oldest that must be kept"));
        }
        From::Last(count) if before + count < acknowledged => {
            report("D4", format!("{position} is older than the newest {count}"));
        }
        From::Last(count) if before > state.invoked.saturating_sub(*count).max(state.gone_most()) => {
            report("D4", format!("{position} is younger than the newest {count}"));
        }
        _ => {}
    }
}
