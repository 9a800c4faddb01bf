//! Tokens whose signature is of another key, by another algorithm, or nearly right.

use efir_access::{Algorithm, SigningKey, TokenReason as R};
use serde_json::json;

use crate::corpus::{Case, bad};
use crate::forge::{FORGE, ISSUER, NOW_S, SECRET, base64url, claims, claims_of, header, signed, with};

pub(crate) fn cases() -> Vec<Case> {
    [confusion(), signatures(), strangers()].into_iter().flatten().collect()
}

/// A public key as the secret of an HMAC, and one algorithm for another.
fn confusion() -> Vec<Case> {
    let f = &*FORGE;
    let mut cases = Vec::new();
    for (id, public, claims) in [("rsa", &f.rsa_public, claims_of(ISSUER)), ("es", &f.es_public, claims())] {
        let body: String = public.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64_standard(&body);
        let secrets: [(&str, Vec<u8>); 5] = [
            ("PEM", public.clone().into_bytes()),
            ("PEM without its last line break", public.trim_end().as_bytes().to_vec()),
            ("PEM with CRLF", public.replace('\n', "\r\n").into_bytes()),
            ("base64 of the DER", body.clone().into_bytes()),
            ("DER", der),
        ];
        for (what, secret) in secrets {
            for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
                let key = SigningKey::from_secret(algorithm, &secret).unwrap();
                let token = signed(&key, &header(algorithm.as_str(), id), &claims);
                cases.push(bad(
                    format!("{algorithm} with the {what} of {id} as its secret"),
                    R::WrongAlgorithm,
                    token,
                ));
            }
        }
    }
    let ps = signed(&f.rsa_as_ps, &header("PS256", "rsa"), &claims_of(ISSUER));
    cases.push(bad("PS256 by the key of RS256", R::WrongAlgorithm, ps));
    let ps = signed(&f.rsa_as_ps, &header("RS256", "rsa"), &claims_of(ISSUER));
    cases.push(bad("a PS256 signature said to be RS256", R::BadSignature, ps));
    for (algorithm, id) in
        [("HS384", "main"), ("HS512", "main"), ("RS256", "main"), ("ES256", "rsa"), ("RS256", "ed")]
    {
        let token = signed(&f.main, &header(algorithm, id), &claims());
        cases.push(bad(format!("{algorithm} of key {id}"), R::WrongAlgorithm, token));
    }
    let hs512 = SigningKey::from_secret(Algorithm::Hs512, SECRET).unwrap();
    let token = signed(&hs512, &header("HS256", "main"), &claims());
    cases.push(bad("an HS512 signature said to be HS256", R::BadSignature, token));
    cases
}

fn base64_standard(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Signatures that are nearly right.
fn signatures() -> Vec<Case> {
    let f = &*FORGE;
    let mut cases = Vec::new();
    for (key, head, said) in [
        (&f.main, header("HS256", "main"), claims()),
        (&f.rsa, header("RS256", "rsa"), claims_of(ISSUER)),
        (&f.es, header("ES256", "es"), claims()),
        (&f.ed, header("EdDSA", "ed"), claims()),
    ] {
        let name = head["alg"].as_str().unwrap().to_owned();
        let token = signed(key, &head, &said);
        let (message, tag) = token.rsplit_once('.').unwrap();
        let bytes = crate::keysets::from_base64url(tag);
        let root = with(said.clone(), &[("sub", json!("root"))]);
        let changed = signed(&f.strange_hs, &head, &root);
        let changed = changed.rsplit_once('.').unwrap().0;
        let flipped: Vec<u8> = bytes.iter().enumerate().map(|(n, byte)| byte ^ u8::from(n == 0)).collect();
        for (what, message, tag) in [
            ("other claims", changed, bytes.clone()),
            ("a bit flipped", message, flipped),
            ("the last byte cut", message, bytes[..bytes.len() - 1].to_vec()),
            ("the first byte cut", message, bytes[1..].to_vec()),
            ("a byte more", message, [bytes.as_slice(), &[0]].concat()),
            ("all zeros", message, vec![0; bytes.len()]),
            ("all ones", message, vec![255; bytes.len()]),
            ("empty", message, Vec::new()),
            ("twice", message, [bytes.as_slice(), &bytes].concat()),
        ] {
            let token = format!("{message}.{}", base64url(tag));
            cases.push(bad(format!("{name}: {what}"), R::BadSignature, token));
        }
    }
    // RFC 7515 §A.3 has R and S side by side; the DER of them is another signature format.
    let token = signed(&f.es, &header("ES256", "es"), &claims());
    let (message, tag) = token.rsplit_once('.').unwrap();
    let raw = crate::keysets::from_base64url(tag);
    let mut der = vec![0x30, 0x46];
    for half in raw.chunks(32) {
        der.extend([0x02, 0x21, 0x00]);
        der.extend(half);
    }
    cases.push(bad("ES256: in DER", R::BadSignature, format!("{message}.{}", base64url(der))));
    cases
}

/// Keys that this server does not know, under names that it does.
fn strangers() -> Vec<Case> {
    let f = &*FORGE;
    let two = claims_of("https://two.example");
    let later = with(claims(), &[("exp", json!(NOW_S + 9_000))]);
    [
        ("another secret", R::BadSignature, signed(&f.strange_hs, &header("HS256", "main"), &later)),
        (
            "another RSA key",
            R::BadSignature,
            signed(&f.strange_rsa, &header("RS256", "rsa"), &claims_of(ISSUER)),
        ),
        ("another P-256 key", R::BadSignature, signed(&f.strange_es, &header("ES256", "es"), &claims())),
        ("the key of es under kid shared", R::BadSignature, signed(&f.es, &header("ES256", "shared"), &two)),
        (
            "one kid, one signs for two",
            R::WrongIssuer,
            signed(&f.shared_one, &header("ES256", "shared"), &two),
        ),
        (
            "one kid, two signs for one",
            R::WrongIssuer,
            signed(&f.shared_two, &header("ES256", "shared"), &claims_of(ISSUER)),
        ),
        (
            "the secret of main without its id",
            R::UnknownKey,
            signed(&f.main, &json!({"alg": "HS256"}), &claims()),
        ),
        (
            "an unknown key under an unknown id",
            R::UnknownKey,
            signed(&f.strange_hs, &header("HS256", "other"), &claims()),
        ),
    ]
    .into_iter()
    .map(|(name, reason, token)| bad(name, reason, token))
    .collect()
}
