//! A server of our own on loopback, and HTTP/1.1 by hand, so that a test sees what a connection does and not what a library makes of it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use efir_server::{Running, Server, config::Resolved};
use serde_json::Value;

/// How long a test waits for what must come.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Node {
    running: Option<Running>,
    pub(crate) address: SocketAddr,
}

impl Node {
    /// A server on loopback with two workers.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Resolved)) -> Self {
        let mut config =
            Resolved { listen: vec!["127.0.0.1:0".parse().unwrap()], workers: 2, ..Resolved::default() };
        change(&mut config);
        let running = Server::start(config).unwrap();
        let mut address = running.addresses[0];
        if address.ip().is_unspecified() {
            address.set_ip("127.0.0.1".parse().unwrap());
        }
        Self { running: Some(running), address }
    }

    pub(crate) fn connect(&self) -> Wire {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, read: Vec::new() }
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        self.connect().ask(method, target, body)
    }

    /// The JSON that a 2xx answer has.
    pub(crate) fn json(&self, method: &str, target: &str, body: &str) -> Value {
        let answer = self.ask(method, target, body);
        assert!((200..300).contains(&answer.status), "{method} {target}: {answer:?}");
        answer.json()
    }

    pub(crate) fn set(&self, visitor: &str, faults: &str) -> Value {
        self.json("PUT", &format!("/lab/network/{visitor}"), faults)
    }

    pub(crate) fn publish(&self, channel: &str, text: &str) -> Value {
        self.json("POST", &format!("/channels/{channel}"), text)
    }

    /// Ends the server; true when that took less than `most`.
    pub(crate) fn stops_within(mut self, most: Duration) -> bool {
        let begin = Instant::now();
        stop(self.running.take().unwrap());
        begin.elapsed() < most
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            stop(running);
        }
    }
}

fn stop(running: Running) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(running.stop());
}

/// Looks again until it is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < WAIT_MAX, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status, code and limit of a refusal.
    pub(crate) fn problem(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (self.status, text(&json["code"]), text(&json["limit"]["name"]))
    }
}

/// One connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn request(&mut self, method: &str, target: &str, body: &str) {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n{body}"));
    }

    pub(crate) fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.request(method, target, body);
        self.answer()
    }

    /// Begins to read a channel as a stream, through a visitor's network.
    pub(crate) fn stream_via(&mut self, visitor: &str, channel: &str) {
        self.request("GET", &format!("/lab/via/{visitor}/channels/{channel}?transport=sse"), "");
        self.read_to("event: hello");
        // To the end of its chunk, which may come in a piece of its own.
        self.read_to("\n\n\r\n");
    }

    /// Reads up to this text; gives everything before its end.
    pub(crate) fn read_to(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(text.len()).position(|window| window == text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                let before = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&before).into_owned();
            }
            self.more().unwrap_or_else(|error| {
                panic!("{error}; instead of {text:?}: {}", String::from_utf8_lossy(&self.read))
            });
        }
    }

    /// A whole answer, by Content-Length.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.read_to("\r\n\r\n");
        let status =
            head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{head}"));
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let length: usize = length.unwrap_or(0);
        while self.read.len() < length {
            self.more().unwrap();
        }
        let rest = self.read.split_off(length);
        Answer { status, head, body: std::mem::replace(&mut self.read, rest) }
    }

    fn more(&mut self) -> std::io::Result<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.read.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    /// What comes until the connection ends, however it does.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it does not end"),
                Err(_) => return std::mem::take(&mut self.read),
            }
        }
    }

    /// Whether the connection is open and nothing has come.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let outcome = self.more();
        self.stream.set_nonblocking(false).unwrap();
        matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads until the connection ends; true if by a reset.
    pub(crate) fn ends_by_reset(&mut self) -> bool {
        let begin = Instant::now();
        loop {
            match self.more() {
                Ok(()) => assert!(begin.elapsed() < WAIT_MAX, "it does not end"),
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}
