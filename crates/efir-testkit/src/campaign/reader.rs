//! Readers: each follows its channels for ever and writes down what its caller would see. Some are slow, some change their transport.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use efir_client::{
    Client, Data, Follow, FollowEvent, FollowOptions, Following, Gap, MessageView, Start, Transport,
};
use fastrand::Rng;
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::Ledger;
use crate::{
    history::{Event, From, Place, payload_mark},
    room::bytes_mark,
};

/// What a reader does besides reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Nothing.
    None,
    /// Stops reading for a while, again and again.
    Slow,
    /// Goes on over another transport, again and again.
    Switching,
}

/// Where a reader stands in one channel.
#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    pub(super) position: String,
    pub(super) gaps: u64,
}

/// What a reader has seen, for others to look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<HashMap<String, Track>>>);

impl Seen {
    /// Every channel, with where the reader stands.
    pub(super) fn tracks(&self) -> HashMap<String, Track> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, channel: &str, change: impl FnOnce(&mut Track)) {
        let mut tracks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(tracks.entry(channel.to_owned()).or_default());
    }
}

/// One reader with connections of its own.
pub(super) struct Reader {
    name: String,
    follow: Follow,
    seen: Seen,
    ledger: Arc<Ledger>,
    random: Rng,
    habit: Habit,
}

/// What a reader reads, and how.
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) channels: Vec<String>,
    pub(super) transport: Transport,
    pub(super) habit: Habit,
}

impl Reader {
    /// One that reads from the oldest message on.
    pub(super) fn new(client: &Client, choice: Choice, ledger: &Arc<Ledger>, random: Rng) -> Self {
        let Choice { name, channels, transport, habit } = choice;
        let seen = Seen::default();
        for channel in &channels {
            seen.change(channel, |_| ());
            let event = Event::Open {
                transport: transport.name().into(),
                channel: channel.clone(),
                from: From::Start,
            };
            ledger.history.record(&name, event);
        }
        let following = match channels.as_slice() {
            [one] => Following::channel(transport, one),
            _ => Following::channels(transport, channels),
        };
        let following = following.start(Start::Beginning).options(options());
        let follow = client.follow(following);
        Self { name, follow, seen, ledger: Arc::clone(ledger), random, habit }
    }

    /// What it sees, while it runs.
    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Reads until it is dropped.
    pub(super) async fn run(mut self) {
        let mut due = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(due), if self.habit != Habit::None && !self.ledger.is_over() => {
                    due = Instant::now() + self.indulge().await;
                }
                event = self.follow.next() => match event {
                    Ok(event) => self.take(event),
                    Err(error) => self.ledger.wrong(format!("{} may not read: {error}", self.name)),
                },
            }
        }
    }

    /// Follows its habit; gives the time until the next occasion.
    async fn indulge(&mut self) -> Duration {
        if self.habit == Habit::Slow {
            sleep(Duration::from_millis(self.random.u64(20..500))).await;
            return Duration::from_millis(self.random.u64(50..800));
        }
        let before = self.follow.transport();
        let others = Transport::ALL.into_iter().filter(|transport| *transport != before);
        if let Some(after) = self.random.choice(others.collect::<Vec<_>>()) {
            self.follow.switch(after);
            self.ledger.switched(before, after);
        }
        Duration::from_millis(self.random.u64(20..400))
    }

    fn take(&self, event: FollowEvent) {
        match event {
            FollowEvent::Message(message) => self.message(message),
            FollowEvent::Gap(gap) => self.gap(gap),
            FollowEvent::Problem(problem) => self.ledger.wrong(format!("{}: {problem}", self.name)),
            _ => {}
        }
    }

    fn message(&self, message: MessageView) {
        let payload = match &message.data {
            Data::Json(json) => payload_mark(&String::from_utf8_lossy(json)),
            Data::Bytes(bytes) => bytes_mark(bytes),
        };
        let Some(position) = Place::parse(&message.position) else {
            return self.ledger.wrong(format!("{} got the position {}", self.name, message.position));
        };
        self.seen.change(&message.channel, |track| track.position = message.position);
        let event = Event::Received { channel: message.channel, position, payload };
        self.ledger.history.record(&self.name, event);
    }

    fn gap(&self, gap: Gap) {
        let Some(resume_from) = Place::parse(&gap.resume_from) else {
            return self.ledger.wrong(format!("{} got a gap up to {}", self.name, gap.resume_from));
        };
        self.seen.change(&gap.channel, |track| {
            track.position = gap.resume_from;
            track.gaps += 1;
        });
        let event = Event::Gap {
            channel: gap.channel,
            reason: gap.reason,
            after: gap.after.unwrap_or_default(),
            resume_from,
            epoch: gap.epoch,
        };
        self.ledger.history.record(&self.name, event);
    }
}

/// Times as short as those of the server.
fn options() -> FollowOptions {
    FollowOptions {
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(80),
        wait: Duration::from_secs(1),
        poll_interval: Some(Duration::from_millis(15)),
        grace: Duration::from_millis(800),
        limit: Some(500),
    }
}
