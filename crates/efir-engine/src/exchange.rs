//! One long-lived response, as its carrier sees it: what goes out and when it ends.
//!
//! A transport implements [`Exchange`] and never learns what carries it: a socket in a worker's slab ([`crate::worker`]) or a
//! polled body ([`crate::polled`]). A carrier never decides what is sent.

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use efir_core::{Problem, wire::Form};

use crate::{
    outbox::{Framing, Outbox},
    reader::Reader,
    tally::Tally,
};

/// What becomes of the response after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It goes on.
    Wait,
    /// It is complete; the connection closes once everything in the outbox is written.
    Close,
    /// It is complete and the connection may carry a further request (HTTP/1.1 keep-alive).
    Reuse,
    /// Another response follows on this connection: [`Exchange::succeed`] gives it. Only where the carrier is a socket.
    Succeed,
    /// The connection leaves the worker with all input that was not consumed; whoever handed it in goes on with it. Only where the
    /// carrier is a socket.
    Leave,
}

/// One long-lived response: what says what goes out, and what it is owed.
pub struct Response {
    /// Written first; empty when the exchange answers with a head of its own.
    pub head: Bytes,
    /// How the body's frames are put on the wire.
    pub framing: Framing,
    /// What goes out and when it ends.
    pub exchange: Box<dyn Exchange>,
    /// The channels that it reads.
    pub reader: Reader,
    /// Counts the connection's bytes, if the client asked for it.
    pub tally: Option<Arc<Tally>>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").field("framing", &self.framing).finish_non_exhaustive()
    }
}

/// A response that outlives its request: a stream, a held poll, a socket.
///
/// The carrier calls `open` once, then `ready`, `receive` and `tick` as things happen. Whatever a call pushes into the outbox is
/// written in one go after it. All calls come from one place, never at the same time.
pub trait Exchange: Send {
    /// The wire form of this response's messages.
    fn form(&self) -> Form;

    /// Whether messages go out as they come, each as its own frame. A carrier may then write the shared frames itself,
    /// without calling [`Exchange::ready`], when the response reads one channel and nothing else is waiting to be written.
    fn is_plain_stream(&self) -> bool {
        true
    }

    /// Whether its answers are whole: a client that has sent its end still reads them. The reader of a stream is gone then.
    fn is_whole(&self) -> bool {
        false
    }

    /// Says what comes first (`hello`). The reader has already joined the channels of the request.
    fn open(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn;

    /// Something after a cursor may be readable. Streams call [`Reader::pull`]; a held poll answers and ends.
    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn;

    /// Bytes came from the client. What is not consumed stays in `input` and comes again with more behind it.
    /// A carrier without a way back never calls it.
    fn receive(&mut self, input: &mut BytesMut, reader: &mut Reader, out: &mut Outbox) -> Turn;

    /// When [`Exchange::tick`] wants to be called next; `None`: never.
    fn due(&self) -> Option<Instant>;

    /// The time of [`Exchange::due`] has come: heartbeats, ends of holds and of lives.
    fn tick(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn;

    /// When `tick` will end it because nothing comes from the client; `None` where the client need not say anything.
    fn silent_at(&self) -> Option<Instant> {
        None
    }

    /// Counts as if something had last come from the client `at` that time: what its connection takes has shown that it is there.
    fn bear_silence(&mut self, _at: Instant) {}

    /// The node is about to stop: say so in the transport's own way and end.
    fn drain(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn;

    /// The server has to get rid of this response: say so in the transport's own way and end.
    fn shed(&mut self, _problem: &Problem, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }

    /// A bug has ended the response in the middle of one of the calls above: say so in the transport's own way, without relying on anything
    /// that such a call changes. The response ends whatever this does; what a call had pushed is gone.
    fn last_words(&self, _problem: &Problem, _out: &mut Outbox) {}

    /// Who may do what has changed: leave what may no longer be read, or end. Nothing where nothing is read.
    fn recheck(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Wait
    }

    /// Bytes that it keeps for its client: of a message that has begun to arrive.
    fn held_bytes(&self) -> usize {
        0
    }

    /// The response that follows after [`Turn::Succeed`]; asked for once. `None` closes the connection.
    fn succeed(&mut self) -> Option<Response> {
        None
    }
}
