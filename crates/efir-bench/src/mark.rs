//! The mark in each payload: `@`, the message's number (10 digits), `,`, when it was due (16 digits, µs), then filling.
//!
//! Nothing else that the server sends has an `@`, so a stream can be searched for marks wherever its frames begin.

use super::system;

/// How many bytes a mark has.
pub const MARK_LEN: usize = 1 + 10 + 1 + 16;

/// A JSON payload of exactly `len` bytes (at least 40) with the mark in it.
pub fn payload(number: u64, due_us: u64, len: usize) -> String {
    let mut text = format!("{{\"mark\":\"@{number:010},{due_us:016}");
    while text.len() + 2 < len {
        text.push('.');
    }
    text + "\"}"
}

/// Calls `found` with number and time of each mark; returns how many bytes are done with. The rest may begin a mark
/// and belongs before the next bytes.
pub fn search(bytes: &[u8], mut found: impl FnMut(u64, u64)) -> usize {
    let mut at = 0;
    while let Some(offset) = system::find(b'@', &bytes[at..]) {
        let start = at + offset;
        let Some(mark) = bytes.get(start..start + MARK_LEN) else { return start };
        found(decimal(&mark[1..11]), decimal(&mark[12..]));
        at = start + MARK_LEN;
    }
    bytes.len()
}

fn decimal(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_length_and_its_mark() {
        let text = payload(7, 123_456, 100);
        assert_eq!(text.len(), 100);
        let mut seen = Vec::new();
        search(text.as_bytes(), |number, due| seen.push((number, due)));
        assert_eq!(seen, [(7, 123_456)]);
    }

    #[test]
    fn a_mark_that_is_cut_is_found_once_the_rest_is_there() {
        let text = payload(1, 2, 60) + &payload(3, 4, 60);
        for cut in 0..text.len() {
            let mut seen = Vec::new();
            let done = search(&text.as_bytes()[..cut], |number, due| seen.push((number, due)));
            search(&text.as_bytes()[done..], |number, due| seen.push((number, due)));
            assert_eq!(seen, [(1, 2), (3, 4)], "cut at {cut}");
        }
    }
}
