use std::{
    collections::BTreeSet,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use efir_core::{Limits, ReadMost, Start, Times};
use serde_json::Value;

use super::*;
use crate::channel::{Noted, Watch};

fn hub(change: impl FnOnce(&mut Limits, &mut Times)) -> Hub {
    let (mut limits, mut times) = (Limits::default(), Times::default());
    change(&mut limits, &mut times);
    Hub::new(limits, times)
}

fn chat() -> ChannelName {
    ChannelName::parse("chat").unwrap()
}

fn who(id: &str) -> Who {
    Who::new(MemberId::parse(id).unwrap())
}

fn via(transport: &'static str) -> Via<'static> {
    Via { client: None, transport: Some(transport) }
}

/// What the log says after a state, each change as its JSON.
fn changes(hub: &Hub, after: &PresenceState) -> Vec<Value> {
    let log = after.channel.presence_log();
    let page = hub.read(&log, Start::After(after.cursor.into()), ReadMost::ALL);
    assert!(page.read.gap.is_none());
    let object =
        |message: &Arc<efir_core::Message>| -> Value { serde_json::from_slice(message.object()).unwrap() };
    page.read.messages.iter().map(|message| object(message)["data"].clone()).collect()
}

fn ids(state: &PresenceState) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_slice(state.members.as_ref().unwrap()).unwrap();
    list.iter().map(|member| member["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_lease_is_a_member_until_it_is_dropped() {
    let hub = hub(|_, _| {});
    let before = hub.members(&chat());
    assert_eq!((before.count, before.cursor.offset), (0, 0));
    let lease = hub.enter(&chat(), &who("a"), via("sse")).unwrap();
    let second = hub.enter(&chat(), &who("a"), via("sse")).unwrap();
    assert_eq!((hub.member_count(&chat()), ids(&hub.members(&chat()))), (1, vec!["a".into()]));
    assert_eq!(lease.update(&who("a").with_name("Аня", hub.limits()).unwrap(), via("sse")), Ok(1));
    drop(lease);
    drop(second);
    let told = changes(&hub, &before);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!((&told[0]["enter"]["id"], &told[1]["update"]["name"]), (&"a".into(), &"Аня".into()));
    assert_eq!(told[2], serde_json::json!({"leave": {"id": "a"}}));
    assert_eq!(hub.members(&chat()).count, 0);
}

/// Anybody may end a member's leases; what the member says next brings it back.
#[test]
fn an_update_enters_anew_where_the_lease_was_ended() {
    let hub = hub(|limits, _| limits.presence_leases_max = 2);
    let before = hub.members(&chat());
    let (lease, count) = hub.enter_counted(&chat(), &who("a"), via("websocket")).unwrap();
    assert_eq!((count, hub.leave(&chat(), who("a").id(), None)), (1, 0));
    assert_eq!(
        (lease.update(&who("a"), via("websocket")), ids(&hub.members(&chat()))),
        (Ok(1), vec!["a".into()])
    );
    assert_eq!(lease.update(&who("a"), via("websocket")), Ok(1), "it is in already");
    let told: Vec<String> = changes(&hub, &before).iter().map(ToString::to_string).collect();
    assert_eq!(told.iter().filter(|told| told.contains("enter")).count(), 2, "{told:?}");
    hub.leave(&chat(), who("a").id(), None);
    let others = ["b", "c"].map(|id| hub.enter(&chat(), &who(id), via("sse")).unwrap());
    assert_eq!(lease.update(&who("a"), via("websocket")), Err(EnterError::LeasesFull { leases_max: 2 }));
    drop(lease);
    assert_eq!(others.map(Lease::end), [1, 0]);
}

/// What a call gives is the number that its own change made: of many at once each gives another one.
#[test]
fn each_is_told_the_number_that_it_makes() {
    const MEMBERS: u64 = 20_000;
    let (hub, begin) = (hub(|_, _| {}), Barrier::new(4));
    let come_and_go = |thread: u64| -> (Vec<u64>, Vec<u64>) {
        begin.wait();
        let (leases, entered): (Vec<_>, Vec<_>) = (0..MEMBERS / 4)
            .map(|n| hub.enter_counted(&chat(), &who(&format!("m{}", n * 4 + thread)), via("sse")).unwrap())
            .unzip();
        begin.wait();
        (entered, leases.into_iter().map(Lease::end).collect())
    };
    let counts: Vec<_> = std::thread::scope(|scope| {
        let come_and_go = &come_and_go;
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || come_and_go(thread)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (entered, left): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
    let sorted = |counts: Vec<Vec<u64>>| counts.into_iter().flatten().collect::<BTreeSet<u64>>();
    assert!(sorted(entered).into_iter().eq(1..=MEMBERS), "a number twice");
    assert!(sorted(left).into_iter().eq(0..MEMBERS), "a number twice");
}

#[test]
fn a_time_that_is_over_ends_a_lease_with_a_sweep() {
    let hub = hub(|_, _| {});
    let before = hub.members(&chat());
    hub.enter_for(&chat(), &who("short"), via("short-poll"), 0).unwrap();
    assert_eq!(hub.enter_for(&chat(), &who("long"), via("short-poll"), 60_000), Ok(2));
    let mut lease = hub.enter(&chat(), &who("held"), via("long-poll")).unwrap();
    lease.set_linger_ms(1);
    hub.sweep();
    assert_eq!(ids(&hub.members(&chat())), ["held", "long"]);
    drop(lease);
    assert_eq!(hub.member_count(&chat()), 2, "it lingers");
    while hub.member_count(&chat()) == 2 {
        std::thread::sleep(Duration::from_millis(1));
        hub.sweep();
    }
    assert_eq!(hub.leave(&chat(), who("long").id(), Some("other tab")), 1);
    assert_eq!(hub.leave(&chat(), who("long").id(), None), 0);
    let kinds: Vec<_> = changes(&hub, &before)
        .iter()
        .map(|told| told.as_object().unwrap().keys().next().unwrap().clone())
        .collect();
    assert_eq!(kinds, ["enter", "enter", "enter", "leave", "leave", "leave"]);
}

#[test]
fn what_is_full_refuses_and_those_who_are_in_stay() {
    let hub = hub(|limits, _| {
        (limits.presence_leases_max, limits.presence_member_leases_max, limits.channels_max) = (3, 2, 1);
    });
    hub.publish_text("other", "x").unwrap();
    let error = hub.enter(&chat(), &who("a"), via("sse")).unwrap_err();
    assert_eq!(error.problem().code, Code::ChannelsFull);
    assert_eq!(hub.members(&chat()).count, 0, "nobody is in without a log that says so");
    let hub = self::hub(|limits, _| {
        (limits.presence_leases_max, limits.presence_member_leases_max) = (3, 2);
    });
    let leases = [0, 1].map(|_| hub.enter(&chat(), &who("a"), via("sse")).unwrap());
    let error = hub.enter(&chat(), &who("a"), via("sse")).unwrap_err();
    assert_eq!(error, EnterError::MemberLeasesFull { leases_max: 2 });
    hub.enter_for(&chat(), &who("b"), via("short-poll"), 60_000).unwrap();
    let error = hub.enter(&chat(), &who("c"), via("sse")).unwrap_err();
    assert_eq!(error.problem().limit, Some(("presence_leases_max", 3)));
    assert_eq!(
        hub.enter_for(&chat(), &who("b"), via("short-poll"), 60_000),
        Ok(2),
        "who renews needs no room"
    );
    drop(leases);
    assert!(hub.enter(&chat(), &who("c"), via("sse")).is_ok());
}

#[test]
fn many_are_told_as_a_number_and_few_again_one_by_one() {
    let hub = hub(|limits, times| (limits.presence_members_max, times.presence_count_ms) = (10, 40));
    let before = hub.members(&chat());
    let mut leases: Vec<_> =
        (0..30).map(|n| hub.enter(&chat(), &who(&format!("m{n:02}")), via("sse")).unwrap()).collect();
    let state = hub.members(&chat());
    assert_eq!((state.count, state.members), (30, None));
    std::thread::sleep(Duration::from_millis(45));
    hub.sweep();
    leases.truncate(9);
    std::thread::sleep(Duration::from_millis(45));
    hub.sweep();
    assert_eq!(ids(&hub.members(&chat())).len(), 9);
    leases.clear();
    let told = changes(&hub, &before);
    assert!(told.len() <= 10 + 6 + 9, "{} changes", told.len());
    assert_eq!(told[10], serde_json::json!({"count": 11}));
    let state = told.iter().find_map(|told| told.get("state")).unwrap();
    assert_eq!((&state["count"], state["members"].as_array().unwrap().len()), (&9.into(), 9));
    assert_eq!(told.iter().rev().take(9).filter(|told| told.get("leave").is_some()).count(), 9);
    assert_eq!((hub.members(&chat()).count, hub.members(&chat()).members.as_deref()), (0, Some(&b"[]"[..])));
}

/// Many leave at once, when the list is told again: that says it all, and nobody's leave is told who was not told of before.
#[test]
fn many_who_expire_together_are_told_once() {
    let hub = hub(|limits, times| {
        (limits.presence_members_max, limits.presence_log_messages_max) = (20, 100);
        times.presence_count_ms = 60_000;
    });
    let stays = hub.enter(&chat(), &who("stays"), via("sse")).unwrap();
    for n in 0..150 {
        hub.enter_for(&chat(), &who(&format!("m{n:03}")), via("short-poll"), 60_000).unwrap();
    }
    let before = hub.members(&chat());
    assert_eq!((before.count, before.members.as_ref()), (151, None));
    hub.presence().sweep(hub.broker(), clock::age_ms() + 70_000);
    let told = changes(&hub, &before);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["state"]["members"][0]["id"], "stays", "{told:?}");
    assert_eq!(ids(&hub.members(&chat())), ["stays"]);
    drop(stays);
    assert_eq!(changes(&hub, &before)[1..], [serde_json::json!({"leave": {"id": "stays"}})]);
    // And where the number was told just now, nothing more until it is time again.
    for n in 0..50 {
        hub.enter_for(&chat(), &who(&format!("m{n:03}")), via("short-poll"), 0).unwrap();
    }
    let before = hub.members(&chat());
    hub.presence().sweep(hub.broker(), clock::age_ms());
    assert!(changes(&hub, &before).is_empty());
    hub.presence().sweep(hub.broker(), clock::age_ms() + 60_000);
    assert_eq!(changes(&hub, &before), [serde_json::json!({"state": {"count": 0, "members": []}})]);
}

struct Counted(AtomicUsize);

impl Noted for Counted {
    fn note(&self, _: u32) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn drain(&self) {}
}

#[test]
fn who_watches_the_log_is_told() {
    let hub = hub(|_, _| {});
    let counted = Arc::new(Counted(AtomicUsize::new(0)));
    let watch = Watch::new(Arc::clone(&counted) as _, 0);
    hub.broker().watch(&chat().presence_log(), watch);
    let _lease = hub.enter(&chat(), &who("a"), via("sse")).unwrap();
    assert_eq!(counted.0.load(Ordering::SeqCst), 1);
    hub.publish_text("chat", "x").unwrap();
    assert_eq!(counted.0.load(Ordering::SeqCst), 1, "messages of the channel are no changes of members");
}

/// Threads come and go while others read: state and changes after its cursor make the final state, for every reader.
#[test]
fn a_state_is_exact_at_its_cursor() {
    let hub = hub(|limits, _| limits.presence_log_messages_max = 100_000);
    let first = hub.members(&chat());
    let (states, coming) = (Mutex::new(Vec::new()), AtomicUsize::new(2));
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let (hub, coming) = (&hub, &coming);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread + 1);
                let mut leases = Vec::new();
                for _ in 0..2_000 {
                    if random.bool() || leases.is_empty() {
                        let who = who(&format!("m{}", random.u8(0..40)));
                        leases.extend(hub.enter(&chat(), &who, via("sse")));
                    } else {
                        leases.swap_remove(random.usize(0..leases.len()));
                    }
                }
                leases.truncate(2);
                std::mem::forget(leases);
                coming.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while coming.load(Ordering::SeqCst) > 0 {
                    let state = hub.members(&chat());
                    states.lock().unwrap().push(state);
                }
            });
        }
    });
    let (last, changes) = (hub.members(&chat()), changes(&hub, &first));
    assert!(last.count > 0 && changes.len() > 100, "{} changes", changes.len());
    let states = states.into_inner().unwrap();
    for state in states.iter().step_by(states.len().div_ceil(500).max(1)) {
        let mut known: BTreeSet<String> = ids(state).into_iter().collect();
        assert_eq!(known.len() as u64, state.count);
        for change in changes.iter().skip(state.cursor.offset as usize) {
            if let Some(id) = change["enter"]["id"].as_str() {
                assert!(known.insert(id.to_owned()), "{id} enters twice");
            } else if let Some(id) = change["leave"]["id"].as_str() {
                assert!(known.remove(id), "{id} leaves, but is not there");
            }
        }
        assert_eq!(known.into_iter().collect::<Vec<_>>(), ids(&last));
    }
}

#[test]
fn the_log_is_put_away_when_it_is_idle() {
    let hub = hub(|limits, _| limits.presence_log_ms_max = 20);
    drop(hub.enter(&chat(), &who("a"), via("sse")).unwrap());
    let position = hub.position(&chat().presence_log());
    std::thread::sleep(Duration::from_millis(30));
    for _ in 0..16 {
        hub.sweep();
    }
    let page = hub.read(&chat().presence_log(), Start::Beginning, ReadMost::ALL);
    assert!(page.read.messages.is_empty());
    let _lease = hub.enter(&chat(), &who("a"), via("sse")).unwrap();
    assert_eq!(hub.position(&chat().presence_log()).offset, position.offset + 1, "offsets go on");
}
