//! What compressing and inflating one message costs, and what it saves: by size, level and kind of text. The basis of the choice of
//! level and threshold in efir-core's `wire/websocket.rs`; the figures are in docs/benchmarks.md.
//!
//! `cargo run --release -p efir-ws --example deflate_cost`

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use efir_ws::{Decoder, DecoderLimits, Deflater, Opcode, Role};

/// Messages of one kind and size, so that no figure hangs on one text.
const MESSAGES: usize = 64;
/// How long one figure is measured.
const TIME: Duration = Duration::from_millis(40);

const WORDS: [&str; 32] = [
    "order",
    "price",
    "limit",
    "market",
    "account",
    "shipped",
    "paid",
    "open",
    "closed",
    "user",
    "room",
    "typing",
    "hello",
    "world",
    "update",
    "status",
    "sensor",
    "north",
    "south",
    "value",
    "level",
    "alarm",
    "battery",
    "signal",
    "привет",
    "сообщение",
    "комната",
    "новости",
    "заказ",
    "готов",
    "поезд",
    "отправлен",
];

/// What one level makes of the messages.
struct Cost {
    frame_bytes: f64,
    compress_us: f64,
    inflate_us: f64,
}

fn main() {
    println!(
        "| object, bytes | kind | level 1: frame, bytes | saved | compress, µs | level 2: frame, bytes | saved | \
         compress, µs | inflate, µs |\n|---|---|---|---|---|---|---|---|---|"
    );
    for bytes in [200, 300, 400, 600, 1_000, 2_100, 4_096, 16_500, 65_536] {
        for (kind, write) in [("records", record as Writer), ("chat", chat)] {
            let messages: Vec<_> = (0..MESSAGES).map(|n| object(bytes, n as u32, write)).collect();
            let levels = [1, 2].map(|level| cost(level, &messages));
            let cells = levels.each_ref().map(|Cost { frame_bytes, compress_us, .. }| {
                let saved = 100.0 * (1.0 - frame_bytes / bytes as f64);
                format!("{frame_bytes:.0} | {saved:.0} % | {compress_us:.1}")
            });
            println!("| {bytes} | {kind} | {} | {:.1} |", cells.join(" | "), levels[0].inflate_us);
        }
    }
}

fn cost(level: u8, messages: &[Vec<u8>]) -> Cost {
    let mut deflater = Deflater::new(level, 15);
    let frames: Vec<_> =
        messages.iter().map(|message| deflater.compress_frame(Opcode::Text, message)).collect();
    let frame_bytes = frames.iter().map(|frame| frame.len()).sum::<usize>() as f64 / frames.len() as f64;
    let compress_us = per_message(messages.len(), |n| {
        black_box(deflater.compress_frame(Opcode::Text, black_box(&messages[n])));
    });
    let limits = DecoderLimits { message_bytes_max: 1 << 20, frame_bytes_max: 1 << 20, fragments_max: 1 };
    let mut decoder = Decoder::new(Role::Client, limits).with_deflate();
    let inflate_us = per_message(messages.len(), |n| {
        let mut input = BytesMut::from(&frames[n][..]);
        black_box(decoder.decode(&mut input)).expect("our own frame");
    });
    Cost { frame_bytes, compress_us, inflate_us }
}

/// µs of one call, at the least disturbed of several rounds.
fn per_message(count: usize, mut call: impl FnMut(usize)) -> f64 {
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < TIME {
        let round = Instant::now();
        (0..count).for_each(&mut call);
        best = best.min(round.elapsed());
    }
    best.as_secs_f64() * 1e6 / count as f64
}

type Writer = fn(&mut String, &mut Random);

/// An object as efir sends it, of about so many bytes.
fn object(bytes: usize, seed: u32, write: Writer) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9) | 1);
    let mut text = format!(
        "{{\"channel\":\"room-{}\",\"position\":\"3kTMd9yVqRz-{}\",\"time\":17952337{:05},\"data\":[",
        seed % 7,
        1_000 + seed,
        random.below(100_000)
    );
    loop {
        let before = text.len();
        write(&mut text, &mut random);
        if text.len() + 2 > bytes && before > 80 {
            text.truncate(before);
            break;
        }
        text.push(',');
    }
    while text.len() + 2 < bytes {
        text.push(char::from(b'a' + random.below(26) as u8));
    }
    text.push_str("]}");
    text.into_bytes()
}

/// Fields with the same names and other numbers: tickers, sensors, tables.
fn record(text: &mut String, random: &mut Random) {
    let (id, price, word) = (random.below(1_000_000), random.below(90_000), WORDS[random.below(24) as usize]);
    let _ = write!(
        text,
        "{{\"id\":{id},\"price\":{}.{:02},\"side\":\"{}\",\"state\":\"{word}\"}}",
        price / 100,
        price % 100,
        if id % 2 == 0 { "buy" } else { "sell" }
    );
}

/// What people write.
fn chat(text: &mut String, random: &mut Random) {
    let _ = write!(text, "{{\"from\":\"u{}\",\"text\":\"", random.below(500));
    for _ in 0..4 + random.below(12) {
        text.push_str(WORDS[random.below(32) as usize]);
        text.push(' ');
    }
    text.push_str("\"}");
}

struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}
