//! The same name in all places: a transport's files, and the two languages of a paper.

use super::tree::Workspace;

/// Where the list of transports is; each name of it must have its files.
const LIST: &str = "crates/efir-transports/src/lib.rs";
const LIST_BEGINS: &str = "pub const TRANSPORTS";

/// The files that a transport has; `{}` is its name, `{-}` the name as it stands in URLs.
const PLACES: &[&str] = &[
    "crates/efir-transports/src/{}.rs",
    "crates/efir-client/src/transports/{}.rs",
    "crates/efir-testkit/src/readers/{}.rs",
    "docs/concepts/{-}.md",
    "docs/concepts/{-}.ru.md",
    "packages/client/src/transports/{}.ts",
    "packages/ui/src/transports/{}.ts",
];

/// Files among them that are no transport: the frame of the folder, and `/socket`, which reads many channels.
const BESIDES: &[&str] = &["mod", "socket"];

/// Folders in which every file of that ending is a transport's, so that a leftover is found, too.
const FOLDERS: &[(&str, &str)] =
    &[("crates/efir-client/src/transports/", "rs"), ("crates/efir-testkit/src/readers/", "rs")];

pub(super) fn transports(workspace: &Workspace) -> Vec<String> {
    let listed = listed(workspace);
    if listed.is_empty() {
        return vec![format!("{LIST}: there is no list of transports")];
    }
    let mut findings = Vec::new();
    for name in &listed {
        for place in PLACES {
            let path = place.replace("{}", &name.replace('-', "_")).replace("{-}", name);
            if workspace.file(&path).is_none() {
                findings.push(format!("{name}: there is no {path}"));
            }
        }
    }
    for (folder, ending) in FOLDERS {
        for file in &workspace.files {
            let inside = file.path.strip_prefix(folder).is_some_and(|rest| !rest.contains('/'));
            let known = listed.contains(&file.stem().replace('_', "-")) || BESIDES.contains(&file.stem());
            if inside && file.has_ending(&[ending]) && !known {
                findings.push(format!("{}: no transport has this name", file.path));
            }
        }
    }
    findings
}

/// The names of the list, as they stand in URLs.
fn listed(workspace: &Workspace) -> Vec<String> {
    let text = workspace.file(LIST).map(|file| file.text.as_str()).unwrap_or_default();
    let Some((_, list)) = text.split_once(LIST_BEGINS) else { return Vec::new() };
    let list = list.split_once("];").map_or(list, |(list, _)| list);
    list.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// Folders of papers that are there in both languages.
const FOR_USERS: &[&str] = &["docs/concepts/", "docs/guides/", "docs/operating/"];

pub(super) fn languages(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        let is_paper =
            file.path == "README.md" || FOR_USERS.iter().any(|folder| file.path.starts_with(folder));
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

    const TWO: &str = "pub const TRANSPORTS: &[TransportRow] = &[\n    TransportRow { name: \"sse\" },\n    \
                       TransportRow { name: \"long-poll\" },\n];\nconst OTHER: Row = Row { name: \"other\" };";

    #[test]
    fn a_missing_twin_and_a_leftover_are_found() {
        let mut paths = vec![(LIST.to_owned(), TWO.to_owned())];
        for name in ["sse", "long-poll"] {
            let path = |place: &&str| place.replace("{}", &name.replace('-', "_")).replace("{-}", name);
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
                "long-poll: there is no docs/concepts/long-poll.ru.md",
                "crates/efir-testkit/src/readers/websockets.rs: no transport has this name"
            ]
        );
    }

    #[test]
    fn a_lost_list_is_found() {
        assert_eq!(transports(&Workspace::default()).len(), 1);
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
