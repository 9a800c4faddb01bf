//! File and type names are nouns of the field (DESIGN §6), never boxes for what found no place.

use super::rust_text;
use super::tree::{SourceFile, Workspace};

const REFUSED: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "base", "impl", "data",
    "info",
];

/// Names that are right all the same, each with its reason.
const FILE_EXCEPTIONS: &[(&str, &str)] = &[("info", "what `GET /info` answers with")];
const TYPE_EXCEPTIONS: &[(&str, &str)] = &[
    ("Info", "what `GET /info` answers with"),
    ("Data", "the field `data` of a message, as the wire names it"),
];

const CODE: &[&str] = &["rs", "ts", "tsx", "js", "mjs"];

pub(super) fn files(workspace: &Workspace) -> Vec<String> {
    let code = workspace.files.iter().filter(|file| file.has_ending(CODE));
    code.filter_map(|file| {
        let excepted = FILE_EXCEPTIONS.iter().any(|(name, _)| *name == file.stem());
        let word = file.stem().split(['_', '-', '.']).find(|word| is_refused(word))?;
        (!excepted).then(|| format!("{}: `{word}` says nothing", file.path))
    })
    .collect()
}

pub(super) fn types(workspace: &Workspace) -> Vec<String> {
    let code = workspace.files.iter().filter(|file| file.has_ending(CODE));
    code.flat_map(|file| {
        let declared = if file.has_ending(&["rs"]) { rust_types(file) } else { script_types(file) };
        let refused = declared.into_iter().filter(|name| is_refused_type(name));
        refused.map(|name| format!("{}: type `{name}`", file.path)).collect::<Vec<_>>()
    })
    .collect()
}

fn is_refused(word: &str) -> bool {
    REFUSED.contains(&word.to_ascii_lowercase().as_str())
}

fn is_refused_type(name: &str) -> bool {
    let excepted = TYPE_EXCEPTIONS.iter().any(|(exception, _)| *exception == name);
    !excepted && humps(name).iter().any(|word| is_refused(word))
}

/// `SlabBase` → `Slab`, `Base`.
fn humps(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for letter in name.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_uppercase() => word.push(letter),
            _ => words.push(letter.to_string()),
        }
    }
    words
}

fn rust_types(file: &SourceFile) -> Vec<String> {
    let code = rust_text::code_only(&file.text);
    let words: Vec<&str> = rust_text::words(&code).collect();
    let declared =
        words.windows(2).filter(|pair| matches!(pair[0], "struct" | "enum" | "trait" | "union" | "type"));
    declared.map(|pair| pair[1].to_owned()).filter(|name| name.starts_with(char::is_uppercase)).collect()
}

fn script_types(file: &SourceFile) -> Vec<String> {
    let mut names = Vec::new();
    for line in file.text.lines() {
        let mut words =
            line.split_whitespace().skip_while(|word| matches!(*word, "export" | "default" | "abstract"));
        if matches!(words.next(), Some("interface" | "class" | "type" | "enum")) {
            let name = words.next().unwrap_or_default();
            names.push(name.chars().take_while(|letter| letter.is_alphanumeric()).collect());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_name_is_found() {
        let bad = Workspace::of(&[
            ("crates/efir-core/src/utils.rs", ""),
            ("packages/ui/src/chat-helpers.ts", ""),
            ("crates/efir-server/src/info.rs", ""),
            ("crates/efir-core/src/database.rs", ""),
        ]);
        let found = [
            "crates/efir-core/src/utils.rs: `utils` says nothing",
            "packages/ui/src/chat-helpers.ts: `helpers` says nothing",
        ];
        assert_eq!(files(&bad), found);
    }

    #[test]
    fn an_empty_type_name_is_found() {
        let bad = Workspace::of(&[
            (
                "a.rs",
                "pub struct ChannelManager;\nenum Info {}\nstruct Metadata; // struct HandlerBase\ntrait Base {}",
            ),
            (
                "b.ts",
                "export interface ChatData {\n  kind: handler;\n}\nexport type Info = string;\nclass Cable {}",
            ),
        ]);
        assert_eq!(
            types(&bad),
            ["a.rs: type `ChannelManager`", "a.rs: type `Base`", "b.ts: type `ChatData`"]
        );
    }
}
