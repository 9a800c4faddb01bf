//! How long a file may be.

use super::tree::{SourceFile, Workspace};

const LINES_MAX: usize = 700;
const LINES_AIM: usize = 400;
const ENDINGS: &[&str] = &["rs", "ts", "tsx", "js", "mjs", "py", "sh", "css"];

pub(super) fn check(workspace: &Workspace) -> Vec<String> {
    longer(workspace, LINES_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines, at most {LINES_MAX}", file.path))
        .collect()
}

/// Files that are over the aim but still allowed.
pub(super) fn notes(workspace: &Workspace) -> Vec<String> {
    let long = longer(workspace, LINES_AIM).filter(|(_, lines)| *lines <= LINES_MAX);
    long.map(|(file, lines)| format!("{} has {lines} lines; aim for {LINES_AIM}", file.path)).collect()
}

fn longer(workspace: &Workspace, most: usize) -> impl Iterator<Item = (&SourceFile, usize)> {
    let code = workspace.files.iter().filter(|file| file.has_ending(ENDINGS));
    code.map(|file| (file, file.text.lines().count())).filter(move |(_, lines)| *lines > most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_and_a_longish_one_noted() {
        let (long, longish) = ("x\n".repeat(701), "x\n".repeat(700));
        let bad = Workspace::of(&[("a.rs", &long), ("b.ts", &longish), ("c.md", &long), ("d.rs", "x")]);
        assert_eq!(check(&bad), ["a.rs: 701 lines, at most 700"]);
        assert_eq!(notes(&bad), ["b.ts has 700 lines; aim for 400"]);
    }
}
