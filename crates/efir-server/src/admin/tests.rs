//! A bug that comes up on a request of the operator's. It is planted: a reader's waker panics when the reader is told of a revocation, on
//! the thread of the admin listener.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use efir_access::{Gate, GateParts};
use efir_core::wire::Form;
use efir_engine::{Exchange, Outbox, Reader, Turn, polled::Polled};

use super::{AdminOptions, CONNECTIONS_MAX};
use crate::{Running, Server, config::Resolved};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads for ever.
struct Waiting;

impl Exchange for Waiting {
    fn form(&self) -> Form {
        Form::HttpStream
    }
    fn open(&mut self, _: Instant, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn ready(&mut self, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn receive(&mut self, _: &mut BytesMut, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn due(&self) -> Option<Instant> {
        None
    }
    fn tick(&mut self, _: Instant, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn drain(&mut self, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Close
    }
}

struct Springing;

impl Wake for Springing {
    fn wake(self: Arc<Self>) {
        // Not by a panic of its own, which would be told of in the output of the tests.
        std::panic::resume_unwind(Box::new("planted"));
    }
}

fn start() -> Running {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let admin = Some(AdminOptions { listen: loopback, key: None });
    let config = Resolved { listen: vec![loopback], workers: 1, admin, ..Resolved::default() };
    let running = Server::start(config).unwrap();
    // Nobody is asked again where everybody may everything.
    running.site().replace_gate(Gate::new(GateParts::default()));
    running
}

/// What comes up to the end of the connection.
fn ask(running: &Running, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(running.admin_address.unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert!(!matches!(error.kind(), std::io::ErrorKind::WouldBlock), "{line}: no answer and no end");
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_panic_ends_its_connection_and_the_listener_answers() {
    let running = start();
    let mut reader = Polled::new(Box::new(Waiting), Reader::new(running.hub().clone()));
    let waker = Waker::from(Arc::new(Springing));
    // More than there may be connections at once: each gives its place back.
    let count = CONNECTIONS_MAX + 8;
    for _ in 0..count {
        assert!(reader.poll_piece(&mut Context::from_waker(&waker)).is_pending());
        let answer = ask(&running, "POST /revocations", "{\"user\":\"anna\",\"seconds\":60}");
        assert_eq!(answer, "", "nothing panicked");
    }
    drop(reader);
    let metrics = ask(&running, "GET /metrics", "");
    let told = metrics.lines().find(|line| line.starts_with("efir_panics_total "));
    assert_eq!(told, Some(format!("efir_panics_total {count}").as_str()), "{metrics}");
    let answer = ask(&running, "POST /revocations", "{\"user\":\"anna\",\"seconds\":60}");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(running.stop());
}
