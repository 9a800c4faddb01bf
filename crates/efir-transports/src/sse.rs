//! Server-Sent Events (WHATWG HTML §9.2): a stream that browsers read by themselves, and come back to by themselves.

use efir_core::wire::{Form, Frame, sse};

use crate::{
    head,
    problem::Refused,
    reply::Reply,
    request::ReadRequest,
    site::Site,
    stream::{self, Tongue},
};

enum Sse {}

pub(crate) fn begin(site: &Site, asked: ReadRequest) -> Result<Reply, Refused> {
    stream::refuse_draining(site)?;
    Ok(stream::begin::<Sse>(site, asked, head::stream("text/event-stream"))?)
}

impl Tongue for Sse {
    fn form(is_single: bool) -> Form {
        // The events of several channels are shared too, so none can carry the token of one stream.
        if is_single { Form::Sse } else { Form::SseShared }
    }

    fn retry(ms: u64) -> Option<Frame> {
        Some(sse::retry(ms))
    }
}
