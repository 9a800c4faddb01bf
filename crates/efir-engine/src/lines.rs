//! The plainest exchange, for tests: everything after the cursor, as lines.

use std::time::Instant;

use bytes::BytesMut;
use efir_core::wire::Form;

use crate::{
    exchange::{Exchange, Turn},
    outbox::Outbox,
    reader::Reader,
};

/// Ends by a drain only.
pub(crate) struct Lines;

impl Exchange for Lines {
    fn form(&self) -> Form {
        Form::HttpStream
    }
    fn open(&mut self, _: Instant, _: &mut Reader, _: &mut Outbox) -> Turn {
        Turn::Wait
    }
    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        reader.pull(Form::HttpStream, out);
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
