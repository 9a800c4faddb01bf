//! Exchanges that panic, in a worker with sockets of its own.

use std::{
    net::{TcpListener, TcpStream},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use efir_core::{ChannelName, Limits, Problem, Start, Times, wire::Form};

use crate::{
    Exchange, Framing, Guest, Hub, Outbox, Reader, Response, Socket, Turn,
    worker::{Adoption, Departure, Intake, Surroundings, Worker},
};

/// In which of its calls an exchange panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Form,
    Open,
    Ready,
    Receive,
    Tick,
    Drain,
    Recheck,
    /// In what it says last, after it has panicked in `open`.
    LastWords,
    /// When it is dropped.
    Drop,
    Never,
}

/// Says everything that it reads, and panics once it is told to.
struct Doomed {
    at: At,
    begun: Option<Instant>,
}

impl Doomed {
    fn pass(&self, at: At) {
        assert!(self.at != at, "planted");
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.pass(At::Drop);
    }
}

impl Exchange for Doomed {
    fn form(&self) -> Form {
        self.pass(At::Form);
        Form::HttpStream
    }

    fn open(&mut self, now: Instant, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.begun = Some(now);
        out.push_raw(Bytes::from_static(b"opened\n"));
        assert!(!matches!(self.at, At::Open | At::LastWords), "planted");
        if self.at == At::Drop { Turn::Close } else { Turn::Wait }
    }

    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        if reader.pull(Form::HttpStream, out) {
            self.pass(At::Ready);
        }
        Turn::Wait
    }

    fn receive(&mut self, input: &mut BytesMut, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        input.clear();
        self.pass(At::Receive);
        Turn::Wait
    }

    fn due(&self) -> Option<Instant> {
        (self.at == At::Tick).then_some(())?;
        self.begun.map(|begun| begun + Duration::from_millis(30))
    }

    fn tick(&mut self, _now: Instant, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        self.pass(At::Tick);
        Turn::Wait
    }

    fn drain(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        self.pass(At::Drain);
        Turn::Wait
    }

    fn recheck(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        self.pass(At::Recheck);
        Turn::Wait
    }

    fn last_words(&self, _problem: &Problem, out: &mut Outbox) {
        self.pass(At::LastWords);
        out.push_raw(Bytes::from_static(b"last words\n"));
    }
}

/// No connection here leaves, or carries a further request.
pub(in crate::worker) struct Nowhere;

impl Surroundings for Nowhere {
    fn between(&self, _ahead: usize, _guest: Option<&Arc<Guest>>, _socket: &Socket) -> Response {
        unreachable!("no exchange here is reused")
    }

    fn depart(self: Rc<Self>, _departure: Departure) {}
}

struct Bench {
    hub: Hub,
    intake: Arc<Intake>,
    listener: TcpListener,
}

impl Bench {
    fn begin() -> Self {
        let hub = Hub::new(Limits::default(), Times::default());
        let intake = Intake::new(Arc::default());
        let worker = Worker::new(hub.clone(), Arc::clone(&intake), Rc::new(Nowhere));
        tokio::task::spawn_local(worker);
        Self { hub, intake, listener: TcpListener::bind(("127.0.0.1", 0)).unwrap() }
    }

    /// A connection that reads `chat`; returns the client's end.
    fn connect(&self, at: At) -> tokio::net::TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (server, _) = self.listener.accept().unwrap();
        for end in [&client, &server] {
            end.set_nonblocking(true).unwrap();
        }
        let mut reader = Reader::new(self.hub.clone());
        reader.join(ChannelName::parse("chat").unwrap(), Start::Now);
        if at == At::Ready {
            // Of two channels the exchange writes the messages, not the walk.
            reader.join(ChannelName::parse("side").unwrap(), Start::Now);
        }
        let exchange = Box::new(Doomed { at, begun: None });
        let response = Response {
            head: Bytes::from_static(b"head\n"),
            framing: Framing::Plain,
            exchange,
            reader,
            tally: None,
        };
        let socket = Socket::Tcp(tokio::net::TcpStream::from_std(server).unwrap());
        self.intake.adopt(Adoption { guest: None, socket, input: BytesMut::new(), response });
        tokio::net::TcpStream::from_std(client).unwrap()
    }

    fn panics(&self) -> u64 {
        self.hub.counters().sum().panics
    }
}

/// Everything that comes until the server closes.
async fn to_the_end(client: &mut tokio::net::TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut text = Vec::new();
    let read = client.read_to_end(&mut text);
    let ended = tokio::time::timeout(Duration::from_secs(10), read).await;
    // A reset is an end, too.
    drop(ended.expect("the connection does not end"));
    String::from_utf8(text).unwrap()
}

async fn until_it_reads(client: &mut tokio::net::TcpStream, wanted: &str) {
    use tokio::io::AsyncReadExt;
    let mut text = String::new();
    while !text.contains(wanted) {
        let mut bytes = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(10), client.read(&mut bytes)).await;
        let count = read.unwrap_or_else(|_| panic!("{wanted:?} does not come after {text:?}")).unwrap();
        assert!(count > 0, "ended after {text:?}, before {wanted:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

fn run(test: impl AsyncFnOnce(Bench)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async { test(Bench::begin()).await });
}

#[test]
fn whatever_an_exchange_panics_in_ends_its_connection_and_no_other() {
    for (at, told) in [
        (At::Form, ""),
        (At::Open, "head\nlast words\n"),
        (At::LastWords, ""),
        (At::Ready, "last words\n"),
        (At::Receive, "last words\n"),
        (At::Tick, "last words\n"),
        (At::Recheck, "last words\n"),
        (At::Drop, "head\nopened\n"),
    ] {
        run(async |bench: Bench| {
            let mut beside = [bench.connect(At::Never), bench.connect(At::Never)];
            let mut doomed = bench.connect(at);
            let mut behind = bench.connect(At::Never);
            for reader in beside.iter_mut().chain([&mut behind]) {
                until_it_reads(reader, "opened").await;
            }
            if !matches!(at, At::Form | At::Open | At::LastWords | At::Drop) {
                until_it_reads(&mut doomed, "opened").await;
            }
            match at {
                At::Ready => _ = bench.hub.publish_text("chat", "a message").unwrap(),
                At::Receive => tokio::io::AsyncWriteExt::write_all(&mut doomed, b"hear").await.unwrap(),
                At::Recheck => bench.hub.recheck(),
                _ => {}
            }
            let seen = to_the_end(&mut doomed).await;
            assert!(seen.ends_with(told), "{at:?}: {seen:?}");
            // While the client is there the server lingers.
            drop(doomed);
            let due = Instant::now() + Duration::from_secs(10);
            while bench.intake.carried() > 3 && Instant::now() < due {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(bench.intake.carried(), 3, "{at:?}");
            assert_eq!(bench.panics(), if at == At::LastWords { 2 } else { 1 }, "{at:?}");
            bench.hub.publish_text("chat", "goes on").unwrap();
            for reader in beside.iter_mut().chain([&mut behind]) {
                until_it_reads(reader, "goes on").await;
            }
        });
    }
}

#[test]
fn a_drain_reaches_everybody_behind_one_that_panics() {
    run(async |bench: Bench| {
        let mut readers = [At::Never, At::Drain, At::Never, At::Drain, At::Never].map(|at| bench.connect(at));
        for reader in &mut readers {
            until_it_reads(reader, "opened").await;
        }
        bench.hub.drain();
        for reader in [1, 3] {
            assert!(to_the_end(&mut readers[reader]).await.ends_with("last words\n"));
        }
        assert_eq!(bench.panics(), 2);
        bench.hub.publish_text("chat", "goes on").unwrap();
        for reader in [0, 2, 4] {
            until_it_reads(&mut readers[reader], "goes on").await;
        }
    });
}

/// A slot of the worker that a panic emptied must not hand the channels of the one before to the next connection.
#[test]
fn the_place_of_one_that_panicked_has_no_channels() {
    run(async |bench: Bench| {
        let mut doomed = bench.connect(At::Receive);
        until_it_reads(&mut doomed, "opened").await;
        tokio::io::AsyncWriteExt::write_all(&mut doomed, b"hear").await.unwrap();
        to_the_end(&mut doomed).await;
        let published = bench.hub.publish_text("chat", "to nobody").unwrap();
        assert_eq!(published.subscribers, 0);
    });
}
