//! No panics in the crates that serve requests, outside their tests.

use super::rust_text;
use super::tree::{SourceFile, Workspace};

const ROOMS: &[&str] =
    &["efir-core", "efir-access", "efir-ws", "efir-engine", "efir-transports", "efir-client"];
const CALLS: &[&str] = &[".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];
/// An `unreachable!` that says why it is, is a proof; a bare one is a hope.
const MACROS: &[&str] = &["panic!", "todo!", "unimplemented!", "unreachable!()"];

pub(super) fn check(workspace: &Workspace) -> Vec<String> {
    let files = ROOMS.iter().flat_map(|room| workspace.sources(room));
    files.filter(|file| !is_test_file(file)).flat_map(panics).collect()
}

fn is_test_file(file: &SourceFile) -> bool {
    file.path.contains("/tests/") || file.stem() == "tests" || file.stem().ends_with("_tests")
}

fn panics(file: &SourceFile) -> Vec<String> {
    let code = rust_text::without_tests(&rust_text::code_only(&file.text));
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let calls = CALLS.iter().filter(|call| line.contains(**call));
        let macros = MACROS.iter().filter(|name| has_macro(line, name));
        for found in calls.chain(macros) {
            findings.push(format!("{}:{}: `{found}`", file.path, number + 1));
        }
    }
    findings
}

/// `debug_unreachable!` is another macro than `unreachable!`.
fn has_macro(line: &str, name: &str) -> bool {
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_outside_tests_is_found_at_its_line() {
        let bad = "//! Panics never: not by panic!().\nfn f() {\n    g().unwrap();\n    todo!()\n}\n\
                   #[cfg(test)]\nmod tests {\n    fn h() { k().expect(\"fine here\"); }\n}\n";
        let bad = Workspace::of(&[
            ("crates/efir-engine/src/hub.rs", bad),
            ("crates/efir-engine/src/hub/tests.rs", "fn t() { panic!() }"),
            ("crates/efir-server/src/main.rs", "fn m() { start().unwrap() }"),
        ]);
        assert_eq!(
            check(&bad),
            ["crates/efir-engine/src/hub.rs:3: `.unwrap()`", "crates/efir-engine/src/hub.rs:4: `todo!`"]
        );
    }
}
