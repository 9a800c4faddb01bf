//! Keys as the configuration gives them: secrets, PEM, sets of keys, and what is refused at the start.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use efir_access::{Algorithm, Gate, GateParts, KeyError, KeySet, KeyTerms, SigningKey, TokenReason};
use serde_json::{Value, json};

use crate::forge::{NOW, Pair, base64url, claims, header, pem, signed, terms};

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn gate(keys: impl IntoIterator<Item = KeySet>) -> Gate {
    let token_keys = Arc::new(KeySet::join(keys).unwrap());
    Gate::new(GateParts { token_keys, ..GateParts::default() })
}

fn reason(gate: &Gate, token: &str) -> Option<TokenReason> {
    gate.identify(token, NOW).err().map(|error| error.reason)
}

fn hs(secret: &[u8]) -> SigningKey {
    SigningKey::from_secret(Algorithm::Hs256, secret).unwrap()
}

#[test]
fn a_key_without_an_id_fits_every_kid_and_none() {
    let (one, other): (&[u8], &[u8]) = (&[b'1'; 32], &[b'2'; 32]);
    let keys = [
        KeySet::from_secret(&terms("one", Algorithm::Hs256, None), one).unwrap(),
        KeySet::from_secret(&terms("other", Algorithm::Hs256, Some("other")), other).unwrap(),
    ];
    let gate = gate(keys);
    for head in [json!({"alg": "HS256"}), header("HS256", "anything"), header("HS256", "other")] {
        assert_eq!(reason(&gate, &signed(&hs(one), &head, &claims())), None, "{head}");
    }
    assert_eq!(reason(&gate, &signed(&hs(other), &header("HS256", "other"), &claims())), None);
    assert_eq!(
        reason(&gate, &signed(&hs(other), &json!({"alg": "HS256"}), &claims())),
        Some(TokenReason::BadSignature)
    );
}

#[test]
fn two_issuers_may_share_a_secret_and_are_told_apart() {
    let secret = [b's'; 32];
    let of = |name: &str, issuer: &str| {
        let terms = KeyTerms { issuer: Some(issuer.to_owned()), ..terms(name, Algorithm::Hs256, None) };
        KeySet::from_secret(&terms, &secret).unwrap()
    };
    let gate = gate([of("one", "1"), of("two", "2")]);
    let token = |issuer: &str| {
        let mut claims = claims();
        claims["iss"] = json!(issuer);
        signed(&hs(&secret), &json!({"alg": "HS256"}), &claims)
    };
    let key = |issuer| gate.identify(&token(issuer), NOW).unwrap().user().unwrap().key.to_string();
    assert_eq!((key("1"), key("2")), ("one".to_owned(), "two".to_owned()));
    assert_eq!(reason(&gate, &token("3")), Some(TokenReason::WrongIssuer));
}

#[test]
fn users_of_two_issuers_are_two_users() {
    let of = |name: &str, prefix: Option<&str>| {
        let terms = KeyTerms {
            issuer: Some(name.to_owned()),
            user_prefix: prefix.map(str::to_owned),
            ..terms(name, Algorithm::Hs256, None)
        };
        KeySet::from_secret(&terms, &[b's'; 32]).unwrap()
    };
    let gate = gate([of("one", Some("a.")), of("two", Some("bob")), of("three", None)]);
    let user = |issuer: &str, sub: &str| {
        let mut claims = claims();
        (claims["iss"], claims["sub"]) = (json!(issuer), json!(sub));
        let token = signed(&hs(&[b's'; 32]), &json!({"alg": "HS256"}), &claims);
        gate.identify(&token, NOW).map(|caller| caller.user_name().unwrap().to_string())
    };
    assert_eq!(user("one", "anna").unwrap(), "a.anna");
    assert_eq!(user("two", "anna").unwrap(), "bobanna");
    assert_eq!(user("three", "anna").unwrap(), "anna");
    assert_eq!(user("one", &"x".repeat(126)).unwrap().len(), 128);
    // 'b' and a dot above are one letter.
    for (issuer, sub) in [("one", "x".repeat(127)), ("one", String::new()), ("two", "\u{0307}x".to_owned())] {
        assert_eq!(user(issuer, &sub).unwrap_err().reason, TokenReason::InvalidClaim, "{issuer} {sub}");
    }
    assert!(user("one", "\u{0307}x").is_ok(), "nothing there composes with a dot");
}

#[test]
fn what_is_remembered_dies_with_the_keys_the_time_and_the_revocation() {
    let secret = [b's'; 32];
    let first = gate([KeySet::from_secret(&terms("k", Algorithm::Hs256, None), &secret).unwrap()]);
    let mut said = claims();
    said["jti"] = json!("t1");
    let token = signed(&hs(&secret), &json!({"alg": "HS256"}), &said);
    for _ in 0..3 {
        assert_eq!(reason(&first, &token), None);
    }
    let over = NOW + 605_000;
    assert!(first.identify(&token, over - 1).is_ok());
    assert_eq!(first.identify(&token, over).unwrap_err().reason, TokenReason::Expired);
    let parts = first.parts().unwrap();
    parts.revocations.revoke_token("t1", NOW + 10, NOW).unwrap();
    assert_eq!(reason(&first, &token), Some(TokenReason::Revoked));
    let token_keys = Arc::new(KeySet::from_secret(&terms("k", Algorithm::Hs256, None), &[b't'; 32]).unwrap());
    let second = Gate::new(GateParts { token_keys, ..parts.clone() });
    assert_eq!(reason(&second, &token), Some(TokenReason::BadSignature));
    let other = signed(&hs(&[b't'; 32]), &json!({"alg": "HS256"}), &said);
    assert_eq!(reason(&second, &other), Some(TokenReason::Revoked));
}

fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

fn ec_jwk(pair: &EcdsaKeyPair, id: &str) -> Value {
    let point = pair.public_key().as_ref();
    json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
           "x": base64url(&point[1..33]), "y": base64url(&point[33..65])})
}

fn set_terms(algorithms: &[Algorithm]) -> KeyTerms {
    KeyTerms { name: "set".into(), algorithms: algorithms.to_vec(), ..KeyTerms::default() }
}

#[test]
fn a_set_of_keys_gives_those_that_fit_and_says_which_do_not() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": base64url(ed.public_key())});
    let mut enc = ec_jwk(&ec, "enc");
    enc["use"] = json!("enc");
    let mut off = ec_jwk(&ec, "off the curve");
    off["y"] = off["x"].clone();
    let mut sign = ec_jwk(&ec, "sign");
    sign["key_ops"] = json!(["sign"]);
    let oct = json!({"kty": "oct", "kid": "oct", "k": base64url([7; 32])});
    let text = jwks(&[ec_jwk(&ec, "ec"), okp, enc, off, sign, oct, json!({"kty": "new"})]);
    let terms = set_terms(&[Algorithm::Es256, Algorithm::EdDsa, Algorithm::Hs256]);
    let set = KeySet::from_jwks(&terms, &text).unwrap();
    assert_eq!((set.len(), set.skipped().len()), (2, 5), "{:?}", set.skipped());
    let gate = gate([set]);
    let signs = |der: &[u8]| SigningKey::from_private_pem(None, &pem("PRIVATE KEY", der)).unwrap();
    let es = signs(ec.to_pkcs8v1().unwrap().as_ref());
    let eddsa = signs(ed.to_pkcs8v1().unwrap().as_ref());
    assert_eq!(reason(&gate, &signed(&es, &header("ES256", "ec"), &claims())), None);
    assert_eq!(reason(&gate, &signed(&eddsa, &header("EdDSA", "ed"), &claims())), None);
    // A set names its keys: without the name there is none.
    assert_eq!(
        reason(&gate, &signed(&es, &json!({"alg": "ES256"}), &claims())),
        Some(TokenReason::UnknownKey)
    );
    for id in ["enc", "off the curve", "sign", "oct"] {
        let token = signed(&es, &header("ES256", id), &claims());
        assert_eq!(reason(&gate, &token), Some(TokenReason::UnknownKey), "{id}");
    }
    // What an issuer publishes is no secret.
    let oct = signed(&hs(&[7; 32]), &header("HS256", "oct"), &claims());
    assert_eq!(reason(&gate, &oct), Some(TokenReason::UnknownKey));
}

#[test]
fn a_set_of_rsa_keys_is_read_by_modulus_and_exponent() {
    use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let parts: RsaPublicKeyComponents<Vec<u8>> = pair.public_key().into();
    let (n, e) = (&parts.n, &parts.e);
    let jwk = |n: &[u8], e: &[u8]| json!({"kty": "RSA", "kid": "r", "n": base64url(n), "e": base64url(e)});
    let terms = set_terms(&[Algorithm::Rs256, Algorithm::Ps512]);
    let with_zero = [&[0], n.as_slice()].concat();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    for jwk in [jwk(n, e), jwk(&with_zero, e)] {
        let gate = gate([KeySet::from_jwks(&terms, &jwks(&[jwk])).unwrap()]);
        for (algorithm, expected) in [
            (Algorithm::Rs256, None),
            (Algorithm::Ps512, None),
            (Algorithm::Rs512, Some(TokenReason::WrongAlgorithm)),
        ] {
            let key =
                SigningKey::from_private_pem(Some(algorithm), &pem("PRIVATE KEY", der.as_ref())).unwrap();
            assert_eq!(reason(&gate, &signed(&key, &header(algorithm.as_str(), "r"), &claims())), expected);
        }
    }
    for weak in [
        jwk(&n[..128], e),
        jwk(&[255; 1_025], e),
        jwk(n, &[255; 9]),
        jwk(&[], e),
        json!({"kty": "RSA", "kid": "r"}),
    ] {
        assert!(KeySet::from_jwks(&terms, &jwks(&[weak])).is_err());
    }
}

#[test]
fn what_is_no_set_of_keys_is_refused_at_the_start() {
    let terms = set_terms(&[Algorithm::Es256]);
    for text in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}", "<html>", "{\"keys\":[{\"kid\":\"a\"}]}"] {
        assert!(matches!(KeySet::from_jwks(&terms, text), Err(KeyError::Jwks { .. })), "{text}");
    }
    assert!(KeySet::from_jwks(&terms, &" ".repeat(300_000)).is_err());
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    assert!(KeySet::from_jwks(&terms, &jwks(&vec![ec_jwk(&ec, "a"); 101])).is_err());
    let alike = KeySet::from_jwks(&terms, &jwks(&vec![ec_jwk(&ec, "a"); 9]));
    assert_eq!(alike.unwrap_err(), KeyError::Alike { algorithm: Algorithm::Es256 });
    assert!(matches!(KeySet::from_jwks(&set_terms(&[]), "{}"), Err(KeyError::NoAlgorithm(_))));
}

#[test]
fn what_is_no_key_is_refused_at_the_start_and_never_shown() {
    let secret = b"short and secret";
    let error = KeySet::from_secret(&terms("k", Algorithm::Hs256, None), secret).unwrap_err();
    assert!(error.to_string().contains("16 bytes") && !error.to_string().contains("secret and"));
    let (rsa, es, ed) = (Pair::rsa(), Pair::ec(Algorithm::Es256), Pair::ed());
    let read = |algorithm, text: &str| KeySet::from_public_pem(&terms("k", algorithm, None), text);
    for (pair, own) in [(&rsa, Algorithm::Rs256), (&es, Algorithm::Es256), (&ed, Algorithm::EdDsa)] {
        for algorithm in Algorithm::ALL {
            let fits = algorithm.family() == own.family() && (own != Algorithm::Es256 || algorithm == own);
            assert_eq!(read(algorithm, &pair.public).is_ok(), fits, "{own} as {algorithm}");
        }
        let private = read(own, &pair.private).unwrap_err();
        assert!(private.to_string().contains("private key"), "{private}");
    }
    let all = KeyTerms {
        algorithms: vec![Algorithm::Rs256, Algorithm::Hs256],
        ..terms("k", Algorithm::Rs256, None)
    };
    assert!(
        KeySet::from_public_pem(&all, &rsa.public).is_err() && KeySet::from_secret(&all, &[1; 32]).is_err()
    );
    for text in
        ["", "key", &rsa.public.replace("PUBLIC KEY", "CERTIFICATE"), &rsa.public.replace("MII", "AAA")]
    {
        assert!(matches!(
            read(Algorithm::Rs256, text),
            Err(KeyError::NotPem { .. } | KeyError::WrongKind { .. })
        ));
    }
    let small = RsaPublicKeyComponents { n: vec![255; 128], e: vec![1, 0, 1] };
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&small).unwrap();
    assert!(read(Algorithm::Rs256, &pem("PUBLIC KEY", der.as_ref())).is_err(), "an RSA key of 1,024 bits");
}
