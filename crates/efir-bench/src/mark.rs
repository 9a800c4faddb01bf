//! The mark at the end of each payload: 16 bytes that say which message this is and when it should have been sent.
//!
//! `@`, then 15 letters of 6 bits: lane (4), number within the lane (5), planned time in µs (6). The letters are those
//! that no encoding changes. Nothing else that a server sends has an `@`, so a stream can be searched for marks wherever
//! its frames begin; and as a mark ends its payload, all of the message is there when the mark is.

use crate::system;

/// How many bytes a mark has, which is the shortest payload, too.
pub const MARK_LEN: usize = 16;

/// Lanes, numbers and times stay below these.
pub const LANES_MAX: u64 = 1 << 24;
/// See [`LANES_MAX`].
pub const NUMBERS_MAX: u64 = 1 << 30;
/// See [`LANES_MAX`]; µs, which are 19 hours.
pub const TIMES_MAX: u64 = 1 << 36;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [0; 256];
    let mut n = 0;
    while n < LETTERS.len() {
        values[LETTERS[n] as usize] = n as u8;
        n += 1;
    }
    values
}

/// What a payload says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Channel and publisher (`channels.rs`).
    pub lane: u32,
    /// 1, 2, 3 … within the lane.
    pub number: u64,
    /// When it was planned to be published: µs since the run's clock.
    pub due_us: u64,
}

impl Mark {
    /// As it stands at the end of a payload.
    #[must_use]
    pub fn text(&self) -> [u8; MARK_LEN] {
        let mut text = [b'@'; MARK_LEN];
        let fields = [(u64::from(self.lane), 1..5), (self.number, 5..10), (self.due_us, 10..16)];
        for (mut value, place) in fields {
            for byte in text[place].iter_mut().rev() {
                *byte = LETTERS[(value & 63) as usize];
                value >>= 6;
            }
        }
        text
    }

    fn read(text: &[u8]) -> Self {
        let value = |letters: &[u8]| {
            letters.iter().fold(0, |value, letter| value << 6 | u64::from(VALUES[usize::from(*letter)]))
        };
        Self { lane: value(&text[1..5]) as u32, number: value(&text[5..10]), due_us: value(&text[10..16]) }
    }
}

/// A payload of `len` bytes (at least [`MARK_LEN`]) with room for marks; [`stamp`] puts them in.
#[must_use]
pub fn blank(len: usize) -> Vec<u8> {
    vec![b'.'; len.max(MARK_LEN)]
}

/// Writes the mark over the end of a payload.
pub fn stamp(payload: &mut [u8], mark: &Mark) {
    let start = payload.len().saturating_sub(MARK_LEN);
    if let Some(end) = payload.get_mut(start..) {
        end.copy_from_slice(&mark.text());
    }
}

/// Puts the marks that stand in `bytes` into `found`; returns how many bytes are done with. The rest may begin a mark
/// and belongs before the next bytes.
pub fn search(bytes: &[u8], found: &mut Vec<Mark>) -> usize {
    let mut at = 0;
    while let Some(offset) = system::find(b'@', &bytes[at..]) {
        let start = at + offset;
        let Some(text) = bytes.get(start..start + MARK_LEN) else { return start };
        found.push(Mark::read(text));
        at = start + MARK_LEN;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(mark: &Mark, len: usize) -> Vec<u8> {
        let mut payload = blank(len);
        stamp(&mut payload, mark);
        payload
    }

    #[test]
    fn a_payload_has_its_length_and_its_mark() {
        for mark in [
            Mark { lane: 7, number: 123_456, due_us: 98_765_432 },
            Mark { lane: LANES_MAX as u32 - 1, number: NUMBERS_MAX - 1, due_us: TIMES_MAX - 1 },
        ] {
            for len in [16, 17, 100] {
                let (payload, mut found) = (payload(&mark, len), Vec::new());
                assert_eq!(payload.len(), len);
                assert_eq!(search(&payload, &mut found), len);
                assert_eq!(found, [mark]);
            }
        }
    }

    #[test]
    fn a_mark_that_is_cut_is_found_once_the_rest_is_there() {
        let marks = [Mark { lane: 0, number: 1, due_us: 2 }, Mark { lane: 3, number: 4, due_us: 5 }];
        let text = [payload(&marks[0], 60), payload(&marks[1], 60)].concat();
        for cut in 0..text.len() {
            let mut found = Vec::new();
            let done = search(&text[..cut], &mut found);
            search(&text[done..], &mut found);
            assert_eq!(found, marks, "cut at {cut}");
        }
    }
}
