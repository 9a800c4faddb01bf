//! What the memory broker forgets, and what it must not.

mod resume;

use bytes::Bytes;
use efir_core::{GapReason, Payload};

use super::*;
use crate::retention::{OwnRetention, UNKNOWN};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits { retention_ms_max: 1_000, key_window_ms: 1_000, ..Limits::default() };
    change(&mut limits);
    limits
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn publish(memory: &Memory, channel: &str, text: &str, now_ms: u64) -> Result<Receipt, PublishError> {
    publish_keyed(memory, channel, text, None, now_ms)
}

fn publish_keyed(
    memory: &Memory,
    channel: &str,
    text: &str,
    key: Option<&str>,
    now_ms: u64,
) -> Result<Receipt, PublishError> {
    let payload = Payload::text(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    let publish = Publish { channel: &name(channel), payload: &payload, key, from: None };
    memory.publish(&publish, now_ms)
}

fn sweep_all(memory: &Memory, now_ms: u64) {
    for _ in 0..SHARDS / SHARDS_PER_SWEEP {
        memory.sweep(now_ms);
    }
}

const MOST: ReadMost = ReadMost { messages: 100, bytes: 1 << 20 };

#[test]
fn reading_creates_nothing() {
    let memory = Memory::new(limits(|_| {}));
    let position = memory.position(&name("quiet"));
    assert_eq!(position.offset, 0);
    assert_eq!(memory.read(&name("quiet"), Start::Now, MOST).head, position);
    assert!(memory.shards.iter().all(|shard| shard.lock().is_empty()));
    // Whoever joined before the first message is owed it.
    let receipt = publish(&memory, "quiet", "1", clock::age_ms()).unwrap();
    assert_eq!(receipt.position, Position { epoch: position.epoch, offset: 1 });
    let read = memory.read(&name("quiet"), Start::After(position.into()), MOST).read;
    assert!(read.gap.is_none());
    assert_eq!(read.messages.len(), 1);
}

#[test]
fn a_reaped_channel_goes_on_where_it_stood() {
    let memory = Memory::new(limits(|_| {}));
    let now_ms = clock::age_ms();
    let first = publish(&memory, "chat", "1", now_ms).unwrap().position;
    sweep_all(&memory, now_ms + 500);
    assert!(memory.find(&name("chat")).is_ok(), "its message has not expired");
    sweep_all(&memory, now_ms + 5_000);
    assert_eq!(memory.find(&name("chat")).unwrap_err(), first);
    assert_eq!(memory.channels.load(Ordering::Relaxed), 0);
    assert_eq!(memory.weight.load(Ordering::Relaxed), 0);
    let second = publish(&memory, "chat", "2", now_ms + 6_000).unwrap().position;
    assert_eq!(second, Position { epoch: first.epoch, offset: 2 });
    let before_first = Position { epoch: first.epoch, offset: 0 };
    let channel = memory.find(&name("chat")).unwrap();
    let read = channel.read(&before_first.into(), MOST);
    assert_eq!(read.gap.map(|gap| gap.reason), Some(GapReason::Expired));
}

#[test]
fn a_watched_channel_is_not_reaped() {
    struct Nobody;
    impl crate::channel::Noted for Nobody {
        fn note(&self, _: u32) {}
        fn drain(&self) {}
    }
    let memory = Memory::new(limits(|_| {}));
    let watch = Watch::new(Arc::new(Nobody), 0);
    let channel = memory.watch(&name("chat"), Arc::clone(&watch));
    let later = clock::age_ms() + UNWATCHED_MS;
    sweep_all(&memory, later);
    assert!(memory.find(&name("chat")).is_ok());
    channel.unwatch(&watch);
    sweep_all(&memory, later + UNWATCHED_MS);
    assert!(memory.find(&name("chat")).is_err());
    assert!(memory.stubs.lock().is_empty(), "what was never published to leaves no stub");
}

#[test]
fn a_forgotten_stub_never_lets_an_offset_mean_two_messages() {
    let memory = Memory::new(limits(|limits| limits.stubs_max = 1));
    let now_ms = clock::age_ms();
    let old = publish(&memory, "a", "old", now_ms).unwrap().position;
    publish(&memory, "b", "old", now_ms).unwrap();
    sweep_all(&memory, now_ms + 5_000);
    assert_eq!(memory.stubs.lock().len(), 1, "one of the two stubs was forgotten");
    let renewed: Vec<Position> =
        ["a", "b"].map(|channel| publish(&memory, channel, "new", now_ms + 6_000).unwrap().position).to_vec();
    assert!(renewed.iter().all(|position| *position != old), "{renewed:?}");
    let fresh = renewed.iter().find(|position| position.epoch != old.epoch).unwrap();
    assert_eq!(fresh.offset, 1, "the forgotten channel begins in an epoch of its own");
    let kept = renewed.iter().find(|position| position.epoch == old.epoch).unwrap();
    assert_eq!(kept.offset, 2, "the remembered one goes on");
}

#[test]
fn the_least_recently_used_channel_is_trimmed_first() {
    let memory = Memory::new(limits(|limits| limits.log_bytes_max = 64 * 1024));
    let now_ms = clock::age_ms();
    let text = "x".repeat(1024);
    publish(&memory, "old", &text, now_ms).unwrap();
    publish(&memory, "used", &text, now_ms).unwrap();
    for turn in 1..=36 {
        publish(&memory, "busy", &text, now_ms + turn).unwrap();
    }
    let kept = |channel| memory.read(&name(channel), Start::Now, MOST).read.messages.len();
    assert_eq!(["old", "used", "busy"].map(kept), [1, 1, 36], "nothing was trimmed yet");
    for turn in 100..120 {
        publish(&memory, "used", &text, now_ms + turn).unwrap();
    }
    assert!(memory.weight.load(Ordering::Relaxed) <= 64 * 1024);
    assert_eq!(kept("old"), 0, "gone first");
    assert_eq!(kept("used"), 21, "in use now");
    assert!((1..36).contains(&kept("busy")), "trimmed as far as needed");
    let head = memory.position(&name("old"));
    let lost = Position { epoch: head.epoch, offset: 0 };
    let read = memory.read(&name("old"), Start::After(lost.into()), MOST).read;
    assert_eq!(read.gap.map(|gap| gap.reason), Some(GapReason::Trimmed));
}

#[test]
fn many_channels_are_trimmed_in_the_order_of_their_newest_messages() {
    const CHANNELS: u64 = 6_000;
    let memory = Memory::new(limits(|limits| {
        limits.log_bytes_max = 1 << 20;
        limits.retention_ms_max = 1 << 40;
    }));
    for channel in 0..CHANNELS {
        publish(&memory, &channel.to_string(), "x", 1_000 + channel).unwrap();
        // The very first is published to again and again, and never is the least recent one.
        publish(&memory, "0", "y", 1_000 + channel).unwrap();
        // Sweeps list shards in advance; that changes nothing in the order.
        memory.sweep(0);
    }
    assert!(memory.weight.load(Ordering::Relaxed) <= 1 << 20);
    let kept = |channel: &u64| memory.find(&name(&channel.to_string())).unwrap().newest_ms().is_some();
    let first = (1..CHANNELS).find(kept).unwrap();
    assert!(first > CHANNELS / 3, "{first}");
    assert!((first..CHANNELS).all(|channel| kept(&channel)), "all that are newer than {first} are kept");
    assert!(kept(&0));
}

#[test]
fn channels_at_rest_are_not_looked_at() {
    let memory = Memory::new(limits(|_| {}));
    publish(&memory, "chat", "1", 1_000).unwrap();
    let key = Hashed::new(&memory.hasher, &name("chat")).shard(SHARDS);
    let due_ms = || memory.shards[key].lock().due_ms;
    assert_eq!(due_ms(), 2_000);
    sweep_all(&memory, 1_999);
    assert_eq!(due_ms(), 2_000);
    sweep_all(&memory, 2_000);
    assert_eq!(memory.find(&name("chat")).unwrap_err().offset, 1);
    assert_eq!(due_ms(), u64::MAX);
}

#[test]
fn channels_with_messages_are_bounded() {
    let memory = Memory::new(limits(|limits| limits.channels_max = 2));
    publish(&memory, "a", "1", 1).unwrap();
    publish(&memory, "b", "1", 1).unwrap();
    assert_eq!(publish(&memory, "c", "1", 1), Err(PublishError::ChannelsFull { channels_max: 2 }));
    publish(&memory, "a", "2", 1).unwrap();
    sweep_all(&memory, 10_000);
    publish(&memory, "c", "1", 10_000).unwrap();
}

/// Anybody may name any number of channels; those that are refused leave nothing behind.
#[test]
fn what_is_refused_begins_no_channel() {
    let memory = Memory::new(limits(|limits| (limits.channels_max, limits.node_keys_max) = (1, 1)));
    let live = || memory.shards.iter().map(|shard| shard.lock().channels().count()).sum::<usize>();
    publish_keyed(&memory, "a", "1", Some("key"), 1).unwrap();
    for n in 0..100 {
        let (fresh, log) = (format!("fresh{n}"), name(&format!("fresh{n}")).presence_log());
        assert_eq!(publish(&memory, &fresh, "1", 1), Err(PublishError::ChannelsFull { channels_max: 1 }));
        let payload = Payload::text(Bytes::from_static(b"x")).unwrap();
        let change = MemberChange { log: &log, payload: &payload, is_refusable: true };
        assert!(memory.append_change(&change, 1).is_err());
    }
    assert_eq!(live(), 1);
    let memory = Memory::new(limits(|limits| limits.node_keys_max = 0));
    assert_eq!(
        publish_keyed(&memory, "b", "1", Some("key"), 1),
        Err(PublishError::NodeKeysFull { keys_max: 0 })
    );
    assert!(memory.shards.iter().all(|shard| shard.lock().is_empty()));
}

#[test]
fn a_retry_needs_no_room() {
    let memory = Memory::new(limits(|limits| {
        limits.node_keys_max = 1;
        limits.channels_max = 1;
        limits.key_window_ms = 60_000;
    }));
    let first = publish_keyed(&memory, "a", "1", Some("key"), 1).unwrap();
    assert_eq!(
        publish_keyed(&memory, "a", "2", Some("other"), 1),
        Err(PublishError::NodeKeysFull { keys_max: 1 })
    );
    let retry = publish_keyed(&memory, "a", "1", Some("key"), 2).unwrap();
    assert_eq!((retry.position, retry.duplicate), (first.position, true));
    // The message expires, its key does not; the only place for a channel is taken by another.
    sweep_all(&memory, 5_000);
    publish(&memory, "b", "1", 5_000).unwrap();
    let late = publish_keyed(&memory, "a", "1", Some("key"), 5_001).unwrap();
    assert_eq!((late.position, late.duplicate), (first.position, true));
    assert_eq!(publish_keyed(&memory, "a", "2", Some("key"), 5_001), Err(PublishError::KeyConflict));
}

/// What is kept by these rules: `few:*` keeps two messages, everything else as the node.
fn few() -> RetentionRules {
    let few = OwnRetention { messages_max: 2, ..OwnRetention::NODE };
    RetentionRules::new(vec![OwnRetention::NODE, few], |channel| {
        Some(usize::from(channel.as_str().starts_with("few:")))
    })
}

fn kept(memory: &Memory, channel: &ChannelName) -> usize {
    memory.read(channel, Start::Last(100), MOST).read.messages.len()
}

fn publish_some(memory: &Memory, channel: &str, count: usize) {
    for _ in 0..count {
        publish(memory, channel, "x", clock::age_ms()).unwrap();
    }
}

#[test]
fn channels_keep_what_rules_say_and_are_trimmed_when_they_are_swept() {
    let memory = Memory::new(limits(|limits| limits.retention_ms_max = 3_600_000));
    publish_some(&memory, "few:a", 5);
    publish_some(&memory, "many", 5);
    let weight = memory.weight.load(Ordering::Relaxed);
    memory.keep_by(Some(few()));
    sweep_all(&memory, clock::age_ms());
    let log_weight = |channel: &str| memory.find(&name(channel)).unwrap().with(|state| state.log.weight());
    assert_eq!(memory.weight.load(Ordering::Relaxed), log_weight("few:a") + log_weight("many"));
    assert!(memory.weight.load(Ordering::Relaxed) < weight);
    publish_some(&memory, "few:b", 5);
    assert_eq!(["few:a", "few:b", "many"].map(|channel| kept(&memory, &name(channel))), [2, 2, 5]);
    assert!(memory.find(&name("many")).unwrap().keeps_as_node(), "it costs nothing more");

    memory.keep_by(None);
    publish_some(&memory, "few:a", 3);
    assert_eq!(kept(&memory, &name("few:a")), 5);
    // Generations take turns, and a third one is known from the first.
    for _ in 0..3 {
        memory.keep_by(Some(few()));
        assert_eq!(memory.find(&name("few:b")).unwrap().retention().generation(), UNKNOWN);
        assert_eq!(["few:a", "few:b"].map(|channel| kept(&memory, &name(channel))), [2, 2]);
    }
}

#[test]
fn logs_of_members_keep_what_rules_say_within_their_own_limits() {
    let memory = Memory::new(limits(|limits| limits.presence_log_messages_max = 4));
    memory.keep_by(Some(few()));
    for (channel, most) in [("few:a", 2), ("many", 4)] {
        let log = name(channel).presence_log();
        for _ in 0..6 {
            let payload = Payload::text(Bytes::from_static(b"x")).unwrap();
            let change = MemberChange { log: &log, payload: &payload, is_refusable: true };
            memory.append_change(&change, clock::age_ms()).unwrap();
        }
        assert_eq!(kept(&memory, &log), most);
    }
}

#[test]
fn rules_say_less_than_the_node_and_a_short_life_is_swept_in_time() {
    let memory = Memory::new(limits(|limits| {
        limits.retention_messages_max = 3;
        limits.retention_ms_max = 3_600_000;
    }));
    let own = OwnRetention { messages_max: 9, age_ms_max: 1_000, ..OwnRetention::NODE };
    memory
        .keep_by(Some(RetentionRules::new(vec![own], |channel| (channel.as_str() == "short").then_some(0))));
    let now_ms = clock::age_ms();
    for channel in ["short", "long"] {
        (0..5).for_each(|_| _ = publish(&memory, channel, "x", now_ms).unwrap());
        assert_eq!(kept(&memory, &name(channel)), 3);
    }
    sweep_all(&memory, now_ms + 999);
    assert!(memory.find(&name("short")).is_ok());
    sweep_all(&memory, now_ms + 1_100);
    assert!(memory.find(&name("short")).is_err() && memory.find(&name("long")).is_ok());
}

#[test]
fn a_sweep_asks_the_rules_for_so_many_channels_at_once() {
    let memory = Memory::new(limits(|limits| limits.retention_ms_max = 3_600_000));
    let channels: Vec<_> = (0..3 * SHARDS * 1_024 / 2).map(|n| format!("few:{n}")).collect();
    for channel in &channels {
        let Ok(_) = memory.live(&name(channel), (0, 0), || Ok::<_, Infallible>(()));
    }
    memory.keep_by(Some(few()));
    let unknown = || {
        let unknown = |channel: &&Arc<Channel>| channel.retention().generation() == UNKNOWN;
        memory.shards.iter().map(|shard| shard.lock().channels().filter(unknown).count()).sum::<usize>()
    };
    let now_ms = clock::age_ms();
    sweep_all(&memory, now_ms);
    assert_eq!(unknown(), channels.len() - SHARDS * 1_024);
    sweep_all(&memory, now_ms);
    assert_eq!(unknown(), 0);
}

/// What a channel remembers is a number; taken for that of another table it would trim a channel that keeps much.
#[test]
fn tables_that_are_replaced_under_way_are_never_mixed_up() {
    const ROUNDS: usize = 200;
    let memory = Memory::new(limits(|limits| limits.retention_ms_max = 3_600_000));
    let rules = |few: usize| {
        let mut own = [OwnRetention { messages_max: 9_000, ..OwnRetention::NODE }; 2];
        own[few].messages_max = 2;
        RetentionRules::new(own.into(), move |channel| {
            Some(if channel.as_str().starts_with("few:") { few } else { 1 - few })
        })
    };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    memory.keep_by(Some(rules(0)));
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let (memory, is_over) = (&memory, &is_over);
            scope.spawn(move || {
                let mut published = 0;
                while !is_over.load(Ordering::Relaxed) && published < 8_000 {
                    for channel in ["few", "many"] {
                        publish(memory, &format!("{channel}:{publisher}"), "x", clock::age_ms()).unwrap();
                    }
                    published += 1;
                    assert_eq!(kept_of(memory, &format!("many:{publisher}")), published);
                    assert!(kept_of(memory, &format!("few:{publisher}")) <= 2);
                }
            });
        }
        for round in 0..ROUNDS {
            memory.keep_by(Some(rules(round % 2)));
            sweep_all(&memory, clock::age_ms());
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

fn kept_of(memory: &Memory, channel: &str) -> usize {
    memory.find(&name(channel)).unwrap().with(|state| state.log.len())
}

#[test]
fn a_log_whose_change_panicked_begins_anew_and_the_books_are_right() {
    let memory = Memory::new(limits(|_| {}));
    let now_ms = clock::now_ms();
    let before = publish(&memory, "chat", "before", now_ms).unwrap().position;
    publish(&memory, "other", "stays", now_ms).unwrap();
    let channel = memory.find(&name("chat")).unwrap();
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        channel.with(|state| {
            memory.change_log(&mut state.log, |log| {
                log.trim_oldest();
                panic!("planted")
            })
        })
    }));
    assert!(broken.is_err());
    // Its lock is free, and whoever has a cursor is told that something may be lost.
    let after = publish(&memory, "chat", "after", now_ms).unwrap().position;
    assert_ne!(before.epoch, after.epoch);
    let read = memory.read(&name("chat"), Start::After(before.into()), MOST).read;
    assert_eq!(read.gap.map(|gap| gap.reason), Some(GapReason::EpochChanged));
    assert_eq!(read.messages.len(), 1);
    let channels: Vec<_> = ["chat", "other"].iter().map(|one| memory.find(&name(one)).unwrap()).collect();
    let weight: usize = channels.iter().map(|channel| channel.with(|state| state.log.weight())).sum();
    assert_eq!((memory.stock().log_bytes, memory.stock().channels), (weight, 2));
}
