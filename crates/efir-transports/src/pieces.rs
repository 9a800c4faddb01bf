//! The body of a large answer, in pieces. Its messages are those of the log, so that thousands of answers that nobody reads keep little
//! more than one of them. Knows nothing of what the pieces say.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Smaller ones are put together where each piece is a frame.
const FRAME_BYTES_MIN: usize = 4 * 1024;
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// Pieces that follow each other.
#[derive(Debug, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl Pieces {
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        Self { len: pieces.iter().map(Bytes::len).sum(), pieces: pieces.into() }
    }

    /// Bytes of all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes, `most` at most; none when nothing is left.
    pub(crate) fn take(&mut self, most: usize) -> Bytes {
        let Some(front) = self.pieces.front_mut() else { return Bytes::new() };
        if front.len() >= FRAME_BYTES_MIN {
            let taken = front.split_to(front.len().min(most));
            if front.is_empty() {
                self.pieces.pop_front();
            }
            self.len -= taken.len();
            return taken;
        }
        let mut taken = BytesMut::new();
        while let Some(next) = self.pieces.front()
            && taken.len() + next.len() <= GATHERED_BYTES_MAX.min(most)
        {
            taken.extend_from_slice(next);
            self.pieces.pop_front();
        }
        self.len -= taken.len();
        taken.freeze()
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = std::collections::vec_deque::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_was_put_in() {
        let parts = [0, 1, 100, 70_000, 1, 5_000, 3, 20_000, 4_095, 4_096, 9_000, 1];
        let whole: Vec<u8> = (0..parts.iter().sum()).map(|n: usize| n as u8).collect();
        let mut rest = Bytes::from(whole.clone());
        let mut pieces = Pieces::new(parts.iter().map(|len| rest.split_to(*len)).collect());
        assert_eq!(pieces.len(), whole.len());
        let (mut taken, mut frames) = (Vec::new(), 0);
        while !pieces.is_empty() {
            let frame = pieces.take(64 * 1024);
            assert!(!frame.is_empty() && frame.len() <= 64 * 1024);
            taken.extend_from_slice(&frame);
            frames += 1;
            assert_eq!(pieces.len() + taken.len(), whole.len());
        }
        assert!(taken == whole && frames < parts.len(), "{frames}");
        assert!(pieces.take(1).is_empty());
    }
}
