use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::limits::Limits;

const LEASES_MAX: usize = 4;

fn id(n: u8) -> MemberId {
    MemberId::parse(&format!("m{n}")).unwrap()
}

fn who(n: u8) -> Who {
    Who::new(id(n))
}

fn lease(number: u64, transport: &'static str) -> MemberLease {
    MemberLease { number, client: None, transport: Some(transport), until_ms: None }
}

fn until(number: u64, client: &str, transport: &'static str, until_ms: u64) -> MemberLease {
    MemberLease { number, client: Some(client.into()), transport: Some(transport), until_ms: Some(until_ms) }
}

#[test]
fn two_tabs_are_one_member() {
    let mut members = Members::default();
    assert_eq!(members.enter(&who(1), lease(1, "sse"), 5, 9), Ok(Change::Entered(id(1))));
    assert_eq!(members.enter(&who(1), lease(2, "sse"), 6, 9), Ok(Change::Nothing));
    assert_eq!(members.enter(&who(1), lease(3, "websocket"), 7, 9), Ok(Change::Updated(id(1))));
    assert_eq!((members.len(), members.leases(), members.get(&id(1)).unwrap().since_ms), (1, 3, 5));
    assert_eq!(members.end(&id(1), 1), Change::Nothing);
    assert_eq!(members.end(&id(1), 2), Change::Updated(id(1)));
    assert_eq!(members.end(&id(1), 2), Change::Nothing, "it is gone already");
    assert_eq!(members.end(&id(1), 3), Change::Left(id(1)));
    assert_eq!((members.is_empty(), members.leases()), (true, 0));
}

#[test]
fn a_poll_renews_its_own_lease() {
    let mut members = Members::default();
    members.enter(&who(1), until(1, "tab", "short-poll", 100), 0, 2).unwrap();
    assert_eq!(members.enter(&who(1), until(2, "tab", "short-poll", 200), 50, 2), Ok(Change::Nothing));
    assert_eq!((members.leases(), members.next_expiry_ms()), (1, Some(200)));
    members.enter(&who(1), until(3, "other", "short-poll", 150), 50, 2).unwrap();
    assert_eq!(members.enter(&who(1), until(4, "third", "short-poll", 150), 50, 2), Err(LeasesUsedUp));
    assert_eq!(members.expire(149), []);
    assert_eq!(members.expire(150), [], "the other tab is gone, the member is not");
    assert_eq!(members.expire(200), [Change::Left(id(1))]);
    assert_eq!(members.next_expiry_ms(), None);
}

#[test]
fn a_held_poll_lasts_beyond_its_answer() {
    let mut members = Members::default();
    let held = |number| MemberLease { until_ms: None, ..until(number, "tab", "long-poll", 0) };
    members.enter(&who(1), held(1), 0, 9).unwrap();
    members.end_at(&id(1), 1, 105);
    members.enter(&who(1), held(2), 101, 9).unwrap();
    assert_eq!(members.expire(1_000), [], "the next one hangs");
    members.end_at(&id(1), 2, 1_005);
    members.end_at(&id(1), 1, 9_999);
    assert_eq!((members.leases(), members.expire(1_005)), (1, vec![Change::Left(id(1))]));
}

/// Who comes back takes its own place, also where the member holds as many leases as it may.
#[test]
fn whoever_comes_back_needs_no_second_place() {
    let mut members = Members::default();
    let held = |number| MemberLease { until_ms: None, ..until(number, "tab", "long-poll", 0) };
    members.enter(&who(1), held(1), 0, 1).unwrap();
    assert_eq!(members.enter(&who(1), held(2), 0, 1), Err(LeasesUsedUp), "both are open");
    for number in 1..5 {
        members.end_at(&id(1), number, 100);
        assert!(members.get(&id(1)).unwrap().renews(&held(number + 1)));
        assert_eq!(members.enter(&who(1), held(number + 1), 50, 1), Ok(Change::Nothing));
        assert_eq!((members.leases(), members.next_expiry_ms()), (1, None), "it lasts as long as it is held");
    }
    // The lease itself goes before another that it could replace.
    members.enter(&who(1), until(9, "tab", "long-poll", 100), 50, 2).unwrap();
    assert_eq!(members.enter(&who(1), held(5), 50, 2), Ok(Change::Nothing));
    assert_eq!((members.end(&id(1), 5), members.leases()), (Change::Nothing, 1));
    assert_eq!(members.end(&id(1), 9), Change::Left(id(1)));
}

#[test]
fn what_is_not_said_stays() {
    let limits = Limits::default();
    let mut members = Members::default();
    let named = who(1).with_name("Аня", &limits).unwrap().with_data(b"[1]", &limits).unwrap();
    members.enter(&named, lease(1, "sse"), 0, 9).unwrap();
    assert_eq!(members.enter(&who(1), lease(2, "sse"), 0, 9), Ok(Change::Nothing));
    let mut say = |who: &Who| members.enter(who, lease(1, "sse"), 0, 9);
    assert_eq!(say(&named), Ok(Change::Nothing));
    let renamed = who(1).with_name("Анна", &limits).unwrap();
    assert_eq!(say(&renamed), Ok(Change::Updated(id(1))));
    assert_eq!(members.get(&id(1)).unwrap().data, "[1]");
    let bare = who(1).with_name("", &limits).unwrap().with_data(b"null", &limits).unwrap();
    assert_eq!(members.enter(&bare, lease(2, "sse"), 0, 9), Ok(Change::Updated(id(1))));
    let member = members.get(&id(1)).unwrap();
    assert!(member.name.is_empty() && member.data.is_empty());
}

/// A member is here while one of its leases is: a flat list of leases, and before and after of everything.
#[derive(Clone, Default, Debug)]
struct Model {
    leases: Vec<(MemberId, MemberLease)>,
    names: BTreeMap<MemberId, u8>,
}

type Seen = BTreeMap<MemberId, (u8, BTreeSet<&'static str>)>;

impl Model {
    fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        for (id, lease) in &self.leases {
            let member = seen.entry(id.clone()).or_default();
            member.0 = self.names.get(id).copied().unwrap_or_default();
            member.1.extend(lease.transport);
        }
        seen
    }

    fn tidy(&mut self) {
        let here: BTreeSet<_> = self.leases.iter().map(|(id, _)| id.clone()).collect();
        self.names.retain(|id, _| here.contains(id));
    }

    fn run(&mut self, step: &Step, now_ms: u64) {
        match step {
            Step::Enter { member, lease, name } => {
                let id = id(*member);
                let itself =
                    |known: &(MemberId, MemberLease)| known.0 == id && known.1.number == lease.number;
                let same_tab = |known: &(MemberId, MemberLease)| {
                    let later = (&id, &lease.client, lease.transport);
                    known.1.until_ms.is_some() && (&known.0, &known.1.client, known.1.transport) == later
                };
                let find = |own: &dyn Fn(&(MemberId, MemberLease)) -> bool| self.leases.iter().position(own);
                if let Some(at) = find(&itself).or_else(|| find(&same_tab)) {
                    self.leases[at].1 = lease.clone();
                } else if self.leases.iter().filter(|(known, _)| *known == id).count() < LEASES_MAX {
                    self.leases.push((id.clone(), lease.clone()));
                } else {
                    return;
                }
                if let Some(name) = name {
                    self.names.insert(id, *name);
                }
            }
            Step::End { member, number } => {
                self.leases.retain(|(id, lease)| (id, lease.number) != (&self::id(*member), *number));
            }
            Step::EndAt { member, number, after_ms } => {
                let id = id(*member);
                let own = |known: &(MemberId, MemberLease)| known.0 == id && known.1.number == *number;
                if let Some(at) = self.leases.iter().position(own) {
                    let (_, mut lease) = self.leases.remove(at);
                    lease.until_ms = Some(now_ms + after_ms);
                    let same =
                        |known: &&mut (MemberId, MemberLease)| known.0 == id && known.1.is_renewed_by(&lease);
                    match self.leases.iter_mut().find(same) {
                        Some((_, known)) => known.until_ms = known.until_ms.max(lease.until_ms),
                        None => self.leases.push((id, lease)),
                    }
                }
            }
            Step::Leave { member, client } => {
                self.leases.retain(|(id, lease)| {
                    (id, lease.client.as_deref()) != (&self::id(*member), client.as_deref())
                });
            }
            Step::Expire => {
                self.leases.retain(|(_, lease)| lease.until_ms.is_none_or(|until_ms| until_ms > now_ms));
            }
        }
        self.tidy();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enter { member: u8, lease: MemberLease, name: Option<u8> },
    End { member: u8, number: u64 },
    EndAt { member: u8, number: u64, after_ms: u64 },
    Leave { member: u8, client: Option<Box<str>> },
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || prop::option::of(prop::sample::select(vec!["a".into(), "b".into()]));
    let transport = prop::option::of(prop::sample::select(vec!["sse", "long-poll", "websocket"]));
    let lease = (0..12u64, client(), transport, prop::option::of(0..400u64)).prop_map(
        |(number, client, transport, until_ms)| MemberLease { number, client, transport, until_ms },
    );
    let step = prop_oneof![
        5 => (0..3u8, lease, prop::option::of(1..4u8)).prop_map(|(member, lease, name)| Step::Enter { member, lease, name }),
        3 => (0..3u8, 0..12u64).prop_map(|(member, number)| Step::End { member, number }),
        2 => (0..3u8, 0..12u64, 0..200u64)
            .prop_map(|(member, number, after_ms)| Step::EndAt { member, number, after_ms }),
        1 => (0..3u8, client()).prop_map(|(member, client)| Step::Leave { member, client }),
        2 => Just(Step::Expire),
    ];
    prop::collection::vec(step, 1..60)
}

fn run(members: &mut Members, step: &Step, now_ms: u64) -> Vec<Change> {
    let change = match step {
        Step::Enter { member, lease, name } => {
            let mut who = who(*member);
            if let Some(name) = name {
                who = who.with_name(&"n".repeat(usize::from(*name)), &Limits::default()).unwrap();
            }
            members.enter(&who, lease.clone(), now_ms, LEASES_MAX).unwrap_or(Change::Nothing)
        }
        Step::End { member, number } => members.end(&id(*member), *number),
        Step::EndAt { member, number, after_ms } => {
            members.end_at(&id(*member), *number, now_ms + after_ms);
            Change::Nothing
        }
        Step::Leave { member, client } => members.leave(&id(*member), client.as_deref()),
        Step::Expire => return members.expire(now_ms),
    };
    vec![change]
}

/// What somebody knows who had `before` and was told these changes; `after` stands for the members that a change carries.
fn follow(mut before: Seen, changes: &[Change], after: &Seen) -> Seen {
    for change in changes {
        match change {
            Change::Nothing => {}
            Change::Entered(id) => {
                assert!(before.insert(id.clone(), after[id].clone()).is_none(), "entered twice");
            }
            Change::Updated(id) => {
                assert!(before.insert(id.clone(), after[id].clone()).is_some_and(|known| known != after[id]));
            }
            Change::Left(id) => assert!(before.remove(id).is_some(), "left, but was not here"),
        }
    }
    before
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn members_are_what_the_model_says(steps in steps()) {
        let (mut members, mut model) = (Members::default(), Model::default());
        for (now_ms, step) in (0..).step_by(10).zip(&steps) {
            let before = model.seen();
            model.run(step, now_ms);
            let changes = run(&mut members, step, now_ms);
            let after = model.seen();
            let seen: Seen = members
                .iter()
                .map(|(id, member)| {
                    (id.clone(), (member.name.len() as u8, member.transports().into_iter().collect()))
                })
                .collect();
            prop_assert_eq!(&seen, &after);
            prop_assert_eq!(follow(before, &changes, &after), after, "changes tell all of it: {:?}", changes);
            prop_assert_eq!(members.leases(), model.leases.len());
            let next = model.leases.iter().filter_map(|(_, lease)| lease.until_ms).min();
            prop_assert_eq!(members.next_expiry_ms(), next);
        }
    }

    /// Whoever follows what is told always knows the number within the interval, and the list whenever it is told.
    #[test]
    fn the_number_is_told_in_time(sizes in prop::collection::vec((0..30u8, 1..700u64), 1..60)) {
        let most = TellMost { members_max: 10, interval_ms: 1_000 };
        let (mut members, mut telling) = (Members::default(), Telling::default());
        let (mut now_ms, mut known, mut wrong_since, mut counts) = (5_000, 0, None, Vec::new());
        for (size, pause_ms) in sizes {
            now_ms += pause_ms;
            while members.len() != usize::from(size) {
                let n = members.len() as u8;
                let change = if n < size {
                    members.enter(&who(n), lease(u64::from(n), "sse"), now_ms, 9).unwrap()
                } else {
                    members.end(&id(n - 1), u64::from(n - 1))
                };
                let told = telling.hear(&change, &members, now_ms, most);
                prop_assert!(told != Tell::Change || members.len() <= most.members_max);
                if told != Tell::Nothing { (known, wrong_since) = (members.len(), None); }
                if told == Tell::Count { counts.push(now_ms); }
            }
            let told = telling.catch_up(&members, now_ms, most);
            if told != Tell::Nothing { (known, wrong_since) = (members.len(), None); }
            if told == Tell::Count { counts.push(now_ms); }
            if told == Tell::State { prop_assert!(members.len() <= 9); }
            if known == members.len() { wrong_since = None; } else { wrong_since.get_or_insert(now_ms); }
            prop_assert!(wrong_since.is_none_or(|since| now_ms - since < most.interval_ms));
            prop_assert!(telling.is_counted() || known == members.len());
        }
        // A list that was told again in between begins a new count at once.
        prop_assert!(counts.len() <= 2 + (now_ms - 5_000) as usize / 500, "{:?}", counts);
    }
}
