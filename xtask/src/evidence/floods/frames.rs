//! HTTP/2 frames by hand (RFC 9113 §4), so that they can be wrong. Header blocks are not compressed, but for names of the static
//! table (RFC 7541, appendix A).

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;

const HEAD_BYTES: usize = 9;

/// Puts a frame behind what is there.
pub(super) fn push(out: &mut Vec<u8>, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The pseudo-headers of a request in cleartext.
pub(super) fn block(method: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x86];
    for (index, value) in [(0x02, method), (0x04, path), (0x01, "localhost")] {
        block.push(index);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// A frame that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// Finds the frames in what came, wherever it was cut.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    rest: Vec<u8>,
}

impl Scanner {
    /// Shows each frame that is complete now.
    pub(super) fn scan(&mut self, bytes: &[u8], mut show: impl FnMut(Frame<'_>)) {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(head) = self.rest.get(from..from + HEAD_BYTES) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
            let payload = from + HEAD_BYTES..from + HEAD_BYTES + length;
            let Some(payload) = self.rest.get(payload) else { break };
            show(Frame { kind, flags, stream, payload });
            from += HEAD_BYTES + length;
        }
        self.rest.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_wherever_they_are_cut() {
        let mut bytes = Vec::new();
        push(&mut bytes, (PING, ACK), 0, b"12345678");
        push(&mut bytes, (DATA, END_STREAM), 5, &[]);
        push(&mut bytes, (GOAWAY, 0), 0, &[0; 300]);
        for size in [1, 7, 1_000] {
            let (mut scanner, mut seen) = (Scanner::default(), Vec::new());
            for piece in bytes.chunks(size) {
                scanner.scan(piece, |frame| {
                    seen.push((frame.kind, frame.flags, frame.stream, frame.payload.len()));
                });
            }
            assert_eq!(seen, [(PING, ACK, 0, 8), (DATA, END_STREAM, 5, 0), (GOAWAY, 0, 0, 300)]);
        }
    }
}
