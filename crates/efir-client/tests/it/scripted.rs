//! A server that follows a script: each request gets the next answer, byte for byte, and its head is kept.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Waits for the next request on the connection.
    KeepOpen,
    /// Closes the connection.
    Close,
    /// Sends nothing more and does not close.
    Hang,
}

/// One answer and what comes after it.
type Step = (Vec<u8>, Then);

#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<VecDeque<Step>>>,
}

impl Scripted {
    /// Starts it; after the script's end, requests are answered with 404 and nothing more.
    pub(crate) async fn start(script: Vec<(String, Then)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = script.into_iter().map(|(answer, then)| (answer.into_bytes(), then)).collect();
        let server = Self {
            address: listener.local_addr().unwrap(),
            heads: Arc::default(),
            script: Arc::new(Mutex::new(script)),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of the requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }

    /// A header of the n-th request.
    pub(crate) fn header(&self, n: usize, name: &str) -> Option<String> {
        let heads = self.heads.lock().unwrap();
        heads.get(n)?.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some(head) = read_head(&mut stream).await {
            let next = self.script.lock().unwrap().pop_front();
            self.heads.lock().unwrap().push(head);
            let (answer, then) =
                next.unwrap_or((b"HTTP/1.1 404 Over\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Close));
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            match then {
                Then::KeepOpen => {}
                Then::Close => return,
                Then::Hang => {
                    // Until the client goes.
                    let mut rest = [0; 1024];
                    while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
                    return;
                }
            }
        }
    }
}

/// Reads a request's head and its body; `None` when the client is gone.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(head)
}

/// A whole answer.
pub(crate) fn answer(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A stream's head and the beginning of its body.
pub(crate) fn stream(content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n\r\n{body}")
}

pub(crate) fn message(channel: &str, position: &str) -> String {
    format!(r#"{{"channel":"{channel}","position":"{position}","time":1,"data":"{position}"}}"#)
}
