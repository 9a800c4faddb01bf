//! Tokens whose signature holds and whose claims are wrong.

use efir_access::TokenReason as R;
use serde_json::{Value, json};

use crate::corpus::{Case, bad, good};
use crate::forge::{FORGE, ISSUER, NOW_S, claims, claims_of, header, signed, signed_raw, with, without};

pub(crate) fn cases() -> Vec<Case> {
    [
        good_ones(),
        json_shapes(),
        ends(),
        end_numbers(),
        begins(),
        issuers(),
        audiences(),
        users(),
        token_ids(),
        grants(),
        many_grants(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_main(claims: &Value) -> String {
    signed(&FORGE.main, &header("HS256", "main"), claims)
}

fn of_main_raw(claims: &str) -> String {
    signed_raw(&FORGE.main, &header("HS256", "main").to_string(), claims)
}

fn of_rsa(claims: &Value) -> String {
    signed(&FORGE.rsa, &header("RS256", "rsa"), claims)
}

fn good_ones() -> Vec<Case> {
    let main = |name: &str, members: &[(&str, Value)]| good(name, of_main(&with(claims(), members)));
    vec![
        main("exp with a fraction", &[("exp", json!(NOW_S as f64 + 0.5))]),
        main("exp just over, within the leeway", &[("exp", json!(NOW_S - 4))]),
        main("exp in the year 9999", &[("exp", json!(253_402_300_799_u64))]),
        main("nbf now", &[("nbf", json!(NOW_S))]),
        main("nbf within the leeway", &[("nbf", json!(NOW_S + 5))]),
        main("nbf null", &[("nbf", json!(null))]),
        main("an issuer that nobody asked for", &[("iss", json!("whoever"))]),
        main("claims of others", &[("roles", json!(["admin"])), ("efirs", json!(1)), ("iat", json!("soon"))]),
        main("no grants", &[("efir", json!([]))]),
        main("efir null", &[("efir", json!(null))]),
        main("a user of one byte", &[("sub", json!("a"))]),
        main("a user of 128 bytes", &[("sub", json!("ж".repeat(64)))]),
        main("a user like a pattern", &[("sub", json!("*"))]),
        main("jti", &[("jti", json!("a".repeat(256)))]),
        main("100 grants", &[("efir", json!(vec![json!({"channels": ["a"], "may": []}); 100]))]),
        main("a grant of every channel", &[("efir", json!([{"channels": ["**"], "may": ["publish"]}]))]),
        good(
            "exp in exponent form",
            of_main_raw(&format!("{{\"sub\":\"a\",\"exp\":{}.0e1}}", NOW_S / 10 + 60)),
        ),
        good("a deep claim that nobody reads", {
            of_main_raw(&format!(
                "{{\"sub\":\"a\",\"exp\":{},\"x\":{}{}}}",
                NOW_S + 1,
                "[".repeat(2_000),
                "]".repeat(2_000)
            ))
        }),
        good("no efir", of_main(&without(claims(), "efir"))),
        good(
            "aud a list with ours",
            of_rsa(&with(claims_of(ISSUER), &[("aud", json!(["other", "efir-test"]))])),
        ),
        good("aud a list of ours", of_rsa(&with(claims_of(ISSUER), &[("aud", json!(["efir"]))]))),
    ]
}

/// Claims that are no object, or say something twice.
fn json_shapes() -> Vec<Case> {
    let exp = NOW_S + 600;
    [
        String::new(),
        "null".into(),
        "[]".into(),
        "1".into(),
        "\"claims\"".into(),
        "{".into(),
        "not json".into(),
        of_main(&claims()),
        format!("{{\"sub\":\"a\",\"exp\":{exp}}}{{}}"),
        format!("{{\"sub\":\"a\",\"exp\":{exp}}}garbage"),
        format!("{{\"sub\":\"a\",\"exp\":{exp},}}"),
        format!("{{\"sub\":\"a\",\"exp\":1,\"exp\":{exp}}}"),
        format!("{{\"sub\":\"a\",\"exp\":{exp},\"\\u0065xp\":1}}"),
        format!("{{\"sub\":\"a\",\"sub\":\"root\",\"exp\":{exp}}}"),
        format!("{{\"sub\":\"a\",\"exp\":{exp},\"efir\":[],\"efir\":[{{\"channels\":[\"**\"],\"may\":[\"publish\"]}}]}}"),
        format!("{{\"sub\":\"a\",\"exp\":{exp},\"nbf\":{},\"nbf\":0}}", exp * 2),
        format!("{{\"sub\":\"\\ud800\",\"exp\":{exp}}}"),
        format!("\u{feff}{{\"sub\":\"a\",\"exp\":{exp}}}"),
format!("{{\"sub\":\"a\",\"exp\":{exp},\"aud\":{}1{}}}", "[".repeat(1_000), "]".repeat(1_000)),
    ]
    .into_iter()
    .map(|text| {
        let name: String = text.chars().take(60).collect();
        bad(format!("claims {name:?}"), R::Malformed, of_main_raw(&text))
    })
    .chain([{
        let latin1 = [b"{\"sub\":\"\xe9\",\"exp\":".as_slice(), exp.to_string().as_bytes(), b"}"].concat();
        let head = header("HS256", "main").to_string();
        bad("claims that are not UTF-8", R::Malformed, FORGE.main.sign(head.as_bytes(), &latin1).unwrap())
    }])
    .collect()
}

fn ends() -> Vec<Case> {
    let exp = |value: Value| of_main(&with(claims(), &[("exp", value)]));
    let as_text = (NOW_S + 600).to_string();
    let mut cases = vec![
        bad("no exp", R::MissingClaim, of_main(&without(claims(), "exp"))),
        bad("exp null", R::MissingClaim, exp(json!(null))),
        bad("EXP instead of exp", R::MissingClaim, {
            of_main(&with(without(claims(), "exp"), &[("EXP", json!(NOW_S + 600))]))
        }),
    ];
    let strange =
        [json!(as_text), json!(""), json!("never"), json!(true), json!(false), json!([NOW_S + 600])];
    let strange = strange.into_iter().chain([json!({"seconds": NOW_S + 600}), json!([]), json!({})]);
    cases.extend(strange.map(|value| bad(format!("exp {value}"), R::InvalidClaim, exp(value))));
    for value in [0, 1, NOW_S - 6, NOW_S - 5, NOW_S - 86_400] {
        cases.push(bad(format!("exp {value}"), R::Expired, exp(json!(value))));
    }
    cases
}

/// Numbers that are no time: before 1970, after 9999, or beyond numbers.
fn end_numbers() -> Vec<Case> {
    [
        ("-1", R::InvalidClaim),
        ("-0.5", R::InvalidClaim),
        ("-1790000600", R::InvalidClaim),
        ("-9223372036854775808", R::InvalidClaim),
        ("-1e300", R::InvalidClaim),
        ("1790000600000", R::InvalidClaim),
        ("253402300800", R::InvalidClaim),
        ("9007199254740993", R::InvalidClaim),
        ("18446744073709551615", R::InvalidClaim),
        ("18446744073709551616", R::InvalidClaim),
        ("1e300", R::InvalidClaim),
        ("1e-400", R::Expired),
        ("0.0", R::Expired),
        ("-0", R::Expired),
        ("1e400", R::Malformed),
        ("-1e400", R::Malformed),
        ("NaN", R::Malformed),
        ("Infinity", R::Malformed),
        ("-Infinity", R::Malformed),
        ("0x7fffffff", R::Malformed),
        ("01790000600", R::Malformed),
        ("+1790000600", R::Malformed),
        ("1_790_000_600", R::Malformed),
        ("1790000600.", R::Malformed),
        ("", R::Malformed),
    ]
    .into_iter()
    .map(|(number, reason)| {
        bad(format!("exp {number}"), reason, of_main_raw(&format!("{{\"sub\":\"anna\",\"exp\":{number}}}")))
    })
    .collect()
}

fn begins() -> Vec<Case> {
    let nbf = |value: Value| of_main(&with(claims(), &[("nbf", value)]));
    let mut cases: Vec<Case> = [json!(NOW_S + 6), json!(NOW_S + 500), json!(NOW_S as f64 + 5.1)]
        .into_iter()
        .map(|value| bad(format!("nbf {value}"), R::NotYet, nbf(value)))
        .collect();
    let strange = [json!("0"), json!(true), json!([]), json!({}), json!(-1), json!(NOW_S * 1_000)];
    cases.extend(strange.into_iter().map(|value| bad(format!("nbf {value}"), R::InvalidClaim, nbf(value))));
    cases
}

fn issuers() -> Vec<Case> {
    let iss = |value: Value| of_rsa(&with(claims_of(ISSUER), &[("iss", value)]));
    let others = [
        "",
        "https://one.example/",
        "HTTPS://ONE.EXAMPLE",
        "https://two.example",
        "https://one.example.evil.example",
        "https://one.example\0",
        "http://one.example",
        " https://one.example",
    ];
    let mut cases: Vec<Case> =
        others.map(|issuer| bad(format!("iss {issuer:?}"), R::WrongIssuer, iss(json!(issuer)))).into();
    for value in [json!([ISSUER]), json!({"url": ISSUER}), json!(1), json!(true)] {
        cases.push(bad(format!("iss {value}"), R::WrongIssuer, iss(value)));
    }
    cases.push(bad("no iss", R::MissingClaim, of_rsa(&without(claims_of(ISSUER), "iss"))));
    cases.push(bad("iss null", R::MissingClaim, iss(json!(null))));
    cases
}

fn audiences() -> Vec<Case> {
    let aud = |value: Value| of_rsa(&with(claims_of(ISSUER), &[("aud", value)]));
    let mut cases = vec![
        bad("no aud", R::MissingClaim, of_rsa(&without(claims_of(ISSUER), "aud"))),
        bad("aud null", R::MissingClaim, aud(json!(null))),
        bad(
            "aud where none is configured",
            R::WrongAudience,
            of_main(&with(claims(), &[("aud", json!("efir"))])),
        ),
        bad(
            "aud [] where none is configured",
            R::WrongAudience,
            of_main(&with(claims(), &[("aud", json!([]))])),
        ),
    ];
    let others = [
        json!(""),
        json!("EFIR"),
        json!("efir "),
        json!("efir,other"),
        json!("other"),
        json!([]),
        json!(["other"]),
    ];
    let others = others.into_iter().chain([json!(["efir2", "efi"]), json!(["efir efir-test"])]);
    cases.extend(others.map(|value| bad(format!("aud {value}"), R::WrongAudience, aud(value))));
    let strange = [
        json!(1),
        json!(true),
        json!({"efir": true}),
        json!([["efir"]]),
        json!(["efir", 1]),
        json!(["efir", null]),
    ];
    cases.extend(strange.into_iter().map(|value| bad(format!("aud {value}"), R::InvalidClaim, aud(value))));
    cases
}

fn users() -> Vec<Case> {
    let sub = |value: Value| of_main(&with(claims(), &[("sub", value)]));
    let mut cases = vec![
        bad("no sub", R::MissingClaim, of_main(&without(claims(), "sub"))),
        bad("sub null", R::MissingClaim, sub(json!(null))),
    ];
    let long = "a".repeat(129);
    let strange = [
        json!(""),
        json!(long),
        json!("a\nb"),
        json!("a\0"),
        json!("\u{7f}"),
        json!("\u{85}"),
        json!("cafe\u{301}"),
        json!(1),
        json!(true),
        json!(["anna"]),
        json!({"name": "anna"}),
    ];
    cases.extend(strange.into_iter().map(|value| bad(format!("sub {value}"), R::InvalidClaim, sub(value))));
    cases
}

fn token_ids() -> Vec<Case> {
    [json!(""), json!("a".repeat(257)), json!(1), json!(["t"]), json!({})]
        .into_iter()
        .map(|id| bad(format!("jti {id}"), R::InvalidClaim, of_main(&with(claims(), &[("jti", id)]))))
        .collect()
}

fn grants() -> Vec<Case> {
    let grant = |grant: Value| json!([grant]);
    [
        json!("subscribe"),
        json!(1),
        json!(true),
        json!({}),
        json!({"channels": ["**"], "may": ["publish"]}),
        json!([1]),
        json!([null]),
        json!([[["**"], ["publish"], 1]]),
        grant(json!({})),
        grant(json!({"channels": ["a"]})),
        grant(json!({"may": ["publish"]})),
        grant(json!({"channels": "a", "may": ["publish"]})),
        grant(json!({"channels": ["a"], "may": "publish"})),
        grant(json!({"channels": ["a"], "may": ["admin"]})),
        grant(json!({"channels": ["a"], "may": ["Publish"]})),
        grant(json!({"channels": ["a"], "may": ["*"]})),
        grant(json!({"channels": ["a"], "may": [""]})),
        grant(json!({"channels": ["a"], "may": [2]})),
        grant(json!({"channels": [1], "may": ["publish"]})),
        grant(json!({"channels": [""], "may": ["publish"]})),
        grant(json!({"channels": ["a/b"], "may": ["publish"]})),
        grant(json!({"channels": ["a\nb"], "may": ["publish"]})),
        grant(json!({"channels": ["***"], "may": ["publish"]})),
        grant(json!({"channels": ["{usr}"], "may": ["publish"]})),
        grant(json!({"channels": ["a".repeat(256)], "may": ["publish"]})),
        grant(json!({"channels": ["a"], "may": ["publish"], "until": 1})),
        grant(json!({"channels": ["a"], "may": ["publish"], "not": ["a"]})),
    ]
    .into_iter()
    .map(|value| {
        let token = of_main(&with(claims(), &[("efir", value.clone())]));
        bad(
            format!("efir {}", value.to_string().chars().take(80).collect::<String>()),
            R::InvalidGrants,
            token,
        )
    })
    .collect()
}

fn many_grants() -> Vec<Case> {
    let twice = r#"[{"channels":["a"],"channels":["**"],"may":["publish"]}]"#;
    let raw = format!("{{\"sub\":\"anna\",\"exp\":{},\"efir\":{twice}}}", NOW_S + 600);
    let grants = vec![json!({"channels": [], "may": []}); 101];
    let patterns = json!([{"channels": vec!["a"; 1_001], "may": ["publish"]}]);
    vec![
        bad("channels twice in a grant", R::InvalidGrants, of_main_raw(&raw)),
        bad("101 grants", R::InvalidGrants, of_main(&with(claims(), &[("efir", json!(grants))]))),
        bad("1,001 patterns", R::InvalidGrants, of_main(&with(claims(), &[("efir", patterns)]))),
        bad("a bad grant behind a good one", R::InvalidGrants, {
            let grants = json!([{"channels": ["a"], "may": ["publish"]}, {"channels": ["a/b"], "may": []}]);
            of_main(&with(claims(), &[("efir", grants)]))
        }),
    ]
}
