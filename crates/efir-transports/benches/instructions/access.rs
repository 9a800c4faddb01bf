//! What a site pays that is closed to strangers: the judgement on one channel, and finding out whose token it is. An open site has
//! one branch in their place. Deliveries ask nobody; `fan_out.rs` has the row that proves it.

use std::sync::Arc;

use efir_access::{
    Action, Actions, Algorithm, Audience, Caller, Claims, Gate, GateParts, KeySet, KeyTerms, Pattern, Rule,
    Rules, SigningKey,
};
use efir_core::ChannelName;

use crate::meter::{self, Meter};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The clock of these rows, in ms since 1970.
const NOW_MS: u64 = 1_800_000_000_000;
/// Rules before the one that decides, and that one.
const RULES: usize = 10;

/// A gate with ten rules, of which the last has `chat:…` for whoever has a grant, and a key for HS256.
pub(crate) fn gate() -> Gate {
    let mut rules: Vec<Rule> =
        (1..RULES).map(|n| rule(&format!("room-{n}:*"), Audience::Authenticated)).collect();
    rules.push(rule("chat", Audience::Grant));
    let terms = KeyTerms { name: "app".into(), algorithms: vec![Algorithm::Hs256], ..KeyTerms::default() };
    Gate::new(GateParts {
        rules: Arc::new(Rules::new(rules).expect("few")),
        token_keys: Arc::new(KeySet::from_secret(&terms, SECRET).expect("a secret")),
        ..GateParts::default()
    })
}

fn rule(pattern: &str, audience: Audience) -> Rule {
    Rule::new(vec![Pattern::parse(pattern).expect("a pattern")], audience)
}

/// The token of the user with this number.
pub(crate) fn token(number: usize) -> String {
    let key = SigningKey::from_secret(Algorithm::Hs256, SECRET).expect("a secret");
    let claims = Claims {
        user: format!("user-{number:05}"),
        expires_s: NOW_MS / 1_000 * 2,
        grants: vec![(vec!["chat".into()], Actions::READ)],
        ..Claims::default()
    };
    key.token(None, &claims).expect("it signs")
}

pub(crate) fn rows(meter: &mut Meter) {
    let (gate, channel) = (gate(), ChannelName::parse("chat").expect("a name"));
    let user = gate.identify(&token(0), NOW_MS).expect("a good token");
    judge(meter, "judge: anybody, open", &Gate::open(), &Caller::Anonymous, &channel);
    judge(meter, "judge: a user with a grant, the last of 10 rules", &gate, &user, &channel);
    let seen = token(0);
    meter
        .count_pure("identify: a token that was seen before, HS256", || gate.identify(&seen, NOW_MS).is_ok());
    let mut number = 0;
    meter.count(
        ("identify: a token that was never seen, HS256", 1),
        &mut number,
        |number| {
            *number += 1;
            token(*number)
        },
        |_, token| assert!(gate.identify(&token, NOW_MS).is_ok(), "a good token"),
    );
    assert!(number >= meter::CALLS, "each call saw a token of its own");
}

fn judge(meter: &mut Meter, row: &str, gate: &Gate, caller: &Caller, channel: &ChannelName) {
    assert!(gate.judge(caller, Action::Subscribe, channel, NOW_MS).is_ok(), "{row}");
    meter.count_pure(row, || gate.judge(caller, Action::Subscribe, channel, NOW_MS).is_ok());
}
