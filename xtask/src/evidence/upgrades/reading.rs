//! One response as a reader gets it, from its request to its end, on each transport: objects of the wire as JSON, and when to come back.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use efir_bench::{Transport, websocket};
use serde_json::Value;

/// Longer than anything is silent: heartbeats come each 15 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a short poll asks.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long a long poll is held.
const HOLD_S: u32 = 5;

/// What a response brought, piece by piece.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Came {
    /// The server knows where it reads from.
    Joined(String),
    Message(Value),
    Gap(Value),
    /// Where a poll goes on.
    Cursor(String),
}

/// Reads one response after `cursor`, tells `each` what comes, and returns how long the server wants the reader to stay away.
///
/// # Errors
/// The connection cannot be made or breaks; `is_connected` tells which of the two. An error of `each`.
pub(super) fn read(
    server: SocketAddr,
    (transport, path): (Transport, &str),
    cursor: Option<&str>,
    is_connected: &mut bool,
    each: &mut impl FnMut(Came) -> Result<()>,
) -> Result<Duration> {
    *is_connected = false;
    let mut stream = TcpStream::connect(server)?;
    *is_connected = true;
    stream.set_read_timeout(Some(PATIENCE))?;
    let after = cursor.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
    if transport == Transport::Websocket {
        let path = format!("{path}?transport=websocket{after}");
        stream.write_all(websocket::upgrade("localhost", &path, "").as_bytes())?;
        return frames(&mut BufReader::new(stream), each);
    }
    let more = match transport {
        Transport::LongPoll => format!("&wait={HOLD_S}"),
        _ => String::new(),
    };
    let name = transport.name();
    // Without chunks.
    let request = format!("GET {path}?transport={name}{after}{more} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let head = head(&mut reader)?;
    match transport {
        Transport::Sse => events(&mut reader, each),
        Transport::HttpStream => lines(&mut reader, &head, each),
        _ => batch(&mut reader, &head, transport, each),
    }
}

fn head(reader: &mut impl BufRead) -> Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "the connection ended without an answer");
    }
    Ok(head)
}

fn retry_after(head: &str) -> Option<Duration> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, seconds) = lines.find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

/// A stream that ended without a word; the reader comes back as a browser does.
const UNTOLD: Duration = Duration::from_secs(1);

fn lines(
    reader: &mut impl BufRead,
    head: &str,
    each: &mut impl FnMut(Came) -> Result<()>,
) -> Result<Duration> {
    let mut back = retry_after(head).unwrap_or(UNTOLD);
    for line in reader.lines() {
        let object: Value = serde_json::from_str(&line?)?;
        back = told(object, each)?.unwrap_or(back);
    }
    Ok(back)
}

fn events(reader: &mut impl BufRead, each: &mut impl FnMut(Came) -> Result<()>) -> Result<Duration> {
    let (mut back, mut event, mut data) = (UNTOLD, String::new(), String::new());
    for line in reader.lines() {
        let line = line?;
        match line.split_once(": ") {
            Some(("event", name)) => name.clone_into(&mut event),
            Some(("data", text)) => text.clone_into(&mut data),
            Some(("retry", ms)) => back = Duration::from_millis(ms.parse()?),
            _ if line.is_empty() && !data.is_empty() => {
                let inner: Value = serde_json::from_str(&data)?;
                let object = match event.as_str() {
                    "" => inner,
                    name => Value::Object([(name.to_owned(), inner)].into_iter().collect()),
                };
                back = told(object, each)?.unwrap_or(back);
                event.clear();
                data.clear();
            }
            _ => {}
        }
    }
    Ok(back)
}

fn frames(reader: &mut impl BufRead, each: &mut impl FnMut(Came) -> Result<()>) -> Result<Duration> {
    let head = head(reader)?;
    ensure!(head.starts_with("HTTP/1.1 101"), "no WebSocket: {head}");
    let mut back = UNTOLD;
    loop {
        let mut first = [0; 2];
        reader.read_exact(&mut first)?;
        let len = match first[1] & 0x7F {
            126 => {
                let mut len = [0; 2];
                reader.read_exact(&mut len)?;
                usize::from(u16::from_be_bytes(len))
            }
            127 => bail!("a frame of more than 64 KiB"),
            short => usize::from(short),
        };
        let mut payload = vec![0; len];
        reader.read_exact(&mut payload)?;
        match first[0] & 0x0F {
            1 => back = told(serde_json::from_slice(&payload)?, each)?.unwrap_or(back),
            8 => return Ok(back),
            _ => {}
        }
    }
}

fn batch(
    reader: &mut impl BufRead,
    head: &str,
    transport: Transport,
    each: &mut impl FnMut(Came) -> Result<()>,
) -> Result<Duration> {
    let mut body = String::new();
    reader.read_to_string(&mut body)?;
    let asked = retry_after(head);
    if !head.starts_with("HTTP/1.1 200") && !head.starts_with("HTTP/1.0 200") {
        return asked.with_context(|| format!("refused: {head}{body}"));
    }
    let batch: Value = serde_json::from_str(&body)?;
    each(Came::Joined(String::new()))?;
    if let Some(gap) = batch.get("gap") {
        each(Came::Gap(gap.clone()))?;
    }
    for message in batch["messages"].as_array().into_iter().flatten() {
        each(Came::Message(message.clone()))?;
    }
    each(Came::Cursor(batch["cursor"].as_str().context("a batch without a cursor")?.to_owned()))?;
    Ok(if transport == Transport::ShortPoll { POLL_INTERVAL } else { asked.unwrap_or_default() })
}

/// Tells one object; returns when to come back where it says so.
fn told(object: Value, each: &mut impl FnMut(Came) -> Result<()>) -> Result<Option<Duration>> {
    if let Some(problem) = object.get("problem") {
        ensure!(problem["action"] == "retry_later", "{problem}");
        return Ok(problem["retry_after_ms"].as_u64().map(Duration::from_millis));
    }
    if let Some(hello) = object.get("hello") {
        each(Came::Joined(hello["cursor"].as_str().unwrap_or_default().to_owned()))?;
    } else if let Some(gap) = object.get("gap") {
        each(Came::Gap(gap.clone()))?;
    } else if object.get("position").is_some() {
        each(Came::Message(object))?;
    }
    Ok(None)
}
