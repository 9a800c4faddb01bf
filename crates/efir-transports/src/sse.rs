//! Server-Sent Events (WHATWG HTML §9.2): a stream that browsers read by themselves, and come back to by themselves.

use efir_core::{
    Times,
    wire::{Form, Frame, sse},
};
use efir_engine::Hub;

use crate::{
    head, life,
    problem::Refused,
    reply::Reply,
    request::ReadRequest,
    site::Site,
    stream::{self, Tongue},
};

enum Sse {}

pub(crate) fn begin(site: &Site, asked: ReadRequest) -> Result<Reply, Refused> {
    stream::refuse_draining(site)?;
    Ok(stream::begin::<Sse>(site, asked, head::stream("text/event-stream")))
}

/// After how many ms a browser is to come back: random, so that a thousand do not come back at once.
pub(crate) fn retry_ms(times: &Times) -> u64 {
    life::between(times.retry_ms_min, times.retry_ms_max)
}

impl Tongue for Sse {
    fn form(is_single: bool) -> Form {
        // The events of several channels are shared too, so none can carry the token of one stream.
        if is_single { Form::Sse } else { Form::SseShared }
    }

    fn before(hub: &Hub) -> Option<Frame> {
        Some(sse::retry(retry_ms(hub.times())))
    }
}
