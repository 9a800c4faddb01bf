//! The gate, rule by rule. What 1,000 users may do with 1,000 channels is in `tests/it/checks.rs`.

use std::sync::Arc;

use efir_core::{ChannelName, Code};

use super::*;
use crate::action::Actions;
use crate::caller::{Grant, ServerKey};
use crate::keys::{Algorithm, KeyMark, KeyTerms};
use crate::pattern::Pattern;

const NOW: u64 = 1_000_000;

fn channel(name: &str) -> ChannelName {
    ChannelName::parse_readable(name).unwrap()
}

fn rule(pattern: &str, audience: Audience) -> Rule {
    Rule::new(vec![Pattern::parse(pattern).unwrap()], audience)
}

fn gate(rules: Vec<Rule>) -> Gate {
    Gate::new(GateParts { rules: Arc::new(Rules::new(rules).unwrap()), ..GateParts::default() })
}

fn user(name: &str, grants: &[(&str, Actions)]) -> User {
    let grant = |(pattern, may): &(&str, Actions)| Grant {
        channels: vec![Pattern::parse(pattern).unwrap()],
        may: *may,
    };
    User {
        name: name.into(),
        grants: grants.iter().map(grant).collect(),
        expires_ms: NOW + 1,
        token_id: Some("t".into()),
        key: "k".into(),
        signer: KeyMark::default(),
        ticket: None,
    }
}

fn anna(grants: &[(&str, Actions)]) -> Caller {
    Caller::User(Arc::new(user("anna", grants)))
}

fn judged(gate: &Gate, caller: &Caller, action: Action, name: &str) -> Result<(), RefusalReason> {
    gate.judge(caller, action, &channel(name), NOW).map(|_| ()).map_err(|refusal| refusal.reason)
}

#[test]
fn an_open_gate_lets_everything_pass() {
    let gate = Gate::open();
    assert!(gate.is_open());
    for action in Action::ALL {
        assert_eq!(judged(&gate, &Caller::Anonymous, action, "a"), Ok(()));
    }
    assert_eq!(gate.identify("a.b.c", NOW).unwrap_err().reason, TokenReason::UnknownKey);
    assert!(gate.identify_server(&"k".repeat(40)).is_none());
}

#[test]
fn each_audience_lets_in_its_own() {
    use RefusalReason as R;
    let granted = anna(&[("*", Actions::NONE.with(Action::Publish))]);
    let row = |audience, publish: [Result<(), R>; 3]| {
        let gate = gate(vec![rule("**", audience)]);
        let callers = [Caller::Anonymous, anna(&[]), granted.clone()];
        assert_eq!(callers.map(|caller| judged(&gate, &caller, Action::Publish, "a")), publish);
    };
    row(Audience::Anyone, [Ok(()), Ok(()), Ok(())]);
    row(Audience::Authenticated, [Err(R::NoToken), Ok(()), Ok(())]);
    row(Audience::Grant, [Err(R::NoToken), Err(R::NotGranted), Ok(())]);
    row(Audience::Nobody, [Err(R::Nobody), Err(R::Nobody), Err(R::Nobody)]);
    let gate = gate(vec![rule("**", Audience::Grant)]);
    assert_eq!(judged(&gate, &granted, Action::Subscribe, "a"), Err(R::NotGranted));
}

#[test]
fn the_first_rule_decides_and_without_one_nobody_may() {
    let gate = gate(vec![
        rule("inbox:{user}", Audience::Authenticated),
        rule("inbox:*", Audience::Grant),
        rule("chat:*", Audience::Anyone),
        rule("chat:**", Audience::Nobody),
    ]);
    let all = anna(&[("**", Actions::ALL)]);
    assert_eq!(judged(&gate, &anna(&[]), Action::Subscribe, "inbox:anna"), Ok(()));
    assert_eq!(judged(&gate, &anna(&[]), Action::Subscribe, "inbox:bob"), Err(RefusalReason::NotGranted));
    assert_eq!(judged(&gate, &all, Action::Subscribe, "inbox:bob"), Ok(()));
    assert_eq!(judged(&gate, &Caller::Anonymous, Action::Publish, "chat:1"), Ok(()));
    assert_eq!(judged(&gate, &all, Action::Publish, "chat:1:2"), Err(RefusalReason::Nobody));
    assert_eq!(judged(&gate, &all, Action::Publish, "other"), Err(RefusalReason::NoRule));
}

#[test]
fn the_log_of_members_is_presence_of_its_channel() {
    use RefusalReason as R;
    let mut presence = rule("chat", Audience::Nobody);
    presence.presence = Audience::Anyone;
    let mut silent = rule("silent", Audience::Anyone);
    silent.options.has_presence = false;
    let gate = gate(vec![presence, silent]);
    let anyone = Caller::Anonymous;
    for action in [Action::Subscribe, Action::History, Action::Presence] {
        assert_eq!(judged(&gate, &anyone, action, "chat/presence"), Ok(()));
        assert_eq!(judged(&gate, &anyone, action, "silent/presence"), Err(R::NoPresence));
    }
    assert_eq!(judged(&gate, &anyone, Action::Publish, "chat/presence"), Err(R::PresenceLog));
    assert_eq!(judged(&gate, &anyone, Action::Subscribe, "chat"), Err(R::Nobody));
    assert_eq!(judged(&gate, &anyone, Action::Presence, "silent"), Err(R::NoPresence));
    assert_eq!(judged(&gate, &anyone, Action::Subscribe, "silent"), Ok(()));
}

#[test]
fn time_and_revocation_end_everything_even_what_anyone_may() {
    let gate = gate(vec![rule("**", Audience::Anyone)]);
    let caller = anna(&[]);
    let at = |now_ms| gate.judge(&caller, Action::Subscribe, &channel("a"), now_ms).map(|_| ());
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW + 1).unwrap_err().code(), Code::TokenExpired);
    assert_eq!(gate.check_caller(&caller, NOW + 1), Err(RefusalReason::Expired));
    gate.parts().unwrap().revocations.revoke_token("t", NOW + 10, NOW).unwrap();
    assert_eq!(at(NOW).unwrap_err().reason, RefusalReason::Revoked);
    assert_eq!(gate.check_caller(&caller, NOW), Err(RefusalReason::Revoked));
    assert_eq!(gate.check_caller(&Caller::Anonymous, u64::MAX), Ok(()));
}

#[test]
fn whoever_came_by_a_key_stays_while_it_is_in_force_as_it_was() {
    const KEY: &str = "a key of a backend of at least 32 bytes";
    const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
    let terms = |name: &str, issuer: Option<&str>| KeyTerms {
        name: name.into(),
        algorithms: vec![Algorithm::Hs256],
        issuer: issuer.map(Into::into),
        ..KeyTerms::default()
    };
    let keys = |terms: &KeyTerms, secret: &[u8]| Arc::new(KeySet::from_secret(terms, secret).unwrap());
    let servers = |key: &str, may: Actions| {
        let (channels, mark) = (vec![Pattern::everything()], KeyMark::default());
        let mut servers = ServerKeys::default();
        servers.add(key, ServerKey { name: "b".into(), may, channels, is_admin: false, mark }).unwrap();
        Arc::new(servers)
    };
    let gate = |token_keys: &Arc<KeySet>, server_keys: &Arc<ServerKeys>| {
        let (token_keys, server_keys) = (token_keys.clone(), server_keys.clone());
        Gate::new(GateParts { token_keys, server_keys, ..GateParts::default() })
    };
    let (own, backend) = (keys(&terms("app", None), SECRET), servers(KEY, Actions::ALL));
    let signing = crate::sign::SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap();
    let claims = crate::sign::Claims { user: "anna".into(), expires_s: 1_000_000, ..Default::default() };
    let first = gate(&own, &backend);
    let anna = first.identify(&signing.token(None, &claims).unwrap(), NOW).unwrap();
    let server = first.identify_bearer(KEY, NOW).unwrap();
    let gone = Err(RefusalReason::KeyGone);
    let same = gate(&keys(&terms("app", None), SECRET), &servers(KEY, Actions::ALL));
    assert_eq!((same.check_caller(&anna, NOW), same.check_caller(&server, NOW)), (Ok(()), Ok(())));
    let others = [
        KeySet::default().into(),
        keys(&terms("app", None), b"another secret of more than 32 bytes"),
        keys(&terms("app", Some("https://a.example")), SECRET),
        keys(&terms("other", None), SECRET),
    ];
    for other in &others {
        assert_eq!(gate(other, &backend).check_caller(&anna, NOW), gone);
    }
    let joined = KeySet::join([KeySet::clone(&others[1]), KeySet::clone(&own)]).unwrap();
    assert_eq!(gate(&joined.into(), &backend).check_caller(&anna, NOW), Ok(()), "beside a new one");
    for other in [
        ServerKeys::default().into(),
        servers("another key of a backend of 32 bytes", Actions::ALL),
        servers(KEY, Actions::READ),
    ] {
        assert_eq!(gate(&own, &other).check_caller(&server, NOW), gone);
    }
    assert_eq!(Gate::open().check_caller(&anna, NOW), Ok(()));
}

#[test]
fn a_signature_that_failed_is_not_checked_again() {
    const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
    let terms = KeyTerms { name: "app".into(), algorithms: vec![Algorithm::Hs256], ..KeyTerms::default() };
    let token_keys = Arc::new(KeySet::from_secret(&terms, SECRET).unwrap());
    let parts = GateParts { token_keys, leeway_ms: 0, ..GateParts::default() };
    let gate = Gate::new(parts.clone());
    let closed = gate.0.as_ref().unwrap();
    let signing = crate::sign::SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap();
    let claims = |expires_s| crate::sign::Claims { user: "anna".into(), expires_s, ..Default::default() };
    let good = signing.token(None, &claims(NOW / 1_000 + 10)).unwrap();
    let over = signing.token(None, &claims(NOW / 1_000 + 1)).unwrap();
    let forged = format!("{}.AAAA", good.rsplit_once('.').unwrap().0);
    let reason =
        |gate: &Gate, token: &str, now_ms| gate.identify(token, now_ms).map_err(|error| error.reason);
    let refused = |reason| Err(reason);
    for (token, is_kept) in [(forged.as_str(), true), ("nonsense", false), ("e30.e30.", false)] {
        for _ in 0..2 {
            assert!(gate.identify(token, NOW).is_err());
            assert_eq!(closed.failed.find(&Shown::of(token)).is_some(), is_kept, "{token}");
        }
    }
    // What is remembered answers, not the signature, which would hold.
    closed.failed.keep(&Shown::of(&good), (TokenError::new(TokenReason::WrongIssuer), NOW));
    assert_eq!(reason(&gate, &good, NOW), refused(TokenReason::WrongIssuer));
    // It dies with the gate, and so with its keys, and is not believed when the clock was set back.
    assert!(Gate::new(parts).identify(&good, NOW).is_ok());
    assert_eq!(reason(&gate, &over, NOW + 5_000), refused(TokenReason::Expired));
    assert!(gate.identify(&over, NOW).is_ok());
}

#[test]
fn a_ticket_reads_its_channels_and_nothing_else() {
    use RefusalReason as R;
    let mut user = user("anna", &[]);
    user.ticket = Some(KeyMark::default());
    for name in ["a", "a/presence", "closed"] {
        user.grants.push(Grant::exactly(&channel(name), Actions::READ));
    }
    let ticket = Caller::User(Arc::new(user));
    let gate = gate(vec![rule("closed", Audience::Nobody), rule("**", Audience::Anyone)]);
    for name in ["a", "a/presence"] {
        assert_eq!(judged(&gate, &ticket, Action::Subscribe, name), Ok(()));
        assert_eq!(judged(&gate, &ticket, Action::History, name), Ok(()));
    }
    assert_eq!(judged(&gate, &ticket, Action::Publish, "a"), Err(R::Ticket));
    assert_eq!(judged(&gate, &ticket, Action::Presence, "a"), Err(R::Ticket));
    assert_eq!(judged(&gate, &ticket, Action::Subscribe, "b"), Err(R::Ticket));
    assert_eq!(judged(&gate, &ticket, Action::Subscribe, "b/presence"), Err(R::Ticket));
    assert_eq!(judged(&gate, &ticket, Action::Subscribe, "closed"), Err(R::Nobody));
}

#[test]
fn a_server_may_what_its_key_says_where_a_rule_is() {
    let may = Actions::NONE.with(Action::Publish);
    let channels = vec![Pattern::parse("inbox:*").unwrap(), Pattern::parse("off").unwrap()];
    let mark = KeyMark::default();
    let server = ServerKey { name: "shop".into(), may, channels, is_admin: false, mark };
    let server = Caller::Server(Arc::new(server));
    let gate = gate(vec![rule("inbox:{user}", Audience::Authenticated), rule("off", Audience::Nobody)]);
    assert_eq!(judged(&gate, &server, Action::Publish, "inbox:anna"), Ok(()));
    assert_eq!(judged(&gate, &server, Action::Publish, "off"), Ok(()));
    assert_eq!(judged(&gate, &server, Action::Subscribe, "off"), Err(RefusalReason::ServerKey));
    assert_eq!(judged(&gate, &server, Action::Publish, "inbox:a:b"), Err(RefusalReason::NoRule));
}

#[test]
fn options_are_of_the_channel_whoever_uses_it() {
    let mut inbox = rule("inbox:{user}", Audience::Authenticated);
    inbox.options.retention_messages_max = Some(5);
    let gate = gate(vec![inbox]);
    assert_eq!(gate.options(&channel("inbox:bob")).retention_messages_max, Some(5));
    assert_eq!(gate.options(&channel("inbox:bob/presence")).retention_messages_max, Some(5));
    assert_eq!(gate.options(&channel("other")), &RuleOptions::DEFAULT);
}

#[test]
fn refusals_say_what_to_do_and_carry_their_code() {
    let gate = gate(vec![rule("**", Audience::Grant)]);
    let refusal = gate.judge(&Caller::Anonymous, Action::Publish, &channel("a"), NOW).unwrap_err();
    let problem = refusal.problem(&channel("a"));
    assert_eq!((problem.code, problem.channel.as_deref()), (Code::Unauthorized, Some("a")));
    assert!(problem.detail.starts_with("publish is refused (no_token): "), "{}", problem.detail);
    let refusal = gate.judge(&anna(&[]), Action::Publish, &channel("a"), NOW).unwrap_err();
    assert_eq!(refusal.code(), Code::Forbidden);
}
