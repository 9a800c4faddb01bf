//! Publishing into the memory broker: limits, the log at its limit (each append trims), the object, the receipt. Nobody listens here;
//! telling subscribers is a row of `fan_out.rs`.

use bytes::Bytes;
use efir_core::{ChannelName, Limits, Payload, Times};
use efir_engine::{Hub, Publish};

use crate::meter::Meter;

/// Messages that a channel keeps: few, so that each counted append trims as a busy server's does.
const KEPT: usize = 16;

struct Desk {
    hub: Hub,
    channels: Vec<ChannelName>,
    next: usize,
}

impl Desk {
    fn new(channels: usize) -> Self {
        let limits = Limits { retention_messages_max: KEPT, ..Limits::default() };
        let hub = Hub::new(limits, Times::default());
        Self { hub, channels: (0..channels).map(name).collect(), next: 0 }
    }

    fn publish(&mut self, payload: &Payload, key: Option<&str>) {
        let channel = &self.channels[self.next % self.channels.len()];
        self.next += 1;
        self.hub.publish(&Publish { channel, payload, key, from: None }).expect("room for it");
    }
}

fn name(n: usize) -> ChannelName {
    ChannelName::parse(&format!("chat:room-{n:05}")).expect("a name")
}

/// JSON of so many bytes: one object with a text and numbers, as applications publish it.
pub(crate) fn json_text(bytes: usize) -> String {
    let item = r#"{"id":12345,"text":"Hello, world","at":1.5e3,"ok":true},"#;
    let mut text = String::from(r#"{"items":["#);
    while text.len() + item.len() + 3 < bytes {
        text += item;
    }
    text += &format!("\"{}\"]}}", "x".repeat(bytes.saturating_sub(text.len() + 4)));
    text
}

fn payloads() -> [(&'static str, Payload); 5] {
    let text = |bytes| Payload::text(Bytes::from("a".repeat(bytes))).expect("text");
    let json = |bytes| Payload::json(Bytes::from(json_text(bytes))).expect("JSON");
    [
        ("publish: text, 100 B", text(100)),
        ("publish: JSON, 100 B", json(100)),
        ("publish: bytes, 100 B", Payload::bytes(Bytes::from(vec![7; 100]))),
        ("publish: JSON, 1 KiB", json(1024)),
        ("publish: JSON, 16 KiB", json(16 * 1024)),
    ]
}

pub(crate) fn rows(meter: &mut Meter) {
    for (row, payload) in payloads() {
        let mut desk = Desk::new(1);
        meter.count((row, 1), &mut desk, |_| (), |desk, ()| desk.publish(&payload, None));
        assert!(desk.hub.position(&desk.channels[0]).offset > KEPT as u64, "{row}: nothing was published");
    }
    let [(_, text), ..] = payloads();
    let mut desk = Desk::new(1);
    meter.count(
        ("publish: text, 100 B, with a key", 1),
        &mut desk,
        |desk| format!("key-{:08}", desk.next),
        |desk, key| desk.publish(&text, Some(&key)),
    );
    let mut desk = Desk::new(1_000);
    for _ in 0..desk.channels.len() * KEPT {
        desk.publish(&text, None);
    }
    meter.count(
        ("publish: text, 100 B, 1,000 channels in turn", 1),
        &mut desk,
        |_| (),
        |desk, ()| {
            desk.publish(&text, None);
        },
    );
}
