//! Papers that a program writes into: a result stands between two marks, everything else is people's.

use anyhow::{Context, Result};

use crate::root::root;

/// Puts a result where a paper keeps it: between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
///
/// # Errors
/// When the paper is not there or has no such marks.
pub(crate) fn write(path: &str, name: &str, result: &str) -> Result<()> {
    let file = root().join(path);
    let paper = std::fs::read_to_string(&file).with_context(|| format!("reading {path}"))?;
    let paper =
        replaced(&paper, name, result).with_context(|| format!("{path} has no marks for `{name}`"))?;
    std::fs::write(&file, paper)?;
    println!("{path} written");
    Ok(())
}

fn replaced(paper: &str, name: &str, result: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = paper.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", result.trim()))
}

/// `65536` → `65,536`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_replaces_the_one_before_and_nothing_else() {
        let paper =
            "# Title\n<!-- a: begin -->\nold\n<!-- a: end -->\nrest\n<!-- b: begin -->\n<!-- b: end -->";
        let written =
            "# Title\n<!-- a: begin -->\nnew\n<!-- a: end -->\nrest\n<!-- b: begin -->\n<!-- b: end -->";
        assert_eq!(replaced(paper, "a", "new\n").unwrap(), written);
        assert!(replaced(paper, "c", "new").is_none());
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 65_536, 1_048_576].map(grouped),
            ["0", "999", "1,000", "65,536", "1,048,576"]
        );
    }
}
