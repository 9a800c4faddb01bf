//! `GET /info`: who answers, with which transports, limits, times and codes. All of it comes from the tables.

use std::fmt::Write as _;

use bytes::Bytes;
use efir_core::{CODES, Limits};
use efir_engine::clock;
use http::Response;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Choice, TRANSPORTS, head, peer, place, presence, site::Site, socket};

#[derive(Serialize)]
struct About<'a> {
    name: &'a str,
    version: &'a str,
    page: Option<&'a str>,
    lab: bool,
    time: u64,
    is_draining: bool,
    websocket_deflate: bool,
    transports: Vec<Transport>,
    limits: &'a RawValue,
    times: &'a RawValue,
    codes: Vec<CodeLine>,
}

#[derive(Serialize)]
struct Transport {
    name: &'static str,
    summary: &'static str,
    ends: &'static str,
    chosen_by: String,
}

#[derive(Serialize)]
struct CodeLine {
    name: &'static str,
    number: u16,
    title: &'static str,
    status: u16,
    close: u16,
    action: &'static str,
    meaning: &'static str,
}

/// What was answered last. It changes with the clock only, so that whoever asks without end gets the same bytes for a millisecond.
#[derive(Debug, Default)]
pub(crate) struct Last(Mutex<Option<Said>>);

#[derive(Debug)]
struct Said {
    time: u64,
    is_draining: bool,
    body: Bytes,
}

pub(crate) fn response(site: &Site) -> Response<Bytes> {
    let (time, is_draining) = (clock::now_ms(), site.is_draining());
    let mut last = site.last_info().0.lock();
    let body = match &*last {
        Some(said) if (said.time, said.is_draining) == (time, is_draining) => said.body.clone(),
        _ => {
            let body = Bytes::from(body(site, time, is_draining));
            *last = Some(Said { time, is_draining, body: body.clone() });
            body
        }
    };
    head::json(body, "no-store")
}

fn body(site: &Site, time: u64, is_draining: bool) -> Vec<u8> {
    let options = site.options();
    let or = |text: &'_ str, otherwise: &'static str| {
        if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
    };
    let limits = RawValue::from_string(limits(site.hub().limits())).unwrap_or_default();
    let times = RawValue::from_string(site.hub().times().to_json()).unwrap_or_default();
    let about = About {
        name: &or(&options.name, "efir"),
        version: &or(&options.version, env!("CARGO_PKG_VERSION")),
        page: options.page.as_deref(),
        lab: options.has_lab,
        time,
        is_draining,
        websocket_deflate: options.has_websocket_deflate,
        transports: TRANSPORTS.iter().map(transport).collect(),
        limits: &limits,
        times: &times,
        codes: CODES.iter().map(code).collect(),
    };
    // Strings, numbers and raw JSON always serialise.
    serde_json::to_vec(&about).unwrap_or_default()
}

/// The limits of the table, and those that cannot be set but that problems name.
fn limits(limits: &Limits) -> String {
    let mut text = limits.to_json();
    text.pop();
    for (name, value) in [
        (socket::COMMAND_LIMIT, socket::command_bytes_max(limits)),
        (peer::FRAGMENTS_LIMIT, peer::fragments_max(limits.message_bytes_max)),
        (place::SUBSCRIBE_LIMIT, place::SUBSCRIBE_BYTES_MAX),
        (place::IGNORED_LIMIT, place::IGNORED_BYTES_MAX),
        (presence::MEMBER_LIMIT, presence::MEMBER_BYTES_MAX),
    ] {
        let _ = write!(text, ",\"{name}\":{value}");
    }
    text.push('}');
    text
}

fn transport(row: &'static crate::TransportRow) -> Transport {
    let chosen_by = match row.choice {
        Choice::Upgrade => "Upgrade: websocket".to_owned(),
        Choice::Accept(media) => format!("Accept: {media}"),
        Choice::Wait => "?wait=SECONDS or Prefer: wait=SECONDS".to_owned(),
        Choice::Otherwise => "nothing".to_owned(),
    };
    Transport { name: row.name, summary: row.summary, ends: row.ends, chosen_by }
}

fn code(row: &'static efir_core::CodeRow) -> CodeLine {
    CodeLine {
        name: row.name,
        number: row.number,
        title: row.title,
        status: row.status,
        close: row.close,
        action: row.action.as_str(),
        meaning: row.meaning,
    }
}
