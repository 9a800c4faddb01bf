//! The number in each payload: `@` and ten digits. It is shorter than the load tool's own mark, so that a payload of 16
//! bytes holds it; when a number was due follows from the plan by which it was published.
//!
//! No text that a server sends here has another `@`, so a stream can be searched wherever its frames begin. The length
//! of a frame may hold that byte, but no digits follow.

use efir_bench::system;

/// How many bytes a number has.
const LEN: usize = 1 + 10;

/// A JSON string of exactly `len` bytes (at least 13) with the number in it.
pub(crate) fn payload(number: u64, len: usize) -> String {
    let mut text = String::with_capacity(len);
    text += &format!("\"@{number:010}");
    text.extend(std::iter::repeat_n('.', len.saturating_sub(text.len() + 1)));
    text.push('"');
    text
}

/// Calls `found` with each number; returns how many bytes are done with. The rest may begin a number and belongs before
/// the next bytes.
pub(crate) fn search(bytes: &[u8], mut found: impl FnMut(u64)) -> usize {
    let mut at = 0;
    while let Some(offset) = system::find(b'@', &bytes[at..]) {
        let start = at + offset;
        let Some(number) = bytes.get(start..start + LEN) else { return start };
        if number[1..].iter().all(u8::is_ascii_digit) {
            found(number[1..].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')));
            at = start + LEN;
        } else {
            at = start + 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_length_and_its_number() {
        for len in [16, 100, 65_536] {
            let text = payload(7, len);
            assert_eq!(text.len(), len);
            let mut seen = Vec::new();
            assert_eq!(search(text.as_bytes(), |number| seen.push(number)), len);
            assert_eq!(seen, [7]);
        }
    }

    #[test]
    fn a_number_that_is_cut_is_found_once_the_rest_is_there() {
        // Between them stands the head of a frame of 16,384 bytes, whose length has the byte of `@`.
        let text = [payload(1, 20).as_bytes(), b"\x81\x7e\x40\x40", payload(23, 30).as_bytes()].concat();
        for cut in 0..text.len() {
            let mut seen = Vec::new();
            let done = search(&text[..cut], |number| seen.push(number));
            search(&text[done..], |number| seen.push(number));
            assert_eq!(seen, [1, 23], "cut at {cut}");
        }
    }
}
