//! Whatever is changed in a good token, and whatever text comes instead of one.

use efir_access::{Algorithm, Gate, KeySet, Pattern, SigningKey, Tickets};
use proptest::prelude::*;

use crate::forge::{FORGE, ISSUER, NOW, SECRET, claims, claims_of, header, signed, terms};

#[test]
fn a_token_that_was_changed_anywhere_is_refused() {
    let f = &*FORGE;
    let mut refused = 0;
    for token in [
        signed(&f.main, &header("HS256", "main"), &claims()),
        signed(&f.rsa, &header("RS256", "rsa"), &claims_of(ISSUER)),
        signed(&f.es, &header("ES256", "es"), &claims()),
        signed(&f.ed, &header("EdDSA", "ed"), &claims()),
    ] {
        assert!(f.gate.identify(&token, NOW).is_ok());
        for at in 0..token.len() {
            for other in ["A", "b", "-", ".", "=", ""] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                if changed != token {
                    assert!(f.gate.identify(&changed, NOW).is_err(), "{other:?} at {at} of {token}");
                    refused += 1;
                }
            }
        }
        for end in 0..token.len() {
            assert!(
                f.gate.identify(&token[..end], NOW).is_err()
                    && f.gate.identify(&token[end + 1..], NOW).is_err()
            );
            refused += 2;
        }
    }
    println!("tokens: {refused} changed, 0 accepted");
}

/// Whoever asks at once, gets the same answer, and the same user.
#[test]
fn many_threads_may_ask_at_once() {
    let token = signed(&FORGE.es, &header("ES256", "es"), &claims());
    let gate: &Gate = &FORGE.gate;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..2_000 {
                    assert!(gate.identify(&token, NOW).is_ok());
                    assert!(gate.identify(&format!("{token}{n}"), NOW).is_err());
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_a_token_a_ticket_or_a_panic(
        text in prop_oneof!["\\PC{0,80}", "[A-Za-z0-9_.-]{0,200}", "(eyJ[A-Za-z0-9_-]{0,40}\\.?){0,4}"],
    ) {
        prop_assert!(FORGE.gate.identify_bearer(&text, NOW).is_err());
        prop_assert!(!FORGE.gate.explain(&text, NOW).is_empty());
        prop_assert!(Tickets::new(&[SECRET]).unwrap().identify(&text, None, NOW).is_err());
        let terms = terms("k", Algorithm::Es256, None);
        prop_assert!(KeySet::from_jwks(&terms, &text).is_err() && KeySet::from_public_pem(&terms, &text).is_err());
        prop_assert!(SigningKey::from_private_pem(None, &text).is_err());
        _ = Pattern::parse(&text).map(|pattern| pattern.matches(&text, Some(&text)));
    }

    #[test]
    fn no_claims_and_no_header_are_a_panic(
        head in "\\{(\"(alg|kid|typ|crit|x)\":(\"(HS256|main|JWT|none)\"|null|1|\\[\\]),?){0,4}\\}?",
        said in "\\{(\"(exp|sub|aud|iss|nbf|jti|efir)\":(\"a\"|null|-?[0-9]{1,20}|1e[0-9]{1,3}|\\[\\{?\\}?\\]|\\{\\}),?){0,6}\\}?",
    ) {
        let token = FORGE.main.sign(head.as_bytes(), said.as_bytes()).unwrap();
        let token_of_main = FORGE.main.sign(header("HS256", "main").to_string().as_bytes(), said.as_bytes()).unwrap();
        for token in [token, token_of_main] {
            if let Ok(caller) = FORGE.gate.identify(&token, NOW) {
                // Whoever is let in has a name and an end.
                prop_assert!(caller.user_name().is_some() && caller.expires_ms() > Some(NOW));
            }
        }
    }
}
