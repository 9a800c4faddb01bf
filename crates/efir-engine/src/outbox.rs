//! What one response has to write, in order, with the knowledge of what may be dropped and read again.
//!
//! There is no queue per connection: an outbox is filled, written at once, and what the socket did not take of *messages* is
//! forgotten, because the log still has it. Only the rest of a frame that was cut, and control objects, stay.

use std::{collections::VecDeque, io::IoSlice, sync::Arc};

use bytes::{Buf, Bytes};
use efir_core::{
    Message, Position,
    wire::{Form, Frame},
};

use crate::reader::Reader;

/// How message and control frames are put on this carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// With HTTP/1.1 chunk headers, where the wire form has them.
    Chunked,
    /// As they are: HTTP/1.0, HTTP/2 and other bodies that somebody else frames.
    Plain,
}

impl Framing {
    /// The frame's bytes on this carrier; shared, not copied.
    pub fn apply(self, frame: &Frame) -> Bytes {
        match self {
            Self::Chunked => frame.chunked().clone(),
            Self::Plain => frame.plain(),
        }
    }

    /// As [`Framing::apply`], for a frame that nobody needs any longer.
    pub fn strip(self, frame: Frame) -> Bytes {
        match self {
            Self::Chunked => frame.bytes,
            Self::Plain => frame.plain(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Written whatever happens: heads, replies, the rest of a cut frame.
    Kept,
    /// Only worth something directly after what stands before it; dropped when that is.
    Volatile,
    /// A message or a gap: once begun, the cursor of the subscription stands at this position.
    Cursor { subscription: u32, position: Position, is_message: bool },
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    kind: Kind,
}

/// The pieces that one call of an exchange wants written.
#[derive(Debug)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    framing: Framing,
    bytes: usize,
    has_empty_answer: bool,
    /// Messages that went out and were not booked yet.
    delivered: u32,
}

impl Outbox {
    /// An empty outbox; allocates nothing.
    pub fn new(framing: Framing) -> Self {
        Self { pieces: VecDeque::new(), framing, bytes: 0, has_empty_answer: false, delivered: 0 }
    }

    /// How frames are put on this carrier.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Sets the framing; the outbox must be empty.
    pub(crate) fn reframe(&mut self, framing: Framing) {
        debug_assert!(self.pieces.is_empty(), "pieces are framed already");
        self.framing = framing;
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Pieces that wait to be written.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Bytes that wait to be written.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Raw bytes that are written as they are: an HTTP head, a whole answer, a WebSocket control frame.
    pub fn push_raw(&mut self, bytes: Bytes) {
        self.push(bytes, Kind::Kept);
    }

    /// A control object that must arrive: `hello`, a reply, a problem.
    pub fn push_control(&mut self, frame: &Frame) {
        let bytes = self.framed(frame);
        self.push(bytes, Kind::Kept);
    }

    /// A control object that is only worth something now (a heartbeat, an id after a flush): dropped, not queued, when the
    /// client does not take it.
    pub fn push_volatile(&mut self, frame: &Frame) {
        let bytes = self.framed(frame);
        self.push(bytes, Kind::Volatile);
    }

    /// The end of a chunked body; nothing on other framings.
    pub fn push_end(&mut self) {
        if self.framing == Framing::Chunked {
            self.push_raw(Bytes::from_static(b"0\r\n\r\n"));
        }
    }

    /// What was pushed is an answer without a message; whoever counts the client's traffic wants to know.
    pub fn mark_empty_answer(&mut self) {
        self.has_empty_answer = true;
    }

    /// So many messages stand in an answer that was pushed whole, or given to somebody else.
    pub fn mark_delivered(&mut self, messages: usize) {
        self.delivered += messages as u32;
    }

    pub(crate) fn take_empty_answer(&mut self) -> bool {
        std::mem::take(&mut self.has_empty_answer)
    }

    /// How many messages went out since the last call.
    pub(crate) fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered).into()
    }

    /// A frame that moves the cursor of a subscription to `position` (a gap).
    pub(crate) fn push_moving(&mut self, frame: &Frame, subscription: u32, position: Position) {
        let bytes = self.framed(frame);
        self.push(bytes, Kind::Cursor { subscription, position, is_message: false });
    }

    pub(crate) fn push_message(&mut self, message: &Arc<Message>, form: Form, subscription: u32) {
        let bytes = self.framing.strip(message.frame(form));
        let position = message.position();
        self.push(bytes, Kind::Cursor { subscription, position, is_message: true });
    }

    fn framed(&self, frame: &Frame) -> Bytes {
        self.framing.apply(frame)
    }

    fn push(&mut self, bytes: Bytes, kind: Kind) {
        self.bytes += bytes.len();
        self.pieces.push_back(Piece { bytes, kind });
    }

    /// The first pieces as slices for one vectored write; returns how many slots were filled.
    pub(crate) fn slices<'a>(&'a self, slots: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, piece) in slots.iter_mut().zip(&self.pieces) {
            *slot = IoSlice::new(&piece.bytes);
            filled += 1;
        }
        filled
    }

    /// `written` bytes from the front are gone: cursors move; a piece that was cut stays with its rest, pinned.
    pub(crate) fn advance(&mut self, mut written: usize, reader: &mut Reader) {
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(front) = self.pieces.front_mut() {
            if written == 0 && !front.bytes.is_empty() {
                return;
            }
            if let Kind::Cursor { subscription, position, is_message } = front.kind {
                reader.commit(subscription, position);
                self.delivered += u32::from(is_message);
            }
            if written < front.bytes.len() {
                front.bytes.advance(written);
                front.kind = Kind::Kept;
                return;
            }
            written -= front.bytes.len();
            self.pieces.pop_front();
        }
    }

    /// The client takes no more for now: forget what the log can give again, keep the rest.
    pub(crate) fn retreat(&mut self, reader: &mut Reader) {
        self.pieces.retain(|piece| matches!(piece.kind, Kind::Kept));
        self.bytes = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        self.pieces.shrink_to_fit();
        reader.rewind();
    }

    /// Takes the next piece for a carrier that queues nothing behind it; its cursor counts as moved.
    pub(crate) fn pop(&mut self, reader: &mut Reader) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.bytes.len();
        if let Kind::Cursor { subscription, position, is_message } = piece.kind {
            reader.commit(subscription, position);
            self.delivered += u32::from(is_message);
        }
        Some(piece.bytes)
    }
}

#[cfg(test)]
mod tests {
    use efir_core::{ChannelName, Control, Limits, Start, Times};

    use super::*;
    use crate::{Hub, channel::Watch};

    struct Nobody;
    impl crate::channel::Noted for Nobody {
        fn note(&self, _: u32) {}
        fn drain(&self) {}
    }

    /// A reader that stands before three messages.
    fn reader() -> (Hub, ChannelName, Reader) {
        let hub = Hub::new(Limits::default(), Times::default());
        let name = ChannelName::parse("chat").unwrap();
        let mut reader = Reader::new(hub.clone());
        reader.join(name.clone(), Start::Now);
        let channel = hub.broker().watch(&name, Watch::new(Arc::new(Nobody), 0));
        reader.take_changes();
        reader.attach(0, channel, (0, 0));
        for text in ["one", "two", "three"] {
            hub.publish_text("chat", text).unwrap();
        }
        (hub, name, reader)
    }

    fn offset(reader: &Reader, name: &ChannelName) -> u64 {
        reader.cursor(name).unwrap().position().unwrap().offset
    }

    fn written(out: &mut Outbox, reader: &mut Reader, most: usize) -> Vec<u8> {
        let mut slots = [IoSlice::new(&[]); 16];
        let filled = out.slices(&mut slots);
        let mut bytes: Vec<u8> = slots[..filled].iter().flat_map(|slot| slot.to_vec()).collect();
        bytes.truncate(most);
        out.advance(bytes.len(), reader);
        bytes
    }

    #[test]
    fn a_cut_at_any_byte_loses_and_repeats_nothing() {
        let (_, name, mut reader) = reader();
        let mut out = Outbox::new(Framing::Plain);
        assert!(reader.pull(Form::HttpStream, &mut out));
        let whole = written(&mut out, &mut reader, usize::MAX);
        assert_eq!(offset(&reader, &name), 3);
        for cut in 0..whole.len() {
            let (_, name, mut reader) = self::reader();
            let mut out = Outbox::new(Framing::Plain);
            reader.pull(Form::HttpStream, &mut out);
            let mut bytes = written(&mut out, &mut reader, cut);
            out.retreat(&mut reader);
            let pinned = out.len();
            assert!(pinned < whole.len() / 2, "at most one frame is pinned, not {pinned} bytes");
            bytes.extend(written(&mut out, &mut reader, usize::MAX));
            reader.settle();
            reader.pull(Form::HttpStream, &mut out);
            bytes.extend(written(&mut out, &mut reader, usize::MAX));
            let lines = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().matches('\n').count();
            assert_eq!(lines(&bytes), 3, "cut at {cut}");
            assert_eq!(offset(&reader, &name), 3);
        }
    }

    #[test]
    fn what_is_only_worth_something_now_is_dropped() {
        let (_, name, mut reader) = reader();
        let mut out = Outbox::new(Framing::Plain);
        let problem = efir_core::Problem::new(efir_core::Code::Internal, "kept");
        out.push_volatile(&Control::Heartbeat { time_ms: 1, cursor: None }.encode(Form::HttpStream));
        reader.pull(Form::HttpStream, &mut out);
        out.push_control(&Control::Problem(&problem).encode(Form::HttpStream));
        out.retreat(&mut reader);
        let bytes = String::from_utf8(written(&mut out, &mut reader, usize::MAX)).unwrap();
        assert!(bytes.starts_with("{\"problem\":") && bytes.lines().count() == 1, "{bytes}");
        assert_eq!(offset(&reader, &name), 0, "the messages will be read again");
        assert!(reader.is_behind());
    }
}
