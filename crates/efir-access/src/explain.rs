//! What was checked and how it ended, step by step, for `efir token explain`. The same code verifies tokens in earnest,
//! and then nobody listens.

use std::borrow::Cow;

use crate::token::TokenError;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It held.
    Held,
    /// It did not, and nothing after it was checked.
    Refused,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was checked, in a word.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, for people.
    pub text: String,
}

/// Hears of each check that held.
pub(crate) trait Witness {
    /// `text` is made only where somebody listens.
    fn held<T: Into<Cow<'static, str>>>(&mut self, name: &'static str, text: impl FnOnce() -> T);
}

impl Witness for () {
    fn held<T: Into<Cow<'static, str>>>(&mut self, _: &'static str, _: impl FnOnce() -> T) {}
}

#[derive(Default)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    pub(crate) fn note<T: Into<Cow<'static, str>>>(&mut self, name: &'static str, verdict: Verdict, text: T) {
        self.0.push(Step { name, verdict, text: text.into().into_owned() });
    }

    pub(crate) fn refuse(&mut self, error: &TokenError) {
        self.note(error.reason.as_str(), Verdict::Refused, error.to_string());
    }

    pub(crate) fn into_vec(self) -> Vec<Step> {
        self.0
    }
}

impl Witness for Steps {
    fn held<T: Into<Cow<'static, str>>>(&mut self, name: &'static str, text: impl FnOnce() -> T) {
        self.note(name, Verdict::Held, text());
    }
}
