//! The rules of the log, by example; against a naive model in `tests/log_model.rs`.

use super::removals::{RUNS_MAX, Removals};
use super::*;
use crate::cursor::{Cursor, Start};
use bytes::Bytes;

const RETENTION: Retention =
    Retention { messages_max: 3, bytes_max: 1 << 20, age_ms_max: 1000, keys_max: 2, key_window_ms: 500 };
const EPOCH: Epoch = Epoch(7);

fn publish(log: &mut Log, time_ms: u64, key: Option<&str>, text: &str) -> Result<Appended, AppendError> {
    let channel = ChannelName::parse("chat").unwrap();
    let payload = Payload::text(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    log.append(&Append { channel: &channel, time_ms, from: None, payload: &payload, key }, &RETENTION)
}

fn filled(messages: usize) -> Log {
    let mut log = Log::new(EPOCH);
    for n in 0..messages {
        publish(&mut log, 0, None, &n.to_string()).unwrap();
    }
    log
}

fn at(offset: u64) -> Cursor {
    Position::new(EPOCH, offset).into()
}

fn read(log: &Log, after: &Cursor) -> (Option<(GapReason, u64)>, Vec<u64>) {
    let read = log.read(after, ReadMost::ALL);
    let gap = read.gap.map(|missed| (missed.reason, missed.resume_from.offset));
    (gap, read.messages.iter().map(|message| message.offset()).collect())
}

#[test]
fn a_channel_never_published_to_stands_at_zero() {
    let log = Log::new(EPOCH);
    assert_eq!(log.position(), Position::new(EPOCH, 0));
    assert_eq!(read(&log, &at(0)), (None, vec![]));
    assert_eq!(read(&log, &Cursor::lost()), (Some((GapReason::EpochChanged, 0)), vec![]));
    assert!(log.is_reapable());
}

#[test]
fn reading_gives_everything_after_the_cursor() {
    let log = filled(3);
    assert_eq!(read(&log, &at(0)), (None, vec![1, 2, 3]));
    assert_eq!(read(&log, &at(2)), (None, vec![3]));
    assert_eq!(read(&log, &at(3)), (None, vec![]));
}

#[test]
fn what_is_shown_is_no_age() {
    let mut log = Log::new(EPOCH);
    let (channel, payload) = (ChannelName::parse("chat").unwrap(), Payload::text("m".into()).unwrap());
    // The clock of the wall is years ahead, and then years behind.
    for (time_ms, shown_ms) in [(2_000, 9_000_000), (2_100, 7)] {
        let append = Append { channel: &channel, time_ms, from: None, payload: &payload, key: Some("k") };
        let first = log.append_shown(&append, shown_ms, &RETENTION).unwrap();
        assert_eq!(first.is_duplicate(), shown_ms == 7, "a key lasts as long as time says");
    }
    let message = log.read(&at(0), ReadMost::ALL).messages.remove(0);
    assert!(std::str::from_utf8(message.object()).unwrap().contains("\"time\":9000000,"));
    assert_eq!(message.time_ms(), 2_000);
    log.expire(2_999, RETENTION.age_ms_max);
    assert_eq!((log.len(), log.keys()), (1, 0), "the window of its key was shorter");
    log.expire(3_000, RETENTION.age_ms_max);
    assert!(log.is_empty(), "a message ages as long as time says");
}

#[test]
fn a_bounded_cursor_reads_nothing_that_is_older() {
    let mut log = Log::new(EPOCH);
    for time_ms in [10, 20, 30] {
        publish(&mut log, time_ms, None, "m").unwrap();
    }
    let bounded = |cursor: Cursor, time_ms| read(&log, &cursor.not_before(time_ms));
    assert_eq!(bounded(at(1), 20), (None, vec![2, 3]), "nothing of it is older");
    assert_eq!(bounded(at(0), 20), (Some((GapReason::Denied, 1)), vec![2, 3]));
    assert_eq!(bounded(at(0), 31), (Some((GapReason::Denied, 3)), vec![]));
    assert_eq!(bounded(at(3), 31), (None, vec![]), "nothing is missing");
    assert_eq!(bounded(at(9), 20), (Some((GapReason::Denied, 1)), vec![2, 3]), "no way around it ahead");
    assert_eq!(bounded(Cursor::lost(), 30), (Some((GapReason::Denied, 2)), vec![3]), "nor by another epoch");
    assert_eq!(bounded(at(0), 0), (None, vec![1, 2, 3]));
}

#[test]
fn every_cursor_that_cannot_go_on_gets_a_gap_and_then_the_oldest() {
    let log = filled(5);
    assert_eq!(log.oldest(), Some(3));
    assert_eq!(read(&log, &at(2)), (None, vec![3, 4, 5]), "exactly before the oldest: nothing is missing");
    assert_eq!(read(&log, &at(1)), (Some((GapReason::Trimmed, 2)), vec![3, 4, 5]));
    assert_eq!(read(&log, &at(6)), (Some((GapReason::PositionAhead, 2)), vec![3, 4, 5]));
    let other = Cursor::from(Position::new(Epoch(8), 4));
    assert_eq!(read(&log, &other), (Some((GapReason::EpochChanged, 2)), vec![3, 4, 5]));
}

#[test]
fn the_reason_is_that_of_the_first_message_missed() {
    let mut log = filled(4);
    assert!(log.expire(1000, RETENTION.age_ms_max) > 0);
    publish(&mut log, 1000, None, "5").unwrap();
    assert_eq!(read(&log, &at(0)), (Some((GapReason::Trimmed, 4)), vec![5]));
    assert_eq!(read(&log, &at(1)), (Some((GapReason::Expired, 4)), vec![5]));
    assert!(log.trim_oldest() > 0);
    assert_eq!(read(&log, &at(4)), (Some((GapReason::Trimmed, 5)), vec![]));
    assert_eq!(log.trim_oldest(), 0);
}

#[test]
fn a_log_made_again_from_a_stub_goes_on_counting() {
    let mut log = Log::with_head(EPOCH, 9);
    assert_eq!(read(&log, &at(9)), (None, vec![]));
    assert_eq!(read(&log, &at(3)), (Some((GapReason::Expired, 9)), vec![]));
    assert_eq!(publish(&mut log, 0, None, "x").unwrap().position().offset, 10);
}

#[test]
fn a_batch_is_bounded_but_never_empty() {
    let log = filled(3);
    let bytes = log.messages().next().unwrap().object().len();
    let two = log.read(&at(0), ReadMost { messages: 2, bytes: usize::MAX });
    assert_eq!((two.messages.len(), two.cursor.offset, two.more), (2, 2, true));
    let by_bytes = log.read(&at(0), ReadMost { messages: 9, bytes: 2 * bytes });
    assert_eq!((by_bytes.messages.len(), by_bytes.more), (2, true));
    let tiny = log.read(&at(2), ReadMost { messages: 9, bytes: 1 });
    assert_eq!((tiny.messages.len(), tiny.more), (1, false));
    let none = log.read(&at(0), ReadMost { messages: 0, bytes: 9 });
    assert_eq!((none.messages.len(), none.cursor.offset, none.more), (0, 0, true));
}

#[test]
fn the_newest_are_given_in_ascending_order() {
    let log = filled(5);
    let offsets = |n, bytes| -> Vec<u64> {
        log.last(n, ReadMost { messages: 10, bytes })
            .messages
            .iter()
            .map(|message| message.offset())
            .collect()
    };
    assert_eq!(offsets(2, usize::MAX), [4, 5]);
    assert_eq!(offsets(100, usize::MAX), [3, 4, 5]);
    assert_eq!(offsets(100, 1), [5]);
    assert_eq!(offsets(0, usize::MAX), [0u64; 0]);
    assert_eq!(log.cursor(&Start::Last(2)), at(3));
    assert_eq!(log.cursor(&Start::Last(100)), at(2));
    assert_eq!(log.cursor(&Start::Beginning), at(2));
    assert_eq!(log.cursor(&Start::Now), at(5));
    assert_eq!(log.cursor(&Start::After(Cursor::lost())), Cursor::lost());
}

#[test]
fn the_newest_message_stays_whatever_it_weighs() {
    let mut log = filled(2);
    let tight = Retention { bytes_max: 1, ..RETENTION };
    let channel = ChannelName::parse("chat").unwrap();
    let payload = Payload::bytes(Bytes::from(vec![0; 1000]));
    let append = Append { channel: &channel, time_ms: 0, from: None, payload: &payload, key: None };
    log.append(&append, &tight).unwrap();
    assert_eq!((log.len(), log.oldest()), (1, Some(3)));
}

#[test]
fn a_retry_gets_the_original_position_even_after_the_message_is_gone() {
    let mut log = Log::new(EPOCH);
    let first = publish(&mut log, 0, Some("k"), "x").unwrap();
    log.trim_to(0);
    let again = publish(&mut log, 499, Some("k"), "x").unwrap();
    assert_eq!((again.is_duplicate(), again.position()), (true, first.position()));
    assert_eq!(publish(&mut log, 499, Some("k"), "y").unwrap_err(), AppendError::KeyConflict);
    assert_eq!((log.head(), log.is_reapable()), (1, false));
    let later = publish(&mut log, 500, Some("k"), "y").unwrap();
    assert_eq!((later.is_duplicate(), later.position().offset), (false, 2));
}

#[test]
fn a_full_key_table_refuses_and_appends_nothing() {
    let mut log = Log::new(EPOCH);
    publish(&mut log, 0, Some("a"), "x").unwrap();
    publish(&mut log, 1, Some("b"), "x").unwrap();
    assert_eq!(publish(&mut log, 2, Some("c"), "x").unwrap_err(), AppendError::KeyWindowFull);
    assert!(publish(&mut log, 2, Some("a"), "x").unwrap().is_duplicate());
    assert_eq!(log.head(), 2);
    assert!(
        !publish(&mut log, 500, Some("c"), "x").unwrap().is_duplicate(),
        "the first key's window is over"
    );
}

#[test]
fn a_key_is_its_senders_own() {
    let mut log = Log::new(EPOCH);
    let channel = ChannelName::parse("chat").unwrap();
    let payload = Payload::bytes(Bytes::from_static(b"x"));
    let roomy = Retention { keys_max: 9, ..RETENTION };
    for from in [None, Some(""), Some("ann"), Some("an")] {
        let append = Append { channel: &channel, time_ms: 0, from, payload: &payload, key: Some("nk") };
        assert!(!log.append(&append, &roomy).unwrap().is_duplicate(), "{from:?}");
    }
    assert_eq!(log.keys(), 4);
}

#[test]
fn the_next_expiry_is_the_earlier_of_message_and_key() {
    let mut log = Log::new(EPOCH);
    assert_eq!(log.next_expiry_ms(1000), None);
    publish(&mut log, 100, None, "x").unwrap();
    assert_eq!(log.next_expiry_ms(1000), Some(1100));
    publish(&mut log, 200, Some("k"), "x").unwrap();
    assert_eq!(log.next_expiry_ms(1000), Some(700));
    let weight = log.weight();
    assert_eq!(log.expire(1200, 1000), weight);
    assert!(log.is_reapable());
    assert_eq!(log.weight(), 0);
}

#[test]
fn reasons_are_kept_in_bounded_memory() {
    let mut removals = Removals::default();
    for offset in 1..=1000 {
        removals.push(offset, if offset % 2 == 0 { GapReason::Expired } else { GapReason::Trimmed });
    }
    let exact_from = 1001 - RUNS_MAX as u64;
    for offset in exact_from..=1000 {
        let wanted = if offset % 2 == 0 { GapReason::Expired } else { GapReason::Trimmed };
        assert_eq!(removals.reason(offset), wanted);
    }
    assert_eq!(removals.reason(1), removals.reason(exact_from), "what is older is told as one");
}

#[test]
fn offsets_never_pass_what_json_can_hold() {
    let mut log = Log::with_head(EPOCH, OFFSET_MAX - 1);
    assert_eq!(publish(&mut log, 0, None, "x").unwrap().position().offset, OFFSET_MAX);
    assert_eq!(publish(&mut log, 0, Some("k"), "x").unwrap_err(), AppendError::OffsetsUsedUp);
    assert_eq!(log.keys(), 0);
}

#[test]
fn a_log_of_one_message_is_small() {
    assert!(size_of::<Log>() <= 32, "{} bytes", size_of::<Log>());
    let mut log = filled(1);
    assert!(log.past.is_none());
    publish(&mut log, 0, None, "2").unwrap();
    assert!(log.past.is_some());
    let mut keyed = Log::new(EPOCH);
    publish(&mut keyed, 0, Some("k"), "x").unwrap();
    assert!(keyed.expire(RETENTION.key_window_ms, 1000) > 0);
    assert!(keyed.past.is_none(), "the key is forgotten, the message stays");
    assert_eq!(keyed.len(), 1);
}
