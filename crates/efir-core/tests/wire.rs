//! What goes over the wire, read back by small parsers written from the standards and compared with docs/protocol.md.

#[path = "wire/members.rs"]
mod members;
mod sse_parser;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use efir_core::wire::{self, http_stream, receipt, sse, websocket};
use efir_core::{
    Batch, ChannelName, Code, Control, Cursor, Durability, Epoch, Form, Frame, Gap, GapReason, Limits,
    MemberId, Message, Payload, Position, PresenceState, Problem, Receipt, Reply, Who,
};
use efir_ws::{Decoder, DecoderLimits, Role};
use proptest::prelude::*;
use serde_json::Value;
use sse_parser::{Event, parse};

const AT: Position = Position { epoch: Epoch(12345), offset: 12 };
const E: &str = "000000003D7";

fn chat() -> ChannelName {
    ChannelName::parse("chat").unwrap()
}

fn message(payload: &Payload) -> Arc<Message> {
    Message::new(&chat(), AT, 1_795_233_744_123, None, payload)
}

fn text(text: &str) -> Payload {
    Payload::text(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn json(text: &'static str) -> Payload {
    Payload::json(Bytes::from_static(text.as_bytes())).unwrap()
}

fn string(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The content of exactly one chunk of RFC 9112 §7.1.
fn unchunk(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let len = usize::from_str_radix(string(&bytes[..end]), 16).unwrap();
    assert!(!bytes.starts_with(b"0"), "a chunk of length 0 would end the body");
    let (content, tail) = bytes[end + 2..].split_at(len);
    assert_eq!(tail, b"\r\n");
    content
}

/// The payload of exactly one unmasked text frame of RFC 6455 §5.2, its length in the shortest form.
fn unframe(bytes: &[u8]) -> &[u8] {
    assert_eq!(bytes[0], 0x81);
    let (len, rest) = match bytes[1] {
        127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize, &bytes[10..]),
        126 => (usize::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap())), &bytes[4..]),
        short => (usize::from(short), &bytes[2..]),
    };
    assert_eq!(len, rest.len());
    assert_eq!(len < 126, bytes[1] < 126);
    assert_eq!(len > 0xffff, bytes[1] == 127);
    rest
}

/// The text of exactly one frame that is compressed or not.
fn inflate(frame: &Bytes) -> Bytes {
    let limits = DecoderLimits { message_bytes_max: 1 << 20, frame_bytes_max: 1 << 20, fragments_max: 1 };
    let mut input = BytesMut::from(&frame[..]);
    let event = Decoder::new(Role::Client, limits).with_deflate().decode(&mut input);
    assert!(input.is_empty());
    match event {
        Ok(Some(efir_ws::Event::Text(text))) => text,
        other => panic!("not a text frame: {other:?}"),
    }
}

fn is_compressed(frame: &Frame) -> bool {
    frame.bytes[0] == 0xc1
}

fn content(frame: &Frame, form: Form) -> Bytes {
    let unwrapped = match form {
        Form::Sse | Form::SseShared | Form::HttpStream => unchunk(frame.chunked()),
        Form::WebSocketDeflate { .. } if is_compressed(frame) => {
            assert_eq!(frame.plain().len() + usize::from(frame.head), frame.bytes.len());
            return inflate(&frame.bytes);
        }
        Form::WebSocket | Form::WebSocketDeflate { .. } => unframe(frame.chunked()),
        Form::Batch => frame.chunked(),
    };
    assert_eq!(unwrapped, frame.plain());
    frame.plain()
}

#[test]
fn the_object_of_a_message_is_the_documented_one() {
    let object = |payload: &Payload| string(message(payload).object()).to_owned();
    let start = format!(r#"{{"channel":"chat","position":"{E}-12","time":1795233744123,"#);
    assert_eq!(object(&json(r#"{"text":"Привет"}"#)), format!(r#"{start}"data":{{"text":"Привет"}}}}"#));
    assert_eq!(object(&text("")), format!(r#"{start}"data":""}}"#));
    assert_eq!(object(&text("a\"\\/\u{7f}👋")), format!(r#"{start}"data":"a\"\\/{}👋"}}"#, '\u{7f}'));
    let controls = "\u{0}\u{1f}\u{8}\t\n\u{c}\r";
    assert_eq!(object(&text(controls)), format!(r#"{start}"data":"\u0000\u001f\b\t\n\f\r"}}"#));
    let bytes = |bytes: &'static [u8]| Payload::bytes(Bytes::from_static(bytes));
    assert_eq!(object(&bytes(b"\xff\xfe\xfd\xfc")), format!(r#"{start}"bytes":"//79/A=="}}"#));
    assert_eq!(object(&bytes(b"")), format!(r#"{start}"bytes":""}}"#));
    let quoted = ChannelName::parse("a\"b").unwrap();
    let from = Message::new(&quoted, AT, 5, Some("ann\n"), &json("1"));
    assert_eq!(
        string(from.object()),
        format!(r#"{{"channel":"a\"b","position":"{E}-12","time":5,"from":"ann\n","data":1}}"#)
    );
}

#[test]
fn every_form_carries_the_same_object() {
    for message in [message(&text("Привет\r\n")), message(&text(&"Привет\r\n".repeat(50)))] {
        let object = string(message.object());
        let expected = |form| match form {
            Form::Sse => format!("id: {E}-12\ndata: {object}\n\n"),
            Form::SseShared => format!("data: {object}\n\n"),
            Form::HttpStream => format!("{object}\n"),
            Form::WebSocket | Form::WebSocketDeflate { .. } | Form::Batch => object.to_owned(),
        };
        for form in Form::ALL {
            assert_eq!(string(&content(&message.frame(form), form)), expected(form));
        }
    }
}

#[test]
fn what_compression_would_not_shrink_goes_out_plain() {
    let deflate = |window_bits| Form::WebSocketDeflate { window_bits };
    let frame_of = |payload: &Payload| message(payload).frame(deflate(15));
    assert!(!is_compressed(&frame_of(&text(&"a".repeat(180)))), "short");
    assert!(is_compressed(&frame_of(&text(&"a".repeat(300)))));
    for payload in [text(&dense_text(2_000)), Payload::bytes(dense_text(300).into())] {
        let message = message(&payload);
        let frame = message.frame(deflate(15));
        assert_eq!(
            frame.bytes.as_ptr(),
            message.frame(Form::WebSocket).bytes.as_ptr(),
            "the very same frame"
        );
    }
}

/// Text of characters that hardly repeat.
fn dense_text(characters: u32) -> String {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32(0x4e00 + (state >> 16) % 20_000)
    };
    (0..characters).filter_map(|_| next()).collect()
}

#[test]
fn a_compressed_frame_respects_the_window_of_its_reader() {
    let message = message(&text(&"Привет ".repeat(100)));
    assert!(message.object().len() > 1 << 10 && message.object().len() <= 1 << 11);
    let frame = |window_bits| message.frame(Form::WebSocketDeflate { window_bits });
    assert!([9, 10].iter().all(|bits| !is_compressed(&frame(*bits))));
    assert!([11, 14, 15].iter().all(|bits| is_compressed(&frame(*bits))));
    assert_eq!(frame(11).bytes.as_ptr(), frame(15).bytes.as_ptr(), "one frame for all windows");
}

#[test]
fn a_frame_is_made_once_and_shared() {
    let message = message(&text(&"x".repeat(400)));
    let other = Arc::clone(&message);
    for form in Form::ALL {
        assert_eq!(message.frame(form).bytes.as_ptr(), other.frame(form).bytes.as_ptr());
    }
    let websocket = message.frame(Form::WebSocket);
    assert_eq!(websocket.plain().as_ptr(), message.object().as_ptr(), "one allocation for both");
}

#[test]
fn lengths_at_the_borders_of_the_headers() {
    for len in [0, 1, 15, 16, 125, 126, 127, 255, 256, 4095, 4096, 65535, 65536, 70_000] {
        let object = vec![b'x'; len];
        assert_eq!(unframe(&websocket::message(&object).bytes), object);
        let line = http_stream::line(&object);
        assert_eq!(unchunk(&line.bytes).len(), len + 1);
    }
}

#[test]
fn blocks_without_an_event() {
    assert_eq!(string(&sse::retry(2500).plain()), "retry: 2500\n\n");
    assert_eq!(string(&sse::id_only("h.e-1~g.e-2").plain()), "id: h.e-1~g.e-2\n\n");
    let stream =
        [sse::retry(7).plain(), sse::id_only("t").plain(), sse::event(None, None, b"x").plain()].concat();
    let parsed = parse(&stream);
    assert_eq!(parsed.retry_ms, Some(7));
    assert_eq!(parsed.events, [Event { id: "t".into(), kind: "message".into(), data: "x".into() }]);
}

#[test]
fn a_named_event_with_hostile_data() {
    for (data, seen) in [
        ("a\rb", "a\nb"),
        ("a\r\nb\n", "a\nb\n"),
        ("\n", "\n"),
        ("\r\r", "\n\n"),
        (" x", " x"),
        ("\u{0}", "\u{0}"),
        ("\u{feff}x", "\u{feff}x"),
        ("data: x\n\nevent: y", "data: x\n\nevent: y"),
    ] {
        let bytes = sse::event(Some("e-1"), Some("gap"), data.as_bytes()).plain();
        let wanted = Event { id: "e-1".into(), kind: "gap".into(), data: seen.into() };
        assert_eq!(parse(&bytes).events, [wanted], "{data:?}");
    }
}

fn receipt() -> Receipt {
    Receipt {
        channel: chat(),
        position: AT,
        durability: Durability::Memory,
        duplicate: false,
        subscribers: 3,
    }
}

const RECEIPT: &str = r#""channel":"chat","position":"000000003D7-12","offset":12,"epoch":"000000003D7","durability":"memory","duplicate":false,"subscribers":3"#;

fn gap() -> Gap {
    let after = Cursor::parse("old-3").unwrap();
    Gap { channel: chat(), reason: GapReason::EpochChanged, after, resume_from: AT }
}

const GAP: &str = r#"{"channel":"chat","reason":"epoch_changed","after":"old-3","resume_from":"000000003D7-12","epoch":"000000003D7"}"#;

fn problem() -> Problem {
    Problem::new(Code::PayloadTooLarge, "the payload has 70000 bytes; at most 65536 are allowed")
        .with_limit("message_bytes_max", 65_536)
}

const PROBLEM: &str = r#"{"type":"urn:efir:error:payload_too_large","title":"Payload too large","status":413,"code":"payload_too_large","detail":"the payload has 70000 bytes; at most 65536 are allowed","limit":{"name":"message_bytes_max","value":65536},"action":"stop"}"#;

#[test]
fn receipts_and_problems_are_the_documented_ones() {
    assert_eq!(string(&receipt::to_json(&receipt())), format!("{{{RECEIPT}}}"));
    assert_eq!(string(&problem().to_json()), PROBLEM);
    let full =
        Problem::new(Code::Draining, "bye").with_channel(chat()).with_retry_after_ms(500).with_ordinal(4);
    assert_eq!(
        string(&full.to_json()),
        r#"{"type":"urn:efir:error:draining","title":"Draining","status":503,"code":"draining","detail":"bye","action":"retry_later","retry_after_ms":500,"channel":"chat","ordinal":4}"#
    );
}

#[test]
fn control_objects_are_the_documented_ones() {
    let cursor = Cursor::from(AT);
    let (receipt, gap, problem) = (receipt(), gap(), problem());
    let (chat, many) =
        (chat(), [(chat(), cursor.clone()), (ChannelName::parse("b").unwrap(), Cursor::lost())]);
    let batch = Batch {
        channel: Some(&chat),
        gaps: &[],
        problems: &[],
        presence: &[],
        messages: &[],
        cursor: "e-1",
        more: false,
    };
    let place = format!(r#""channel":"chat","cursor":"{E}-12""#);
    let reply = |reply| Control::Reply { id: "1", reply };
    for (control, wanted) in [
        (
            Control::Hello { channel: &chat, cursor: &cursor, heartbeat_ms: 15_000 },
            format!(r#"{{"hello":{{{place},"heartbeat_ms":15000}}}}"#),
        ),
        (
            Control::HelloMany { channels: &many, token: "T", heartbeat_ms: 15_000 },
            format!(
                r#"{{"hello":{{"channels":[{{{place}}},{{"channel":"b","cursor":"lost-0"}}],"cursor":"T","heartbeat_ms":15000}}}}"#
            ),
        ),
        (
            Control::HelloSocket { heartbeat_ms: 15_000, channels_max: 9 },
            r#"{"hello":{"heartbeat_ms":15000,"channels_max":9}}"#.into(),
        ),
        (
            Control::Heartbeat { time_ms: 7, cursor: Some("e-1") },
            r#"{"heartbeat":{"time":7,"cursor":"e-1"}}"#.into(),
        ),
        (Control::Heartbeat { time_ms: 7, cursor: None }, r#"{"heartbeat":{"time":7}}"#.into()),
        (Control::Gap(&gap), format!(r#"{{"gap":{GAP}}}"#)),
        (Control::Problem(&problem), format!(r#"{{"problem":{PROBLEM}}}"#)),
        (Control::Ack { ordinal: 2, receipt: &receipt }, format!(r#"{{"ack":{{"ordinal":2,{RECEIPT}}}}}"#)),
        (Control::Refusal { id: "\"x\"", problem: &problem }, format!(r#"{{"id":"x","problem":{PROBLEM}}}"#)),
        (
            reply(Reply::Subscribed { channel: &chat, cursor: &cursor, presence: None }),
            format!(r#"{{"id":1,"reply":{{{place}}}}}"#),
        ),
        (reply(Reply::Unsubscribed { channel: &chat }), r#"{"id":1,"reply":{"channel":"chat"}}"#.into()),
        (reply(Reply::Published(&receipt)), format!(r#"{{"id":1,"reply":{{{RECEIPT}}}}}"#)),
        (
            reply(Reply::History(&batch)),
            r#"{"id":1,"reply":{"channel":"chat","messages":[],"cursor":"e-1","more":false}}"#.into(),
        ),
        (reply(Reply::Pong { time_ms: 7 }), r#"{"id":1,"reply":{"time":7}}"#.into()),
    ] {
        assert_eq!(string(&content(&control.encode(Form::WebSocket), Form::WebSocket)), wanted);
        assert_eq!(string(&content(&control.encode(Form::Batch), Form::Batch)), wanted);
        assert_eq!(
            string(&content(&control.encode(Form::HttpStream), Form::HttpStream)),
            format!("{wanted}\n")
        );
        let object: Value = serde_json::from_str(&wanted).unwrap();
        let bytes = content(&control.encode(Form::Sse), Form::Sse);
        let [event] = &parse(&bytes).events[..] else { panic!("one event: {bytes:?}") };
        assert_eq!(event.kind, control.name());
        assert_eq!(serde_json::from_str::<Value>(&event.data).unwrap(), object[control.name()]);
    }
}

#[test]
fn control_events_move_the_last_event_id_where_they_may() {
    let cursor = Cursor::parse("a-1").unwrap();
    let (chat, gap, problem) = (chat(), gap(), problem());
    let id = |control: Control<'_>, form| parse(&control.encode(form).plain()).events[0].id.clone();
    let hello = Control::Hello { channel: &chat, cursor: &cursor, heartbeat_ms: 1 };
    let hello_many = Control::HelloMany { channels: &[], token: "T", heartbeat_ms: 1 };
    assert_eq!(id(hello, Form::Sse), "a-1");
    assert_eq!(id(hello_many, Form::SseShared), "T");
    assert_eq!(id(Control::Heartbeat { time_ms: 1, cursor: Some("a-2") }, Form::Sse), "a-2");
    assert_eq!(id(Control::Heartbeat { time_ms: 1, cursor: Some("T") }, Form::SseShared), "T");
    assert_eq!(id(Control::Gap(&gap), Form::Sse), AT.to_string());
    assert_eq!(id(Control::Gap(&gap), Form::SseShared), "", "the block with the token follows");
    assert_eq!(id(Control::Problem(&problem), Form::Sse), "");
}

#[test]
fn batches_are_the_documented_ones() {
    let (chat, gap, problem) = (chat(), gap(), problem());
    let messages = [message(&json("1")), message(&json("2"))];
    let [one, two] = messages.each_ref().map(|message| string(message.object()).to_owned());
    let plain = Batch {
        channel: Some(&chat),
        gaps: &[],
        problems: &[],
        presence: &[],
        messages: &messages,
        cursor: "E-12",
        more: false,
    };
    let text = |batch: Batch<'_>| string(&batch.to_bytes()).to_owned();
    assert_eq!(
        text(plain),
        format!(r#"{{"channel":"chat","messages":[{one},{two}],"cursor":"E-12","more":false}}"#)
    );
    let gaps = [gap];
    assert_eq!(
        text(Batch { gaps: &gaps, messages: &[], more: true, ..plain }),
        format!(r#"{{"channel":"chat","gap":{GAP},"messages":[],"cursor":"E-12","more":true}}"#)
    );
    let many = Batch { channel: None, gaps: &gaps, problems: &[problem], messages: &messages[..1], ..plain };
    assert_eq!(
        text(many),
        format!(
            r#"{{"gaps":[{GAP}],"problems":[{PROBLEM}],"messages":[{one}],"cursor":"E-12","more":false}}"#
        )
    );
    assert_eq!(
        text(Batch { channel: None, messages: &[], ..plain }),
        r#"{"messages":[],"cursor":"E-12","more":false}"#
    );
    let (large_one, small) =
        (message(&json(format!("\"{}\"", "x".repeat(1_000)).leak())), message(&json("1")));
    let large = [&large_one, &small, &large_one, &large_one].map(Arc::clone);
    let batch = Batch { messages: &large, ..plain };
    let pieces = batch.to_pieces();
    assert_eq!(pieces.concat(), batch.to_bytes());
    // Thousands of answers that nobody reads keep a large message once.
    let is_shared = |piece: &Bytes| piece.as_ptr() == large[0].object().as_ptr();
    assert_eq!(pieces.iter().filter(|piece| is_shared(piece)).count(), 3);
    let states = [state(None)];
    let counted = format!(r#"{{"channel":"chat","cursor":"{E}-12","count":2}}"#);
    assert_eq!(
        text(Batch { presence: &states, messages: &[], ..plain }),
        format!(r#"{{"channel":"chat","presence":{counted},"messages":[],"cursor":"E-12","more":false}}"#)
    );
    assert_eq!(
        text(Batch { channel: None, presence: &states, messages: &[], ..plain }),
        format!(r#"{{"presence":[{counted}],"messages":[],"cursor":"E-12","more":false}}"#)
    );
}

fn state(members: Option<&'static str>) -> PresenceState {
    PresenceState { channel: chat(), cursor: AT, count: 2, members: members.map(Bytes::from) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn sse_data_comes_out_as_the_standard_joins_it(events in prop::collection::vec(hostile(), 1..5)) {
        let stream: Vec<u8> = events
            .iter()
            .flat_map(|data| sse::event(Some("i-1"), Some("gap"), data.as_bytes()).plain())
            .collect();
        let wanted: Vec<_> = events.iter().map(|data| data.replace("\r\n", "\n").replace('\r', "\n")).collect();
        let found: Vec<_> = parse(&stream).events.into_iter().map(|event| event.data).collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn any_text_survives_every_form(data in hostile(), from in prop::option::of(hostile())) {
        let message = Message::new(&chat(), AT, 1, from.as_deref(), &text(&data));
        for form in Form::ALL {
            let content = content(&message.frame(form), form);
            let object = match form {
                Form::Sse | Form::SseShared => {
                    let events = parse(&content).events;
                    prop_assert_eq!(events.len(), 1);
                    events[0].data.clone()
                }
                Form::HttpStream => {
                    let lines: Vec<_> = content.split_inclusive(|byte| *byte == b'\n').collect();
                    prop_assert_eq!(lines.len(), 1);
                    string(lines[0]).to_owned()
                }
                Form::WebSocket | Form::WebSocketDeflate { .. } | Form::Batch => string(&content).to_owned(),
            };
            let object: Value = serde_json::from_str(&object).unwrap();
            prop_assert_eq!(object["data"].as_str(), Some(data.as_str()));
            prop_assert_eq!(object["from"].as_str(), from.as_deref());
        }
    }

    #[test]
    fn any_bytes_survive_as_base64(bytes: Vec<u8>) {
        use base64::Engine as _;
        let message = message(&Payload::bytes(Bytes::from(bytes.clone())));
        let object: Value = serde_json::from_slice(message.object()).unwrap();
        let decoded = base64::engine::general_purpose::STANDARD.decode(object["bytes"].as_str().unwrap()).unwrap();
        prop_assert_eq!(decoded, bytes);
    }
}

/// Text full of what parsers trip over.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\r",
            "\n",
            "\r\n",
            "\u{0}",
            " ",
            ":",
            "\u{feff}",
            "data",
            "id: x",
            "\"",
            "\\",
            "Привет",
            "世界 👋",
            "\u{2028}"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}
