//! Faults that are planted into a good history, to prove that the checker sees them.

use crate::history::{Entry, Event, Place};

/// A way to spoil a history; `None` where the history has no place for it.
pub struct Fault {
    /// What goes wrong.
    pub name: &'static str,
    /// Spoils a copy.
    pub plant: fn(&[Entry]) -> Option<Vec<Entry>>,
}

/// Every fault that the checker is proved with.
pub const FAULTS: &[Fault] = &[
    Fault { name: "a message is skipped", plant: skip },
    Fault { name: "a message comes twice", plant: duplicate },
    Fault { name: "two messages are swapped", plant: swap },
    Fault { name: "the last message never comes", plant: drop_last },
    Fault { name: "a gap resumes one too late", plant: |entries| shift_gap(entries, 1) },
    Fault { name: "a gap resumes one too early", plant: |entries| shift_gap(entries, -1) },
    Fault { name: "a gap comes after the first message behind it", plant: late_gap },
    Fault { name: "a gap is missing", plant: silent_gap },
    Fault { name: "a gap where nothing is missing", plant: needless_gap },
    Fault { name: "the epoch is kept after a loss", plant: keep_epoch },
    Fault { name: "the epoch changes without a loss", plant: forget_loss },
    Fault { name: "a message of another channel", plant: cross_channel },
    Fault { name: "the cursor is ignored: all comes again", plant: replay_all },
    Fault { name: "the cursor is ignored: reading goes on from now", plant: skip_to_now },
    Fault { name: "the payload of another message", plant: swap_payloads },
    Fault { name: "two publishes get one position", plant: same_position },
    Fault { name: "acknowledged out of the order of sending", plant: swap_acks },
    Fault { name: "a hole in the offsets", plant: hole },
    Fault { name: "a refused publish is delivered", plant: refuse_delivered },
    Fault { name: "hello names a wrong cursor", plant: wrong_hello },
    Fault { name: "a key is given a second position", plant: second_position },
];

/// The lines that a reader received, except the first, which has nothing before it to be compared with.
fn received(entries: &[Entry]) -> Vec<usize> {
    let is_received = |(_, entry): &(usize, &Entry)| matches!(entry.event, Event::Received { .. });
    entries.iter().enumerate().filter(is_received).map(|(line, _)| line).collect()
}

/// Two received lines of one reader and channel that follow each other there.
fn neighbours(entries: &[Entry]) -> Option<(usize, usize)> {
    let lines = received(entries);
    lines.iter().enumerate().find_map(|(n, first)| {
        let second = lines.get(n + 1..)?.iter().find(|line| is_same_reading(entries, *first, **line))?;
        let is_quiet = !entries[*first..*second].iter().any(|entry| {
            entry.actor == entries[*first].actor
                && matches!(entry.event, Event::Open { .. } | Event::Gap { .. } | Event::At { .. })
        });
        is_quiet.then_some((*first, *second))
    })
}

fn is_same_reading(entries: &[Entry], a: usize, b: usize) -> bool {
    entries[a].actor == entries[b].actor && channel_of(&entries[a]) == channel_of(&entries[b])
}

fn channel_of(entry: &Entry) -> Option<&str> {
    match &entry.event {
        Event::Received { channel, .. } | Event::Gap { channel, .. } | Event::At { channel, .. } => {
            Some(channel)
        }
        _ => None,
    }
}

fn without(entries: &[Entry], line: usize) -> Vec<Entry> {
    let mut spoiled = entries.to_vec();
    spoiled.remove(line);
    spoiled
}

fn skip(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (first, _) = neighbours(entries)?;
    Some(without(entries, first))
}

fn duplicate(entries: &[Entry]) -> Option<Vec<Entry>> {
    let line = *received(entries).first()?;
    let mut spoiled = entries.to_vec();
    spoiled.insert(line, spoiled[line].clone());
    Some(spoiled)
}

fn swap(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (first, second) = neighbours(entries)?;
    let mut spoiled = entries.to_vec();
    spoiled.swap(first, second);
    Some(spoiled)
}

fn drop_last(entries: &[Entry]) -> Option<Vec<Entry>> {
    let settled = entries.iter().rposition(|entry| matches!(entry.event, Event::Settled { .. }))?;
    let last = entries[..settled].iter().rposition(|entry| {
        matches!(entry.event, Event::Received { .. }) && entry.actor == entries[settled].actor
    })?;
    let mut spoiled = entries.to_vec();
    // What the server said later of where the reader stands would give it away by another rule.
    let actor = spoiled[last].actor.clone();
    let tail = spoiled.split_off(last);
    let is_told = |entry: &Entry| entry.actor == actor && matches!(entry.event, Event::At { .. });
    spoiled.extend(tail.into_iter().skip(1).filter(|entry| !is_told(entry)));
    Some(spoiled)
}

fn find_gap(entries: &[Entry]) -> Option<usize> {
    entries.iter().position(|entry| matches!(entry.event, Event::Gap { .. }))
}

fn shift_gap(entries: &[Entry], by: i64) -> Option<Vec<Entry>> {
    let line = find_gap(entries)?;
    let mut spoiled = entries.to_vec();
    let Event::Gap { resume_from, .. } = &mut spoiled[line].event else { return None };
    if by < 0 && resume_from.offset == 0 {
        return None;
    }
    *resume_from = resume_from.plus(by);
    Some(spoiled)
}

/// The first message behind the gap.
fn behind_gap(entries: &[Entry], gap: usize) -> Option<usize> {
    received(entries).into_iter().find(|line| *line > gap && is_same_reading(entries, gap, *line))
}

fn late_gap(entries: &[Entry]) -> Option<Vec<Entry>> {
    let line = find_gap(entries)?;
    let behind = behind_gap(entries, line)?;
    let mut spoiled = entries.to_vec();
    let gap = spoiled.remove(line);
    spoiled.insert(behind, gap);
    Some(spoiled)
}

fn silent_gap(entries: &[Entry]) -> Option<Vec<Entry>> {
    let line = find_gap(entries)?;
    behind_gap(entries, line)?;
    Some(without(entries, line))
}

fn needless_gap(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (first, second) = neighbours(entries)?;
    let Event::Received { channel, position, .. } = &entries[first].event else { return None };
    let gap = Event::Gap {
        channel: channel.clone(),
        reason: "trimmed".into(),
        after: position.to_string(),
        resume_from: position.clone(),
        epoch: position.epoch.clone(),
    };
    let mut spoiled = entries.to_vec();
    spoiled.insert(second, Entry { actor: entries[first].actor.clone(), event: gap });
    Some(spoiled)
}

fn keep_epoch(entries: &[Entry]) -> Option<Vec<Entry>> {
    let lost = entries.iter().position(|entry| entry.event == Event::Lost)?;
    let old = entries[..lost].iter().rev().find_map(|entry| match &entry.event {
        Event::Accepted { position, .. } => Some(position.epoch.clone()),
        _ => None,
    })?;
    let mut spoiled = entries.to_vec();
    let mut is_changed = false;
    for entry in &mut spoiled[lost..] {
        if let Event::Accepted { position, .. } | Event::Received { position, .. } = &mut entry.event {
            position.epoch.clone_from(&old);
            is_changed = true;
        }
    }
    is_changed.then_some(spoiled)
}

fn forget_loss(entries: &[Entry]) -> Option<Vec<Entry>> {
    let lost = entries.iter().position(|entry| entry.event == Event::Lost)?;
    let is_later = |entry: &Entry| matches!(entry.event, Event::Accepted { .. });
    entries[lost..].iter().any(is_later).then(|| without(entries, lost))
}

fn cross_channel(entries: &[Entry]) -> Option<Vec<Entry>> {
    let line = *received(entries).first()?;
    let mut spoiled = entries.to_vec();
    let Event::Received { channel, .. } = &mut spoiled[line].event else { return None };
    channel.push_str("-elsewhere");
    Some(spoiled)
}

/// A reader that came back: the line of its second opening and what it had received before.
fn reopened(entries: &[Entry]) -> Option<(usize, Vec<Entry>)> {
    let opened = |entry: &Entry| matches!(entry.event, Event::Open { .. });
    entries.iter().enumerate().filter(|(_, entry)| opened(entry)).find_map(|(line, entry)| {
        let earlier = entries[..line].iter().filter(|before| before.actor == entry.actor);
        let had: Vec<Entry> =
            earlier.filter(|before| matches!(before.event, Event::Received { .. })).cloned().collect();
        (!had.is_empty()).then_some((line, had))
    })
}

fn replay_all(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (line, had) = reopened(entries)?;
    let mut spoiled = entries.to_vec();
    spoiled.splice(line + 1..line + 1, had);
    Some(spoiled)
}

fn skip_to_now(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (open, _) = reopened(entries)?;
    let mine = |entry: &Entry| entry.actor == entries[open].actor;
    let is_open = |entry: &Entry| mine(entry) && matches!(entry.event, Event::Open { .. });
    let end = entries[open + 1..].iter().position(is_open).map_or(entries.len(), |more| open + 1 + more);
    let mut caught_up =
        received(entries).into_iter().filter(|at| (open..end).contains(at) && mine(&entries[*at]));
    let (first, _) = (caught_up.next()?, caught_up.next()?);
    Some(without(entries, first))
}

fn swap_payloads(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (first, second) = neighbours(entries)?;
    let mut spoiled = entries.to_vec();
    let (Event::Received { payload: a, .. }, Event::Received { payload: b, .. }) =
        (&entries[first].event, &entries[second].event)
    else {
        return None;
    };
    if a == b {
        return None;
    }
    let Event::Received { payload, .. } = &mut spoiled[first].event else { return None };
    payload.clone_from(b);
    Some(spoiled)
}

/// The lines of two acknowledgements of one publisher in one channel's epoch, with their positions.
fn two_acks(entries: &[Entry]) -> Option<(usize, usize, Place, Place)> {
    let acks: Vec<(usize, &str, &Place)> = entries
        .iter()
        .enumerate()
        .filter_map(|(line, entry)| match &entry.event {
            Event::Accepted { position, duplicate: false, .. } => {
                Some((line, entry.actor.as_str(), position))
            }
            _ => None,
        })
        .collect();
    acks.iter().enumerate().find_map(|(n, (line, actor, position))| {
        let fits = |(_, other, next): &&(usize, &str, &Place)| {
            other == actor && next.epoch == position.epoch && next.offset == position.offset + 1
        };
        let (second, _, next) = acks.get(n + 1..)?.iter().find(fits)?;
        Some((*line, *second, (*position).clone(), (*next).clone()))
    })
}

fn acknowledge(entries: &[Entry], changes: &[(usize, Place)]) -> Vec<Entry> {
    let mut spoiled = entries.to_vec();
    for (line, place) in changes {
        if let Event::Accepted { position, .. } = &mut spoiled[*line].event {
            *position = place.clone();
        }
    }
    spoiled
}

fn same_position(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (_, second, place, _) = two_acks(entries)?;
    Some(acknowledge(entries, &[(second, place)]))
}

fn swap_acks(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (first, second, a, b) = two_acks(entries)?;
    Some(acknowledge(entries, &[(first, b), (second, a)]))
}

fn hole(entries: &[Entry]) -> Option<Vec<Entry>> {
    let (_, second, _, place) = two_acks(entries)?;
    Some(acknowledge(entries, &[(second, place.plus(1_000_000))]))
}

fn refuse_delivered(entries: &[Entry]) -> Option<Vec<Entry>> {
    let line = *received(entries).first()?;
    let Event::Received { payload: wanted, .. } = &entries[line].event else { return None };
    let sent = entries.iter().find_map(|entry| match &entry.event {
        Event::Publish { op, payload, .. } if payload == wanted => Some(*op),
        _ => None,
    })?;
    let answer = entries
        .iter()
        .position(|entry| matches!(&entry.event, Event::Accepted { op, .. } if *op == sent))
        .filter(|answer| *answer < line)?;
    let mut spoiled = entries.to_vec();
    spoiled[answer].event = Event::Refused { op: sent, code: "payload_too_large".into() };
    Some(spoiled)
}

fn wrong_hello(entries: &[Entry]) -> Option<Vec<Entry>> {
    let is_told = |entry: &Entry| matches!(entry.event, Event::At { .. });
    let is_known = |before: &Entry| is_told(before) || matches!(before.event, Event::Received { .. });
    let line = (0..entries.len()).find(|line| {
        is_told(&entries[*line])
            && (0..*line).any(|before| is_known(&entries[before]) && is_same_reading(entries, before, *line))
    })?;
    let mut spoiled = entries.to_vec();
    let Event::At { cursor, .. } = &mut spoiled[line].event else { return None };
    *cursor = Place::parse(cursor)?.plus(1).to_string();
    Some(spoiled)
}

fn second_position(entries: &[Entry]) -> Option<Vec<Entry>> {
    let line =
        entries.iter().position(|entry| matches!(entry.event, Event::Accepted { duplicate: true, .. }))?;
    let mut spoiled = entries.to_vec();
    let Event::Accepted { position, .. } = &mut spoiled[line].event else { return None };
    *position = position.plus(1);
    Some(spoiled)
}
