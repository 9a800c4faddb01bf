//! A WebSocket on `/socket` without a network: the transport's own exchange, polled for what goes out. Knows no command.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use efir_core::{Limits, Times};
use efir_engine::{Hub, polled::Polled};
use efir_transports::{Reply, Site, SiteOptions, TakeOver};
use efir_ws::{Decoder, DecoderLimits, Event, Opcode, Role, frame};
use http::{Request, Version};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    /// Whoever sleeps needs a clock that rings; nobody waits for it here.
    static CLOCK: Runtime = Builder::new_current_thread().enable_time().build().expect("a clock");
}

/// A hub of its own for one input, of channels that keep next to nothing.
pub(crate) fn site(messages_max: usize) -> Site {
    let limits = Limits { retention_messages_max: messages_max, ..Limits::default() };
    Site::new(Hub::new(limits, Times::default()), SiteOptions::default())
}

/// Runs `work` where timers can be made.
pub(crate) fn with_clock<T>(work: impl FnOnce() -> T) -> T {
    CLOCK.with(|clock| {
        let _inside = clock.enter();
        work()
    })
}

/// All that goes out now, and whether that was the end.
pub(crate) fn drain(polled: &mut Polled) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match polled.poll_piece(&mut cx) {
            Poll::Ready(Some(piece)) => out.extend_from_slice(&piece),
            Poll::Ready(None) => return (out, true),
            Poll::Pending => return (out, false),
        }
    }
}

/// One end of a connection.
pub(crate) struct Socket {
    polled: Polled,
    decoder: Decoder,
    sent: BytesMut,
    heard: BytesMut,
    /// The server has said that it closes.
    pub(crate) is_closed: bool,
}

impl Socket {
    /// Shakes hands, and takes `hello`.
    pub(crate) fn open(site: &Site) -> Self {
        let request = Request::get("/socket")
            .header("host", "localhost")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let request = request.body(Bytes::new()).expect("a request");
        let Reply::Held(held) = efir_transports::handle_whole(site, request) else { panic!("no socket") };
        let taken = held.take_over(TakeOver { version: Version::HTTP_11, keep_alive: true });
        let most = 1 << 24;
        let limits = DecoderLimits { message_bytes_max: most, frame_bytes_max: most, fragments_max: 1 };
        let mut socket = Self {
            polled: Polled::new(taken.exchange, taken.reader),
            decoder: Decoder::new(Role::Client, limits),
            sent: BytesMut::new(),
            heard: BytesMut::new(),
            is_closed: false,
        };
        let hello = socket.hear();
        assert!(hello.len() == 1 && hello[0].starts_with(b"{\"hello\":"), "{hello:?}");
        socket
    }

    /// Sends a text frame.
    pub(crate) fn send(&mut self, text: &[u8]) {
        self.sent.extend_from_slice(&frame::encode_masked(Opcode::Text, text, [7, 0, 0xfe, 1]));
        with_clock(|| self.polled.receive(&mut self.sent));
    }

    /// The messages that have come since.
    pub(crate) fn hear(&mut self) -> Vec<Bytes> {
        let mut messages = Vec::new();
        loop {
            let (out, has_ended) = with_clock(|| drain(&mut self.polled));
            self.heard.extend_from_slice(&out);
            while let Some(event) = self.decoder.decode(&mut self.heard).expect("frames of ours") {
                match event {
                    Event::Text(text) => messages.push(text),
                    Event::Close { .. } => self.is_closed = true,
                    other => panic!("{other:?}"),
                }
            }
            self.is_closed |= has_ended;
            // What a full outbox held back may go on now.
            let before = self.sent.len();
            if self.is_closed || before == 0 {
                return messages;
            }
            with_clock(|| self.polled.receive(&mut self.sent));
            if self.sent.len() == before {
                return messages;
            }
        }
    }
}
