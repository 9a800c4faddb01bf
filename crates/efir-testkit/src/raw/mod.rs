//! A client of bare bytes: for everything that a well-behaved client does not do (half frames, aborted polls, HTTP/1.0,
//! pipelining, slow reading) and for answers that are compared byte for byte. It shares no code with the server or the client.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    ask::{Answer, PATIENCE},
    tls::{self, Stream},
};

mod deflated;
mod frames;

pub use deflated::{TEXT_COMPRESSED, deflated, inflated};
pub use frames::{Frame, Opcode, frame_bytes, upgrade};

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
    /// Came and was not taken yet.
    buffer: BytesMut,
    body: Body,
}

/// How the body of the response that is being read ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// No body, or it is taken.
    Done,
    Length(usize),
    Chunked,
    /// With the connection.
    UntilClosed,
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Self::new(TcpStream::connect(address).await?, address).await
    }

    /// Connects for HTTP/2, of which nothing is said yet.
    pub async fn connect_http2(address: SocketAddr) -> Result<Self> {
        Self::over(TcpStream::connect(address).await?, address, b"h2").await
    }

    /// Connects with a receive buffer that is as small as the system allows, to be a slow reader.
    pub async fn connect_narrow(address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(2048)?;
        Self::new(socket.connect(address).await?, address).await
    }

    /// Connects from another loopback address.
    pub async fn connect_from(source: std::net::IpAddr, address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        Self::new(socket.connect(address).await?, address).await
    }

    /// Connects as a proxy that says something in cleartext before the connection that it passes on begins.
    pub async fn connect_behind(before: &[u8], address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(before).await?;
        Self::new(stream, address).await
    }

    async fn new(stream: TcpStream, address: SocketAddr) -> Result<Self> {
        Self::over(stream, address, b"http/1.1").await
    }

    async fn over(stream: TcpStream, address: SocketAddr, protocol: &[u8]) -> Result<Self> {
        let _ = stream.set_nodelay(true);
        let stream = tls::wrap(stream, address, protocol).await?;
        Ok(Self { stream, buffer: BytesMut::new(), body: Body::Done })
    }

    /// Connects and sends.
    pub async fn send(address: SocketAddr, bytes: &[u8]) -> Result<Self> {
        let mut raw = Self::connect(address).await?;
        raw.write(bytes).await?;
        Ok(raw)
    }

    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Writes bytes and drops whatever comes meanwhile; false when the peer has ended the connection.
    pub async fn pour(&mut self, bytes: &[u8]) -> Result<bool> {
        let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
        let poured = async {
            let mut writing = std::pin::pin!(async {
                writing.write_all(bytes).await?;
                writing.flush().await
            });
            let mut place = vec![0; 16 * 1024];
            loop {
                tokio::select! {
                    written = &mut writing => return written.is_ok(),
                    read = reading.read(&mut place) => if !matches!(read, Ok(1..)) { return false },
                }
            }
        };
        tokio::time::timeout(PATIENCE, poured).await.context("the peer takes no more, and does not end it")
    }

    /// The next frame of HTTP/2 (RFC 9113 §4.1): its kind, flags, stream and payload.
    pub async fn http2_frame(&mut self) -> Result<(u8, u8, u32, Bytes)> {
        let head = self.exactly(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok((head[3], head[4], stream, self.exactly(length).await?))
    }

    /// Ends the sending half only.
    pub async fn shut_down(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// Goes without a word: the peer gets RST.
    pub fn reset(self) -> Result<()> {
        let tcp = match &self.stream {
            Stream::Left(tcp) => tcp,
            Stream::Right(tls) => tls.get_ref().0,
        };
        Ok(tcp.set_zero_linger()?)
    }

    /// Reads more into the buffer; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool> {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        Ok(read.with_context(|| format!("nothing came; before that: {:?}", self.buffer))?? > 0)
    }

    /// Takes the next line without its end.
    async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            ensure!(self.fill().await?, "the connection ended inside a line: {:?}", self.buffer);
        }
    }

    async fn exactly(&mut self, count: usize) -> Result<Bytes> {
        while self.buffer.len() < count {
            let have = self.buffer.len();
            ensure!(self.fill().await?, "the connection ended at byte {have} of {count}");
        }
        Ok(self.buffer.split_to(count).freeze())
    }

    /// Reads the head of a response to `method`; its body is taken with [`Raw::body_part`].
    pub async fn head(&mut self, method: &str) -> Result<Answer> {
        let line = self.line().await?;
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        ensure!(version.starts_with("HTTP/1."), "not a status line: {line:?}");
        let status =
            words.next().unwrap_or_default().parse().with_context(|| format!("status line {line:?}"))?;
        let mut answer = Answer { status, headers: Vec::new(), body: Bytes::new() };
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').with_context(|| format!("header {line:?}"))?;
            answer.headers.push((name.into(), value.trim().into()));
        }
        self.body = body_of(method, &answer)?;
        Ok(answer)
    }

    /// The next piece of the body; `None` when it is complete.
    pub async fn body_part(&mut self) -> Result<Option<Bytes>> {
        match self.body {
            Body::Done => Ok(None),
            Body::Length(length) => {
                self.body = Body::Done;
                Ok(if length == 0 { None } else { Some(self.exactly(length).await?) })
            }
            Body::UntilClosed => {
                if self.buffer.is_empty() && !self.fill().await? {
                    self.body = Body::Done;
                    return Ok(None);
                }
                Ok(Some(self.buffer.split().freeze()))
            }
            Body::Chunked => {
                let line = self.line().await?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
                let size = size.with_context(|| format!("chunk size {line:?}"))?;
                let part = self.exactly(size).await?;
                ensure!(self.line().await?.is_empty(), "a chunk is longer than it says");
                if size == 0 {
                    self.body = Body::Done;
                    return Ok(None);
                }
                Ok(Some(part))
            }
        }
    }

    /// Reads a whole response.
    pub async fn answer_to(&mut self, method: &str) -> Result<Answer> {
        let mut answer = self.head(method).await?;
        while (100..200).contains(&answer.status) && answer.status != 101 {
            answer = self.head(method).await?;
        }
        let mut body = BytesMut::new();
        while let Some(part) = self.body_part().await? {
            body.extend_from_slice(&part);
        }
        answer.body = body.freeze();
        Ok(answer)
    }

    /// Reads the body on until it contains `text`; returns everything that came.
    pub async fn body_until(&mut self, text: &str) -> Result<String> {
        let mut got = String::new();
        while !got.contains(text) {
            let Some(part) =
                self.body_part().await.with_context(|| format!("wanted {text:?} after {got:?}"))?
            else {
                bail!("the body ended without {text:?}: {got:?}");
            };
            got.push_str(&String::from_utf8_lossy(&part));
        }
        Ok(got)
    }

    /// Reads the body to its end.
    pub async fn body_rest(&mut self) -> Result<String> {
        let mut got = BytesMut::new();
        while let Some(part) = self.body_part().await? {
            got.extend_from_slice(&part);
        }
        Ok(String::from_utf8_lossy(&got).into_owned())
    }

    /// Everything until the peer closes.
    pub async fn to_end(&mut self) -> Result<Bytes> {
        loop {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return Ok(self.buffer.split().freeze()),
                Err(error) if is_reset(&error) => return Ok(self.buffer.split().freeze()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything up to and with `text`, without taking it apart.
    pub async fn bytes_until(&mut self, text: &str) -> Result<Bytes> {
        let mut looked = 0;
        loop {
            let unseen = &self.buffer[looked..];
            if let Some(at) = unseen.windows(text.len()).position(|part| part == text.as_bytes()) {
                return Ok(self.buffer.split_to(looked + at + text.len()).freeze());
            }
            looked = self.buffer.len().saturating_sub(text.len());
            ensure!(self.fill().await?, "the connection ended before {text:?}");
        }
    }

    /// Reads up to `count` bytes without taking them apart; 0 at the end.
    pub async fn some(&mut self, count: usize) -> Result<usize> {
        let mut place = vec![0; count];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut place)).await??;
        self.buffer.extend_from_slice(&place[..read]);
        Ok(read)
    }

    /// Whether the peer sends nothing for this long.
    pub async fn is_silent(&mut self, time: Duration) -> bool {
        self.buffer.is_empty()
            && tokio::time::timeout(time, self.stream.read_buf(&mut self.buffer)).await.is_err()
    }
}

fn is_reset(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

fn body_of(method: &str, answer: &Answer) -> Result<Body> {
    if method == "HEAD" || matches!(answer.status, 100..=199 | 204 | 304) {
        return Ok(Body::Done);
    }
    if answer.lists("transfer-encoding", "chunked") {
        ensure!(answer.header("content-length").is_none(), "both Content-Length and chunks");
        return Ok(Body::Chunked);
    }
    match answer.header("content-length") {
        Some(length) => Ok(Body::Length(length.parse().with_context(|| format!("length {length:?}"))?)),
        None => Ok(Body::UntilClosed),
    }
}
