//! Where the frames of a WebSocket begin and end (RFC 6455 §5.2). It looks at nothing else: what is wrong with them is for those who
//! are tested to find.

/// The frames that go by in one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What has come of the head of the frame that is under way.
    head: Vec<u8>,
    /// How many bytes its payload lacks; `None` while its head is not whole.
    rest: Option<u64>,
}

/// A frame that has come to its end: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended(u8);

impl Ended {
    pub(super) fn is_control(self) -> bool {
        self.0 & 0x08 != 0
    }

    pub(super) fn is_close(self) -> bool {
        self.0 & 0x0f == 0x08
    }

    /// Whether a message ends with it.
    pub(super) fn ends_message(self) -> bool {
        self.0 & 0x80 != 0 && !self.is_control()
    }
}

impl Frames {
    /// Goes on to the end of the frame that is under way, or of `bytes`: how many of them that took, and the frame if it has ended.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, Option<Ended>) {
        let mut taken = 0;
        let rest = loop {
            if let Some(rest) = self.rest {
                break rest;
            }
            let Some(byte) = bytes.get(taken) else { return (taken, None) };
            self.head.push(*byte);
            taken += 1;
            self.rest = payload_bytes(&self.head);
        };
        let left = (bytes.len() - taken) as u64;
        let now = rest.min(left);
        taken += now as usize;
        if now < rest {
            self.rest = Some(rest - now);
            return (taken, None);
        }
        let ended = self.head.first().map(|first| Ended(*first));
        *self = Self::default();
        (taken, ended)
    }
}

/// The length of the payload behind a head that is whole.
fn payload_bytes(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let (length_bytes, mask_bytes) = match second & 0x7f {
        126 => (2, usize::from(second >> 7) * 4),
        127 => (8, usize::from(second >> 7) * 4),
        _ => (0, usize::from(second >> 7) * 4),
    };
    if head.len() < 2 + length_bytes + mask_bytes {
        return None;
    }
    let length = &head[2..2 + length_bytes];
    match length {
        [] => Some(u64::from(second & 0x7f)),
        _ => Some(length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of frames in a stream that comes in pieces of so many bytes, and how many bytes each frame had.
    fn ends(stream: &[u8], piece: usize) -> Vec<(usize, u8)> {
        let (mut frames, mut found, mut length) = (Frames::default(), Vec::new(), 0);
        for mut bytes in stream.chunks(piece) {
            while !bytes.is_empty() {
                let (taken, ended) = frames.pass(bytes);
                bytes = &bytes[taken..];
                length += taken;
                if let Some(Ended(first)) = ended {
                    found.push((std::mem::take(&mut length), first));
                }
            }
        }
        found
    }

    #[test]
    fn frames_of_every_form_are_told_apart_however_they_come() {
        let long = [&[0x02, 126, 1, 0][..], &[7; 256]].concat();
        let huge = [&[0x80, 255, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4][..], &[7; 65_536]].concat();
        let stream = [&[0x81, 0][..], &[0x89, 0x82, 1, 2, 3, 4, 5, 6], &long, &huge, &[0x88, 0]].concat();
        let wanted = [(2, 0x81), (8, 0x89), (260, 0x02), (65_550, 0x80), (2, 0x88)];
        for piece in [1, 3, 7, 1_000, stream.len()] {
            assert_eq!(ends(&stream, piece), wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn messages_end_with_their_last_data_frame() {
        let ends = [0x81, 0x01, 0x80, 0x00, 0x89, 0x88, 0xc2].map(|first| Ended(first).ends_message());
        assert_eq!(ends, [true, false, true, false, false, false, true]);
        assert!(Ended(0x88).is_close() && !Ended(0x89).is_close() && Ended(0x89).is_control());
    }
}
