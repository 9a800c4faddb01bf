//! Payloads: what is accepted, what is refused and where, and that it comes out byte for byte.

use bytes::Bytes;
use efir_core::{Code, Payload, PayloadError};
use proptest::prelude::*;
use serde_json::Value;

fn json(text: &[u8]) -> Result<Payload, PayloadError> {
    Payload::json(Bytes::copy_from_slice(text))
}

#[test]
fn json_is_kept_byte_for_byte() {
    for text in [
        "null",
        " true ",
        "-0.0e+10",
        "[]",
        "{}",
        "\"\"",
        "[ 1 ,\t2 ]",
        "18446744073709551616",
        "1e999",
        "1.10",
        r#"{"a":{"a":[{"a":1}]},"b":"\u0000 \ud83d\udc4b \/","":0}"#,
        "\"Привет, 世界 👋\"",
        "\"\u{7f}\u{2028}\"",
    ] {
        assert_eq!(json(text.as_bytes()), Ok(Payload::Json(Bytes::from_static(text.as_bytes()))), "{text}");
    }
}

#[test]
fn line_ends_between_tokens_become_spaces() {
    let payload = json(b"\r\n{\"a\":\r1,\n\"b\\n\":[\n]}\n").unwrap();
    assert_eq!(payload, Payload::Json(Bytes::from_static(b"  {\"a\": 1, \"b\\n\":[ ]} ")));
}

#[test]
fn what_is_wrong_and_where() {
    use PayloadError as E;
    let end = |at, expected| E::End { at, expected };
    let syntax = |at, expected| E::Syntax { at, expected };
    for (text, error) in [
        ("", end(0, "a value")),
        (" \n", end(2, "a value")),
        ("{", end(1, "a key or '}'")),
        ("[1", end(2, "',' or a closing bracket")),
        ("\"a", end(2, "'\"'")),
        ("\"\\u12", end(5, "a hexadecimal digit")),
        ("1 2", syntax(2, "the end")),
        ("[1,]", syntax(3, "a value")),
        ("[,1]", syntax(1, "a value or ']'")),
        ("{\"a\":1,}", syntax(7, "a key")),
        ("{a:1}", syntax(1, "a key or '}'")),
        ("{\"a\" 1}", syntax(5, "':'")),
        ("[1}", syntax(2, "',' or a closing bracket")),
        ("{\"a\":1]", syntax(6, "',' or a closing bracket")),
        ("]", syntax(0, "a value")),
        ("01", syntax(1, "the end")),
        ("+1", syntax(0, "a value")),
        ("1.", end(2, "a digit")),
        (".1", syntax(0, "a value")),
        ("1e", end(2, "a digit")),
        ("-", end(1, "a digit")),
        ("nul", syntax(0, "'null'")),
        ("True", syntax(0, "a value")),
        ("NaN", syntax(0, "a value")),
        ("'a'", syntax(0, "a value")),
        ("\u{feff}1", syntax(0, "a value")),
        ("\"\t\"", syntax(1, "an escape instead of a control character")),
        ("\"\n\"", syntax(1, "an escape instead of a control character")),
        ("\"\\x\"", syntax(2, "one of \" \\ / b f n r t u")),
        (r#""\ud800""#, E::Surrogate { at: 1 }),
        (r#""a\udc00""#, E::Surrogate { at: 2 }),
        (r#""\ud800\ud800""#, E::Surrogate { at: 1 }),
        (r#""\ud800A""#, E::Surrogate { at: 1 }),
        (r#"{"\udfff":1}"#, E::Surrogate { at: 2 }),
    ] {
        assert_eq!(json(text.as_bytes()), Err(error), "{text}");
        assert_eq!(error.code(), Code::InvalidJson);
    }
    assert_eq!(json(b"\"\xff\""), Err(E::NotUtf8 { at: 1 }));
    assert_eq!(E::NotUtf8 { at: 1 }.code(), Code::InvalidUtf8);
    assert_eq!(Payload::text(Bytes::from_static(b"ab\xc3")), Err(E::NotUtf8 { at: 2 }));
}

#[test]
fn a_key_twice_is_the_readers_affair() {
    // RFC 8259 §4 says "should be unique"; what is legal passes through.
    assert!(json(br#"{"a":1,"a":2}"#).is_ok());
}

#[test]
fn depth_is_bounded_and_deep_nesting_overflows_nothing() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    assert!(json(nested("[", "]", 128).as_bytes()).is_ok());
    assert!(json(nested("{\"a\":", "}", 128).as_bytes()).is_ok());
    assert_eq!(json(nested("[", "]", 129).as_bytes()), Err(PayloadError::Depth { at: 128 }));
    assert_eq!(json(nested("{\"a\":", "}", 129).as_bytes()), Err(PayloadError::Depth { at: 640 }));
    assert_eq!(json("[".repeat(1 << 20).as_bytes()), Err(PayloadError::Depth { at: 128 }));
    assert!(json("[]".repeat(10).as_bytes()).is_err());
    let wide = format!("[{}]", vec!["[{}]"; 100_000].join(","));
    assert!(json(wide.as_bytes()).is_ok(), "closing brackets give their depth back");
}

#[test]
fn digests_tell_kind_and_content_apart() {
    let digests: std::collections::BTreeSet<_> = [
        Payload::json(Bytes::from_static(b"1")).unwrap(),
        Payload::text(Bytes::from_static(b"1")).unwrap(),
        Payload::bytes(Bytes::from_static(b"1")),
        Payload::bytes(Bytes::from_static(b"")),
        Payload::bytes(Bytes::from_static(b"\0")),
    ]
    .iter()
    .map(Payload::digest)
    .collect();
    assert_eq!(digests.len(), 5);
    let again = Payload::bytes(Bytes::from(vec![b'1']));
    assert_eq!(again.digest(), Payload::bytes(Bytes::from_static(b"1")).digest());
}

/// What another parser makes of it; a number beyond its range is its own affair.
fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok()
}

fn check_against_serde(text: &[u8]) -> Result<(), TestCaseError> {
    match json(text) {
        Ok(_) => {
            let out_of_range =
                serde_json::from_slice::<Value>(text).is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert!(is_json(text) || out_of_range, "accepted {:?}", String::from_utf8_lossy(text));
        }
        Err(PayloadError::Depth { .. }) => {}
        Err(error) => prop_assert!(!is_json(text), "refused {:?}: {}", String::from_utf8_lossy(text), error),
    }
    Ok(())
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_judged_as_another_parser_judges_them(bytes: Vec<u8>) {
        check_against_serde(&bytes)?;
    }

    #[test]
    fn soup_of_tokens_is_judged_as_another_parser_judges_it(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\"", "\\", "\\u", "\\ud83d", "\\udc4b", "\\n", "0", "1", "-", ".",
            "e", "E5", "+", "true", "null", " ", "\n", "\r", "\t", "ж", "\u{0}", "00e9",
        ]), 0..12),
    ) {
        check_against_serde(tokens.concat().as_bytes())?;
    }

    #[test]
    fn whatever_is_json_is_accepted(tree in tree(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        let Ok(Payload::Json(kept)) = json(text.as_bytes()) else { return Err(TestCaseError::fail(text)) };
        prop_assert!(!kept.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
        prop_assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn one_byte_changed_is_judged_as_another_parser_judges_it(tree in tree(), at: prop::sample::Index, byte: u8) {
        let mut text = serde_json::to_vec(&tree).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        check_against_serde(&text)?;
    }
}
