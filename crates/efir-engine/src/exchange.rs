//! One long-lived response, as its carrier sees it: what goes out and when it ends.
//!
//! A transport implements [`Exchange`] and never learns what carries it: a socket in a worker's slab ([`crate::worker`]) or a
//! polled body ([`crate::polled`]). A carrier never decides what is sent.

use std::time::Instant;

use bytes::BytesMut;
use efir_core::wire::Form;

use crate::{outbox::Outbox, reader::Reader};

/// What becomes of the response after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It goes on.
    Wait,
    /// It is complete; the connection closes once everything in the outbox is written.
    Close,
    /// It is complete and the connection may carry a further request (HTTP/1.1 keep-alive).
    Reuse,
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

    /// The node is about to stop: say so in the transport's own way and end.
    fn drain(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn;
}
