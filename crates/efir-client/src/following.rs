//! What to follow and with which patience, and what that yields. How it is done is in [`crate::follow`].

use std::time::Duration;

use crate::event::MessageView;
use crate::presence::PresenceState;
use crate::read::Start;
use crate::transports::Transport;
use crate::wire::{Gap, Problem};

/// What to follow.
#[derive(Clone, Debug)]
pub struct Following {
    pub(crate) transport: Transport,
    pub(crate) channels: Vec<String>,
    pub(crate) is_several: bool,
    pub(crate) start: Start,
    pub(crate) options: FollowOptions,
}

/// The times of a [`crate::Follow`].
#[derive(Clone, Debug)]
pub struct FollowOptions {
    /// The first window of waits after a failure.
    pub backoff_min: Duration,
    /// The largest window.
    pub backoff_max: Duration,
    /// The hold time that a long poll asks for.
    pub wait: Duration,
    /// How often a short poll asks; `None`: as the server says.
    pub poll_interval: Option<Duration>,
    /// How long beyond the hold time of a poll, or the interval of heartbeats, silence is borne.
    pub grace: Duration,
    /// How many messages a poll's answer has at most; `None`: the server's default.
    pub limit: Option<usize>,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(300),
            backoff_max: Duration::from_secs(20),
            wait: Duration::from_secs(25),
            poll_interval: None,
            grace: Duration::from_secs(5),
            limit: None,
        }
    }
}

impl Following {
    /// One channel, from now on.
    pub fn channel(transport: Transport, channel: impl Into<String>) -> Self {
        Self {
            transport,
            channels: vec![channel.into()],
            is_several: false,
            start: Start::Default,
            options: FollowOptions::default(),
        }
    }

    /// Several channels over one response or socket, from now on.
    pub fn channels<C: Into<String>>(transport: Transport, channels: impl IntoIterator<Item = C>) -> Self {
        let mut following = Self::channel(transport, "");
        following.channels = channels.into_iter().map(Into::into).collect();
        following.is_several = true;
        following
    }

    /// Where to begin; [`Start::Default`] is "from now on" with every transport.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Other times.
    #[must_use]
    pub fn options(mut self, options: FollowOptions) -> Self {
        self.options = options;
        self
    }
}

/// What following yields.
#[derive(Clone, Debug, PartialEq)]
pub enum FollowEvent {
    /// A message; each one once, in the order of its channel.
    Message(MessageView),
    /// Something after the cursor is no longer there; it comes before any later message.
    Gap(Gap),
    /// Who is in a channel, where its log of members is followed; the messages after it are changes. After a gap in that log
    /// [`crate::Client::presence`] tells it anew.
    Presence(PresenceState),
    /// One of several channels has a problem; the others go on.
    Problem(Problem),
    /// What comes is current from here on.
    Online {
        /// Over which transport.
        transport: Transport,
    },
    /// Nothing comes for now; it goes on by itself.
    Offline {
        /// What happened.
        reason: String,
        /// When the next try begins.
        retry_in: Duration,
    },
}
