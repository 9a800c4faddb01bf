//! What stands in papers and comments.

use super::tree::Workspace;

/// Marks of work that was left; spelled apart so that this file does not find itself.
const OPEN_ENDS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
const READ: &[&str] = &["rs", "ts", "tsx", "js", "mjs", "py", "sh", "css", "html", "md", "toml", "go", "php"];

pub(super) fn open_ends(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for file in workspace.files.iter().filter(|file| file.has_ending(READ)) {
        for (number, line) in file.text.lines().enumerate() {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric());
            if let Some(mark) = words.find(|word| OPEN_ENDS.contains(word)) {
                findings.push(format!("{}:{}: {mark}", file.path, number + 1));
            }
        }
    }
    findings
}

pub(super) fn module_heads(workspace: &Workspace) -> Vec<String> {
    let ours =
        |path: &str| (path.starts_with("crates/") || path.starts_with("xtask/")) && path.contains("/src/");
    let rust = workspace.files.iter().filter(|file| file.has_ending(&["rs"]) && ours(&file.path));
    // What a file named `tests` is for is known.
    let silent = rust.filter(|file| !file.text.starts_with("//!") && file.stem() != "tests");
    silent.map(|file| format!("{}: the first line is no `//!`", file.path)).collect()
}

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const ARCHITECTURE_LINES_MAX: usize = 299;

pub(super) fn architecture(workspace: &Workspace) -> Vec<String> {
    let Some(file) = workspace.file(ARCHITECTURE) else { return vec![format!("there is no {ARCHITECTURE}")] };
    let lines = file.text.lines().count();
    if lines <= ARCHITECTURE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{ARCHITECTURE}: {lines} lines, at most {ARCHITECTURE_LINES_MAX}")]
}

/// A `clippy.toml` of a crate must repeat every plain setting of the root's.
pub(super) fn thresholds(workspace: &Workspace) -> Vec<String> {
    let Some(root) = workspace.file("clippy.toml") else { return vec!["there is no clippy.toml".into()] };
    let settings: Vec<&str> = root.text.lines().filter(|line| line.contains(" = ")).collect();
    let mut findings = Vec::new();
    for file in workspace.files.iter().filter(|file| file.path.ends_with("/clippy.toml")) {
        let lost = settings.iter().filter(|setting| !file.text.lines().any(|line| line == **setting));
        findings.extend(lost.map(|setting| format!("{}: `{setting}` is lost", file.path)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_end_is_found_at_its_line() {
        let text = format!("let a = 1;\n// {}: the rest\nlet XXXL = 2;", OPEN_ENDS[0]);
        assert_eq!(open_ends(&Workspace::of(&[("a.rs", &text)])), [format!("a.rs:2: {}", OPEN_ENDS[0])]);
    }

    #[test]
    fn a_module_without_a_head_is_found() {
        let bad =
            Workspace::of(&[("crates/efir/src/hub.rs", "use a::b;"), ("crates/efir/src/lib.rs", "//! Hub.")]);
        assert_eq!(module_heads(&bad), ["crates/efir/src/hub.rs: the first line is no `//!`"]);
    }

    #[test]
    fn a_map_of_many_pages_is_found() {
        assert_eq!(architecture(&Workspace::of(&[(ARCHITECTURE, &"x\n".repeat(300))])).len(), 1);
        assert!(architecture(&Workspace::of(&[(ARCHITECTURE, &"x\n".repeat(299))])).is_empty());
        assert_eq!(architecture(&Workspace::default()).len(), 1);
    }

    #[test]
    fn a_lost_threshold_is_found() {
        let bad = Workspace::of(&[
            ("clippy.toml", "# why\na = 1\nb = 2\n"),
            ("crates/efir-core/clippy.toml", "a = 1\nb = 3\n"),
        ]);
        assert_eq!(thresholds(&bad), ["crates/efir-core/clippy.toml: `b = 2` is lost"]);
    }
}
