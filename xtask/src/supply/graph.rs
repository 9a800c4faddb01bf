//! The packages that the workspace is built from, and who needs whom: `cargo metadata`, once for each target that is shipped.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::child::{self, cargo};
use crate::root::root;

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
    /// Ids of the packages that are linked into it.
    pub(super) links: BTreeSet<usize>,
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
        let mut places = BTreeMap::new();
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
            graph.add(&metadata, &mut places).with_context(|| format!("cargo metadata for {target}"))?;
        }
        let lock: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock"))?)?;
        graph.take_checksums(&lock);
        Ok(graph)
    }

    fn add(&mut self, metadata: &Value, places: &mut BTreeMap<String, usize>) -> Option<()> {
        let nodes = metadata["resolve"]["nodes"].as_array()?;
        let ids: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
        for package in metadata["packages"].as_array()? {
            let id = package["id"].as_str()?;
            if ids.contains(id) && !places.contains_key(id) {
                places.insert(id.to_owned(), self.packages.len());
                self.packages.push(read(package)?);
            }
        }
        let members: Vec<&str> =
            metadata["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
        let mut open = members.clone();
        let mut seen: BTreeSet<&str> = members.into_iter().collect();
        while let Some(id) = open.pop() {
            self.packages[*places.get(id)?].is_built = true;
            let node = nodes.iter().find(|node| node["id"] == id)?;
            for edge in node["deps"].as_array()? {
                let needed = edge["pkg"].as_str()?;
                let kinds = edge["dep_kinds"].as_array()?;
                if kinds.iter().any(|kind| kind["kind"].is_null()) {
                    let place = *places.get(needed)?;
                    self.packages[*places.get(id)?].links.insert(place);
                }
                if kinds.iter().any(|kind| kind["kind"] != "dev") && seen.insert(needed) {
                    open.push(needed);
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

    /// Everything that is linked into a package of ours, itself included, in the order of names.
    pub(super) fn linked_into(&self, name: &str) -> Vec<usize> {
        let is_root = |package: &Package| package.name == name && package.source.is_none();
        let mut open: Vec<usize> = self.packages.iter().position(is_root).into_iter().collect();
        let mut seen: BTreeSet<usize> = open.iter().copied().collect();
        while let Some(place) = open.pop() {
            open.extend(self.packages[place].links.iter().filter(|linked| seen.insert(**linked)));
        }
        let mut all: Vec<usize> = seen.into_iter().collect();
        all.sort_by_key(|place| (&self.packages[*place].name, &self.packages[*place].version));
        all
    }
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
