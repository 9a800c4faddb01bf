//! An exchange that has nothing more to say: it stands where the response is over, or was one answer from the beginning, while the client
//! reads our last bytes. Nothing of the client's is kept meanwhile.

use std::time::Instant;

use bytes::BytesMut;
use efir_core::wire::Form;

use crate::{
    exchange::{Exchange, Turn},
    outbox::Outbox,
    reader::Reader,
};

/// Takes no memory, not even in a box.
struct Over<const IS_WHOLE: bool>;

/// For a response whose answers were whole ([`Exchange::is_whole`]), or not.
pub fn over(is_whole: bool) -> Box<dyn Exchange> {
    if is_whole { Box::new(Over::<true>) } else { Box::new(Over::<false>) }
}

impl<const IS_WHOLE: bool> Exchange for Over<IS_WHOLE> {
    /// Nothing is delivered in it; who was counted by another form remembers that.
    fn form(&self) -> Form {
        Form::Batch
    }

    fn is_plain_stream(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        IS_WHOLE
    }

    fn open(&mut self, _now: Instant, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }

    fn ready(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }

    fn receive(&mut self, input: &mut BytesMut, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        input.clear();
        Turn::Close
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _now: Instant, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }

    fn drain(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }
}
