//! The exchanges of one connection through the gateway: requests up, answers down, each taken apart as far as a bug can reach.

use std::{io, sync::Arc};

use bytes::BytesMut;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    Shared,
    object::{self, Object},
};

const PART_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request, as far as bugs look at it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Lines of the head without the first.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The value of a header; names in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let known = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, value)| value.as_str())
    }

    /// Takes a header out.
    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

type Near = (BufReader<OwnedReadHalf>, OwnedWriteHalf);

/// Serves a client until it or the server ends.
pub(super) async fn serve(near: TcpStream, shared: Arc<Shared>) {
    let Ok(far) = TcpStream::connect(shared.target()).await else { return };
    drop(near.set_nodelay(true));
    drop(far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let mut near = (BufReader::new(near_read), near_write);
    let mut far = (BufReader::new(far_read), far_write);
    // Whichever side has ended: the other one is dropped with it.
    while matches!(exchange(&mut near, &mut far, &shared).await, Ok(true)) {}
}

/// One request and its answer; whether another may follow.
async fn exchange(near: &mut Near, far: &mut Near, shared: &Shared) -> io::Result<bool> {
    let Some(mut request) = read_request(&mut near.0).await? else { return Ok(false) };
    let invented = shared.bug.and_then(|bug| (bug.ask)(&mut shared.memory(), &mut request));
    if let Some(receipt) = invented {
        near.1.write_all(&whole(&receipt.to_string())).await?;
        return Ok(true);
    }
    far.1.write_all(&request.bytes()).await?;
    let (first, headers) = read_head(&mut far.0).await?;
    let header = |name: &str| {
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    };
    let head = |length: Option<usize>| {
        let mut head = format!("{first}\r\n");
        for (name, value) in &headers {
            match length {
                Some(length) if name.eq_ignore_ascii_case("content-length") => {
                    head += &format!("{name}: {length}\r\n");
                }
                _ => head += &format!("{name}: {value}\r\n"),
            }
        }
        head + "\r\n"
    };
    if first.contains(" 101 ") {
        near.1.write_all(head(None).as_bytes()).await?;
        return sockets(near, far, shared).await.map(|()| false);
    }
    if header("transfer-encoding") == "chunked" {
        near.1.write_all(head(None).as_bytes()).await?;
        let is_sse = header("content-type").starts_with("text/event-stream");
        return streams(near, far, shared, is_sse).await.map(|()| false);
    }
    let mut body = vec![0; header("content-length").parse::<usize>().unwrap_or(0).min(PART_BYTES_MAX)];
    far.0.read_exact(&mut body).await?;
    let told = String::from_utf8_lossy(&body).into_owned();
    let told = if request.method == "GET" { batch(shared, told) } else { receipt(shared, told) };
    near.1.write_all((head(Some(told.len())) + &told).as_bytes()).await?;
    Ok(true)
}

fn batch(shared: &Shared, text: String) -> String {
    match (shared.bug, object::from_batch(&text)) {
        (Some(_), Some(objects)) => object::to_batch(&tell(shared, objects)),
        _ => text,
    }
}

fn receipt(shared: &Shared, text: String) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(&text) else { return text };
    let Some(bug) = shared.bug.filter(|_| value.get("position").is_some()) else { return text };
    (bug.acknowledge)(&mut shared.memory(), &mut value);
    value.to_string()
}

/// What the bug makes of what the server says.
fn tell(shared: &Shared, objects: Vec<Object>) -> Vec<Object> {
    let Some(bug) = shared.bug else { return objects };
    let mut memory = shared.memory();
    let told: Vec<Object> = objects.into_iter().flat_map(|object| (bug.tell)(&mut memory, object)).collect();
    told.iter().for_each(|object| memory.note(object));
    told
}

/// Frames down are taken apart, frames up pass.
async fn sockets(near: &mut Near, far: &mut Near, shared: &Shared) -> io::Result<()> {
    let up = tokio::io::copy(&mut near.0, &mut far.1);
    let down = async {
        loop {
            let (opcode, payload) = read_frame(&mut far.0).await?;
            let is_text = opcode == 0x81;
            let told = match String::from_utf8(payload) {
                Ok(text) if is_text => tell(shared, vec![object::from_json(&text)]),
                Ok(text) => {
                    near.1.write_all(&frame(opcode, text.as_bytes())).await?;
                    continue;
                }
                Err(error) => {
                    near.1.write_all(&frame(opcode, error.as_bytes())).await?;
                    continue;
                }
            };
            for object in &told {
                near.1.write_all(&frame(opcode, object::to_json(object).as_bytes())).await?;
            }
        }
    };
    tokio::select! {
        copied = up => copied.map(drop),
        ended = down => ended,
    }
}

/// Events or lines down are taken apart; nothing goes up.
async fn streams(near: &mut Near, far: &mut Near, shared: &Shared, is_sse: bool) -> io::Result<()> {
    let mut nothing = [0; 64];
    let end: &[u8] = if is_sse { b"\n\n" } else { b"\n" };
    let down = async {
        let mut text = BytesMut::new();
        while let Some(chunk) = read_chunk(&mut far.0).await? {
            text.extend_from_slice(&chunk);
            let mut told = String::new();
            while let Some(at) = text.windows(end.len()).position(|window| window == end) {
                let part = text.split_to(at + end.len());
                let part = String::from_utf8_lossy(&part[..at]).into_owned();
                let object = if is_sse { object::from_event(&part) } else { object::from_json(&part) };
                for object in tell(shared, vec![object]) {
                    told += &if is_sse { object::to_event(&object) } else { object::to_json(&object) + "\n" };
                }
            }
            if !told.is_empty() {
                near.1.write_all(format!("{:x}\r\n{told}\r\n", told.len()).as_bytes()).await?;
            }
        }
        near.1.write_all(b"0\r\n\r\n").await
    };
    tokio::select! {
        ended = down => ended,
        _ = near.0.read(&mut nothing) => Ok(()),
    }
}

/// A receipt as an answer.
fn whole(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// `None` where the client has ended.
async fn read_request(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Request>> {
    if from.fill_buf().await?.is_empty() {
        return Ok(None);
    }
    let (first, headers) = read_head(from).await?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, target, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse::<usize>().ok());
    request.body = vec![0; length.unwrap_or(0).min(PART_BYTES_MAX)];
    from.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

/// The first line and the headers.
async fn read_head(from: &mut BufReader<OwnedReadHalf>) -> io::Result<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let mut lines = lines.into_iter();
    let first = lines.next().unwrap_or_default();
    let header =
        |line: String| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok((first, lines.filter_map(header).collect()))
}

/// `None` at the end of the body.
async fn read_chunk(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    from.read_line(&mut line).await?;
    let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?.min(PART_BYTES_MAX);
    let mut chunk = vec![0; size + 2];
    from.read_exact(&mut chunk).await?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

/// First byte and payload of a frame that is not masked.
async fn read_frame(from: &mut BufReader<OwnedReadHalf>) -> io::Result<(u8, Vec<u8>)> {
    let (first, short) = (from.read_u8().await?, from.read_u8().await?);
    let length = match short {
        126 => u64::from(from.read_u16().await?),
        127 => from.read_u64().await?,
        short => u64::from(short),
    };
    let length = usize::try_from(length).map_err(io::Error::other)?.min(PART_BYTES_MAX);
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    Ok((first, payload))
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.push(short),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}
