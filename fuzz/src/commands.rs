//! JSON commands on `/socket`, one a line: each has one answer, under its own id, and everything that comes is an object of JSON.

use std::collections::BTreeMap;

use efir_core::{ChannelName, Payload};
use efir_engine::{Hub, Publish};
use serde_json::value::RawValue;

use crate::socket::{Socket, site};

/// Lines of one input.
const LINES_MAX: usize = 40;
const ID_BYTES_MAX: usize = 128;

type Object<'a> = BTreeMap<String, &'a RawValue>;

pub(crate) fn run(bytes: &[u8]) {
    let site = site(5);
    fill(site.hub());
    let mut socket = Socket::open(&site);
    for line in bytes.split(|byte| *byte == b'\n').take(LINES_MAX) {
        socket.send(line);
        let came = socket.hear();
        let objects = came.iter().map(|text| serde_json::from_slice::<Object<'_>>(text).expect("an object"));
        let mut answers = Vec::new();
        for object in objects {
            let is_pushed = ["gap", "presence", "problem", "data", "bytes"];
            match object.get("id") {
                Some(id) => {
                    assert!(object.contains_key("reply") != object.contains_key("problem"), "{came:?}");
                    answers.push(id.get().to_owned());
                }
                None => assert!(is_pushed.iter().any(|name| object.contains_key(*name)), "{came:?}"),
            }
        }
        if socket.is_closed {
            // Only what is no text ends it.
            assert!(std::str::from_utf8(line).is_err(), "{}", line.escape_ascii());
            return;
        }
        check(line, &answers);
    }
}

fn fill(hub: &Hub) {
    for (channel, text) in [("a", "one"), ("a", "two"), ("чат", "раз")] {
        let (channel, payload) = (ChannelName::parse(channel), Payload::text(text.into()));
        let (channel, payload) = (channel.expect("a name"), payload.expect("a text"));
        hub.publish(&Publish { channel: &channel, payload: &payload, key: None, from: None }).expect("room");
    }
}

fn check(line: &[u8], answers: &[String]) {
    assert!(answers.len() <= 1, "{answers:?}");
    let command = serde_json::from_slice::<Object<'_>>(line).ok();
    // A member that stands there twice is the business of the reader.
    let ids = line.windows(2).filter(|two| two == b"id").count();
    let id = command.as_ref().and_then(|command| command.get("id")).map(|id| id.get());
    let is_id = |id: &&str| {
        id.len() <= ID_BYTES_MAX
            && id.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
    };
    match id.filter(is_id).filter(|_| ids == 1) {
        Some(id) => assert_eq!(answers, [id], "{}", line.escape_ascii()),
        // Only a publish that was taken says nothing to whoever does not ask.
        None if answers.is_empty() => {
            assert!(
                command.is_some_and(|command| command.contains_key("publish") && !command.contains_key("id"))
            );
        }
        None => {}
    }
}
