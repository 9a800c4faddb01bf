//! A message on its way to many: the note to the worker, the walk over the subscribers, frames, cursors, the call of `send`; and what
//! comes from clients. Units of `deliver` are deliveries, publishing included; its workers have [`SUBSCRIBERS`] connections.

use std::io::Write;

use crate::{
    audience::Audience,
    meter::{self, Meter},
    publishing::json_text,
    requests::{self, HTTP_STREAM, LONG_POLL, SOCKET, SSE, WEBSOCKET, Way},
};

const SUBSCRIBERS: usize = 100;
/// Messages that wait together, or frames and requests that a client sends at once.
const BURST: usize = 10;

pub(crate) fn rows(meter: &mut Meter) {
    for way in [WEBSOCKET, SSE, HTTP_STREAM] {
        walk(meter, way, 1);
    }
    walk(meter, WEBSOCKET, BURST);
    long_polls(meter);
    sockets(meter);
    arrivals(meter);
    let frame_text = format!("message {}", ".".repeat(92));
    publisher(meter, "receive: websocket, 10 published at once", WEBSOCKET, |audience| {
        (0..BURST).for_each(|_| audience.say(&frame_text));
    });
    let command = format!(r#"{{"publish":{{"channel":"chat","data":{}}}}}"#, json_text(100));
    publisher(meter, "receive: /socket, 10 publishes without an id at once", SOCKET, |audience| {
        (0..BURST).for_each(|_| audience.say(&command));
    });
    let request = requests::post().repeat(BURST);
    publisher(meter, "receive: 10 publish requests at once", LONG_POLL, |audience| audience.send(&request));
}

fn walk(meter: &mut Meter, way: Way, messages: usize) {
    let together = if messages > 1 { format!(", {messages} messages in one write") } else { String::new() };
    let row = format!("deliver: {}{together}", way.name);
    let mut audience = Audience::new().with(way, SUBSCRIBERS);
    let mut has_begun = false;
    meter.count(
        (&row, SUBSCRIBERS * messages),
        &mut audience,
        |audience| {
            if std::mem::replace(&mut has_begun, true) {
                audience.expect_news(&row);
            }
        },
        |audience, ()| {
            (0..messages).for_each(|_| audience.publish("chat"));
            audience.turn();
        },
    );
    audience.expect_news(&row);
}

/// An answer to each held poll; and the next request of each, until it is held.
fn long_polls(meter: &mut Meter) {
    let request = LONG_POLL.bytes();
    let row = "deliver: long-poll";
    let mut audience = Audience::new().with(LONG_POLL, SUBSCRIBERS);
    let mut has_begun = false;
    meter.count(
        (row, SUBSCRIBERS),
        &mut audience,
        |audience| {
            if std::mem::replace(&mut has_begun, true) {
                audience.expect_news(row);
                audience.send(&request);
                audience.settle();
            }
            audience.expect_silence(row);
        },
        |audience, ()| {
            audience.publish("chat");
            audience.turn();
        },
    );
    audience.expect_news(row);
    let row = "receive: the next request of a long-poll";
    audience.send(&request);
    audience.settle();
    meter.count(
        (row, SUBSCRIBERS),
        &mut audience,
        |audience| {
            audience.expect_silence(row);
            audience.publish("chat");
            audience.turn();
            audience.expect_news(row);
            audience.send(&request);
            audience.hear();
        },
        |audience, ()| audience.turn(),
    );
}

/// Connections of 10 channels each, one message on each channel.
fn sockets(meter: &mut Meter) {
    let row = "deliver: /socket of 10 channels, one message on each";
    let channels: Vec<String> = (0..BURST).map(|n| format!("room-{n}")).collect();
    let mut audience = Audience::new().with(SOCKET, SUBSCRIBERS);
    for channel in &channels {
        audience.say(&format!(r#"{{"id":1,"subscribe":{{"channel":"{channel}"}}}}"#));
        audience.settle();
        audience.expect_news(row);
    }
    let mut has_begun = false;
    meter.count(
        (row, SUBSCRIBERS * BURST),
        &mut audience,
        |audience| {
            if std::mem::replace(&mut has_begun, true) {
                audience.expect_news(row);
            }
        },
        |audience, ()| {
            channels.iter().for_each(|channel| audience.publish(channel));
            audience.turn();
        },
    );
    audience.expect_news(row);
}

/// From the request on a fresh connection to the first write: head, `hello`, watching the channel.
fn arrivals(meter: &mut Meter) {
    for way in [WEBSOCKET, SSE, LONG_POLL] {
        let request = way.bytes();
        let mut audience = Audience::new();
        meter.count(
            (&format!("connect: {}", way.name), 1),
            &mut audience,
            |audience| {
                let client = audience.connect();
                client.write_all(&request).expect("room in the socket");
                audience.hear();
            },
            |audience, ()| audience.turn(),
        );
    }
}

/// One connection publishes, as a page that chats or a backend does.
fn publisher(meter: &mut Meter, row: &str, way: Way, mut publish: impl FnMut(&mut Audience)) {
    let mut audience = Audience::new().with(way, 1);
    // A held poll ends with this, and the connection is free for requests.
    audience.publish("chat");
    audience.settle();
    meter.count(
        (row, BURST),
        &mut audience,
        |audience| {
            audience.settle();
            audience.drain();
            publish(audience);
            audience.hear();
        },
        |audience, ()| audience.turn(),
    );
    assert!(audience.position("chat") >= (meter::CALLS * BURST) as u64, "{row}: not all of it was published");
}
