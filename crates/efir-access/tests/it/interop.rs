//! Tokens that another library made are read here, and ours there.

use std::collections::BTreeSet;

use efir_access::{Action, Actions, Algorithm, Claims, Gate, GateParts, KeySet, SigningKey};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde_json::Value;

use crate::forge::{NOW, NOW_S, Pair, SECRET, claims, terms};

fn theirs(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    // It has no P-521.
    algorithm.as_str().parse().ok()
}

fn gate(algorithm: Algorithm, pair: Option<&Pair>) -> Gate {
    let terms = terms("k", algorithm, Some("k1"));
    let keys = match pair {
        Some(pair) => KeySet::from_public_pem(&terms, &pair.public),
        None => KeySet::from_secret(&terms, SECRET),
    };
    Gate::new(GateParts { token_keys: keys.unwrap().into(), ..GateParts::default() })
}

fn their_keys(algorithm: Algorithm, pair: Option<&Pair>) -> (EncodingKey, DecodingKey) {
    let Some(pair) = pair else {
        return (EncodingKey::from_secret(SECRET), DecodingKey::from_secret(SECRET));
    };
    let (private, public) = (pair.private.as_bytes(), pair.public.as_bytes());
    match algorithm {
        Algorithm::Es256 | Algorithm::Es384 => {
            (EncodingKey::from_ec_pem(private).unwrap(), DecodingKey::from_ec_pem(public).unwrap())
        }
        Algorithm::EdDsa => {
            (EncodingKey::from_ed_pem(private).unwrap(), DecodingKey::from_ed_pem(public).unwrap())
        }
        _ => (EncodingKey::from_rsa_pem(private).unwrap(), DecodingKey::from_rsa_pem(public).unwrap()),
    }
}

#[test]
fn every_algorithm_is_read_as_others_write_it_and_written_as_others_read_it() {
    let rsa = Pair::rsa();
    for algorithm in Algorithm::ALL {
        let own = (algorithm.as_str().starts_with(['E'])).then(|| Pair::of(algorithm));
        let pair = own.as_ref().or((!algorithm.as_str().starts_with("HS")).then_some(&rsa));
        let gate = gate(algorithm, pair);
        let signing = match pair {
            Some(pair) => pair.signs(algorithm),
            None => SigningKey::from_secret(algorithm, SECRET).unwrap(),
        };
        let said = Claims {
            user: "anna".into(),
            expires_s: NOW_S + 60,
            token_id: Some("t1".into()),
            grants: vec![(vec!["chat:*".into()], [Action::Publish, Action::History].into_iter().collect())],
            ..Claims::default()
        };
        let ours = signing.token(Some("k1"), &said).unwrap();
        let caller = gate.identify(&ours, NOW).unwrap();
        assert!(caller.user().unwrap().is_granted(Action::Publish, "chat:1"), "{algorithm}");
        assert_eq!(caller.user().unwrap().token_id.as_deref(), Some("t1"));

        let Some(their_name) = theirs(algorithm) else { continue };
        let (encoding, decoding) = their_keys(algorithm, pair);
        let header = Header { kid: Some("k1".into()), ..Header::new(their_name) };
        let token = jsonwebtoken::encode(&header, &claims(), &encoding).unwrap();
        let caller = gate.identify(&token, NOW).unwrap();
        assert_eq!(caller.user_name().map(|name| &**name), Some("anna"), "{algorithm}");

        let mut validation = Validation::new(their_name);
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(&ours, &decoding, &validation).unwrap();
        assert_eq!(read.claims["sub"], "anna", "{algorithm}");
        assert_eq!(read.header.kid.as_deref(), Some("k1"));
    }
}

#[test]
fn a_key_that_signs_by_default_signs_as_its_kind_does() {
    let kinds: BTreeSet<&str> =
        [Pair::rsa(), Pair::ec(Algorithm::Es384), Pair::ec(Algorithm::Es512), Pair::ed()]
            .iter()
            .map(|pair| SigningKey::from_private_pem(None, &pair.private).unwrap().algorithm().as_str())
            .collect();
    assert_eq!(kinds, BTreeSet::from(["RS256", "ES384", "ES512", "EdDSA"]));
    let es = Pair::ec(Algorithm::Es256);
    assert!(SigningKey::from_private_pem(Some(Algorithm::Es384), &es.private).is_err());
    assert!(SigningKey::from_private_pem(None, &es.public).is_err());
    assert!(SigningKey::from_secret(Algorithm::Rs256, SECRET).is_err());
}

#[test]
fn claims_are_written_as_the_gate_reads_them() {
    let claims = Claims {
        user: "anna".into(),
        expires_s: 10,
        not_before_s: Some(1),
        issued_s: Some(2),
        issuer: Some("i".into()),
        audiences: vec!["a".into(), "b".into()],
        token_id: Some("t".into()),
        grants: vec![(vec!["x".into()], Actions::READ)],
    };
    let json: Value = serde_json::from_str(&claims.to_json()).unwrap();
    let expected = r#"{"sub":"anna","exp":10,"nbf":1,"iat":2,"iss":"i","aud":["a","b"],"jti":"t",
        "efir":[{"channels":["x"],"may":["subscribe","history"]}]}"#;
    assert_eq!(json, serde_json::from_str::<Value>(expected).unwrap());
}
