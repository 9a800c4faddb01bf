//! The last answer on a connection whose request never became one: it is written, and then nobody listens any more.

use std::sync::Arc;

use bytes::BytesMut;
use efir_core::{Code, Problem};
use efir_engine::{Framing, Guest, Reader, Response, Socket, worker::Adoption};
use efir_transports::{Site, TakeOver};
use http::{Request, Version};

/// Says that a head has more bytes than it may.
pub(crate) fn head_too_large(site: &Site, socket: Socket, guest: Option<Arc<Guest>>) -> Adoption {
    // What was asked is not known; so nothing in it decides how this is said.
    let (nothing, ()) = Request::new(()).into_parts();
    let answer = efir_transports::refusal(site, &nothing, head_problem(site.hub().limits().head_bytes_max));
    let how = TakeOver { version: Version::HTTP_11, keep_alive: false };
    let response = Response {
        head: efir_transports::serialise(how, answer),
        framing: Framing::Plain,
        exchange: efir_engine::over(true),
        reader: Reader::new(site.hub().clone()),
        tally: None,
    };
    Adoption { guest, socket, input: BytesMut::new(), response }
}

pub(crate) fn head_problem(max: usize) -> Problem {
    let detail = format!("the head of the request has more than {max} bytes, which is the limit");
    Problem::new(Code::HeadTooLarge, detail).with_limit("head_bytes_max", max as u64)
}
