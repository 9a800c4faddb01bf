//! What is kept while nothing happens: so many of one thing are made, and the process ends with them. The profiler of allocations sees
//! what was still held, and where it was made.

use std::process::{self, ExitCode};

use efir_core::{Limits, Times};
use efir_engine::Hub;

use crate::{
    access,
    audience::Audience,
    requests::{self, HTTP_STREAM, LONG_POLL, SOCKET, SSE, WEBSOCKET, Way},
};

const WAYS: [Way; 4] = [WEBSOCKET, SSE, HTTP_STREAM, LONG_POLL];
const SOCKET_OF_10: &str = "/socket of 10 channels";
/// Each with a token of its own: 240 bytes of text, one grant.
const WITH_TOKEN: &str = "websocket with a token";
const CHANNEL: &str = "channel with one message";

/// What can be held, and how many make a good sample: connections are few because of the limit of open files, channels many because
/// they stand in tables that are full by chance.
pub(crate) fn samples() -> impl Iterator<Item = (&'static str, usize)> {
    let connections = WAYS.into_iter().map(|way| way.name).chain([SOCKET_OF_10, WITH_TOKEN]);
    connections.map(|name| (name, 64)).chain([(CHANNEL, 8_192)])
}

/// Makes so many of it and ends the process.
pub(crate) fn hold(name: &str, count: &str) -> ExitCode {
    let Ok(count) = count.parse() else {
        eprintln!("{count}: not a number");
        return ExitCode::FAILURE;
    };
    if name == CHANNEL {
        let hub = Hub::new(Limits::default(), Times::default());
        for n in 0..count {
            hub.publish_text(&format!("device:{n:06}"), &"a".repeat(100)).expect("room for it");
        }
        process::exit(0);
    }
    if name == WITH_TOKEN {
        let audience = Audience::of(requests::closed_site());
        let _audience = audience.with_each(count, |n| WEBSOCKET.bytes_with(&access::token(n)));
        process::exit(0);
    }
    let way = if name == SOCKET_OF_10 { Some(SOCKET) } else { WAYS.into_iter().find(|way| way.name == name) };
    let Some(way) = way else {
        eprintln!("{name}: not one of {:?}", samples().collect::<Vec<_>>());
        return ExitCode::FAILURE;
    };
    let mut audience = Audience::new().with(way, count);
    if name == SOCKET_OF_10 {
        for n in 0..10 {
            audience.say(&format!(r#"{{"id":1,"subscribe":{{"channel":"room-{n}"}}}}"#));
            audience.settle();
            audience.expect_news(name);
        }
    }
    process::exit(0);
}
