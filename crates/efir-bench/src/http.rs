//! HTTP/1.1 as a client of many kept-alive connections needs it: heads, answers of known length, chunks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::dialect::{Heard, Seat};
use crate::encryption::Destination;

/// What an answer is made of.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The head, with its last empty line. Its status is below 400.
    Head(&'a [u8]),
    /// The body is over; the next request may follow.
    End,
}

/// A head of more than this is none.
const HEAD_MAX: usize = 64 * 1024;

/// Reads answers one after the other: bodies are searched for marks, the rest is `each`'s.
///
/// # Errors
/// When the server refuses (4xx, 5xx), an answer has no length, or `each` fails.
pub fn answers(
    seat: &mut Seat,
    bytes: &[u8],
    heard: &mut Heard,
    mut each: impl FnMut(&mut Seat, Event<'_>, &mut Heard) -> Result<()>,
) -> Result<usize> {
    let mut done = 0;
    loop {
        let rest = &bytes[done..];
        if !seat.framing.is_past_head {
            let Some(len) = whole_head(rest)? else { return Ok(done) };
            let head = &rest[..len];
            let is_chunked =
                header(head, "transfer-encoding").is_some_and(|value| value.ends_with("chunked"));
            seat.framing.left = body_len(head, is_chunked)?;
            (seat.framing.is_past_head, seat.framing.is_chunked) = (true, is_chunked);
            each(seat, Event::Head(head), heard)?;
            done += len;
        } else if seat.framing.left > 0 {
            let step = searched(seat, rest, heard);
            if step == 0 {
                return Ok(done);
            }
            done += step;
        } else if seat.framing.is_chunked {
            let Some((head, len)) = chunk(rest)? else { return Ok(done) };
            done += head;
            // The line break that ends a chunk counts as part of it; the last chunk has only that.
            seat.framing.left = len + 2;
            seat.framing.is_chunked = len > 0;
        } else {
            seat.framing.is_past_head = false;
            each(seat, Event::End, heard)?;
        }
    }
}

/// Reads an answer that does not end: everything behind its head is searched for marks; chunk heads hold none.
///
/// # Errors
/// When the server refuses (4xx, 5xx) or `each`, which gets the head, fails.
pub fn stream(
    seat: &mut Seat,
    bytes: &[u8],
    heard: &mut Heard,
    mut each: impl FnMut(&mut Seat, Event<'_>, &mut Heard) -> Result<()>,
) -> Result<usize> {
    let mut done = 0;
    if !seat.framing.is_past_head {
        let Some(len) = whole_head(bytes)? else { return Ok(0) };
        seat.framing.is_past_head = true;
        each(seat, Event::Head(&bytes[..len]), heard)?;
        done = len;
    }
    Ok(done + heard.search(&bytes[done..]))
}

/// Searches what has come of a body, chunk or frame of which `left` bytes are missing; returns how many are done with.
pub(crate) fn searched(seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> usize {
    let left = usize::try_from(seat.framing.left).unwrap_or(usize::MAX);
    let part = &bytes[..left.min(bytes.len())];
    let mut done = heard.search(part);
    if part.len() == left {
        // What looks like the beginning of a mark at the very end is none.
        done = left;
    }
    seat.framing.left -= done as u64;
    done
}

fn body_len(head: &[u8], is_chunked: bool) -> Result<u64> {
    if is_chunked || status(head).is_some_and(|status| status == b"304" || status == b"204") {
        return Ok(0);
    }
    let length = header(head, "content-length").context("an answer without a length")?;
    Ok(length.parse()?)
}

/// Lengths of a chunk's head and of the chunk, once its first line is there.
fn chunk(bytes: &[u8]) -> Result<Option<(usize, u64)>> {
    let Some(end) = bytes.iter().take(32).position(|byte| *byte == b'\n') else {
        if bytes.len() >= 32 {
            bail!("a chunk without a length");
        }
        return Ok(None);
    };
    let line = std::str::from_utf8(&bytes[..end])?;
    let digits = line.trim_end().split(';').next().unwrap_or_default();
    Ok(Some((end + 1, u64::from_str_radix(digits, 16).context("a chunk without a length")?)))
}

/// Length of a head with its empty line, once it is whole.
///
/// # Errors
/// When the server refuses (4xx, 5xx), or the head never ends.
pub fn whole_head(bytes: &[u8]) -> Result<Option<usize>> {
    let len = head_len(bytes)?;
    if let Some(len) = len {
        check_status(&bytes[..len], &bytes[len..])?;
    }
    Ok(len)
}

/// The same, whatever it says.
///
/// # Errors
/// When it never ends.
pub(crate) fn head_len(bytes: &[u8]) -> Result<Option<usize>> {
    let end = bytes.windows(4).take(HEAD_MAX).position(|window| window == b"\r\n\r\n");
    if end.is_none() && bytes.len() > HEAD_MAX {
        bail!("the server's answer is not HTTP");
    }
    Ok(end.map(|at| at + 4))
}

/// The value of a header.
#[must_use]
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn status(head: &[u8]) -> Option<&[u8]> {
    head.get(9..12)
}

/// Refusals carry their reason in the body, of which `rest` is what has come.
fn check_status(head: &[u8], rest: &[u8]) -> Result<()> {
    if status(head).is_some_and(|status| matches!(status.first(), Some(b'1' | b'2' | b'3'))) {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&rest[..rest.len().min(400)]).into_owned();
    bail!(
        "the server refused: {} {}",
        String::from_utf8_lossy(head).lines().next().unwrap_or_default(),
        reason.trim()
    );
}

/// One GET; the body of a 200.
///
/// # Errors
/// When there is no answer or another status.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    get_from(&address.into(), &address.to_string(), path)
}

/// The same, encrypted where that is wanted, with a `Host` of its own.
///
/// # Errors
/// As [`get`].
pub fn get_from(server: &Destination, host: &str, path: &str) -> Result<String> {
    exchange(server, &format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"))
}

/// One request as it stands, on a connection that the server closes (HTTP/1.0); the body of a 200.
///
/// # Errors
/// As [`get`].
pub fn exchange(server: &Destination, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&server.address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut answer = Vec::new();
    match &server.encryption {
        None => ask(&mut stream, request, &mut answer)?,
        Some(encryption) => {
            let mut session = encryption.session()?;
            ask(&mut rustls::Stream::new(&mut session, &mut stream), request, &mut answer)?;
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    if head.split(' ').nth(1) != Some("200") {
        let reason: String = body.lines().next().unwrap_or_default().chars().take(200).collect();
        bail!("{}: {reason}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

fn ask(stream: &mut (impl Read + Write), request: &str, answer: &mut Vec<u8>) -> std::io::Result<()> {
    stream.write_all(request.as_bytes())?;
    stream.read_to_end(answer).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::channels::Channels;
    use crate::mark::{self, Mark};

    fn marked(number: u64, len: usize) -> String {
        let mut payload = mark::blank(len);
        mark::stamp(&mut payload, &Mark { lane: 0, number, due_us: 5 });
        String::from_utf8(payload).unwrap()
    }

    /// What is found and how many answers ended, whatever the pieces.
    fn read(text: &str, piece: usize) -> (Vec<u64>, usize) {
        let mut seat = Seat::new(Arc::new(Channels::new("c", 1, 1)), 0, (0, 1));
        let (mut heard, mut cut, mut ends) = (Heard::default(), Vec::new(), 0);
        for piece in text.as_bytes().chunks(piece) {
            cut.extend_from_slice(piece);
            let done = answers(&mut seat, &cut, &mut heard, |_, event, _| {
                ends += usize::from(matches!(event, Event::End));
                Ok(())
            });
            cut.drain(..done.unwrap());
        }
        assert!(cut.is_empty());
        (heard.found.iter().map(|mark| mark.number).collect(), ends)
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        let (one, two) = (marked(1, 100), marked(2, 40));
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 104\r\n\r\n[{one} @]HTTP/1.1 304 Not Modified\r\n\r\n\
             HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n{two}\r\n3;x=y\r\nabc\r\n0\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        );
        for piece in 1..text.len() {
            assert_eq!(read(&text, piece), (vec![1, 2], 4), "pieces of {piece}");
        }
    }

    #[test]
    fn a_refusal_names_its_reason() {
        let mut seat = Seat::new(Arc::new(Channels::new("c", 1, 1)), 0, (0, 1));
        let bytes = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow";
        let error = answers(&mut seat, bytes, &mut Heard::default(), |_, _, _| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "the server refused: HTTP/1.1 429 Too Many Requests slow");
    }
}
