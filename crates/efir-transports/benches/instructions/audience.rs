//! A worker with real connections on loopback, driven by hand: one poll of it is one turn of its event loop.
//!
//! Only instructions of this process count, so what the kernel does for a `send` is not in the rows.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use efir_core::{ChannelName, Form};
use efir_engine::{
    Exchange, Framing, Guest, Outbox, Reader, Response, Socket, Turn,
    worker::{Adoption, Departure, Intake, Surroundings, Worker},
};
use efir_transports::Site;
use efir_ws::{Opcode, frame::encode_masked};
use tokio::runtime::Runtime;

use crate::requests::{self, Answered, Way};

/// The connections and both of their ends.
pub(crate) struct Audience {
    site: Site,
    worker: Pin<Box<Worker>>,
    intake: Arc<Intake>,
    listener: TcpListener,
    clients: Vec<TcpStream>,
    runtime: Runtime,
}

impl Audience {
    /// A worker without connections, of a site that is open to everybody.
    pub(crate) fn new() -> Self {
        Self::of(requests::site())
    }

    /// The same of this site.
    pub(crate) fn of(site: Site) -> Self {
        let (runtime, intake) = (requests::runtime(), Intake::new(Arc::default()));
        let entered = runtime.enter();
        let surroundings = Rc::new(Requests(site.clone()));
        let worker = Worker::new(site.hub().clone(), Arc::clone(&intake), surroundings as _);
        drop(entered);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        Self { site, worker: Box::pin(worker), intake, listener, clients: Vec::new(), runtime }
    }

    /// So many more clients ask in this way; they are served when this returns.
    pub(crate) fn with(self, way: Way, count: usize) -> Self {
        self.with_each(count, |_| way.bytes())
    }

    /// The same, each in its own words.
    pub(crate) fn with_each(mut self, count: usize, request: impl Fn(usize) -> Vec<u8>) -> Self {
        for _ in 0..count {
            self.connect();
            self.turn();
        }
        let first = self.clients.len() - count;
        for (n, client) in self.clients[first..].iter_mut().enumerate() {
            client.write_all(&request(n)).expect("room in the socket");
        }
        self.settle();
        self.drain();
        self
    }

    /// A fresh connection, on its way to the worker.
    pub(crate) fn connect(&mut self) -> &mut TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().expect("an address")).expect("loopback");
        let (stream, _) = self.listener.accept().expect("the client");
        for end in [&client, &stream] {
            end.set_nonblocking(true).expect("a socket");
            end.set_nodelay(true).expect("a socket");
        }
        let _entered = self.runtime.enter();
        let stream = tokio::net::TcpStream::from_std(stream).expect("a socket");
        let socket = Socket::Tcp(stream);
        let response = Requests(self.site.clone()).between(0, None, &socket);
        self.intake.adopt(Adoption { guest: None, socket, input: BytesMut::new(), response });
        self.clients.push(client);
        self.clients.last_mut().expect("it was pushed just now")
    }

    /// Lets the worker do what there is to do: it stops in between after a moment, which under an instrument is soon over.
    pub(crate) fn turn(&mut self) {
        let _entered = self.runtime.enter();
        let again = Arc::new(Again::default());
        let waker = Waker::from(Arc::clone(&again));
        loop {
            let _ = self.worker.as_mut().poll(&mut Context::from_waker(&waker));
            if !again.0.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Lets the event loop see what became readable and writable; the worker has not acted yet.
    pub(crate) fn hear(&self) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
    }

    /// The same, and the worker acts on it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..3 {
            self.hear();
            self.turn();
        }
    }

    /// Every client sends these bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for client in &mut self.clients {
            client.write_all(bytes).expect("room in the socket");
        }
    }

    /// Every client says this in a masked text frame.
    pub(crate) fn say(&mut self, text: &str) {
        self.send(&encode_masked(Opcode::Text, text.as_bytes(), [0x37, 0xfa, 0x21, 0x3d]));
    }

    /// Takes what has come to the clients: for each, its bytes.
    pub(crate) fn drain(&mut self) -> Vec<usize> {
        let mut buffer = vec![0; 64 * 1024];
        let mut taken = Vec::with_capacity(self.clients.len());
        for client in &mut self.clients {
            let mut bytes = 0;
            while let Ok(read @ 1..) = client.read(&mut buffer) {
                bytes += read;
            }
            taken.push(bytes);
        }
        taken
    }

    /// The same; each client must have got something.
    pub(crate) fn expect_news(&mut self, row: &str) {
        assert!(self.drain().iter().all(|bytes| *bytes > 0), "{row}: a client got nothing");
    }

    /// Nobody must have got anything.
    pub(crate) fn expect_silence(&mut self, row: &str) {
        assert!(self.drain().iter().all(|bytes| *bytes == 0), "{row}: a client got something");
    }

    /// How many messages were published there.
    pub(crate) fn position(&self, channel: &str) -> u64 {
        self.site.hub().position(&ChannelName::parse(channel).expect("a name")).offset
    }

    /// Publishes 100 bytes of text.
    pub(crate) fn publish(&self, channel: &str) {
        const TEXT: &str = concat!(
            "..................................................",
            "..................................................",
        );
        self.site.hub().publish_text(channel, TEXT).expect("room for it");
    }
}

/// Whether the worker wants to go on.
#[derive(Default)]
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a connection does between two responses: it reads the next request, as the server's do, without the server's clocks and books.
struct Requests(Site);

impl Surroundings for Requests {
    fn between(&self, _ahead: usize, _guest: Option<&Arc<Guest>>, _socket: &Socket) -> Response {
        let requests = Asking { site: self.0.clone(), successor: None };
        Response {
            head: Bytes::new(),
            framing: Framing::Plain,
            exchange: Box::new(requests),
            reader: Reader::new(self.0.hub().clone()),
            tally: None,
        }
    }

    fn depart(self: Rc<Self>, _departure: Departure) {
        unreachable!("there is no library to leave for");
    }
}

struct Asking {
    site: Site,
    successor: Option<Box<Response>>,
}

impl Exchange for Asking {
    fn form(&self) -> Form {
        Form::Batch
    }

    fn is_plain_stream(&self) -> bool {
        false
    }

    fn open(&mut self, _now: Instant, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Wait
    }

    fn ready(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Wait
    }

    fn receive(&mut self, input: &mut BytesMut, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        while let Some(answered) = requests::answer(&self.site, input) {
            match answered {
                Answered::Whole(bytes) => out.push_raw(bytes),
                Answered::Held(response) => {
                    self.successor = Some(response);
                    return Turn::Succeed;
                }
            }
        }
        Turn::Wait
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _now: Instant, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Wait
    }

    fn drain(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }

    fn succeed(&mut self) -> Option<Response> {
        self.successor.take().map(|successor| *successor)
    }
}
