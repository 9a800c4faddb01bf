//! Tickets, real and forged.

use super::*;

const NOW: u64 = 1_700_000_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const ORIGIN: Option<&str> = Some("https://shop.example");

fn tickets() -> Tickets {
    Tickets::new(&[SECRET]).unwrap()
}

fn anna() -> User {
    User {
        name: "anna".into(),
        grants: Vec::new(),
        expires_ms: NOW + 3_600_000,
        token_id: Some("t1".into()),
        key: "main".into(),
        signer: KeyMark::of([Some(b"main".as_slice())]),
        ticket: None,
    }
}

fn channels(names: &[&str]) -> Vec<(ChannelName, Actions)> {
    names.iter().map(|name| (ChannelName::parse_readable(name).unwrap(), Actions::ALL)).collect()
}

fn reason(text: &str, origin: Option<&str>, now_ms: u64) -> TicketReason {
    tickets().identify(text, origin, now_ms).unwrap_err().reason
}

#[test]
fn a_ticket_reads_its_channels_until_it_is_over() {
    let ticket =
        tickets().issue(&anna(), &channels(&["chat", "общий", "chat/presence"]), ORIGIN, NOW).unwrap();
    assert_eq!(ticket.expires_ms, NOW + TICKET_MS_MAX);
    assert!(ticket.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
    for now_ms in [NOW, NOW + 1_000, NOW + TICKET_MS_MAX - 1] {
        let caller = tickets().identify(&ticket.text, ORIGIN, now_ms).unwrap();
        let user = caller.user().unwrap();
        assert_eq!((&*user.name, user.token_id.as_deref(), user.is_ticket()), ("anna", Some("t1"), true));
        assert!(user.is_granted(Action::Subscribe, "общий") && user.is_granted(Action::History, "chat"));
        assert!(!user.is_granted(Action::Publish, "chat") && !user.is_granted(Action::Presence, "chat"));
        assert!(
            !user.is_granted(Action::Subscribe, "other")
                && user.is_granted(Action::Subscribe, "chat/presence")
        );
    }
    assert_eq!(reason(&ticket.text, ORIGIN, NOW + TICKET_MS_MAX), TicketReason::Expired);
}

#[test]
fn a_ticket_ends_with_its_token_and_allows_what_was_allowed() {
    let user = User { expires_ms: NOW + 5_000, ..anna() };
    let only_live = vec![(ChannelName::parse("a").unwrap(), Actions::NONE.with(Action::Subscribe))];
    let ticket = tickets().issue(&user, &only_live, None, NOW).unwrap();
    assert_eq!(ticket.expires_ms, NOW + 5_000);
    let caller = tickets().identify(&ticket.text, None, NOW).unwrap();
    assert!(!caller.user().unwrap().is_granted(Action::History, "a"));
}

#[test]
fn a_ticket_is_for_one_origin() {
    let ticket = tickets().issue(&anna(), &channels(&["a"]), ORIGIN, NOW).unwrap();
    for other in [
        None,
        Some(""),
        Some("null"),
        Some("http://shop.example"),
        Some("https://shop.example:444"),
        Some("https://shop.example.evil.example"),
        Some("https://Shop.example"),
    ] {
        assert_eq!(reason(&ticket.text, other, NOW), TicketReason::WrongOrigin, "{other:?}");
    }
    let of_none = tickets().issue(&anna(), &channels(&["a"]), None, NOW).unwrap();
    assert_eq!(reason(&of_none.text, ORIGIN, NOW), TicketReason::WrongOrigin);
}

#[test]
fn whatever_is_changed_in_a_ticket_it_is_refused() {
    let ticket = tickets().issue(&anna(), &channels(&["a"]), ORIGIN, NOW).unwrap();
    let mut refused = 0;
    for at in 0..ticket.text.len() {
        for other in [b'A', b'_', b'.', b'=', b'%'] {
            let mut forged = ticket.text.clone().into_bytes();
            if forged[at] == other {
                continue;
            }
            forged[at] = other;
            let forged = String::from_utf8(forged).unwrap();
            assert!(tickets().identify(&forged, ORIGIN, NOW).is_err(), "{at} {other}");
            refused += 1;
        }
    }
    for cut in 0..ticket.text.len() {
        assert!(tickets().identify(&ticket.text[..cut], ORIGIN, NOW).is_err(), "{cut}");
        refused += 1;
    }
    println!("tickets: {refused} forged, 0 accepted");
    let (json, tag) = ticket.text.split_once('.').unwrap();
    let other = tickets().issue(&anna(), &channels(&["b"]), ORIGIN, NOW).unwrap();
    let spliced = format!("{json}.{}", other.text.split_once('.').unwrap().1);
    for forged in [
        spliced,
        format!("{json}."),
        format!(".{tag}"),
        format!("{json}.{tag}."),
        format!("{json}.{tag}="),
        format!("{json} .{tag}"),
        "x".repeat(TICKET_BYTES_MAX + 1),
        String::new(),
    ] {
        assert!(tickets().identify(&forged, ORIGIN, NOW).is_err(), "{forged}");
    }
}

#[test]
fn a_token_signed_with_the_same_secret_is_no_ticket() {
    use crate::keys::Algorithm;
    use crate::sign::SigningKey;
    let key = SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap();
    let said = br#"{"u":"anna","k":"main","e":9999999999999,"o":null,"j":null,"c":[["a",true,true]]}"#;
    let token = key.sign(said, said).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(reason(&token, None, NOW), TicketReason::Malformed);
    assert_eq!(reason(&format!("{}.{}", parts[0], parts[2]), None, NOW), TicketReason::BadSignature);
}

#[test]
fn the_secret_may_change_without_cutting_anybody_off() {
    let new: &[u8] = b"another secret of more than 32 bytes";
    let ticket = tickets().issue(&anna(), &channels(&["a"]), None, NOW).unwrap();
    let both = Tickets::new(&[new, SECRET]).unwrap();
    assert!(both.identify(&ticket.text, None, NOW).is_ok());
    let fresh = both.issue(&anna(), &channels(&["a"]), None, NOW).unwrap();
    let user = |ticket: &Ticket| both.identify(&ticket.text, None, NOW).unwrap().user().unwrap().clone();
    assert!(both.accept(&user(&ticket)) && tickets().accept(&user(&ticket)));
    assert!(both.accept(&user(&fresh)) && !tickets().accept(&user(&fresh)) && tickets().accept(&anna()));
    assert_eq!(reason(&fresh.text, None, NOW), TicketReason::BadSignature);
    assert!(Tickets::new(&[]).is_err() && Tickets::new(&[b"short"]).is_err());
    assert_eq!(format!("{both:?}"), "Tickets(2 secrets)");
}

#[test]
fn what_makes_no_ticket_says_why() {
    let issue = |user: &User, channels: &[(ChannelName, Actions)]| tickets().issue(user, channels, None, NOW);
    let with_ticket = User { ticket: Some(KeyMark::default()), ..anna() };
    assert_eq!(issue(&with_ticket, &channels(&["a"])), Err(IssueError::FromTicket));
    let over = User { expires_ms: NOW, ..anna() };
    assert_eq!(issue(&over, &channels(&["a"])), Err(IssueError::Expired));
    assert_eq!(issue(&anna(), &[]), Err(IssueError::Channels));
    assert_eq!(issue(&anna(), &vec![channels(&["a"])[0].clone(); 101]), Err(IssueError::Channels));
    let closed = (ChannelName::parse("a").unwrap(), Actions::NONE.with(Action::Publish));
    assert_eq!(issue(&anna(), &[closed]), Err(IssueError::NothingToRead));
    let long: Vec<_> = (10..50).map(|n| format!("{n}{}", "x".repeat(200))).collect();
    let long: Vec<_> = long.iter().map(String::as_str).collect();
    assert_eq!(issue(&anna(), &channels(&long)), Err(IssueError::TooLong));
}
