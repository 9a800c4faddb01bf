//! The packages that the workspace is built from, and who needs whom: `cargo metadata` and `cargo tree`, once for each target that
//! is shipped.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::child::{self, cargo};
use crate::root::root;

/// What is shipped.
pub(super) const BINARY: &str = "efir-server";

/// One package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression.
    pub(super) license: Option<String>,
    /// `registry+https://…`, `git+https://…`; none for our own.
    pub(super) source: Option<String>,
    /// SHA-256 of what was downloaded, from Cargo.lock.
    pub(super) checksum: Option<String>,
    /// Names of those that it needs in whatever version.
    pub(super) wildcards: Vec<String>,
    /// Whether something else than a test needs it.
    pub(super) is_built: bool,
    /// Whether it is in the binary that is shipped.
    pub(super) is_linked: bool,
    /// Places of the packages that are linked into it.
    pub(super) links: BTreeSet<usize>,
}

impl Package {
    fn key(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// All of them; a package is known by its place.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) packages: Vec<Package>,
}

impl Graph {
    /// Reads the workspace for these targets, with all features.
    ///
    /// # Errors
    /// When cargo cannot resolve it by the lock file as it is.
    pub(super) fn of_workspace(targets: &[String]) -> Result<Self> {
        let mut graph = Self::default();
        for target in targets {
            let words = [
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--all-features",
                "--filter-platform",
                target,
            ];
            let metadata: Value = serde_json::from_str(&child::read(&mut cargo(&words))?)?;
            // Metadata also has what a feature could bring that nobody asks for; the tree is what is compiled.
            let all = tree(target, &["--workspace", "--edges", "normal,build,dev"])?;
            let built = tree(target, &["--workspace", "--edges", "normal,build"])?;
            let linked = tree(target, &["--package", BINARY, "--edges", "normal,no-proc-macro"])?;
            graph.add(&metadata, &all).with_context(|| format!("cargo metadata for {target}"))?;
            for package in &mut graph.packages {
                let key = package.key();
                package.is_built |= built.contains(&key);
                package.is_linked |= linked.contains(&key);
            }
        }
        let lock: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock"))?)?;
        graph.take_checksums(&lock);
        Ok(graph)
    }

    fn add(&mut self, metadata: &Value, all: &BTreeSet<String>) -> Option<()> {
        let mut places = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            let read = read(package)?;
            let key = read.key();
            if !all.contains(&key) {
                continue;
            }
            let known = self.packages.iter().position(|package| package.key() == key);
            let place = known.unwrap_or(self.packages.len());
            if known.is_none() {
                self.packages.push(read);
            }
            places.insert(package["id"].as_str()?, place);
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let Some(place) = places.get(node["id"].as_str()?) else { continue };
            for edge in node["deps"].as_array()? {
                let is_linked = edge["dep_kinds"].as_array()?.iter().any(|kind| kind["kind"].is_null());
                if let Some(needed) = places.get(edge["pkg"].as_str()?).filter(|_| is_linked) {
                    self.packages[*place].links.insert(*needed);
                }
            }
        }
        Some(())
    }

    fn take_checksums(&mut self, lock: &toml::Table) {
        let entries =
            lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for entry in entries {
            let field = |name: &str| entry.get(name).and_then(toml::Value::as_str).unwrap_or_default();
            let found = self
                .packages
                .iter_mut()
                .find(|package| package.name == field("name") && package.version == field("version"));
            if let (Some(package), sum) = (found, field("checksum"))
                && !sum.is_empty()
            {
                package.checksum = Some(sum.to_owned());
            }
        }
    }

    /// What is linked into the binary, itself included, in the order of names.
    pub(super) fn linked(&self) -> Vec<usize> {
        let mut all: Vec<usize> =
            (0..self.packages.len()).filter(|place| self.packages[*place].is_linked).collect();
        all.sort_by_key(|place| (&self.packages[*place].name, &self.packages[*place].version));
        all
    }
}

/// The packages of a dependency tree, by their keys.
fn tree(target: &str, choice: &[&str]) -> Result<BTreeSet<String>> {
    let words =
        ["tree", "--locked", "--all-features", "--prefix", "none", "--format", "{p}", "--target", target];
    let said = child::read(cargo(&words).args(choice))?;
    let keys = said.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    });
    Ok(keys.collect())
}

fn read(package: &Value) -> Option<Package> {
    let text = |name: &str| package[name].as_str().map(str::to_owned);
    let needs = package["dependencies"].as_array()?;
    let wildcards =
        needs.iter().filter(|need| need["req"] == "*" && need["path"].is_null() && need["kind"] != "dev");
    Some(Package {
        name: text("name")?,
        version: text("version")?,
        license: text("license"),
        source: text("source"),
        wildcards: wildcards.filter_map(|need| need["name"].as_str()).map(str::to_owned).collect(),
        ..Package::default()
    })
}
