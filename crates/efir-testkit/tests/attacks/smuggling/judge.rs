//! Sends an attack, a request of its own behind it, and reads who is answered what.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::corpus::{Attack, Fate};

/// How the attack comes to the parser that it is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// First on its connection, where efir's own parser meets it.
    Plain,
    /// Behind a request that only the HTTP library reads, in its buffer.
    Library,
    /// As [`Way::Plain`], byte by byte at first.
    Pieces,
}

impl Way {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Library, Self::Pieces];
}

/// A request that the HTTP library reads, and that has no body to disagree about.
const HEAD: &[u8] = b"HEAD /info HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What came back, in its order, without the answer to [`HEAD`].
#[derive(Debug)]
pub(crate) struct Seen {
    /// Status and body.
    pub answers: Vec<(u16, String)>,
    /// The peer closed; otherwise it was silent for too long.
    pub is_closed: bool,
}

/// Sends the attack with this number, and the marker behind it.
///
/// # Errors
/// When the connection cannot be made, or what comes is no HTTP.
pub(crate) async fn send(
    address: SocketAddr,
    attack: &Attack,
    (number, way): (usize, Way),
    silence: Duration,
) -> Result<Seen> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let digits = format!("{number:04}");
    let mut bytes = replaced(&attack.bytes, b"{n}", digits.as_bytes());
    bytes.extend_from_slice(&question("marker", number, "Connection: close\r\n"));
    if way == Way::Library {
        bytes.splice(0..0, HEAD.iter().copied());
    }
    let slow = if way == Way::Pieces { bytes.len().min(40) } else { 0 };
    let (slowly, rest) = bytes.split_at(slow);
    for byte in slowly {
        // Whoever closes after half of it has refused it.
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let _ = stream.write_all(rest).await;
    if matches!(attack.fate, Fate::Waits | Fate::Either | Fate::Ambiguous) {
        stream.shutdown().await.ok();
    }
    let (came, is_closed) = read(&mut stream, silence).await;
    let mut answers =
        answers(&came, way == Way::Library).with_context(|| String::from_utf8_lossy(&came).into_owned())?;
    if way == Way::Library {
        ensure!(!answers.is_empty(), "HEAD was not answered");
        answers.remove(0);
    }
    Ok(Seen { answers, is_closed })
}

/// A request for a channel that is named after `who` and the number.
pub(crate) fn question(who: &str, number: usize, lines: &str) -> Vec<u8> {
    format!("GET /channels/{who}-{number:04}?limit=1 HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes()
}

/// Asks on a connection of its own, and fails if the answer is somebody else's.
///
/// # Errors
/// As said.
pub(crate) async fn ask(address: SocketAddr, who: &str, number: usize) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&question(who, number, "Connection: close\r\n")).await?;
    let (came, _) = read(&mut stream, Duration::from_secs(10)).await;
    let answers = answers(&came, false)?;
    let [(200, body)] = answers.as_slice() else { bail!("{who}-{number:04} got {answers:?}") };
    ensure!(
        body.contains(&format!("\"{who}-{number:04}\"")),
        "{who}-{number:04} got another's answer: {body}"
    );
    Ok(body.clone())
}

/// Everything until the peer closes, or nothing comes for so long, or it goes on for three times as long.
async fn read(stream: &mut TcpStream, silence: Duration) -> (Vec<u8>, bool) {
    let mut came = Vec::new();
    let end = tokio::time::Instant::now() + 3 * silence;
    loop {
        let until = end.min(tokio::time::Instant::now() + silence);
        match tokio::time::timeout_at(until, stream.read_buf(&mut came)).await {
            Ok(Ok(0) | Err(_)) => return (came, true),
            Ok(Ok(_)) => {}
            Err(_) => return (came, false),
        }
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Takes what came apart into answers; the first may be one to HEAD, without a body.
fn answers(mut came: &[u8], is_head_first: bool) -> Result<Vec<(u16, String)>> {
    let mut answers = Vec::new();
    while !came.is_empty() {
        if answers.is_empty() && !came.starts_with(b"HTTP/") {
            // As HTTP/0.9 answers: everything is the body.
            return Ok(vec![(200, String::from_utf8_lossy(came).into_owned())]);
        }
        let end = came
            .windows(4)
            .position(|part| part == b"\r\n\r\n")
            .context("an answer without the end of its head")?;
        let head = String::from_utf8_lossy(&came[..end]).to_lowercase();
        came = &came[end + 4..];
        let status: u16 = head
            .strip_prefix("http/1.")
            .and_then(|head| head.get(2..5)?.parse().ok())
            .context("no status line")?;
        let line = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let has_none = status < 200 || matches!(status, 204 | 304) || (is_head_first && answers.is_empty());
        let body = if has_none {
            String::new()
        } else if line("transfer-encoding") == Some("chunked") {
            let (body, rest) = dechunked(came);
            came = rest;
            body
        } else {
            let length = line("content-length").and_then(|length| length.parse().ok()).unwrap_or(came.len());
            let (body, rest) = came.split_at(length.min(came.len()));
            came = rest;
            String::from_utf8_lossy(body).into_owned()
        };
        if status >= 200 {
            answers.push((status, body));
        }
    }
    Ok(answers)
}

/// A chunked body as far as it has come, and what stands behind it.
fn dechunked(mut bytes: &[u8]) -> (String, &[u8]) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|part| part == b"\r\n") {
        let size =
            std::str::from_utf8(&bytes[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| end + size + 4 <= bytes.len()) else { break };
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
        if size == 0 {
            return (String::from_utf8_lossy(&body).into_owned(), bytes);
        }
    }
    (String::from_utf8_lossy(&body).into_owned(), &[])
}

/// What is true whoever reads: nobody gets another's answer, and nothing that is hidden is answered.
///
/// # Errors
/// What is not.
pub(crate) fn is_in_step(seen: &Seen, number: usize) -> Result<()> {
    let names =
        |who: &str| seen.answers.iter().position(|(_, body)| body.contains(&format!("{who}-{number:04}\"")));
    ensure!(names("smuggled").is_none(), "what is hidden was answered");
    ensure!(seen.answers.len() <= 2, "{} answers to two requests", seen.answers.len());
    let first = seen.answers.first().map(|(status, _)| *status);
    match (names("target"), names("marker")) {
        (Some(1), _) | (_, Some(0)) => bail!("answers in another order than the requests"),
        (_, Some(_)) if first.is_none_or(|status| status < 200) => bail!("the first request has no answer"),
        _ => Ok(()),
    }
}

/// What efir itself owes to an attack of this fate.
///
/// # Errors
/// What is not as it should be.
pub(crate) fn is_owed(seen: &Seen, fate: Fate, (number, way): (usize, Way)) -> Result<()> {
    let marker = format!("\"marker-{number:04}\"");
    let has_marker = seen.answers.iter().any(|(status, body)| *status == 200 && body.contains(&marker));
    let first = seen.answers.first().map(|(status, _)| *status);
    ensure!(seen.is_closed, "the connection is still open");
    match fate {
        Fate::Either => {}
        Fate::Ambiguous if way == Way::Library => {}
        Fate::Last => {
            ensure!(first.is_some_and(|status| (200..300).contains(&status)), "not taken");
            ensure!(seen.answers.len() == 1, "more was read behind it");
        }
        Fate::Taken => {
            ensure!(first.is_some_and(|status| (200..300).contains(&status)), "not taken");
            ensure!(has_marker, "the next request is not answered");
        }
        Fate::Refused | Fate::Ambiguous | Fate::Waits => {
            ensure!(first.is_none_or(|status| status >= 400), "not refused");
            ensure!(seen.answers.len() <= 1 && !has_marker, "more was read behind it");
        }
        Fate::Judged => ensure!(first.is_some_and(|status| (400..500).contains(&status)), "not refused"),
    }
    Ok(())
}
