//! Whatever is published becomes one object of one line, which says what was published and stands whole in every wire form.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use efir_core::{ChannelName, Epoch, Form, Message, Payload, Position};
use efir_ws::{Decoder, DecoderLimits, Event, Role};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

const DEPTH_MAX: usize = 128;

/// A message object as a client reads it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    channel: String,
    position: String,
    time: u64,
    from: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    bytes: Option<String>,
}

/// `"data":null` is the JSON `null`, not the absence of data.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let given = Bytes::copy_from_slice(bytes);
    let payload = match choice % 3 {
        0 => Payload::json(given),
        1 => Payload::text(given),
        _ => Ok(Payload::bytes(given)),
    };
    match (choice % 3, &payload) {
        (0, payload) => check_json(bytes, payload.is_ok()),
        (1, payload) => assert_eq!(payload.is_ok(), std::str::from_utf8(bytes).is_ok()),
        _ => {}
    }
    let Ok(payload) = payload else { return };
    let channel = ChannelName::parse("чат \"a\"").expect("a name");
    let from = if choice & 4 == 0 { None } else { Some("ан\\на\"\n") };
    let position = Position::new(Epoch(u64::from(*choice)), 1 << (choice % 53));
    let message = Message::new(&channel, position, 1_795_233_744_123, from, &payload);
    let text = std::str::from_utf8(message.object()).expect("UTF-8");
    assert!(!text.contains(['\n', '\r']), "more than one line");
    let object: Object<'_> = serde_json::from_str(text).expect("an object");
    let said = (object.channel.as_str(), object.position, object.time, object.from.as_deref());
    assert_eq!(said, (channel.as_str(), position.to_string(), 1_795_233_744_123, from));
    check_payload(choice % 3, bytes, &object.data, &object.bytes);
    Form::ALL.iter().for_each(|form| check_form(*form, &message));
}

/// JSON is what serde_json reads, but for depth and lone surrogates.
fn check_json(bytes: &[u8], is_taken: bool) {
    let is_json = serde_json::from_slice::<&RawValue>(bytes).is_ok();
    assert!(is_json || !is_taken, "no JSON was taken");
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in bytes {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let has_escape = bytes.windows(2).any(|two| two == b"\\u");
    assert!(is_taken || !is_json || has_escape || deepest > DEPTH_MAX, "JSON was refused");
}

fn check_payload(kind: u8, given: &[u8], data: &Option<&RawValue>, bytes: &Option<String>) {
    match (kind, data, bytes) {
        (0, Some(data), None) => {
            let line: Vec<u8> =
                given.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
            assert_eq!(data.get().as_bytes(), line.trim_ascii());
        }
        (1, Some(data), None) => {
            let text: String = serde_json::from_str(data.get()).expect("a string");
            assert_eq!(text.as_bytes(), given);
        }
        (_, None, Some(bytes)) => assert_eq!(STANDARD.decode(bytes).as_deref(), Ok(given)),
        (kind, data, bytes) => panic!("{data:?} and {bytes:?} of kind {kind}"),
    }
}

fn check_form(form: Form, message: &std::sync::Arc<Message>) {
    let (frame, object) = (message.frame(form), message.object());
    let plain = frame.plain();
    match form {
        Form::Sse | Form::SseShared => {
            let id = if form == Form::Sse { format!("id: {}\n", message.position()) } else { String::new() };
            let event = [id.as_bytes(), b"data: ", object, b"\n\n"].concat();
            assert_eq!(plain, event);
        }
        Form::HttpStream => assert_eq!(plain, [object, b"\n"].concat()),
        Form::Batch => assert_eq!(plain, object),
        Form::WebSocket | Form::WebSocketDeflate { .. } => {
            let limits = DecoderLimits {
                message_bytes_max: object.len(),
                frame_bytes_max: object.len(),
                fragments_max: 1,
            };
            let mut decoder = Decoder::new(Role::Client, limits);
            if form != Form::WebSocket {
                decoder = decoder.with_deflate();
            }
            let mut input = BytesMut::from(&frame.chunked()[..]);
            let event = decoder.decode(&mut input);
            assert_eq!(event, Ok(Some(Event::Text(Bytes::copy_from_slice(object)))));
            return;
        }
    }
    let chunk = frame.chunked();
    if form != Form::Batch {
        let head = format!("{:x}\r\n", plain.len());
        let wanted = [head.as_bytes(), &plain, b"\r\n"].concat();
        assert!(chunk.eq_ignore_ascii_case(&wanted), "{}", chunk.escape_ascii());
    }
}
