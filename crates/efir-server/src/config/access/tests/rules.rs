//! `[[rules]]`: who may do what, and what channels keep.

use super::*;

#[test]
fn rules_say_who_may_do_what() {
    let resolved = resolve(
        "[[rules]]\nchannels = ['chat:*', 'news']\nsubscribe = 'authenticated'\npublish = 'grant'\nfrom = 'none'\n\
         message_bytes_max = '4KiB'\nretention_messages = 100\nretention_bytes = '1MiB'\nretention_age = '10m'\n[[rules]]\nchannels = '**'\nsubscribe = 'anyone'\nhistory = 'nobody'\npresence = 'off'\n",
    )
    .unwrap();
    let rules = resolved.access.rules.unwrap();
    let chat = rules.find("chat:1", None).unwrap();
    let audiences = |rule: &efir_access::Rule| Action::ALL.map(|action| rule.audience(action));
    assert_eq!(
        Action::ALL.map(|action| (action, chat.audience(action))),
        [
            (Action::Subscribe, Audience::Authenticated),
            (Action::Publish, Audience::Grant),
            (Action::History, Audience::Authenticated),
            (Action::Presence, Audience::Authenticated),
        ]
    );
    assert_eq!((chat.options.from, chat.options.message_bytes_max), (FromPolicy::None, Some(4096)));
    let kept = |rule: &efir_access::Rule| {
        let options = &rule.options;
        (options.retention_messages_max, options.retention_bytes_max, options.retention_ms_max)
    };
    assert_eq!(kept(chat), (Some(100), Some(1 << 20), Some(600_000)));
    let rest = rules.find("other", None).unwrap();
    assert_eq!(kept(rest), (None, None, None));
    assert_eq!(audiences(rest), [Audience::Anyone, Audience::Nobody, Audience::Nobody, Audience::Nobody]);
    assert!(chat.options.has_presence && !rest.options.has_presence);
}

#[test]
fn what_rules_cannot_be_is_refused() {
    let rule = |line: &str| format!("[[rules]]\nchannels = 'a'\n{line}");
    for (file, words) in [
        ("rules = 5".to_owned(), "1: 'rules' is something else; expected tables, each begun by [[rules]]"),
        (
            "[rules]\nchannels = 'a'".into(),
            "1: 'rules' is something else; expected tables, each begun by [[rules]]",
        ),
        (
            "[[rules]]\n".into(),
            "1: 'rules.channels' is 0 patterns; expected 1 to 100 patterns such as \"chat:*\"",
        ),
        ("[[rules]]\nchannels = 5".into(), "2: 'rules.channels' is 5; expected a text, or a list of texts"),
        (
            "[[rules]]\nchannels = 'a***'".into(),
            "2: 'rules.channels': \"a***\": '*' is any run of characters but ':'",
        ),
        (
            rule("\nsubscribe = 'everyone'"),
            "4: 'rules.subscribe' is \"everyone\"; expected \"anyone\", \"authenticated\", \"grant\" or \"nobody\"",
        ),
        (
            rule("presence = 'on'"),
            "3: 'rules.presence' is \"on\"; expected \"anyone\", \"authenticated\", \"grant\" or \"nobody\", or \"off\"",
        ),
        (rule("publish = true"), "3: 'rules.publish' is true; expected a text"),
        (rule("from = 'token'"), "3: 'rules.from' is \"token\"; expected \"user\" or \"none\""),
        (rule("subscibe = 'anyone'"), "3: there is no key 'rules.subscibe'; did you mean 'rules.subscribe'?"),
        (
            rule("readers = 'anyone'"),
            "3: there is no key 'rules.readers'; `efir config keys` lists all of them",
        ),
        (
            rule("message_bytes_max = '4 apples'"),
            "3: 'rules.message_bytes_max' is \"4 apples\"; expected a size such as 4KiB",
        ),
        (rule("message_bytes_max = 0"), "expected a size such as 4KiB, at most limits.message_bytes_max"),
        (
            rule("message_bytes_max = '1GiB'"),
            "'rules.message_bytes_max': rule 1 asks for 1GiB, more than the node, which has 64KiB (limits.message_bytes_max); write at \
             most 64KiB there, or raise limits.message_bytes_max",
        ),
        (
            format!("open = true\n{}", rule("")),
            "1: 'open': it is true, and there are [[rules]]; one of the two",
        ),
        ("token_leeway = '2m'".into(), "1: 'token_leeway' is 120000 ms; expected at most \"1m\""),
    ] {
        let text = refusal(&file);
        assert!(text.contains(words), "{file}: {text}");
    }
    let many = "[[rules]]\nchannels = 'a'\n".repeat(1_001);
    assert!(
        refusal(&many).contains("2002: 'rules.channels': there are 1001 rules; at most 1000 are allowed")
    );
}

#[test]
fn a_rule_keeps_something_and_not_more_than_the_node() {
    let rule = |line: &str| format!("[[rules]]\nchannels = 'a'\n{line}");
    for (file, words) in [
        (
            rule("retention_age = 5"),
            "3: 'rules.retention_age' is \"5\"; expected a time such as \"10m\", at most retention.age",
        ),
        (
            rule("retention_messages = 0"),
            "3: 'rules.retention_messages' is \"0\"; expected a whole number, at least 1 and at most retention.messages",
        ),
        (
            rule("retention_messages = '4KiB'"),
            "expected a whole number, at least 1 and at most retention.messages",
        ),
        (
            rule("retention_bytes = '0'"),
            "3: 'rules.retention_bytes' is \"0\"; expected a size such as 1MiB, at most retention.bytes",
        ),
        (
            format!(
                "[retention]\nage = '1h'\n{}retention_age = '2h'",
                rule("retention_age = '1h'\n[[rules]]\nchannels = 'b'\n")
            ),
            "'rules.retention_age': rule 2 asks for 2h, more than the node, which has 1h (retention.age); write at most 1h there, or \
             raise retention.age",
        ),
        (
            format!("[retention]\nmessages = 10\n{}", rule("retention_messages = 11")),
            "'rules.retention_messages': rule 1 asks for 11, more than the node, which has 10 (retention.messages); write at most 10",
        ),
        (
            rule("retention_bytes = '1GiB'"),
            "'rules.retention_bytes': rule 1 asks for 1GiB, more than the node, which has 8MiB (retention.bytes)",
        ),
    ] {
        let text = refusal(&file);
        assert!(text.contains(words), "{file}: {text}");
    }
}

#[test]
fn a_rule_judges_as_it_says() {
    let access = resolve("[[rules]]\nchannels = 'news'\nsubscribe = 'anyone'").unwrap().access;
    let gate = Gate::new(GateParts { rules: Arc::new(access.rules.unwrap()), ..GateParts::default() });
    let judge = |action, name: &str| {
        gate.judge(&efir_access::Caller::Anonymous, action, &ChannelName::parse(name).unwrap(), 0).is_ok()
    };
    assert!(judge(Action::Subscribe, "news") && judge(Action::History, "news"));
    assert!(!judge(Action::Publish, "news") && !judge(Action::Subscribe, "other"));
}
