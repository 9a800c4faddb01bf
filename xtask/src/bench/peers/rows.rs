//! What is measured: a row is one kind of work, put on every server that can do it.

use std::time::Duration;

use efir_bench::load::{Load, Pace};

/// What a server has to be able to do; what each is spoken to with follows from it (`servers.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Many read over WebSockets what somebody else publishes.
    Websocket,
    /// The same over Server-Sent Events.
    Sse,
    /// The same by long polls.
    LongPoll,
    /// All over WebSockets; whoever publishes is a member of the channel.
    Chat,
}

/// One row: the same for every server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// In results, file names and on the command line.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) what: &'static str,
    pub(super) work: Work,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// One channel with many subscribers; messages a second.
    FanOut(f64),
    /// The same, as fast as they are delivered.
    FlatOut,
    /// Channels, subscribers of each, messages a second on all together.
    Channels(usize, usize, f64),
    /// Connections that wait.
    Idle,
}

pub(super) const ROWS: &[Row] = &[
    Row {
        id: "websocket",
        title: "WebSocket fan-out, 100 messages/s",
        what: "1 channel × 1,000 subscribers, 100-byte payloads",
        work: Work::Websocket,
        shape: Shape::FanOut(100.0),
    },
    Row {
        id: "websocket-flat-out",
        title: "WebSocket, as fast as it goes",
        what: "1 channel × 1,000 subscribers, 100-byte payloads",
        work: Work::Websocket,
        shape: Shape::FlatOut,
    },
    Row {
        id: "sse",
        title: "SSE fan-out, 100 messages/s",
        what: "1 channel × 1,000 subscribers, 100-byte payloads",
        work: Work::Sse,
        shape: Shape::FanOut(100.0),
    },
    Row {
        id: "sse-flat-out",
        title: "SSE, as fast as it goes",
        what: "1 channel × 1,000 subscribers, 100-byte payloads",
        work: Work::Sse,
        shape: Shape::FlatOut,
    },
    Row {
        id: "long-poll",
        title: "Long poll, 10 messages/s",
        what: "1 channel × 1,000 pollers, 100-byte payloads; a delivery is an answer and the next request",
        work: Work::LongPoll,
        shape: Shape::FanOut(10.0),
    },
    Row {
        id: "channels",
        title: "1,000 channels × 5 subscribers",
        what: "WebSocket, 1,000 messages/s on all channels together, from one publisher",
        work: Work::Websocket,
        shape: Shape::Channels(1_000, 5, 1_000.0),
    },
    Row {
        id: "chat",
        title: "Chat: 200 rooms × 10 members",
        what: "WebSocket, 1,000 messages/s on all rooms together, sent by a member and received by all ten",
        work: Work::Chat,
        shape: Shape::Channels(200, 10, 1_000.0),
    },
    Row {
        id: "idle-websocket",
        title: "Idle WebSocket connection",
        what: "user-space memory (RssAnon) a connection",
        work: Work::Websocket,
        shape: Shape::Idle,
    },
    Row {
        id: "idle-sse",
        title: "Idle SSE connection",
        what: "user-space memory (RssAnon) a connection",
        work: Work::Sse,
        shape: Shape::Idle,
    },
    Row {
        id: "idle-long-poll",
        title: "Idle long poll",
        what: "user-space memory (RssAnon) a connection",
        work: Work::LongPoll,
        shape: Shape::Idle,
    },
];

/// How much is measured. `--quick` is for trying the tool, not for numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) runs: usize,
    /// Connections and channels are divided by this.
    divisor: usize,
    warm_up: Duration,
    measured: Duration,
    idle: usize,
    rest: Duration,
}

pub(super) const FULL: Plan = Plan {
    runs: 3,
    divisor: 1,
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(3),
    idle: 5_000,
    rest: Duration::from_secs(1),
};

pub(super) const QUICK: Plan = Plan {
    runs: 1,
    divisor: 5,
    warm_up: Duration::from_millis(300),
    measured: Duration::from_millis(1_200),
    idle: 1_000,
    rest: Duration::from_millis(700),
};

pub(super) const PAYLOAD_BYTES: usize = 100;

impl Plan {
    pub(super) fn seconds(&self) -> f64 {
        self.measured.as_secs_f64()
    }

    /// What is left of the connections and channels that a row names.
    pub(super) fn share(&self) -> &'static str {
        if self.divisor == 1 {
            ""
        } else {
            "A quick run: a fifth of the connections and channels that are named. "
        }
    }

    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    /// What of a row is put on a server.
    pub(super) fn load(&self, row: &Row) -> Load {
        let load = Load {
            payload_bytes: PAYLOAD_BYTES,
            warm_up: self.warm_up,
            measured: self.measured,
            // Far more than one round trip brings, so that no server waits for the publisher.
            pipeline: 500,
            ..Load::default()
        };
        match row.shape {
            Shape::FanOut(rate) => {
                Load { subscribers: 1_000 / self.divisor, pace: Pace::PerSecond(rate), ..load }
            }
            Shape::FlatOut => {
                // No subscriber lags by more than the least that a server here keeps for it.
                let pace = Pace::FlatOut { ahead: 500, lag: 900 };
                Load { subscribers: 1_000 / self.divisor, pace, ..load }
            }
            Shape::Channels(channels, subscribers, rate) => Load {
                channels: channels / self.divisor,
                // The one who sends is one of the members.
                subscribers: subscribers - usize::from(row.work == Work::Chat),
                pace: Pace::PerSecond(rate),
                // A delivery is less of the time here, and the CPU clock ticks coarsely.
                measured: self.measured * 3 / 2,
                ..load
            },
            // The one message that follows proves that each of them was subscribed.
            Shape::Idle => Load {
                subscribers: self.idle,
                pace: Pace::PerSecond(5.0),
                rest: self.rest,
                warm_up: Duration::from_millis(100),
                measured: Duration::from_millis(100),
                ..load
            },
        }
    }
}
