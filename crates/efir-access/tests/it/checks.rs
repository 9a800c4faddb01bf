//! A million questions to the gate, of 1,000 users about 1,000 channels, and to a reference that works on the texts of
//! rules and grants, tries every rule, and compares levels instead of cases.

use std::collections::HashMap;
use std::sync::Arc;

use efir_access::{
    Action, Actions, Audience, Caller, Gate, GateParts, Grant, KeyMark, Pattern, Refusal, Rule, Rules,
    ServerKey, User,
};
use efir_core::ChannelName;
use fastrand::Rng;

use crate::forge::NOW;

const CHANNELS: usize = 1_000;
const USERS: usize = 1_000;
const CHECKS: usize = 1_000_000;
const RULES: usize = 24;

/// A rule as a line of text has it; audiences in the order of [`Action::ALL`].
struct RuleText {
    patterns: Vec<usize>,
    audiences: [Audience; 4],
    has_presence: bool,
}

struct Person {
    name: String,
    grants: Vec<(Vec<usize>, Actions)>,
    is_over: bool,
    is_revoked: bool,
    /// The names in a ticket, where it is one: then there are no grants besides.
    ticket: Option<Vec<String>>,
}

struct World {
    patterns: Vec<String>,
    rules: Vec<RuleText>,
    channels: Vec<ChannelName>,
    people: Vec<Person>,
    /// What a pattern without a user has, for it is asked often.
    known: HashMap<(usize, usize), bool>,
}

#[derive(Clone, Copy)]
enum Asking {
    Nobody,
    Person(usize),
    /// A server that may this, on channels of this pattern.
    Server(Actions, usize),
}

fn pick<'a, T>(random: &mut Rng, items: &'a [T]) -> &'a T {
    &items[random.usize(..items.len())]
}

fn segment(random: &mut Rng) -> String {
    const WORDS: [&str; 10] = ["chat", "news", "inbox", "game", "общий", "a", "b", "ab", "*", "{user}"];
    if random.u8(..3) == 0 {
        format!("u{}", random.usize(..USERS))
    } else {
        (*pick(random, &WORDS)).to_owned()
    }
}

fn channel_name(random: &mut Rng) -> String {
    let segments = 1 + random.usize(..4);
    (0..segments).map(|_| segment(random)).collect::<Vec<_>>().join(":")
}

fn pattern(random: &mut Rng) -> String {
    const WORDS: [&str; 12] =
        ["chat", "news", "inbox", "game", "общий", "a*", "*b", "*", "*", "**", "{user}", "\\*"];
    let segments = 1 + random.usize(..4);
    let mut parts: Vec<String> = (0..segments).map(|_| (*pick(random, &WORDS)).to_owned()).collect();
    if random.u8(..6) == 0 {
        parts.push(format!("u{}", random.usize(..USERS)));
    }
    parts.join(":")
}

fn actions(random: &mut Rng) -> Actions {
    Action::ALL.into_iter().filter(|_| random.bool()).collect()
}

impl World {
    fn new(random: &mut Rng) -> Self {
        let mut patterns: Vec<String> = (0..300).map(|_| pattern(random)).collect();
        patterns.extend(["inbox:{user}", "{user}:**", "chat:*", "*:*", "*:*:*", "**"].map(str::to_owned));
        let mut names = std::collections::BTreeSet::new();
        while names.len() < CHANNELS {
            names.insert(channel_name(random));
        }
        let audiences = [Audience::Anyone, Audience::Authenticated, Audience::Grant, Audience::Nobody];
        let narrow: Vec<usize> = (0..patterns.len()).filter(|n| !patterns[*n].contains("**")).collect();
        let mut rules: Vec<RuleText> = (0..RULES)
            .map(|n| RuleText {
                patterns: (0..1 + random.usize(..3)).map(|_| *pick(random, &narrow)).collect(),
                audiences: std::array::from_fn(|_| *pick(random, &audiences)),
                has_presence: n % 6 != 1,
            })
            .collect();
        let of = |text: &str| patterns.iter().position(|pattern| pattern == text).unwrap();
        rules[0].patterns.push(of("inbox:{user}"));
        rules[1].patterns.push(of("chat:*"));
        rules[2].patterns.push(of("{user}:**"));
        rules[RULES - 2].patterns.push(of("*:*"));
        rules[RULES - 1].patterns.push(of("*:*:*"));
        let names: Vec<String> = names.into_iter().collect();
        let people = (0..USERS).map(|n| Person::new(n, patterns.len(), &names, random)).collect();
        let channels = names.iter().map(|name| ChannelName::parse(name).unwrap()).collect();
        Self { patterns, rules, channels, people, known: HashMap::new() }
    }

    fn gate(&self) -> Gate {
        let parsed = |patterns: &[usize]| -> Vec<Pattern> {
            patterns.iter().map(|pattern| Pattern::parse(&self.patterns[*pattern]).unwrap()).collect()
        };
        let rules = self.rules.iter().map(|text| {
            let mut rule = Rule::new(parsed(&text.patterns), Audience::Nobody);
            [rule.subscribe, rule.publish, rule.history, rule.presence] = text.audiences;
            rule.options.has_presence = text.has_presence;
            rule
        });
        let parts =
            GateParts { rules: Arc::new(Rules::new(rules.collect()).unwrap()), ..GateParts::default() };
        for person in self.people.iter().filter(|person| person.is_revoked) {
            parts.revocations.revoke_user(&person.name, NOW + 1, NOW).unwrap();
        }
        Gate::new(parts)
    }

    fn caller(&self, person: &Person) -> Caller {
        let grants = person.grants.iter().map(|(patterns, may)| Grant {
            channels: patterns
                .iter()
                .map(|pattern| Pattern::parse(&self.patterns[*pattern]).unwrap())
                .collect(),
            may: *may,
        });
        let ticket = person
            .ticket
            .iter()
            .flatten()
            .map(|name| Grant::exactly(&ChannelName::parse_readable(name).unwrap(), Actions::READ));
        Caller::User(Arc::new(User {
            name: person.name.as_str().into(),
            grants: grants.chain(ticket).collect(),
            expires_ms: if person.is_over { NOW } else { NOW + 1 },
            token_id: None,
            key: "k".into(),
            signer: KeyMark::default(),
            ticket: person.ticket.as_ref().map(|_| KeyMark::default()),
        }))
    }

    /// Whether a pattern has a channel, for a user, `Some("")` being whoever it is.
    fn has(&mut self, pattern: usize, channel: usize, user: Option<&str>) -> bool {
        let text = &self.patterns[pattern];
        let name = self.channels[channel].as_str();
        if text.contains("{user}") && user.is_some() {
            return same(text, name, user);
        }
        *self.known.entry((pattern, channel)).or_insert_with(|| same(text, name, None))
    }

    /// What the gate has to answer.
    fn answer(
        &mut self,
        asking: Asking,
        action: Action,
        channel: usize,
        of_log: bool,
    ) -> Result<(), &'static str> {
        let user = match asking {
            Asking::Nobody => None,
            Asking::Person(person) => Some(self.people[person].name.clone()),
            Asking::Server(..) => Some(String::new()),
        };
        if let Asking::Person(person) = asking {
            let person = &self.people[person];
            if person.is_over || person.is_revoked {
                return Err(if person.is_over { "expired" } else { "revoked" });
            }
        }
        if of_log && action == Action::Publish {
            return Err("presence_log");
        }
        let asked = if of_log { Action::Presence } else { action };
        let mut first = None;
        for index in (0..self.rules.len()).rev() {
            let patterns = self.rules[index].patterns.clone();
            if patterns.into_iter().any(|pattern| self.has(pattern, channel, user.as_deref())) {
                first = Some(index);
            }
        }
        let rule = &self.rules[first.ok_or("no_rule")?];
        let needed = ["anyone", "authenticated", "grant", "nobody"]
            .iter()
            .position(|name| *name == rule.audiences[asked as usize].as_str());
        if asked == Action::Presence && !rule.has_presence {
            return Err("no_presence");
        }
        let read = if of_log { Some(action) } else { None };
        match (self.level(asking, asked, channel, read), needed.unwrap()) {
            (Level::Server(true), _) => Ok(()),
            (Level::Server(false), _) => Err("server_key"),
            (_, 3) => Err("nobody"),
            (Level::Ticket, _) => Err("ticket"),
            (Level::Of(has), needed) if has >= needed => Ok(()),
            (Level::Of(0), _) => Err("no_token"),
            (Level::Of(_), _) => Err("not_granted"),
        }
    }

    /// How far somebody gets; `of_log`: what was asked of the log of members instead of the channel.
    fn level(&mut self, asking: Asking, action: Action, channel: usize, of_log: Option<Action>) -> Level {
        match asking {
            Asking::Nobody => Level::Of(0),
            Asking::Server(may, pattern) => {
                Level::Server(may.iter().any(|one| one == action) && self.has(pattern, channel, Some("")))
            }
            Asking::Person(person) => {
                if let Some(names) = &self.people[person].ticket {
                    let name = self.channels[channel].as_str();
                    let suffix = if of_log.is_some() { "/presence" } else { "" };
                    // A log of members is read; a channel's presence is more than that.
                    let is_read = matches!(of_log.unwrap_or(action), Action::Subscribe | Action::History);
                    return if is_read && names.contains(&format!("{name}{suffix}")) {
                        Level::Of(2)
                    } else {
                        Level::Ticket
                    };
                }
                let Person { name, grants, .. } = &self.people[person];
                let name = name.clone();
                let patterns: Vec<usize> = grants
                    .iter()
                    .filter(|(_, may)| may.iter().any(|one| one == action))
                    .flat_map(|(patterns, _)| patterns.clone())
                    .collect();
                let is_granted = patterns.into_iter().any(|pattern| self.has(pattern, channel, Some(&name)));
                Level::Of(1 + usize::from(is_granted))
            }
        }
    }
}

enum Level {
    Of(usize),
    Ticket,
    Server(bool),
}

impl Person {
    fn new(number: usize, patterns: usize, channels: &[String], random: &mut Rng) -> Self {
        let name = match number % 20 {
            0 => format!("g:{number}"),
            1 if number == 1 => "*".to_owned(),
            1 if number == 21 => "{user}".to_owned(),
            _ => format!("u{number}"),
        };
        let grant = |random: &mut Rng| {
            let patterns = (0..1 + random.usize(..4)).map(|_| random.usize(..patterns)).collect();
            (patterns, actions(random))
        };
        let ticket = (random.u8(..12) == 0).then(|| {
            let names = channels.iter().filter(|_| random.u8(..4) == 0);
            names
                .map(|name| if name.len() % 2 == 0 { name.clone() } else { format!("{name}/presence") })
                .collect()
        });
        let grants =
            (0..if ticket.is_some() { 0 } else { random.usize(..4) }).map(|_| grant(random)).collect();
        let (is_over, is_revoked) = (random.u8(..50) == 0, random.u8(..50) == 0);
        Self { name, grants, is_over, is_revoked, ticket }
    }
}

/// Whether a name is what a pattern says, letter by letter, going back where a star took too much. A user of `""` is
/// whoever it is.
fn same(pattern: &str, name: &str, user: Option<&str>) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    if let Some(rest) = pattern.strip_prefix("**") {
        let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        return ends.any(|at| same(rest, &name[at..], user));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        let end = name.find(':').unwrap_or(name.len());
        return (0..=end).filter(|at| name.is_char_boundary(*at)).any(|at| same(rest, &name[at..], user));
    }
    if let Some(rest) = pattern.strip_prefix("{user}") {
        let segment = name.split(':').next().unwrap_or_default();
        let is_theirs = user.is_some_and(|user| segment == user || user.is_empty() && !segment.is_empty());
        return is_theirs && same(rest, &name[segment.len()..], user);
    }
    let (letter, rest) = match pattern.strip_prefix('\\') {
        Some(rest) => (rest.chars().next().unwrap(), &rest[1..]),
        None => (first, &pattern[first.len_utf8()..]),
    };
    name.strip_prefix(letter).is_some_and(|name| same(rest, name, user))
}

#[test]
fn a_million_answers_of_the_gate_are_those_of_the_reference() {
    let seed = std::option_env!("EFIR_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(5);
    let mut random = Rng::with_seed(seed);
    let mut world = World::new(&mut random);
    let (gate, mut counts) = (world.gate(), HashMap::<&str, usize>::new());
    let callers: Vec<Caller> = world.people.iter().map(|person| world.caller(person)).collect();
    let logs: Vec<ChannelName> = world.channels.iter().map(ChannelName::presence_log).collect();
    let mut wrong = Vec::new();
    for _ in 0..CHECKS {
        let (channel, of_log) = (random.usize(..CHANNELS), random.u8(..10) == 0);
        let action = *pick(&mut random, &Action::ALL);
        let (asking, server);
        let caller = match random.u8(..10) {
            0 => {
                asking = Asking::Nobody;
                &Caller::Anonymous
            }
            1 => {
                let (may, pattern) = (actions(&mut random), random.usize(..world.patterns.len()));
                asking = Asking::Server(may, pattern);
                let channels = vec![Pattern::parse(&world.patterns[pattern]).unwrap()];
                let (name, mark) = ("s".into(), KeyMark::default());
                server = Caller::Server(Arc::new(ServerKey { name, may, channels, is_admin: false, mark }));
                &server
            }
            _ => {
                let person = random.usize(..USERS);
                asking = Asking::Person(person);
                &callers[person]
            }
        };
        let name = if of_log { &logs[channel] } else { &world.channels[channel] };
        let said = gate
            .judge(caller, action, name, NOW)
            .map(|_| ())
            .map_err(|Refusal { reason, .. }| reason.as_str());
        let expected = world.answer(asking, action, channel, of_log);
        *counts.entry(said.err().unwrap_or("allowed")).or_default() += 1;
        if said != expected {
            wrong.push(format!(
                "{:?} {action} {channel}: {said:?} instead of {expected:?}",
                caller.user_name()
            ));
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    println!(
        "access: {CHECKS} checks, {CHANNELS} channels × {USERS} users, seed {seed}, {} wrong",
        wrong.len()
    );
    println!("access: {counts:?}");
    assert!(wrong.is_empty(), "seed {seed}: {}", wrong[..wrong.len().min(5)].join("\n"));
    assert!(counts.len() == 11 && counts.iter().all(|(_, count)| *count >= 1_000), "each answer occurs");
}
