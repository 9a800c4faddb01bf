//! A message on its way to many: the note to the worker, the walk over the subscribers, frames, cursors, the call of `send`; and what
//! comes from clients. Units of `deliver` are deliveries, publishing included; its workers have [`SUBSCRIBERS`] connections.

use std::io::Write;

use crate::{
    access,
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
        walk(meter, (way.name, 1), Audience::new().with(way, SUBSCRIBERS));
    }
    for way in [WEBSOCKET, SSE] {
        let audience = Audience::of(requests::closed_site());
        let audience = audience.with_each(SUBSCRIBERS, |n| way.bytes_with(&access::token(n)));
        walk(meter, (&format!("{}, each with a token", way.name), 1), audience);
    }
    walk(meter, ("websocket, 10 messages in one write", BURST), Audience::new().with(WEBSOCKET, SUBSCRIBERS));
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

fn walk(meter: &mut Meter, (name, messages): (&str, usize), mut audience: Audience) {
    let row = format!("deliver: {name}");
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
        arrival(meter, way.name, &mut Audience::new(), |_| way.bytes());
    }
    let (row, mut closed) =
        ("websocket with a token that was never seen", Audience::of(requests::closed_site()));
    arrival(meter, row, &mut closed, |n| WEBSOCKET.bytes_with(&access::token(n)));
    closed.expect_news(row);
}

fn arrival(meter: &mut Meter, name: &str, audience: &mut Audience, request: impl Fn(usize) -> Vec<u8>) {
    let mut number = 0;
    meter.count(
        (&format!("connect: {name}"), 1),
        audience,
        |audience| {
            let client = audience.connect();
            client.write_all(&request(number)).expect("room in the socket");
            number += 1;
            audience.hear();
        },
        |audience, ()| audience.turn(),
    );
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
