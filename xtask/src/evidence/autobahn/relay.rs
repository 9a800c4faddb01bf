//! Makes an echo server of efir, which is none: whoever connects is led to a channel of its own, on which efir sends each message back
//! to who published it.
//!
//! Towards efir every byte goes as it came. The other way handshake, pongs and close frames go as they came; of the objects that efir
//! sends, a message becomes a frame with its payload, compressed where that was agreed, and what an echo server would not say (hello,
//! heartbeats, the words for what was wrong) is left out. An echo server answers before it reads on, and so what follows a message waits
//! here until that has come back. Beside the suite it checks efir's own frames, strictly.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use efir_ws::{Agreement, Decoder, DecoderLimits, Deflater, Event, Opcode, Role, frame};
use serde::Deserialize;

use super::frames::Frames;

const HEAD_BYTES_MAX: usize = 16 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// What efir may send at once: the largest payload as an object.
const LIMITS: DecoderLimits =
    DecoderLimits { message_bytes_max: 64 << 20, frame_bytes_max: 64 << 20, fragments_max: 1 };

/// A relay that listens until it is dropped.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    route: Arc<Route>,
    accepting: Option<JoinHandle<()>>,
}

/// Where connections go, and what was seen on them.
struct Route {
    server: SocketAddr,
    connections: AtomicU64,
    messages: AtomicU64,
    is_over: AtomicBool,
    /// What efir did that it should not have done.
    faults: Mutex<Vec<String>>,
}

impl Relay {
    pub(super) fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let route = Arc::new(Route {
            server,
            connections: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            faults: Mutex::default(),
        });
        let shared = Arc::clone(&route);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::Acquire) {
                    return;
                }
                let route = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A peer that goes in the middle is what some cases are about.
                    drop(route.carry(stream));
                });
            }
        });
        Ok(Self { address, route, accepting: Some(accepting) })
    }

    /// How many messages have come back so far.
    pub(super) fn messages(&self) -> u64 {
        self.route.messages.load(Ordering::Relaxed)
    }

    /// What efir did so far that it should not have done.
    pub(super) fn faults(&self) -> Vec<String> {
        self.route.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.route.is_over.store(true, Ordering::Release);
        // Whoever waits for a connection sees that it is over.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

impl Route {
    fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut server = TcpStream::connect(self.server)?;
        server.set_nodelay(true)?;
        let (request, ahead) = read_head(&mut client)?;
        let channel = self.connections.fetch_add(1, Ordering::Relaxed);
        server.write_all(led_to(&request, channel).as_bytes())?;
        let (answer, rest) = read_head(&mut server)?;
        client.write_all(answer.as_bytes())?;
        let agreed = Agreement::from_answer(header(&answer, "sec-websocket-extensions"));
        let agreed = agreed.unwrap_or_else(|error| {
            self.blame(format!("{error}: {answer}"));
            None
        });
        let (echo, echoed) = mpsc::channel();
        let down = Down { route: self, echo, decoder: decoder(agreed), deflater: deflater(agreed) };
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // The sender of `echoed` goes with it, so that nobody waits for what cannot come any more.
                drop(down.carry(from, &to, &rest));
                drop(to.shutdown(Shutdown::Write));
            });
            drop(up(client, &server, &ahead, &echoed));
            server.shutdown(Shutdown::Write)
        })
    }

    fn blame(&self, fault: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }
}

/// Hands on what the client sends, message by message.
fn up(mut client: TcpStream, mut server: &TcpStream, ahead: &[u8], echoed: &Receiver<()>) -> io::Result<()> {
    let (mut frames, mut is_free) = (Frames::default(), false);
    let mut input = ahead.to_vec();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let (mut begin, mut end) = (0, 0);
        while end < input.len() {
            let (taken, ended) = frames.pass(&input[end..]);
            end += taken;
            // Nothing comes back after a farewell.
            is_free |= ended.is_some_and(super::frames::Ended::is_close);
            if !is_free && ended.is_some_and(super::frames::Ended::ends_message) {
                server.write_all(&input[begin..end])?;
                begin = end;
                is_free = echoed.recv().is_err();
            }
        }
        server.write_all(&input[begin..])?;
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        input.clear();
        input.extend_from_slice(&buffer[..count]);
    }
}

/// What hands on what efir sends.
struct Down<'a> {
    route: &'a Route,
    echo: Sender<()>,
    decoder: Decoder,
    deflater: Option<Deflater>,
}

/// An object of efir, as far as it matters here.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    data: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    bytes: Option<std::borrow::Cow<'a, str>>,
    gap: Option<serde_json::Value>,
    problem: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

/// What a suite brings about; any other problem is one of efir's, or of how it was set up.
const EXPECTED: [&str; 3] = ["invalid_frame", "invalid_utf8", "payload_too_large"];

impl Down<'_> {
    fn carry(mut self, mut server: TcpStream, mut client: &TcpStream, rest: &[u8]) -> io::Result<()> {
        let mut frames = Frames::default();
        let mut frame = BytesMut::new();
        let mut input = rest.to_vec();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let mut bytes = &input[..];
            while !bytes.is_empty() {
                let (taken, ended) = frames.pass(bytes);
                frame.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                match ended {
                    Some(ended) if ended.is_control() => {
                        client.write_all(&frame)?;
                        self.check(&mut frame.clone());
                        frame.clear();
                    }
                    Some(_) => {
                        if let Some(echo) = self.check(&mut frame) {
                            client.write_all(&echo)?;
                            // After it is written: what follows may end the connection.
                            let _ = self.echo.send(());
                        }
                        frame.clear();
                    }
                    None => {}
                }
            }
            let count = server.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            input.clear();
            input.extend_from_slice(&buffer[..count]);
        }
    }

    /// Reads one frame of efir's as a strict client does; a message as an echo server sends it back.
    fn check(&mut self, frame: &mut BytesMut) -> Option<bytes::Bytes> {
        match self.decoder.decode(frame) {
            Ok(Some(Event::Text(text))) => self.answer(&text),
            Ok(Some(Event::Ping(_) | Event::Pong(_) | Event::Close { .. })) => None,
            odd => {
                self.route.blame(format!("no frame of efir's: {odd:?}"));
                None
            }
        }
    }

    fn answer(&mut self, text: &[u8]) -> Option<bytes::Bytes> {
        let object: Object = match serde_json::from_slice(text) {
            Ok(object) => object,
            Err(error) => {
                self.route.blame(format!("no object: {error}"));
                return None;
            }
        };
        if let Some(gap) = object.gap {
            self.route.blame(format!("a gap: {gap}"));
        }
        if let Some(Problem { code }) = object.problem
            && !EXPECTED.contains(&code.as_str())
        {
            self.route.blame(format!("a problem: {code}"));
        }
        let (opcode, payload) = match (object.data, object.bytes) {
            (Some(text), None) => (Opcode::Text, text.into_owned().into_bytes()),
            (None, Some(bytes)) => {
                (Opcode::Binary, BASE64_STANDARD.decode(bytes.as_bytes()).unwrap_or_default())
            }
            _ => return None,
        };
        self.route.messages.fetch_add(1, Ordering::Relaxed);
        Some(match &mut self.deflater {
            Some(deflater) => deflater.compress_frame(opcode, &payload),
            None => frame::encode(opcode, &payload),
        })
    }
}

fn decoder(agreed: Option<Agreement>) -> Decoder {
    let decoder = Decoder::new(Role::Client, LIMITS);
    if agreed.is_some() { decoder.with_deflate() } else { decoder }
}

fn deflater(agreed: Option<Agreement>) -> Option<Deflater> {
    agreed.map(|agreed| Deflater::new(1, agreed.server_window_bits))
}

/// A head of HTTP/1 with its empty line, and what was read behind it.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&head).into_owned(), rest));
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..count]);
    }
}

/// The request with another path.
fn led_to(request: &str, channel: u64) -> String {
    let (line, rest) = request.split_once("\r\n").unwrap_or((request, ""));
    let method = line.split(' ').next().unwrap_or_default();
    format!("{method} /channels/echo-{channel} HTTP/1.1\r\n{rest}")
}

/// A header of an answer; empty where it has none.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_a_channel_of_its_own_and_nothing_else_is_changed() {
        let request = "GET /?agent=x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUpgrade: websocket\r\n\r\n";
        let led = "GET /channels/echo-7 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(led_to(request, 7), led);
        assert_eq!((header(led, "upgrade"), header(led, "origin")), ("websocket", ""));
    }
}
