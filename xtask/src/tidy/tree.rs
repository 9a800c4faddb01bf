//! The workspace as tidy sees it: its own files as text, its packages and their dependencies.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::child;

/// A file of the workspace, by its path from the root. The text is empty where it is not UTF-8.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) text: String,
}

impl SourceFile {
    /// The last part of the path, without its last ending.
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    pub(super) fn has_ending(&self, endings: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
    }

    /// The crate that the file belongs to: `efir-core` for `crates/efir-core/src/lib.rs`.
    pub(super) fn room(&self) -> Option<&str> {
        self.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next())
    }
}

/// A package and what it depends on.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Debug)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// Needed by its tests only.
    pub(super) is_dev: bool,
}

/// Everything that the rules look at.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub(super) files: Vec<SourceFile>,
    pub(super) packages: Vec<Package>,
    /// The paths that are committed; empty outside a git checkout.
    pub(super) committed: Vec<String>,
}

/// Folders that are built or fetched, never written by us.
const SKIPPED: &[&str] = &["target", "node_modules", ".git", "dist", "artefacts"];

impl Workspace {
    /// Reads the tree under `root` and asks cargo for the packages.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(root, root, &mut files)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let metadata = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
        let metadata = child::read(&mut child::cargo(&metadata))?;
        let listed =
            child::read(std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(root));
        let committed = listed.unwrap_or_default();
        Ok(Self {
            files,
            packages: packages(&metadata)?,
            committed: committed.split_terminator('\0').map(str::to_owned).collect(),
        })
    }

    pub(super) fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files of one crate's `src`.
    pub(super) fn sources<'a>(&'a self, room: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        let folder = format!("crates/{room}/src/");
        self.files.iter().filter(move |file| file.path.starts_with(&folder) && file.has_ending(&["rs"]))
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).into(), text: (*text).into() };
        Self { files: files.iter().map(file).collect(), ..Self::default() }
    }
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            walk(root, &path, files)?;
        } else if kind.is_file() {
            let text = String::from_utf8(std::fs::read(&path)?).unwrap_or_default();
            let path = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

fn packages(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    Ok(packages.iter().map(package).collect())
}

fn package(value: &Value) -> Package {
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let dependencies = value["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let dependency = |value: &Value| Dependency { name: name(value), is_dev: value["kind"] == "dev" };
    Package { name: name(value), dependencies: dependencies.iter().map(dependency).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_come_from_metadata() {
        let text = r#"{"packages":[{"name":"a","dependencies":[{"name":"b","kind":null},{"name":"c","kind":"dev"}]}]}"#;
        let packages = packages(text).unwrap();
        assert_eq!(packages[0].name, "a");
        let seen: Vec<_> =
            packages[0].dependencies.iter().map(|edge| (edge.name.as_str(), edge.is_dev)).collect();
        assert_eq!(seen, [("b", false), ("c", true)]);
    }

    #[test]
    fn a_path_says_room_stem_and_ending() {
        let file = SourceFile { path: "crates/efir-core/src/wire/sse.rs".into(), text: String::new() };
        assert_eq!(
            (file.room(), file.stem(), file.has_ending(&["ts", "rs"])),
            (Some("efir-core"), "sse", true)
        );
    }
}
