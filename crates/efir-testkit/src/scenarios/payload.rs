//! What goes in comes out: byte for byte, on every transport.

use anyhow::{Result, ensure};
use bytes::Bytes;
use efir_client::{Data, Payload};
use efir_core::Limits;

use super::scenarios;
use crate::{
    readers::{Begin, Kind, ROWS},
    room::{Cell, Room, same},
};

scenarios! { "payload";
    Rows json_byte_for_byte: "D8";
    Rows text_of_any_shape: "D8";
    Rows bytes_that_are_no_text: "D8";
    Rows maximal_and_one_byte_more: "D2", "D8";
    Rows a_large_one: "D8";
    Rows one_object_on_all_transports: "D8";
}

/// JSON and what it must come out as.
const JSON: &[(&str, &str)] = &[
    ("{}", "{}"),
    ("null", "null"),
    ("true", "true"),
    ("0", "0"),
    ("-0.0e+10", "-0.0e+10"),
    ("9007199254740993", "9007199254740993"),
    ("[18446744073709551616, 1e400, 0.1000]", "[18446744073709551616, 1e400, 0.1000]"),
    ("{ \"a\" :  1 ,\t\"b\":[ ] }", "{ \"a\" :  1 ,\t\"b\":[ ] }"),
    ("{\n  \"a\": 1,\r\n  \"b\": 2\r}", "{   \"a\": 1,    \"b\": 2 }"),
    ("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"),
    ("{\"text\":\"Привет, 世界 👋\"}", "{\"text\":\"Привет, 世界 👋\"}"),
    (
        r#"{"escaped":"\u041f\u0440 \ud83d\udc4b \/ \u0000 \r\n"}"#,
        r#"{"escaped":"\u041f\u0440 \ud83d\udc4b \/ \u0000 \r\n"}"#,
    ),
    ("\"\u{2028}\u{2029}\u{feff}\u{85}\"", "\"\u{2028}\u{2029}\u{feff}\u{85}\""),
    ("\"data: x\\n\\nevent: gap\"", "\"data: x\\n\\nevent: gap\""),
    (
        "{\"channel\":\"other\",\"position\":\"x-1\",\"hello\":{}}",
        "{\"channel\":\"other\",\"position\":\"x-1\",\"hello\":{}}",
    ),
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "Привет, 世界 👋",
    "\r",
    "\n",
    "a\rb\nc\r\nd\n",
    "\u{0}",
    "\u{1}\u{1f}\u{7f}\u{80}",
    "id: 1\ndata: x\n\n",
    "\"quoted\" and \\ and /",
    "{\"not\":\"parsed\"}",
    "\u{2028}\u{2029}\u{feff}",
    "e\u{301} is not é",
    "</script><!--",
];

async fn json_byte_for_byte(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let writer = room.writer("writer");
    for (sent, wanted) in JSON {
        let payload = Payload::Json(Bytes::from_static(sent.as_bytes()));
        writer.publish(&room.channel, payload, None).await?;
        let message = reader.message().await?;
        let Data::Json(data) = &message.data else { anyhow::bail!("{sent} came as bytes") };
        same("data", std::str::from_utf8(data)?, wanted)?;
        ensure!(!message.raw.contains(&b'\n') && !message.raw.contains(&b'\r'), "{sent} is not one line");
    }
    reader.settle().await?;
    room.close().await
}

async fn text_of_any_shape(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    for text in TEXTS {
        room.publish(text).await?;
        reader.text(text).await?;
    }
    reader.settle().await?;
    room.close().await
}

async fn bytes_that_are_no_text(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let writer = room.writer("writer");
    let all: Vec<u8> = (0..=255).collect();
    for bytes in [&[][..], &[0], &[0xff], &[0xd0, 0x9f, 0xff], &all] {
        let payload = Payload::Bytes(Bytes::copy_from_slice(bytes));
        writer.publish(&room.channel, payload, None).await?;
        let message = reader.message().await?;
        same("bytes", &*message.payload(), bytes)?;
        ensure!(matches!(message.data, Data::Bytes(_)), "bytes came as data: {:?}", message.raw);
    }
    reader.settle().await?;
    room.close().await
}

async fn maximal_and_one_byte_more(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let max = Limits::default().message_bytes_max;
    let writer = room.writer("writer");
    // Each byte of the first becomes six on the wire.
    let payloads = [
        Payload::Text("\u{1}".repeat(max)),
        Payload::Text("я".repeat(max / 2)),
        Payload::Json(format!("\"{}\"", "x".repeat(max - 2)).into()),
        Payload::Bytes(vec![0xff; max].into()),
    ];
    for payload in payloads {
        let wanted = payload.clone();
        writer.publish(&room.channel, payload, None).await?;
        let message = reader.message().await?;
        let is_same = match &wanted {
            Payload::Text(text) => message.text().as_ref() == Some(text),
            Payload::Json(json) => matches!(&message.data, Data::Json(data) if data == json),
            Payload::Bytes(bytes) => matches!(&message.data, Data::Bytes(data) if data == bytes),
        };
        ensure!(is_same, "a payload of {max} bytes came out otherwise: {} bytes", message.payload().len());
    }
    for payload in [Payload::Text("x".repeat(max + 1)), Payload::Bytes(vec![0; max + 1].into())] {
        let refused = writer.publish(&room.channel, payload, None).await.err();
        let problem = refused.as_ref().and_then(efir_client::ClientError::problem);
        let problem = problem.ok_or_else(|| anyhow::anyhow!("one byte too many: {refused:?}"))?;
        same("code", problem.code.as_str(), "payload_too_large")?;
        let limit = problem.limit.as_ref().map(|limit| (limit.name.as_str(), limit.value));
        same("limit", limit, Some(("message_bytes_max", max as u64)))?;
    }
    reader.settle().await?;
    room.close().await
}

/// Larger than any buffer on the way, among small ones.
async fn a_large_one(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.limits.message_bytes_max = 4 << 20).await?;
    let mut reader = room.witness("reader")?;
    reader.open(&Begin::Now).await?;
    let large: String = (0..300_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect::<String>() + "👋";
    for text in ["small", large.as_str(), "small again"] {
        room.publish(text).await?;
        let message = reader.message().await?;
        ensure!(message.text().as_deref() == Some(text), "{} bytes came out otherwise", text.len());
    }
    reader.reopen().await?;
    room.publish("after all").await?;
    reader.text("after all").await?;
    reader.settle().await?;
    room.close().await
}

/// The same bytes as over a short poll.
async fn one_object_on_all_transports(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let plain = ROWS.iter().find(|row| row.kind == Kind::ShortPoll && !row.is_several).copied();
    let plain = plain.ok_or_else(|| anyhow::anyhow!("no short poll"))?;
    let writer = room.writer("writer");
    writer.publish(&room.channel, "текст".into(), None).await?;
    writer.publish(&room.channel, Payload::Json("{\"n\": 1.0}".into()), None).await?;
    writer.publish(&room.channel, Payload::Bytes(Bytes::from_static(&[1, 255])), None).await?;
    let (mut one, mut other) = (room.witness_of("short poll", plain)?, room.witness("reader")?);
    one.open(&Begin::Start).await?;
    other.open(&Begin::Start).await?;
    for _ in 0..3 {
        let (one, other) = (one.message().await?, other.message().await?);
        same("the object", &other.raw, &one.raw)?;
        let shape = format!(
            "{{\"channel\":\"{}\",\"position\":\"{}\",\"time\":{},",
            room.channel, one.position, one.time_ms
        );
        ensure!(one.raw.starts_with(shape.as_bytes()), "keys in this order: {:?}", one.raw);
    }
    room.close().await
}
