//! The client has the server's version: every efir serves its own, and who asks which one a page has must not get two answers.

use serde_json::Value;

use super::tree::Workspace;

const WORKSPACE: &str = "Cargo.toml";
/// The packages whose version is the server's.
const PACKAGES: &[&str] = &["packages/client/package.json", "packages/ui/package.json"];

pub(super) fn check(workspace: &Workspace) -> Vec<String> {
    let Some(ours) = workspace.file(WORKSPACE).and_then(|file| server_version(&file.text)) else {
        return vec![format!("{WORKSPACE}: there is no version under [workspace.package]")];
    };
    let mut findings = Vec::new();
    for path in PACKAGES {
        let Some(file) = workspace.file(path) else {
            findings.push(format!("there is no {path}"));
            continue;
        };
        let package: Value = serde_json::from_str(&file.text).unwrap_or_default();
        if package["version"] != ours {
            findings.push(format!("{path}: version {}, and the server's is \"{ours}\"", package["version"]));
        }
    }
    findings
}

fn server_version(text: &str) -> Option<&str> {
    let (_, package) = text.split_once("[workspace.package]")?;
    let line = package.lines().find_map(|line| line.strip_prefix("version = \""))?;
    line.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str =
        "[workspace]\nmembers = []\n\n[workspace.package]\nversion = \"0.2.0\"\nedition = \"2024\"\n";

    #[test]
    fn a_client_of_another_version_is_found() {
        let right = "{\"version\":\"0.2.0\"}";
        let files = |client| {
            [
                ("Cargo.toml", SERVER),
                ("packages/client/package.json", client),
                ("packages/ui/package.json", right),
            ]
        };
        assert!(check(&Workspace::of(&files(right))).is_empty());
        assert_eq!(
            check(&Workspace::of(&files("{\"version\":\"0.1.9\"}"))),
            ["packages/client/package.json: version \"0.1.9\", and the server's is \"0.2.0\""]
        );
        assert_eq!(check(&Workspace::of(&[("Cargo.toml", SERVER)])).len(), 2);
    }
}
