//! The codecs: wire forms of a message, the check of JSON, cursors and tokens, masked frames.

use bytes::{Bytes, BytesMut};
use efir_core::{ChannelName, Cursor, Epoch, Form, Message, Payload, Position, Token};
use efir_ws::{Decoder, DecoderLimits, Event, Opcode, Role, frame::encode_masked};

use crate::{meter::Meter, publishing::json_text};

const POSITION: Position = Position { epoch: Epoch(0x1234_5678_9abc_def0), offset: 1_234_567 };

pub(crate) fn rows(meter: &mut Meter) {
    forms(meter);
    cursors(meter);
    frames(meter);
    let text = Bytes::from(json_text(1024));
    meter.count_pure("check: JSON, 1 KiB", || Payload::json(text.clone()).expect("JSON"));
}

fn forms(meter: &mut Meter) {
    let channel = ChannelName::parse("chat:room-1").expect("a name");
    let payload = |bytes| Payload::json(Bytes::from(json_text(bytes))).expect("JSON");
    let (small, large) = (payload(100), payload(1024));
    let message = |payload| Message::new(&channel, POSITION, 1_795_000_000_000, None, payload);
    meter.count_pure("encode: object and websocket frame, 100 B", || message(&small));
    let deflate = Form::WebSocketDeflate { window_bits: 15 };
    for (row, form, payload) in [
        ("encode: sse, 100 B", Form::Sse, &small),
        ("encode: sse of several channels, 100 B", Form::SseShared, &small),
        ("encode: http-stream, 100 B", Form::HttpStream, &small),
        ("encode: compressed websocket frame, 1 KiB", deflate, &large),
    ] {
        meter.count(
            (row, 1),
            &mut (),
            |()| message(payload),
            |(), message| {
                assert!(!message.frame(form).bytes.is_empty());
                message
            },
        );
    }
}

fn cursors(meter: &mut Meter) {
    let text = Cursor::from(POSITION).to_string();
    meter.count_pure("parse: cursor", || Cursor::parse(&text).expect("a cursor"));
    meter.count_pure("parse: channel name", || ChannelName::parse("chat:room-1").expect("a name"));
    meter.count_pure("parse: channel name, Cyrillic", || ChannelName::parse("чат:комната").expect("a name"));
    let named = |n| ChannelName::parse(&format!("chat:room-{n}")).expect("a name");
    let cursors: Vec<(ChannelName, Cursor)> = (0..10).map(|n| (named(n), POSITION.into())).collect();
    let token = || Token::encode(cursors.iter().map(|(channel, cursor)| (channel, cursor)));
    meter.count_pure("encode: token of 10 channels", token);
    let text = token();
    meter.count_pure("parse: token of 10 channels", || Token::parse(&text).expect("a token"));
}

fn frames(meter: &mut Meter) {
    for (row, bytes) in [("decode: masked frame, 100 B", 100), ("decode: masked frame, 1 KiB", 1024)] {
        let frame = encode_masked(Opcode::Text, json_text(bytes).as_bytes(), [0x37, 0xfa, 0x21, 0x3d]);
        let limits = DecoderLimits { message_bytes_max: 65_536, frame_bytes_max: 65_536, fragments_max: 128 };
        let mut decoder = Decoder::new(Role::Server, limits);
        meter.count(
            (row, 1),
            &mut decoder,
            |_| BytesMut::from(&frame[..]),
            |decoder, mut input| {
                let event = decoder.decode(&mut input).expect("a lawful frame");
                assert!(matches!(event, Some(Event::Text(_))), "{row}: no message");
                event
            },
        );
    }
}
