//! HTTP streaming: one JSON object a line (NDJSON), for `fetch`, `curl -N` and programs.

use efir_core::wire::{Form, Frame};

use crate::{
    head,
    problem::Refused,
    reply::Reply,
    request::ReadRequest,
    site::Site,
    stream::{self, Tongue},
};

enum Lines {}

pub(crate) fn begin(site: &Site, asked: ReadRequest) -> Result<Reply, Refused> {
    stream::refuse_draining(site)?;
    Ok(stream::begin::<Lines>(site, asked, head::stream("application/x-ndjson"))?)
}

impl Tongue for Lines {
    fn form(_is_single: bool) -> Form {
        Form::HttpStream
    }

    fn retry(_ms: u64) -> Option<Frame> {
        None
    }
}
