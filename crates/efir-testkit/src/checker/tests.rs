use super::{check, planted::FAULTS};
use crate::history::{Entry, Event, From, History, Place, payload_mark};

/// A history as a faultless server would make it, with everything in it that a fault needs.
fn good() -> Vec<Entry> {
    let history = History::default();
    let at = |epoch: &str, offset| Place { epoch: epoch.into(), offset };
    let mut op = 0;
    let mut publish = |key: Option<&str>, text: &str, position: Place, duplicate: bool| {
        op += 1;
        let payload = payload_mark(&format!("\"{text}\""));
        history
            .record("writer", Event::Publish { op, channel: "c".into(), key: key.map(Into::into), payload });
        history.record("writer", Event::Accepted { op, position, duplicate });
    };
    let see = |actor: &str, position: Place, text: &str| {
        let payload = payload_mark(&format!("\"{text}\""));
        history.record(actor, Event::Received { channel: "c".into(), position, payload });
    };
    let open = |actor: &str, from: From| {
        history.record(actor, Event::Open { transport: "sse".into(), channel: "c".into(), from });
    };
    let told = |actor: &str, place: Place| {
        history.record(actor, Event::At { channel: "c".into(), cursor: place.to_string() });
    };
    let gap = |reason: &str, after: Place, resume_from: Place| {
        let (after, epoch) = (after.to_string(), resume_from.epoch.clone());
        let channel = "c".into();
        history.record("reader", Event::Gap { channel, reason: reason.into(), after, resume_from, epoch });
    };
    history.record("server", Event::Keeps { channel: "c".into(), messages_max: Some(4) });
    open("reader", From::Now);
    told("reader", at("e", 0));
    for n in 1..=3 {
        publish(None, &format!("m{n}"), at("e", n), false);
        see("reader", at("e", n), &format!("m{n}"));
    }
    publish(Some("k"), "m4", at("e", 4), false);
    publish(Some("k"), "m4", at("e", 4), true);
    open("reader", From::After("e-2".into()));
    told("reader", at("e", 2));
    see("reader", at("e", 3), "m3");
    see("reader", at("e", 4), "m4");
    for n in 5..=10 {
        publish(None, &format!("m{n}"), at("e", n), false);
    }
    publish(None, "m11", at("e", 11), false);
    open("reader", From::After("e-4".into()));
    gap("trimmed", at("e", 4), at("e", 7));
    for n in 8..=11 {
        see("reader", at("e", n), &format!("m{n}"));
    }
    history.record("reader", Event::Settled { channel: "c".into() });
    history.record("server", Event::Lost);
    publish(None, "n1", at("f", 1), false);
    publish(None, "n2", at("f", 2), false);
    open("reader", From::After("e-11".into()));
    gap("epoch_changed", at("e", 11), at("f", 0));
    see("reader", at("f", 1), "n1");
    see("reader", at("f", 2), "n2");
    history.record("reader", Event::Settled { channel: "c".into() });
    history.entries()
}

#[test]
fn a_good_history_passes() {
    assert_eq!(check(&good()), []);
}

#[test]
fn every_planted_fault_is_seen() {
    let good = good();
    for fault in FAULTS {
        let spoiled = (fault.plant)(&good).unwrap_or_else(|| panic!("{}: has no place here", fault.name));
        assert_ne!(check(&spoiled), [], "{}", fault.name);
    }
}

#[test]
fn a_reader_from_now_on_gets_nothing_old() {
    let mut entries = good();
    let told = entries.iter().position(|entry| matches!(entry.event, Event::At { .. })).unwrap();
    // As if the reader had begun after the first message and got it all the same.
    entries.remove(told);
    let open = entries.remove(told - 1);
    entries.insert(told + 1, open);
    let found = check(&entries);
    assert!(found.iter().any(|violation| violation.clause == "D7"), "{found:?}");
}

/// A publisher that is still trying when the server is killed.
fn over_a_loss(after: impl Fn(&History)) -> Vec<Entry> {
    let history = History::default();
    let channel = || "c".to_owned();
    let publish = |op, text: &str| {
        let (key, payload) = (Some(format!("k{op}")), format!("text:{text}"));
        history.record("writer", Event::Publish { op, channel: channel(), key, payload });
    };
    let place = |epoch: &str, offset| Place { epoch: epoch.into(), offset };
    publish(1, "first");
    history.record("writer", Event::Accepted { op: 1, position: place("e", 1), duplicate: false });
    publish(2, "second");
    history.record("server", Event::Lost);
    after(&history);
    history.entries()
}

#[test]
fn what_was_under_way_at_a_loss_may_be_acknowledged_by_either_life() {
    for (epoch, offset) in [("e", 2), ("f", 1)] {
        let position = Place { epoch: epoch.into(), offset };
        let entries = over_a_loss(|history| {
            history.record("writer", Event::Accepted { op: 2, position: position.clone(), duplicate: false });
        });
        assert_eq!(check(&entries), [], "{epoch}");
    }
}

#[test]
fn one_publish_that_stands_twice_is_seen() {
    let entries = over_a_loss(|history| {
        history.record("writer", Event::Unanswered { op: 2 });
        let open = Event::Open { transport: "sse".into(), channel: "c".into(), from: From::Start };
        history.record("reader", open);
        for offset in 1..=2 {
            let position = Place { epoch: "f".into(), offset };
            let payload = "text:second".into();
            history.record("reader", Event::Received { channel: "c".into(), position, payload });
        }
    });
    let found: Vec<_> = check(&entries).iter().map(|violation| violation.clause).collect();
    assert_eq!(found, ["D3"]);
}

#[test]
fn what_comes_again_and_what_comes_late_are_told_apart() {
    let clauses = |offsets: [u64; 3]| {
        let history = History::default();
        for op in 1..=3 {
            let payload = format!("text:m{op}");
            let position = Place { epoch: "e".into(), offset: op };
            history.record("writer", Event::Publish { op, channel: "c".into(), key: None, payload });
            history.record("writer", Event::Accepted { op, position, duplicate: false });
        }
        let open = Event::Open { transport: "sse".into(), channel: "c".into(), from: From::Start };
        history.record("reader", open);
        for offset in offsets {
            let (position, payload) = (Place { epoch: "e".into(), offset }, format!("text:m{offset}"));
            history.record("reader", Event::Received { channel: "c".into(), position, payload });
        }
        let entries = history.entries();
        super::Summary::of(&entries, &check(&entries))
    };
    let again = clauses([1, 2, 2]);
    assert_eq!((again.duplicated, again.reordered, again.silent_gaps), (1, 0, 0));
    let late = clauses([1, 3, 2]);
    assert_eq!((late.duplicated, late.reordered, late.silent_gaps), (0, 1, 1));
}
