//! The log against a naive model that never forgets anything: every message ever appended, with why it was removed.

use bytes::Bytes;
use efir_core::message::MESSAGE_OVERHEAD;
use efir_core::{
    Append, AppendError, ChannelName, Cursor, Epoch, GapReason, Log, OFFSET_MAX, Payload, Position, ReadMost,
    Retention,
};
use proptest::prelude::*;

const EPOCH: Epoch = Epoch(42);
/// Beyond so many changes of reason the log may tell the older ones as one.
const EXACT_RUNS: usize = 32;

#[derive(Clone, Debug)]
enum Op {
    Append { step_ms: i64, from: Option<u8>, key: Option<u8>, payload: u8 },
    Expire { step_ms: i64 },
    TrimTo { share: u8 },
    TrimOldest,
    Read { after: After, messages: usize, bytes: usize },
    Last { count: usize, messages: usize, bytes: usize },
}

#[derive(Clone, Debug)]
enum After {
    /// `offset` modulo a little more than the head.
    Ours(u64),
    OtherEpoch(u64),
    Lost,
}

struct Item {
    time_ms: u64,
    object: String,
    removed: Option<GapReason>,
}

impl Item {
    fn weight(&self) -> usize {
        self.object.len() + MESSAGE_OVERHEAD
    }
}

struct KnownKey {
    from: Option<u8>,
    key: u8,
    payload: u8,
    offset: u64,
    forget_ms: u64,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    New(u64),
    Duplicate(u64),
    Refused(AppendError),
}

struct Model {
    retention: Retention,
    now_ms: u64,
    items: Vec<Item>,
    keys: Vec<KnownKey>,
}

fn text(payload: u8) -> String {
    "x".repeat(usize::from(payload) * 37)
}

fn sender(from: Option<u8>) -> Option<String> {
    from.map(|from| format!("user{from}"))
}

impl Model {
    fn kept(&self) -> impl DoubleEndedIterator<Item = (u64, &Item)> {
        (1..).zip(&self.items).filter(|(_, item)| item.removed.is_none()).collect::<Vec<_>>().into_iter()
    }

    fn weight(&self) -> usize {
        self.kept().map(|(_, item)| item.weight()).sum()
    }

    fn floor(&self) -> u64 {
        self.items.iter().take_while(|item| item.removed.is_some()).count() as u64
    }

    fn remove_first(&mut self, reason: GapReason) {
        if let Some(item) = self.items.iter_mut().find(|item| item.removed.is_none()) {
            item.removed = Some(reason);
        }
    }

    fn is_first_expired(&self) -> bool {
        self.kept().next().is_some_and(|(_, item)| self.now_ms >= item.time_ms + self.retention.age_ms_max)
    }

    fn forget_keys(&mut self) {
        while self.keys.first().is_some_and(|known| known.forget_ms <= self.now_ms) {
            self.keys.remove(0);
        }
    }

    fn append(&mut self, from: Option<u8>, key: Option<u8>, payload: u8) -> Outcome {
        self.forget_keys();
        if let Some(known) = self.keys.iter().find(|known| Some(known.key) == key && known.from == from) {
            let is_same = known.payload == payload;
            return if is_same {
                Outcome::Duplicate(known.offset)
            } else {
                Outcome::Refused(AppendError::KeyConflict)
            };
        }
        if key.is_some() && self.keys.len() >= self.retention.keys_max {
            return Outcome::Refused(AppendError::KeyWindowFull);
        }
        let offset = self.items.len() as u64 + 1;
        let sent_by = sender(from).map_or(String::new(), |from| format!("\"from\":\"{from}\","));
        let object = format!(
            "{{\"channel\":\"c\",\"position\":\"{EPOCH}-{offset}\",\"time\":{},{sent_by}\"data\":\"{}\"}}",
            self.now_ms,
            text(payload)
        );
        self.items.push(Item { time_ms: self.now_ms, object, removed: None });
        if let Some(key) = key {
            let forget_ms = self.now_ms + self.retention.key_window_ms;
            self.keys.push(KnownKey { from, key, payload, offset, forget_ms });
        }
        while self.kept().count() > 1
            && (self.kept().count() > self.retention.messages_max || self.weight() > self.retention.bytes_max)
        {
            self.remove_first(GapReason::Trimmed);
        }
        while self.kept().count() > 1 && self.is_first_expired() {
            self.remove_first(GapReason::Expired);
        }
        Outcome::New(offset)
    }

    /// The reason for a reader after `offset`, unless the log may tell another.
    fn reason(&self, offset: u64) -> Option<GapReason> {
        let removed: Vec<_> =
            self.items.iter().skip(offset as usize).map_while(|item| item.removed).collect();
        let changes = removed.windows(2).filter(|pair| pair[0] != pair[1]).count();
        (changes < EXACT_RUNS).then(|| removed[0])
    }
}

fn step(now_ms: u64, step_ms: i64) -> u64 {
    now_ms.saturating_add_signed(step_ms)
}

fn run(retention: Retention, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let channel = ChannelName::parse("c").unwrap();
    let mut log = Log::new(EPOCH);
    let mut model = Model { retention, now_ms: 1000, items: vec![], keys: vec![] };
    for op in ops {
        match op {
            Op::Append { step_ms, from, key, payload } => {
                model.now_ms = step(model.now_ms, step_ms);
                let wanted = model.append(from, key, payload);
                let (from, key) = (sender(from), key.map(|key| format!("key{key}")));
                let payload = Payload::text(Bytes::from(text(payload))).unwrap();
                let append = Append {
                    channel: &channel,
                    time_ms: model.now_ms,
                    from: from.as_deref(),
                    payload: &payload,
                    key: key.as_deref(),
                };
                let found = match log.append(&append, &retention) {
                    Ok(appended) if appended.is_duplicate() => Outcome::Duplicate(appended.position().offset),
                    Ok(appended) => Outcome::New(appended.position().offset),
                    Err(error) => Outcome::Refused(error),
                };
                prop_assert_eq!(found, wanted);
            }
            Op::Expire { step_ms } => {
                model.now_ms = step(model.now_ms, step_ms);
                model.forget_keys();
                while model.is_first_expired() {
                    model.remove_first(GapReason::Expired);
                }
                let before = log.weight();
                let freed = log.expire(model.now_ms, retention.age_ms_max);
                prop_assert_eq!(before - freed, log.weight());
                let next = log.next_expiry_ms(retention.age_ms_max);
                prop_assert!(next.is_none_or(|next| next > model.now_ms));
                prop_assert_eq!(next.is_none(), log.is_reapable());
            }
            Op::TrimTo { share } => {
                let keys = log.weight() - model.weight();
                let target = log.weight() * usize::from(share) / 255;
                while model.weight() + keys > target && model.kept().count() > 0 {
                    model.remove_first(GapReason::Trimmed);
                }
                log.trim_to(target);
            }
            Op::TrimOldest => {
                model.remove_first(GapReason::Trimmed);
                log.trim_oldest();
            }
            Op::Read { after, messages, bytes } => {
                check_read(&log, &model, &after, ReadMost { messages, bytes })?;
            }
            Op::Last { count, messages, bytes } => {
                let found = log.last(count, ReadMost { messages, bytes });
                let mut sum = 0;
                let mut wanted = vec![];
                for (offset, item) in model.kept().rev().take(count.min(messages)) {
                    sum += item.object.len();
                    if sum > bytes && !wanted.is_empty() {
                        break;
                    }
                    wanted.insert(0, offset);
                }
                let found: Vec<_> = found.messages.iter().map(|message| message.offset()).collect();
                prop_assert_eq!(found, wanted);
            }
        }
        check_state(&log, &model)?;
    }
    Ok(())
}

fn check_state(log: &Log, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(log.head(), model.items.len() as u64);
    prop_assert_eq!(log.len(), model.kept().count());
    prop_assert_eq!(log.keys(), model.keys.len());
    prop_assert_eq!(log.oldest(), model.kept().next().map(|(offset, _)| offset));
    prop_assert_eq!(log.weight() > model.weight(), log.keys() > 0, "keys weigh something");
    prop_assert_eq!(log.is_reapable(), log.is_empty() && model.keys.is_empty());
    Ok(())
}

fn check_read(log: &Log, model: &Model, after: &After, most: ReadMost) -> Result<(), TestCaseError> {
    let head = model.items.len() as u64;
    let (cursor, reason, from) = match after {
        After::Ours(n) => {
            let offset = if *n == OFFSET_MAX { *n } else { n % (head + 3) };
            let cursor = Cursor::from(Position::new(EPOCH, offset));
            if offset > head {
                (cursor, Some(Some(GapReason::PositionAhead)), model.floor())
            } else if offset < model.floor() {
                (cursor, Some(model.reason(offset)), model.floor())
            } else {
                (cursor, None, offset)
            }
        }
        After::OtherEpoch(n) => {
            let cursor = Cursor::from(Position::new(Epoch(41), *n));
            (cursor, Some(Some(GapReason::EpochChanged)), model.floor())
        }
        After::Lost => (Cursor::lost(), Some(Some(GapReason::EpochChanged)), model.floor()),
    };
    let found = log.read(&cursor, most);
    match (found.gap, reason) {
        (None, None) => {}
        (Some(missed), Some(reason)) => {
            prop_assert_eq!(missed.resume_from, Position::new(EPOCH, model.floor()));
            prop_assert!(
                reason.is_none_or(|reason| reason == missed.reason),
                "{:?} for {:?}",
                missed,
                reason
            );
        }
        other => prop_assert!(false, "gap {:?} after {}", other, cursor),
    }
    let mut sum = 0;
    let mut wanted = vec![];
    for item in model.items.iter().skip(from as usize).take(most.messages) {
        sum += item.object.len();
        if sum > most.bytes && !wanted.is_empty() {
            break;
        }
        wanted.push(item.object.as_bytes());
    }
    let objects: Vec<&[u8]> = found.messages.iter().map(|message| message.object()).collect();
    prop_assert_eq!(&objects, &wanted);
    prop_assert_eq!(found.cursor, Position::new(EPOCH, from + wanted.len() as u64));
    prop_assert_eq!(found.more, found.cursor.offset < head);
    Ok(())
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = prop_oneof![Just(usize::MAX), 0usize..1000];
    let after = prop_oneof![
        6 => (0u64..1000).prop_map(After::Ours),
        1 => Just(After::Ours(OFFSET_MAX)),
        1 => (0u64..5).prop_map(After::OtherEpoch),
        1 => Just(After::Lost),
    ];
    let step_ms = || prop_oneof![4 => 0i64..40, 1 => -30i64..0, 1 => 100i64..400];
    prop_oneof![
        6 => (step_ms(), prop::option::of(0u8..2), prop::option::of(0u8..4), 0u8..4)
            .prop_map(|(step_ms, from, key, payload)| Op::Append { step_ms, from, key, payload }),
        1 => step_ms().prop_map(|step_ms| Op::Expire { step_ms }),
        1 => any::<u8>().prop_map(|share| Op::TrimTo { share }),
        1 => Just(Op::TrimOldest),
        4 => (after, 0usize..6, bytes.clone()).prop_map(|(after, messages, bytes)| Op::Read { after, messages, bytes }),
        1 => (0usize..8, 0usize..8, bytes).prop_map(|(count, messages, bytes)| Op::Last { count, messages, bytes }),
    ]
}

fn retention() -> impl Strategy<Value = Retention> {
    (0usize..8, 1usize..4000, 50u64..500, 0usize..6, 20u64..300).prop_map(
        |(messages_max, bytes_max, age_ms_max, keys_max, key_window_ms)| Retention {
            messages_max,
            bytes_max,
            age_ms_max,
            keys_max,
            key_window_ms,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn the_log_does_what_the_model_does(retention in retention(), ops in prop::collection::vec(op(), 1..50)) {
        run(retention, ops)?;
    }
}

proptest! {
    /// Following the cursor in small steps, while the log is published to and trimmed, every reader gets each message
    /// once and in order, and each hole is told.
    #[test]
    fn a_reader_gets_everything_or_a_gap(
        ops in prop::collection::vec((prop::bool::weighted(0.6), 0usize..4), 1..200),
        most in 1usize..4,
    ) {
        let channel = ChannelName::parse("c").unwrap();
        let retention =
            Retention { messages_max: 5, bytes_max: 1 << 20, age_ms_max: 1000, keys_max: 1, key_window_ms: 1 };
        let payload = Payload::text(Bytes::from_static(b"x")).unwrap();
        let append = Append { channel: &channel, time_ms: 1, from: None, payload: &payload, key: None };
        let mut log = Log::new(EPOCH);
        let mut cursor = Cursor::from(log.position());
        let mut seen = 0;
        for (is_read, count) in ops {
            if !is_read {
                for _ in 0..count {
                    log.append(&append, &retention).unwrap();
                }
                continue;
            }
            let read = log.read(&cursor, ReadMost { messages: most, bytes: usize::MAX });
            if let Some(missed) = read.gap {
                prop_assert!(missed.resume_from.offset > seen);
                seen = missed.resume_from.offset;
            }
            for message in &read.messages {
                prop_assert_eq!(message.offset(), seen + 1);
                seen += 1;
            }
            prop_assert_eq!(read.cursor.offset, seen);
            prop_assert_eq!(read.more, seen < log.head());
            cursor = read.cursor.into();
        }
    }
}
