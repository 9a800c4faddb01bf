//! The same name in all places: a transport's files, and the two languages of a paper.

use super::tree::Workspace;

/// Where the list of transports is; each name of it must have its files.
const LIST: &str = "crates/efir-transports/src/lib.rs";

/// The names in the order of DESIGN §1. A transport that is missing here is found because the list has its module.
const TRANSPORTS: &[&str] = &["short_poll", "long_poll", "sse", "http_stream", "websocket"];

/// The files that a transport has; `{}` is its name, `{-}` the name as it stands in URLs.
const PLACES: &[&str] = &[
    "crates/efir-transports/src/{}.rs",
    "crates/efir-client/src/transports/{}.rs",
    "crates/efir-testkit/src/readers/{}.rs",
    "docs/concepts/{-}.md",
    "docs/concepts/{-}.ru.md",
    "packages/ui/src/transports/{}.ts",
];

/// Folders in which every file of that ending is a transport's, so that a leftover is found, too.
const FOLDERS: &[(&str, &str)] =
    &[("crates/efir-client/src/transports/", "rs"), ("crates/efir-testkit/src/readers/", "rs")];

pub(super) fn transports(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    let list = workspace.file(LIST).map(|file| file.text.as_str()).unwrap_or_default();
    for name in TRANSPORTS {
        if !list.contains(&format!("mod {name};")) {
            findings.push(format!("{LIST}: the list has no `{name}`"));
        }
        for place in PLACES {
            let path = place.replace("{}", name).replace("{-}", &name.replace('_', "-"));
            if workspace.file(&path).is_none() {
                findings.push(format!("{name}: there is no {path}"));
            }
        }
    }
    for (folder, ending) in FOLDERS {
        for file in &workspace.files {
            let inside = file.path.strip_prefix(folder).is_some_and(|rest| !rest.contains('/'));
            let known = TRANSPORTS.contains(&file.stem()) || file.stem() == "mod";
            if inside && file.has_ending(&[ending]) && !known {
                findings.push(format!("{}: no transport has this name", file.path));
            }
        }
    }
    findings
}

pub(super) fn languages(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        let is_paper = file.path == "README.md" || file.path.starts_with("docs/concepts/");
        if !is_paper || !file.has_ending(&["md"]) {
            continue;
        }
        let twin = match file.path.strip_suffix(".ru.md") {
            Some(english) => format!("{english}.md"),
            None => format!("{}.ru.md", file.path.trim_end_matches(".md")),
        };
        if workspace.file(&twin).is_none() {
            findings.push(format!("{}: its twin {twin} is missing", file.path));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_twin_and_a_leftover_are_found() {
        let list: String = TRANSPORTS.iter().map(|name| format!("pub mod {name};\n")).collect();
        let mut paths = vec![(LIST.to_owned(), list)];
        for name in TRANSPORTS {
            let path = |place: &&str| place.replace("{}", name).replace("{-}", &name.replace('_', "-"));
            paths.extend(PLACES.iter().map(|place| (path(place), String::new())));
        }
        let files: Vec<(&str, &str)> =
            paths.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert!(transports(&Workspace::of(&files)).is_empty());

        let mut bad: Vec<(&str, &str)> =
            files.into_iter().filter(|(path, _)| *path != "docs/concepts/long-poll.ru.md").collect();
        bad.push(("crates/efir-testkit/src/readers/websockets.rs", ""));
        assert_eq!(
            transports(&Workspace::of(&bad)),
            [
                "long_poll: there is no docs/concepts/long-poll.ru.md",
                "crates/efir-testkit/src/readers/websockets.rs: no transport has this name"
            ]
        );
    }

    #[test]
    fn a_paper_in_one_language_is_found() {
        let bad =
            Workspace::of(&[("README.md", ""), ("README.ru.md", ""), ("docs/concepts/cursors.ru.md", "")]);
        assert_eq!(
            languages(&bad),
            ["docs/concepts/cursors.ru.md: its twin docs/concepts/cursors.md is missing"]
        );
    }
}
