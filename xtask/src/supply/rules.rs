//! `deny.toml` and what breaks it. The words are cargo-deny's; a key that is not read here is refused, so that none is believed in
//! vain.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::graph::{Graph, Package};
use super::licence;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    pub(super) graph: Targets,
    pub(super) licenses: Licences,
    pub(super) bans: Bans,
    pub(super) sources: Sources,
    /// cargo-deny's alone.
    #[expect(
        dead_code,
        reason = "advisories need their database; the section is read so that it may stand there"
    )]
    advisories: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Targets {
    pub(super) targets: Vec<String>,
    #[expect(dead_code, reason = "always so here")]
    all_features: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Licences {
    allow: Vec<String>,
    #[expect(dead_code, reason = "cargo-deny also reads the texts of licences")]
    confidence_threshold: f64,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Bans {
    multiple_versions: Level,
    wildcards: Level,
    #[expect(dead_code, reason = "a path is no version, so that it is always so here")]
    allow_wildcard_paths: bool,
    deny: Vec<Named>,
    skip: Vec<Named>,
}

/// There is no warning: nobody reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Deny,
    Allow,
}

/// A crate, in one version (`name@2`, `name@2.1`) or all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    #[expect(dead_code, reason = "for people")]
    reason: Option<String>,
}

impl Named {
    fn fits(&self, package: &Package) -> bool {
        match self.name.split_once('@') {
            None => package.name == self.name,
            Some((name, version)) => {
                let rest = package.version.strip_prefix(version);
                package.name == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Sources {
    unknown_registry: Level,
    unknown_git: Level,
    allow_registry: Vec<String>,
    allow_git: Vec<String>,
}

/// Crates that may not be there, two versions of one, versions left open, and exceptions that nobody needs any more.
pub(super) fn bans(rules: &Bans, graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &graph.packages {
        if rules.deny.iter().any(|denied| denied.fits(package)) {
            findings.push(format!("{} {} is banned", package.name, package.version));
        }
        if rules.wildcards == Level::Deny && package.source.is_none() {
            let open = package.wildcards.iter();
            findings.extend(open.map(|name| format!("{} takes {name} in any version", package.name)));
        }
        let is_skipped = rules.skip.iter().any(|skipped| skipped.fits(package));
        if package.is_built && !is_skipped && rules.multiple_versions == Level::Deny {
            versions.entry(&package.name).or_default().push(&package.version);
        }
    }
    let twice = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    findings
        .extend(twice.map(|(name, versions)| format!("{name} is there in versions {}", versions.join(", "))));
    let idle =
        rules.skip.iter().filter(|skipped| !graph.packages.iter().any(|package| skipped.fits(package)));
    findings.extend(idle.map(|skipped| format!("`skip` names {}, which is not there", skipped.name)));
    findings
}

/// Packages without a licence that is allowed. Those that only tests need are nobody's to ship.
pub(super) fn licences(rules: &Licences, graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for package in graph.packages.iter().filter(|package| package.is_built) {
        let exception = rules.exceptions.iter().find(|exception| exception.name == package.name);
        let is_allowed = |name: &str| {
            let more = exception.map(|exception| exception.allow.as_slice()).unwrap_or_default();
            rules.allow.iter().chain(more).any(|allowed| allowed == name)
        };
        let judged =
            package.license.as_deref().map(|license| (license, licence::permits(license, &is_allowed)));
        let wrong = match judged {
            Some((_, Some(true))) => continue,
            Some((license, Some(false))) => format!("{license} is not allowed"),
            Some((license, None)) => format!("cannot read {license:?}"),
            None => "names no licence".to_owned(),
        };
        findings.push(format!("{} {}: {wrong}", package.name, package.version));
    }
    let is_there = |name: &str| graph.packages.iter().any(|package| package.name == name);
    let idle = rules.exceptions.iter().filter(|exception| !is_there(&exception.name));
    findings
        .extend(idle.map(|exception| format!("`exceptions` names {}, which is not there", exception.name)));
    findings
}

/// Packages from elsewhere, and those whose bytes the lock file does not pin.
pub(super) fn sources(rules: &Sources, graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &graph.packages {
        let Some(source) = &package.source else { continue };
        let (kind, address) = source.split_once('+').unwrap_or(("", source));
        let (level, allowed) = match kind {
            "registry" | "sparse" => (rules.unknown_registry, &rules.allow_registry),
            _ => (rules.unknown_git, &rules.allow_git),
        };
        if level == Level::Deny && !allowed.iter().any(|allowed| allowed == address) {
            findings.push(format!("{} {} comes from {source}", package.name, package.version));
        } else if package.checksum.is_none() {
            findings.push(format!("{} {} has no checksum in Cargo.lock", package.name, package.version));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        graph = { targets = ["x"], all-features = true }
        licenses = { allow = ["MIT"], confidence-threshold = 0.9, exceptions = [{ crate = "odd", allow = ["MPL-2.0"] }] }
        sources = { unknown-registry = "deny", unknown-git = "deny", allow-registry = ["https://index"], allow-git = [] }
        advisories = {}
        [bans]
        multiple-versions = "deny"
        wildcards = "deny"
        allow-wildcard-paths = true
        deny = [{ crate = "ring" }]
        skip = [{ crate = "syn@2", reason = "why" }]
    "#;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            license: Some("MIT".into()),
            source: Some("registry+https://index".into()),
            checksum: Some("00".into()),
            is_built: true,
            ..Package::default()
        }
    }

    fn rules() -> Rules {
        toml::from_str(FILE).unwrap()
    }

    #[test]
    fn what_is_as_it_should_be_passes() {
        let mut test_only = package("a", "2.0.0");
        (test_only.is_built, test_only.license) = (false, None);
        let odd = Package { license: Some("MPL-2.0".into()), ..package("odd", "1.0.0") };
        let packages =
            vec![package("a", "1.0.0"), test_only, odd, package("syn", "2.0.1"), package("syn", "3.0.0")];
        let (rules, graph) = (rules(), Graph { packages });
        assert!(bans(&rules.bans, &graph).is_empty(), "{:?}", bans(&rules.bans, &graph));
        assert!(licences(&rules.licenses, &graph).is_empty());
        assert!(sources(&rules.sources, &graph).is_empty());
    }

    #[test]
    fn each_fault_is_found() {
        let open = Package { source: None, wildcards: vec!["b".into()], ..package("ours", "0.1.0") };
        let git = Package { source: Some("git+https://elsewhere".into()), ..package("c", "1.0.0") };
        let loose = Package { checksum: None, ..package("d", "1.0.0") };
        let gpl = Package { license: Some("GPL-3.0".into()), ..package("e", "1.0.0") };
        let bare = Package { license: None, ..package("f", "1.0.0") };
        let packages = vec![
            package("ring", "0.17.0"),
            open,
            git,
            loose,
            gpl,
            bare,
            package("b", "1.0.0"),
            package("b", "2.0.0"),
        ];
        let (rules, graph) = (rules(), Graph { packages });
        assert_eq!(
            bans(&rules.bans, &graph),
            [
                "ring 0.17.0 is banned",
                "ours takes b in any version",
                "b is there in versions 1.0.0, 2.0.0",
                "`skip` names syn@2, which is not there"
            ]
        );
        assert_eq!(
            licences(&rules.licenses, &graph),
            [
                "e 1.0.0: GPL-3.0 is not allowed",
                "f 1.0.0: names no licence",
                "`exceptions` names odd, which is not there"
            ]
        );
        assert_eq!(
            sources(&rules.sources, &graph),
            ["c 1.0.0 comes from git+https://elsewhere", "d 1.0.0 has no checksum in Cargo.lock"]
        );
    }

    #[test]
    fn a_key_that_nobody_reads_is_refused() {
        assert!(toml::from_str::<Rules>(&FILE.replace("wildcards =", "wildcard =")).is_err());
        assert!(toml::from_str::<Rules>(&FILE.replace("\"deny\"\n", "\"warn\"\n")).is_err());
    }
}
