//! `publish`: `data` is any JSON, `text` a text, `bytes` base64; `key` makes a retry safe.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use efir_access::Action;
use efir_core::{Payload, Problem, Reply};
use efir_engine::Publish;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    Desk,
    command::{self, invalid},
};
use crate::{
    place::{channel_name, read_only, readable_name},
    publish::{check_size, invalid_key, is_key, payload_problem},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    bytes: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
}

/// `"data":null` is the JSON `null`, not the absence of data.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

pub(super) fn publish(desk: &mut Desk<'_>, fields: &str) -> Result<(), Problem> {
    let message: Message<'_> = command::fields(fields)?;
    let channel = channel_name(message.channel.as_bytes()).map_err(|problem| {
        match readable_name(message.channel.as_bytes()) {
            Ok(log) => read_only().with_channel(log),
            Err(_) => problem,
        }
    })?;
    let visitor = desk.visitor();
    let options = visitor.map(|visitor| visitor.judge(Action::Publish, &channel)).transpose()?;
    if message.key.as_deref().is_some_and(|key| !is_key(key)) {
        return Err(invalid_key("key").with_channel(channel));
    }
    let payload = message.payload().map_err(|problem| problem.with_channel(channel.clone()))?;
    let in_channel = |problem: Problem| problem.with_channel(channel.clone());
    check_size(options.as_ref(), payload.len()).map_err(in_channel)?;
    desk.reader.pay(payload.len()).map_err(in_channel)?;
    let from = visitor.zip(options.as_ref()).and_then(|(visitor, options)| visitor.from(options));
    let publish = Publish { channel: &channel, payload: &payload, key: message.key.as_deref(), from };
    let receipt = desk.reader.hub().publish(&publish).map_err(|error| in_channel(error.problem()))?;
    // Without an id there is nobody to tell apart from others: a publisher that only wants to hear of refusals saves half of the frames.
    if desk.has_id() {
        desk.reply(Reply::Published(&receipt));
    }
    Ok(())
}

impl Message<'_> {
    fn payload(&self) -> Result<Payload, Problem> {
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        match (self.data, &self.text, &self.bytes) {
            (Some(data), None, None) => {
                Payload::json(copy(data.get().as_bytes())).map_err(|error| payload_problem(&error))
            }
            (None, Some(text), None) => {
                Payload::text(copy(text.as_bytes())).map_err(|error| payload_problem(&error))
            }
            (None, None, Some(bytes)) => match STANDARD.decode(bytes.as_bytes()) {
                Ok(bytes) => Ok(Payload::bytes(bytes.into())),
                Err(error) => Err(invalid(&format!("`bytes` is not base64: {error}"))),
            },
            _ => Err(invalid("a message has exactly one of `data`, `text` and `bytes`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(json: &str) -> Result<Payload, Problem> {
        command::fields::<Message<'_>>(json)?.payload()
    }

    #[test]
    fn payloads() {
        let json = |text: &'static str| Ok(Payload::Json(Bytes::from_static(text.as_bytes())));
        assert_eq!(payload(r#"{"channel":"a","data":null}"#), json("null"));
        assert_eq!(payload(r#"{"channel":"a","data":{"n": 1.0}}"#), json(r#"{"n": 1.0}"#));
        assert_eq!(payload(r#"{"channel":"a","text":"\u043f"}"#), Ok(Payload::Text("п".into())));
        assert_eq!(
            payload(r#"{"channel":"a","bytes":"AP8="}"#),
            Ok(Payload::Bytes(Bytes::from_static(b"\0\xff")))
        );
        for bad in [
            r#"{"channel":"a"}"#,
            r#"{"channel":"a","data":1,"text":"x"}"#,
            r#"{"channel":"a","bytes":"!"}"#,
            r#"{"data":1}"#,
            r#"{"channel":"a","data":1,"x":2}"#,
        ] {
            assert!(payload(bad).is_err(), "{bad}");
        }
    }
}
