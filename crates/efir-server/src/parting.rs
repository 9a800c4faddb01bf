//! The last answer on a connection whose request never became one: it is written, and then nobody listens any more.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use efir_core::{Code, Problem, wire::Form};
use efir_engine::{Exchange, Framing, Guest, Outbox, Reader, Response, Socket, Turn, worker::Adoption};
use efir_transports::{Site, TakeOver};
use http::{Request, Version};

/// An exchange that has nothing more to say.
#[derive(Debug)]
struct Parting;

/// Says that a head has more bytes than it may.
pub(crate) fn head_too_large(site: &Site, socket: Socket, guest: Option<Arc<Guest>>) -> Adoption {
    // What was asked is not known; so nothing in it decides how this is said.
    let (nothing, ()) = Request::new(()).into_parts();
    let answer = efir_transports::refusal(site, &nothing, head_problem(site.hub().limits().head_bytes_max));
    let how = TakeOver { version: Version::HTTP_11, keep_alive: false };
    let response = Response {
        head: efir_transports::serialise(how, answer),
        framing: Framing::Plain,
        exchange: Box::new(Parting),
        reader: Reader::new(site.hub().clone()),
        tally: None,
    };
    Adoption { guest, socket, input: BytesMut::new(), response }
}

pub(crate) fn head_problem(max: usize) -> Problem {
    let detail = format!("the head of the request has more than {max} bytes, which is the limit");
    Problem::new(Code::HeadTooLarge, detail).with_limit("head_bytes_max", max as u64)
}

impl Exchange for Parting {
    fn form(&self) -> Form {
        Form::Batch
    }

    fn is_plain_stream(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        true
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
