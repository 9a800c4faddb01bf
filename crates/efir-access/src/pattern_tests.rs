//! Patterns against a reading of them that is written differently: it goes back and tries again.

use proptest::prelude::*;

use super::*;

fn has(pattern: &str, name: &str) -> bool {
    Pattern::parse(pattern).unwrap().matches(name, None)
}

#[test]
fn stars_stop_where_they_should() {
    for (pattern, inside, outside) in [
        ("chat", vec!["chat"], vec!["", "cha", "chats", "chat:"]),
        ("chat:*", vec!["chat:", "chat:1", "chat:общий"], vec!["chat", "chat:1:2", "achat:1"]),
        ("chat:**", vec!["chat:", "chat:1:2"], vec!["chat", "cha"]),
        ("*", vec!["a", "a b"], vec!["a:b"]),
        ("**", vec!["a", "a:b:c"], vec![]),
        ("*:x:*", vec![":x:", "a:x:b"], vec!["a:b:x:c", "a:x:b:c"]),
        ("**:x:**", vec!["a:b:x:c", ":x:x:"], vec!["ax:b", "x:b"]),
        ("a*a*b", vec!["aab", "aaaaab", "axxaxb"], vec!["ab", "aa:b", "a:ab"]),
        ("**ab", vec!["ab", "aab", "abab", "a:ab"], vec!["aba", "b"]),
        ("\\*", vec!["*"], vec!["a", "**", "\\*"]),
        ("a\\{b\\}\\\\", vec!["a{b}\\"], vec!["a{b}"]),
    ] {
        assert!(inside.iter().all(|name| has(pattern, name)), "{pattern} {inside:?}");
        assert!(!outside.iter().any(|name| has(pattern, name)), "{pattern} {outside:?}");
    }
}

#[test]
fn user_is_this_user_and_a_whole_segment() {
    let inbox = Pattern::parse("inbox:{user}:*").unwrap();
    assert!(inbox.matches("inbox:anna:1", Some("anna")) && inbox.matches_any_user("inbox:anna:1"));
    assert!(!inbox.matches("inbox:anna:1", Some("bob")) && !inbox.matches("inbox:anna:1", None));
    assert!(!inbox.matches("inbox:annabel:1", Some("anna")) && !inbox.matches_any_user("inbox::1"));
    let own = Pattern::parse("{user}").unwrap();
    // A user's name is never read as a pattern, and never reaches into another's channels.
    assert!(
        !own.matches("bob", Some("*"))
            && own.matches("*", Some("*"))
            && own.matches("{user}", Some("{user}"))
    );
    assert!(!own.matches("anna:1", Some("anna:1")) && !own.matches_any_user("anna:1"));
    let behind = Pattern::parse("**:{user}").unwrap();
    assert!(behind.matches("a:b:anna", Some("anna")) && behind.matches_any_user("a:b:anna"));
    assert!(!behind.matches("a:b:anna", Some("b:anna")) && !behind.matches("a:anna", None));
}

#[test]
fn what_is_no_pattern_says_why() {
    use PatternError as E;
    for (pattern, error) in [
        ("", E::Empty),
        ("a***", E::Stars),
        ("a/b", E::Character('/')),
        ("a\nb", E::Character('\n')),
        ("cafe\u{301}", E::NotNfc),
        ("{users}", E::Braces),
        ("a}", E::Braces),
        ("a{user}", E::UserNotAlone),
        ("*{user}", E::UserNotAlone),
        ("{user}*", E::UserNotAlone),
        ("a\\b", E::Escape),
        ("a\\", E::Escape),
        ("*a*a*a*a*a*a*a*a*", E::TooManyStars),
    ] {
        assert_eq!(Pattern::parse(pattern), Err(error), "{pattern}");
    }
    assert_eq!(Pattern::parse(&"a".repeat(256)), Err(E::TooLong { bytes: 256 }));
    assert!(Pattern::parse(&"a".repeat(255)).unwrap().matches(&"a".repeat(255), None));
    assert!(E::Braces.to_string().contains("'{user}'"));
}

/// The same meaning, by going back: each way is tried on its own.
fn naive(pattern: &[char], name: &[char], user: Option<&str>) -> bool {
    let is_star = |at: usize| pattern.get(at) == Some(&'*');
    match pattern {
        [] => name.is_empty(),
        ['*', rest @ ..] if is_star(1) => {
            (0..=name.len()).any(|taken| naive(&rest[1..], &name[taken..], user))
        }
        ['*', rest @ ..] => {
            let free = name.iter().take_while(|character| **character != ':').count();
            (0..=free).any(|taken| naive(rest, &name[taken..], user))
        }
        ['{', 'u', 's', 'e', 'r', '}', rest @ ..] => user.is_some_and(|user| {
            let user: Vec<char> = user.chars().collect();
            !user.contains(&':')
                && name.starts_with(&user)
                && naive(rest, &name[user.len()..], Some(&text(&user)))
        }),
        ['\\', first, rest @ ..] | [first, rest @ ..] => {
            name.first() == Some(first) && naive(rest, &name[1..], user)
        }
    }
}

fn text(characters: &[char]) -> String {
    characters.iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patterns_do_what_the_naive_reading_does(
        pattern in "(a|b|:|ж|\\*|\\*\\*|:\\{user\\}:|\\\\\\*){1,9}",
        name in "[ab:ж*]{0,12}",
        user in proptest::option::of("[ab:*]{1,3}"),
    ) {
        let Ok(parsed) = Pattern::parse(&pattern) else { return Ok(()) };
        let (letters, name_letters): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
        let expected = naive(&letters, &name_letters, user.as_deref());
        prop_assert_eq!(parsed.matches(&name, user.as_deref()), expected);
        // For whatever user: for at least one of those whose name is a segment.
        let someone = name.split(':').filter(|user| !user.is_empty());
        let anybody = someone.chain(["nobody"]).any(|user| naive(&letters, &name_letters, Some(user)));
        if pattern.matches("{user}").count() <= 1 {
            prop_assert_eq!(parsed.matches_any_user(&name), anybody);
        }
    }

    #[test]
    fn exactly_is_exactly(name in "\\PC{1,40}", other in "\\PC{1,40}") {
        let pattern = Pattern::exactly(&name);
        prop_assert!(pattern.matches(&name, Some(&other)));
        prop_assert_eq!(pattern.matches(&other, Some(&name)), name == other);
        if let Ok(read) = Pattern::parse(pattern.as_str()) {
            prop_assert_eq!(read, pattern);
        }
    }
}

#[test]
fn the_worst_pattern_is_walked_in_bounded_steps() {
    let pattern = Pattern::parse("**a*a**a*a**a*a**a*b").unwrap();
    let name = "a".repeat(255);
    assert!((0..200).all(|_| !pattern.matches(&name, None)));
}
