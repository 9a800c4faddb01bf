//! What the server said comes twice, where that still means something: a poll is answered once more with the answer before it, as a
//! bad cache does; of a stream whole chunks, of a socket whole frames are repeated. Cleartext HTTP/1.1 only. Answers to anything
//! but a GET pass: a receipt that stood for another publish would be a lie, and no fault of a network.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
};

use super::{
    cable::{Break, Wire, pump},
    fault::{Kind, Way},
};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

type Side<'a> = (ReadHalf<'a>, WriteHalf<'a>);

/// Carries requests and answers until something was repeated, or cannot be: then the rest is bytes.
pub(super) async fn carry(
    near: &mut Side<'_>,
    far: &mut Side<'_>,
    wire: &Wire<'_>,
    mut skip: u64,
) -> Result<(), Break> {
    let mut last: Option<(Vec<u8>, Vec<u8>)> = None;
    loop {
        let request = read_head(&mut near.0).await?;
        let place = place(&request);
        if let Some((before, answer)) = &last
            && Some(before) == place.as_ref()
            && wire.network.is_bad()
        {
            if skip == 0 {
                near.1.write_all(answer).await?;
                wire.note_manner(Kind::Repeat);
                return Ok(());
            }
            skip -= 1;
        }
        far.1.write_all(&request).await?;
        // A publish: what follows is its body, and receipts are not repeated.
        let Some(place) = place else { return Ok(()) };
        let mut answer = read_head(&mut far.0).await?;
        let Some(length) = length(&answer).filter(|length| *length <= ANSWER_BYTES_MAX) else {
            near.1.write_all(&answer).await?;
            return streamed(near, far, wire, skip).await;
        };
        let head = end_of_head(&answer).unwrap_or(answer.len());
        let rest = (head + length).saturating_sub(answer.len());
        let begun = answer.len();
        answer.resize(begun + rest, 0);
        far.0.read_exact(&mut answer[begun..]).await?;
        near.1.write_all(&answer).await?;
        last = answer.starts_with(b"HTTP/1.1 200").then_some((place, answer));
    }
}

/// A stream or socket: pieces pass until one of them was repeated.
async fn streamed(
    near: &mut Side<'_>,
    far: &mut Side<'_>,
    wire: &Wire<'_>,
    mut skip: u64,
) -> Result<(), Break> {
    let mut buffer = vec![0; 16 * 1024];
    let down = async {
        loop {
            let count = far.0.read(&mut buffer).await?;
            let piece = &buffer[..count];
            if piece.is_empty() {
                return Err(Break::Gone);
            }
            near.1.write_all(piece).await?;
            if wire.network.is_bad() && (are_chunks(piece) || are_frames(piece)) {
                if skip == 0 {
                    near.1.write_all(piece).await?;
                    wire.note_manner(Kind::Repeat);
                    return Ok(());
                }
                skip -= 1;
            }
        }
    };
    tokio::select! {
        repeated = down => repeated,
        ended = pump(Way::Up, &mut near.0, &mut far.1, wire) => ended.and(Err(Break::Gone)),
    }
}

/// What has come when a head is complete.
async fn read_head(from: &mut ReadHalf<'_>) -> Result<Vec<u8>, Break> {
    let mut head = Vec::new();
    while end_of_head(&head).is_none() {
        if head.len() > HEAD_BYTES_MAX || from.read_buf(&mut head).await? == 0 {
            return Err(Break::Gone);
        }
    }
    Ok(head)
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The path of a GET without its query; several channels of one path are told apart by the query up to the cursor.
fn place(request: &[u8]) -> Option<Vec<u8>> {
    let target = request.strip_prefix(b"GET ")?.split(|byte| *byte == b' ').next()?;
    let end = target.windows(6).position(|window| window == b"after=");
    let is_read = target.starts_with(b"/channels/") || target.starts_with(b"/subscribe");
    is_read.then(|| target[..end.unwrap_or(target.len())].to_vec())
}

/// What an answer says of its length.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.get(..end_of_head(answer)?)?;
    let head = std::str::from_utf8(head).ok()?;
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// Whether these bytes are whole chunks of a chunked body, and not its end.
fn are_chunks(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else { return false };
        let size = std::str::from_utf8(&rest[..line]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).filter(|size| *size > 0);
        let Some(end) = size.map(|size| line + 2 + size + 2).filter(|end| *end <= rest.len()) else {
            return false;
        };
        if &rest[end - 2..end] != b"\r\n" {
            return false;
        }
        rest = &rest[end..];
    }
    !bytes.is_empty()
}

/// Whether these bytes are whole text frames of a WebSocket server.
fn are_frames(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let [first, short, ..] = *rest {
        // FIN and text, compressed or not; a server masks nothing.
        if first & 0xbf != 0x81 || short > 127 {
            return false;
        }
        let (head, size) = match (short, rest) {
            (126, [_, _, high, low, ..]) => (4, u64::from(u16::from_be_bytes([*high, *low]))),
            (127, [_, _, a, b, c, d, e, f, g, h, ..]) => {
                (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
            }
            (126 | 127, _) => return false,
            _ => (2, u64::from(short)),
        };
        let Some(after) = usize::try_from(size).ok().and_then(|size| rest.get(head + size..)) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty() && !bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_chunks_and_frames_are_told_from_parts() {
        assert!(are_chunks(b"3\r\nabc\r\n") && are_chunks(b"3\r\nabc\r\n2\r\nab\r\n"));
        assert!(!are_chunks(b"3\r\nab") && !are_chunks(b"0\r\n\r\n") && !are_chunks(b""));
        assert!(are_frames(&[0x81, 2, b'a', b'b', 0x81, 0]));
        assert!(!are_frames(&[0x81, 2, b'a']) && !are_frames(&[0x88, 0]) && !are_frames(&[]));
    }

    #[test]
    fn a_poll_is_known_by_what_it_reads() {
        let poll = place(b"GET /channels/a?after=e-1 HTTP/1.1\r\n\r\n");
        assert_eq!(poll, place(b"GET /channels/a?after=e-2&wait=1 HTTP/1.1\r\n\r\n"));
        assert_ne!(poll, place(b"GET /channels/b?after=e-1 HTTP/1.1\r\n\r\n"));
        assert_eq!(place(b"POST /channels/a HTTP/1.1\r\n\r\n"), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-length: 12\r\n\r\nabc"), Some(12));
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
    }
}
