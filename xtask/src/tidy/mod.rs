//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that no compiler holds.
//!
//! A rule is one function from the workspace (its files and packages, `tree.rs`) to findings, and one line of the table.

mod edges;
mod guarantees;
mod names;
mod panics;
mod papers;
mod rust_text;
mod sizes;
mod stored;
mod tree;
mod twins;
mod versions;

use anyhow::Result;

use crate::Verdict;
use crate::tally::Tally;
use tree::Workspace;

struct Rule {
    name: &'static str,
    why: &'static str,
    check: fn(&Workspace) -> Vec<String>,
}

const RULES: &[Rule] = &[
    Rule { name: "crate edges", why: "rooms know only what lies below them", check: edges::crates },
    Rule {
        name: "HTTP rooms",
        why: "HTTP types stay in transports, facade, server and client",
        check: edges::http,
    },
    Rule {
        name: "broker drivers",
        why: "a broker's driver is seen by efir-brokers alone",
        check: edges::brokers,
    },
    Rule {
        name: "core is pure",
        why: "the core speaks serde only in wire, and does no IO",
        check: edges::core_is_pure,
    },
    Rule {
        name: "access is pure",
        why: "who may do what is decided without IO: no token makes the server fetch anything",
        check: edges::access_is_pure,
    },
    Rule { name: "one name", why: "a transport has the same name everywhere", check: twins::transports },
    Rule {
        name: "two languages",
        why: "papers for users are there in English and Russian",
        check: twins::languages,
    },
    Rule { name: "one version", why: "an efir's client is as old as itself", check: versions::check },
    Rule { name: "file names", why: "files are nouns of the field", check: names::files },
    Rule { name: "type names", why: "types are nouns of the field", check: names::types },
    Rule {
        name: "no open ends",
        why: "what is left to do is an issue, not a comment",
        check: papers::open_ends,
    },
    Rule { name: "module heads", why: "a module says what it is for", check: papers::module_heads },
    Rule { name: "no panics", why: "a server does not end because of a request", check: panics::check },
    Rule { name: "file sizes", why: "a file is read in one sitting", check: sizes::check },
    Rule { name: "guarantees", why: "each promise names the tests that prove it", check: guarantees::check },
    Rule { name: "ARCHITECTURE.md", why: "a map has one page", check: papers::architecture },
    Rule { name: "thresholds", why: "a crate's clippy.toml replaces the root's", check: papers::thresholds },
    Rule { name: "lock files", why: "locks name versions, not places", check: stored::locks },
    Rule { name: "nothing built", why: "what is built is never committed", check: stored::nothing_built },
];

pub(crate) fn run(_: &[String]) -> Result<Verdict> {
    let tally = report()?;
    Ok(if tally.failed == 0 { Verdict::Held } else { Verdict::Failed })
}

/// Checks every rule, prints what breaks it, and counts rules.
///
/// # Errors
/// When the workspace cannot be read.
pub(crate) fn report() -> Result<Tally> {
    let workspace = Workspace::read(crate::root::root())?;
    let mut tally = Tally::default();
    for rule in RULES {
        let findings = (rule.check)(&workspace);
        tally += Tally::one(findings.is_empty());
        if !findings.is_empty() {
            println!("tidy: {} ({})", rule.name, rule.why);
        }
        for finding in findings {
            println!("  {finding}");
        }
    }
    for note in sizes::notes(&workspace) {
        println!("tidy, a note: {note}");
    }
    println!("tidy: {} rules hold, {} are broken", tally.passed, tally.failed);
    Ok(tally)
}
