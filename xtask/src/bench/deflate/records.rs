//! What is published when compression is measured: JSON such as tickers, sensors and tables send. The same field names, other
//! numbers, and the mark of the load tool in it.

use std::fmt::Write;

use anyhow::Result;
use efir_bench::mark::MARK_LEN;
use efir_bench::{Heard, Message, Publish, Seat, efir::HttpPublisher};

/// So many texts take turns.
const TEXTS: usize = 64;
const BEGIN: &str = r#"{"mark":""#;
const WORDS: [&str; 12] = [
    "open",
    "closed",
    "shipped",
    "paid",
    "waiting",
    "alarm",
    "north",
    "south",
    "привет",
    "новости",
    "готов",
    "поезд",
];

/// Publishes records over HTTP.
#[derive(Debug)]
pub(super) struct Records {
    host: String,
    /// Answers are the same for any body.
    http: HttpPublisher,
    texts: Vec<Vec<u8>>,
}

impl Records {
    /// Payloads of so many bytes for the server with this `Host`.
    pub(super) fn new(host: &str, bytes: usize) -> Self {
        let texts = (0..TEXTS).map(|n| text(bytes, n as u32)).collect();
        Self { host: host.to_owned(), http: HttpPublisher::new(host, ""), texts }
    }
}

impl Publish for Records {
    fn name(&self) -> &str {
        "records"
    }

    fn publish(&self, seat: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        let text = &self.texts[seat.owed as usize % TEXTS];
        seat.owed = seat.owed.wrapping_add(1);
        let head = format!(
            "POST /channels/{} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            message.channel,
            self.host,
            text.len()
        );
        out.extend_from_slice(head.as_bytes());
        let start = out.len() + BEGIN.len();
        out.extend_from_slice(text);
        let mark = message.payload.len().saturating_sub(MARK_LEN);
        out[start..start + MARK_LEN].copy_from_slice(&message.payload[mark..]);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        self.http.receive(seat, bytes, heard)
    }
}

fn text(bytes: usize, seed: u32) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9) | 1);
    let mut text = format!("{BEGIN}{}\",\"rows\":[", ".".repeat(MARK_LEN));
    loop {
        let before = text.len();
        record(&mut text, &mut random);
        if text.len() + 2 > bytes {
            text.truncate(before);
            break;
        }
        text.push(',');
    }
    if text.ends_with(',') {
        text.pop();
    }
    text.push_str("]}");
    // Space between tokens makes up what is left.
    let left = bytes.saturating_sub(text.len());
    text.insert_str(text.len() - 1, &" ".repeat(left));
    text.into_bytes()
}

fn record(text: &mut String, random: &mut Random) {
    let (id, price) = (random.below(1_000_000), random.below(90_000));
    let (side, word) = (if id % 2 == 0 { "buy" } else { "sell" }, WORDS[random.below(12) as usize]);
    let (whole, cents) = (price / 100, price % 100);
    // Writing to a string cannot fail.
    let _ = write!(text, r#"{{"id":{id},"price":{whole}.{cents:02},"side":"{side}","state":"{word}"}}"#);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_of_their_length() {
        for bytes in [100, 500, 2_048, 16_384] {
            let text = text(bytes, 3);
            assert_eq!(text.len(), bytes);
            assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok(), "{bytes}");
        }
    }
}
