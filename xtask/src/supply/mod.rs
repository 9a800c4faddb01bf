//! `cargo xtask supply`: what efir is made of. Holds `deny.toml` over what cargo says, and writes the bill of materials.
//!
//! cargo-deny reads the same file and says the same; compiling it takes minutes on every fresh machine, and this takes a second.
//! What it does not do is look into advisories: `cargo deny check advisories` needs their database, and so the network.

mod bill;
mod graph;
mod licence;
mod rules;

use anyhow::{Context, Result, bail};

use self::{graph::Graph, rules::Rules};
use crate::Verdict;
use crate::root::{root, target};
use crate::tally::Tally;

/// `cargo xtask supply [FILE]`: checks, and writes the bill into FILE or into the target folder.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let file = match arguments {
        [] => target().join("efir.cdx.json"),
        [file] => file.into(),
        _ => bail!("supply takes one file at most"),
    };
    let (tally, notes) = report()?;
    notes.iter().for_each(|note| println!("{note}"));
    let rules = rules()?;
    let bill = bill::of(&Graph::of_workspace(&rules.graph.targets)?)?;
    file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::write(&file, format!("{bill:#}\n")).with_context(|| file.display().to_string())?;
    println!("{} written", file.display());
    Ok(if tally.failed == 0 { Verdict::Held } else { Verdict::Failed })
}

/// Bans, licences, sources and the bill of materials, one test each; what is wrong is printed.
///
/// # Errors
/// When `deny.toml` or the workspace cannot be read.
pub(crate) fn report() -> Result<(Tally, Vec<String>)> {
    let rules = rules()?;
    let graph = Graph::of_workspace(&rules.graph.targets)?;
    let bill = bill::of(&graph)?;
    let mut tally = Tally::default();
    for (name, findings) in [
        ("bans", rules::bans(&rules.bans, &graph)),
        ("licences", rules::licences(&rules.licenses, &graph)),
        ("sources", rules::sources(&rules.sources, &graph)),
        ("bill of materials", bill::gaps(&bill)),
    ] {
        findings.iter().for_each(|finding| println!("{name}: {finding}"));
        println!("{name:<18} {}", if findings.is_empty() { "ok" } else { "FAILED" });
        tally += Tally::one(findings.is_empty());
    }
    let components = bill["components"].as_array().map_or(0, Vec::len);
    let note = format!(
        "supply: {} packages of crates.io in all, {components} components in the binary; advisories: not run",
        graph.packages.iter().filter(|package| package.source.is_some()).count()
    );
    Ok((tally, vec![note]))
}

fn rules() -> Result<Rules> {
    let text = std::fs::read_to_string(root().join("deny.toml")).context("reading deny.toml")?;
    toml::from_str(&text).context("deny.toml")
}
