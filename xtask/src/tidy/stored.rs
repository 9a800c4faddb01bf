//! What may be committed.

use super::tree::Workspace;

/// The one source of crates that a lock may name: cargo's own name for crates.io, which mirrors stand in for.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn locks(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        let is_cargo = file.path.ends_with("Cargo.lock");
        let is_npm = file.path.ends_with("package-lock.json");
        for (number, line) in file.text.lines().enumerate() {
            let line = line.trim();
            let is_address = (is_npm && line.starts_with("\"resolved\": \"http"))
                || (is_cargo && line.starts_with("source = ") && !line.contains(CRATES_IO));
            if is_address {
                findings.push(format!("{}:{}: a download address", file.path, number + 1));
            }
        }
    }
    findings
}

/// Folders and endings of what a build makes.
const BUILT_FOLDERS: &[&str] = &["target", "node_modules", "dist", "artefacts"];
const BUILT_ENDINGS: &[&str] = &["wasm", "so", "o", "rlib", "map", "tsbuildinfo", "pyc", "log"];

pub(super) fn nothing_built(workspace: &Workspace) -> Vec<String> {
    let is_built = |path: &str| {
        let in_folder = path.split('/').rev().skip(1).any(|folder| BUILT_FOLDERS.contains(&folder));
        in_folder || path.rsplit_once('.').is_some_and(|(_, ending)| BUILT_ENDINGS.contains(&ending))
    };
    let built = workspace.committed.iter().filter(|path| is_built(path));
    built.map(|path| format!("{path} is committed")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_lock_is_found() {
        let npm = "{\n  \"resolved\": \"https://registry.example/a.tgz\",\n  \"integrity\": \"sha512-x\"\n}";
        let cargo = format!(
            "name = \"a\"\nsource = \"{CRATES_IO}\"\nname = \"b\"\nsource = \"git+https://example/b\""
        );
        let bad = Workspace::of(&[("Cargo.lock", &cargo), ("e2e/package-lock.json", npm)]);
        assert_eq!(
            locks(&bad),
            ["Cargo.lock:4: a download address", "e2e/package-lock.json:2: a download address"]
        );
    }

    #[test]
    fn a_built_file_is_found() {
        let committed = ["packages/ui/dist/index.html", "docs/dist.md", "a/b.wasm"].map(str::to_owned).into();
        let bad = Workspace { committed, ..Workspace::default() };
        assert_eq!(
            nothing_built(&bad),
            ["packages/ui/dist/index.html is committed", "a/b.wasm is committed"]
        );
    }
}
