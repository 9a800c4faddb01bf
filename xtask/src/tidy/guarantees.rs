//! Every promise of docs/guarantees.md names tests, and those tests exist.

use super::tree::Workspace;

const PAPER: &str = "docs/guarantees.md";
/// DESIGN §3 numbers its promises D1 to D12.
const CLAUSES: u32 = 12;
/// A clause that this version does not keep yet says so, and needs no test.
const NOT_YET: &str = "not yet";

pub(super) fn check(workspace: &Workspace) -> Vec<String> {
    let Some(paper) = workspace.file(PAPER) else { return vec![format!("there is no {PAPER}")] };
    let known = test_names(workspace);
    let mut findings = Vec::new();
    for number in 1..=CLAUSES {
        let clause = clause(&paper.text, number);
        if clause.is_empty() {
            findings.push(format!("{PAPER}: there is no D{number}"));
            continue;
        }
        let named = named_tests(&clause);
        if named.is_empty() && !clause.to_lowercase().contains(NOT_YET) {
            findings.push(format!("{PAPER}: D{number} names no test and does not say `{NOT_YET}`"));
        }
        let lost = named.iter().filter(|name| !known.contains(&name.as_str()));
        findings.extend(lost.map(|name| format!("{PAPER}: D{number} names `{name}`, which is no test")));
    }
    findings
}

/// The lines from the one that opens clause D`number` to the next clause or heading.
fn clause(text: &str, number: u32) -> String {
    let opens = |line: &str| opened_clause(line).is_some();
    let mut lines = text.lines().skip_while(|line| opened_clause(line) != Some(number));
    let Some(first) = lines.next() else { return String::new() };
    let rest = lines.take_while(|line| !opens(line) && !line.starts_with('#'));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n")
}

/// `## D7 Atomic join`, `- **D7 Atomic join.**` and `| **D7** |` open clause 7.
fn opened_clause(line: &str) -> Option<u32> {
    let line = line.trim_start_matches(['#', '-', '*', '|', ' ']).strip_prefix('D')?;
    let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Names in backticks that look like a Rust test: words joined by `_`, with paths cut to the last part.
fn named_tests(clause: &str) -> Vec<String> {
    let quoted = clause.split('`').skip(1).step_by(2);
    let last = quoted.map(|name| name.rsplit("::").next().unwrap_or_default());
    let is_test = |name: &&str| {
        name.contains('_')
            && name
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
    };
    last.filter(is_test).map(str::to_owned).collect()
}

/// Every function and module name of the testkit and of the crates' tests: a scenario is one or the other.
fn test_names(workspace: &Workspace) -> Vec<&str> {
    let mut names = Vec::new();
    for file in
        workspace.files.iter().filter(|file| file.has_ending(&["rs"]) && file.path.starts_with("crates/"))
    {
        let is_kit = file.room() == Some("efir-testkit");
        if is_kit {
            names.push(file.stem());
        }
        if is_kit || file.text.contains("#[test]") || file.text.contains("::test]") {
            let words: Vec<&str> = super::rust_text::words(&file.text).collect();
            names.extend(words.windows(2).filter(|pair| matches!(pair[0], "fn" | "mod")).map(|pair| pair[1]));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIT: (&str, &str) =
        ("crates/efir-testkit/src/scenarios/live.rs", "pub async fn receives_live() {}");

    fn paper(changed: u32, clause: &str) -> String {
        let whole = |number: u32| format!("## D{number} Promise\nProved by `receives_live`.\n");
        (1..=CLAUSES)
            .map(|number| if number == changed { clause.to_owned() } else { whole(number) })
            .collect()
    }

    fn findings(changed: u32, clause: &str) -> Vec<String> {
        check(&Workspace::of(&[KIT, (PAPER, &paper(changed, clause))]))
    }

    #[test]
    fn a_promise_without_a_test_is_found() {
        assert_eq!(findings(3, "## D3 Promise\nTrust us: `hub`.\n").len(), 1);
        assert_eq!(findings(3, "## D3 Promise\nNot yet kept.\n"), Vec::<String>::new());
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        assert_eq!(
            findings(12, "- **D12 Promise.** `live::receives_dead` and `receives_live`\n"),
            ["docs/guarantees.md: D12 names `receives_dead`, which is no test"]
        );
    }

    #[test]
    fn a_missing_promise_is_found() {
        assert_eq!(findings(1, ""), ["docs/guarantees.md: there is no D1"]);
    }
}
