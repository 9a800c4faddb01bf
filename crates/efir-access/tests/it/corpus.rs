//! The corpus: tokens with what must become of each. Printed as a count; a token that is wrongly accepted is named.

use std::collections::BTreeMap;

use efir_access::TokenReason;

use crate::forge::{FORGE, NOW};
use crate::{corpus_claims, corpus_header, corpus_signature};

/// What must become of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Good,
    Bad(TokenReason),
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) fate: Fate,
}

pub(crate) fn good(name: impl Into<String>, token: String) -> Case {
    Case { name: name.into(), token, fate: Fate::Good }
}

pub(crate) fn bad(name: impl Into<String>, reason: TokenReason, token: String) -> Case {
    Case { name: name.into(), token, fate: Fate::Bad(reason) }
}

fn corpus() -> Vec<Case> {
    [corpus_header::cases(), corpus_signature::cases(), corpus_claims::cases()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn no_token_of_the_corpus_is_wrongly_accepted() {
    let (mut accepted, mut wrong) = (0, Vec::new());
    let mut reasons = BTreeMap::<&str, usize>::new();
    let corpus = corpus();
    // Twice: what the gate remembers must not change a verdict.
    for _ in 0..2 {
        for case in &corpus {
            let result = FORGE.gate.identify(&case.token, NOW);
            let fate = match &result {
                Ok(_) => Fate::Good,
                Err(error) => Fate::Bad(error.reason),
            };
            match fate {
                Fate::Good => accepted += 1,
                Fate::Bad(reason) => *reasons.entry(reason.as_str()).or_default() += 1,
            }
            if fate != case.fate {
                wrong.push(format!("{}: {fate:?} instead of {:?}", case.name, case.fate));
            }
        }
    }
    let wrongly_accepted = wrong.iter().filter(|line| line.contains(": Good instead")).count();
    let refused: usize = reasons.values().sum();
    println!(
        "corpus: {} tokens, {} good and accepted, {} refused, {wrongly_accepted} wrongly accepted",
        corpus.len(),
        accepted / 2,
        refused / 2,
    );
    println!("corpus: refused by {reasons:?} (each twice)");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused / 2 >= 200);
    // All reasons that a token can have by itself, and `expired`, occur.
    let all = TokenReason::ALL.into_iter().filter(|reason| *reason != TokenReason::Revoked);
    assert!(all.into_iter().all(|reason| reasons.contains_key(reason.as_str())));
}

#[test]
fn no_text_of_a_refusal_shows_the_token() {
    for case in corpus() {
        let Err(error) = FORGE.gate.identify(&case.token, NOW) else { continue };
        let text = error.to_string();
        let parts = case.token.split('.').filter(|part| part.len() > 8);
        assert!(parts.into_iter().all(|part| !text.contains(part)), "{}: {text}", case.name);
        assert!(!text.contains("secret of") && !text.contains("anna"), "{}: {text}", case.name);
    }
}

#[test]
fn what_is_explained_is_what_is_judged() {
    use efir_access::Verdict;
    for case in corpus() {
        let steps = FORGE.gate.explain(&case.token, NOW);
        let last = steps.last().unwrap();
        match case.fate {
            Fate::Good => assert!(steps.iter().all(|step| step.verdict == Verdict::Held), "{}", case.name),
            Fate::Bad(reason) => {
                assert_eq!((last.name, last.verdict), (reason.as_str(), Verdict::Refused), "{}", case.name);
                assert!(steps[..steps.len() - 1].iter().all(|step| step.verdict == Verdict::Held));
            }
        }
    }
}
