//! Rust source as text: code without comments and literals, without its tests, and word by word.
//!
//! Not a parser: enough to tell a call from a comment that speaks of it.

/// The source with comments and the inside of literals blanked; lines stay where they were.
pub(super) fn code_only(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = literal_end(&letters, at);
        if end == at {
            code.push(letters[at]);
            at += 1;
        } else {
            code.extend(letters[at..end].iter().map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(letters: &[char], at: usize) -> usize {
    let next = letters.get(at + 1).copied().unwrap_or(' ');
    let is_inside_word = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    match letters[at] {
        '/' if next == '/' => {
            letters[at..].iter().position(|letter| *letter == '\n').map_or(letters.len(), |n| at + n)
        }
        '/' if next == '*' => block_comment_end(letters, at),
        '"' => quoted_end(letters, at + 1, '"'),
        'r' if !is_inside_word && (next == '"' || next == '#') => raw_end(letters, at),
        '\'' if next == '\\' => quoted_end(letters, at + 1, '\''),
        // A lifetime has no closing quote two letters on.
        '\'' if letters.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn block_comment_end(letters: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while at < letters.len() {
        match (letters[at], letters.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    letters.len()
}

fn quoted_end(letters: &[char], start: usize, quote: char) -> usize {
    let mut at = start;
    while at < letters.len() {
        match letters[at] {
            '\\' => at += 2,
            letter if letter == quote => return at + 1,
            _ => at += 1,
        }
    }
    letters.len()
}

/// `r"…"` and `r#"…"#`; a raw name such as `r#type` is code.
fn raw_end(letters: &[char], start: usize) -> usize {
    let hashes = letters[start + 1..].iter().take_while(|letter| **letter == '#').count();
    let open = start + 1 + hashes;
    if letters.get(open) != Some(&'"') {
        return start;
    }
    let closes = |at: &usize| {
        letters[*at] == '"'
            && letters[at + 1..].iter().take(hashes).filter(|letter| **letter == '#').count() == hashes
    };
    (open + 1..letters.len()).find(closes).map_or(letters.len(), |at| at + 1 + hashes)
}

/// Code (as [`code_only`] gives it) with every item under `#[cfg(test)]` blanked.
pub(super) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let item = &rest[start + MARK.len()..];
        let end = item_end(item);
        kept.extend(item[..end].chars().filter(|letter| *letter == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// Where the item ends: its `;`, or the brace that closes its first one.
fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in code.char_indices() {
        match letter {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Identifiers and keywords, in order.
pub(super) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        let text = "let a = \"x\\\" y\"; // z\n/* q /* r */ s */ let b = r#\"t \"u\" \"#; let c = '\\''; fn f<'v>(w: &'v u8) {} 'k'";
        let code = code_only(text);
        let seen: Vec<&str> = words(&code).collect();
        assert_eq!(seen, ["let", "a", "let", "b", "let", "c", "fn", "f", "v", "w", "v", "u8"]);
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn tests_are_cut_out_and_lines_kept() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { if c { } }\n}\nfn d() {}\n#[cfg(test)]\nmod e;\nfn g() {}";
        let kept = without_tests(code);
        assert_eq!(words(&kept).collect::<Vec<_>>(), ["fn", "a", "fn", "d", "fn", "g"]);
        assert_eq!(kept.lines().count(), code.lines().count());
    }
}
