//! Reading for ever: over one read after the other, always after the last position that was had. A restart of the
//! server, a cut connection and a switch of transport are one case here. The waits are in [`crate::backoff`].

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::cursors::Cursors;
use crate::error::ClientError;
use crate::event::{BatchEnd, Event};
use crate::following::{FollowEvent, Following};
use crate::read::{Read, Start};
use crate::subscription::Subscription;
use crate::transports::Transport;
use crate::wire::{Hello, Problem};

/// How long the head of an answer of a short poll or stream may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a server sends heartbeats until its hello says it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When a short poll comes back if the server does not say it.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// A stream that lived so long (or brought something) was a success, however it ended.
const STEADY: Duration = Duration::from_secs(5);

/// Reads for ever. Drop it to stop.
pub struct Follow {
    client: Client,
    following: Following,
    cursors: Cursors,
    stage: Stage,
    backoff: Backoff,
    ready: VecDeque<FollowEvent>,
    is_online: bool,
    /// The server has answered before.
    has_met: bool,
    /// When silence means that the path is dead; moved on by each event.
    deadline: Instant,
    /// The longest silence between two events of a stream.
    silence_max: Duration,
    /// `retry:` of the stream.
    retry: Option<Duration>,
    /// What the server said before it ended the stream.
    farewell: Option<Problem>,
    /// How the stream ended, if no problem says it.
    end: String,
    opened_at: Instant,
    has_brought: bool,
}

enum Stage {
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Opening(Pin<Box<dyn Future<Output = Result<Opened, ClientError>> + Send>>),
    Reading(Box<Subscription>),
}

/// What opening gave.
enum Opened {
    Subscription(Subscription),
    /// A poll has no place to begin "from now on": its first answer says where now is.
    Joined(Subscription),
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("following", &self.following)
            .field("cursors", &self.cursors)
            .finish_non_exhaustive()
    }
}

impl Follow {
    pub(crate) fn new(client: Client, following: Following) -> Self {
        let mut follow = Self {
            client,
            backoff: Backoff::new(following.options.backoff_min, following.options.backoff_max),
            cursors: Cursors::default(),
            stage: Stage::Idle,
            ready: VecDeque::new(),
            is_online: false,
            has_met: false,
            deadline: Instant::now(),
            silence_max: HEARTBEAT + following.options.grace,
            retry: None,
            farewell: None,
            end: String::new(),
            opened_at: Instant::now(),
            has_brought: false,
            following,
        };
        if let (Start::After(cursor), false) = (&follow.following.start, follow.following.is_several) {
            let channel = follow.following.channels.first().cloned().unwrap_or_default();
            follow.cursors.set(&channel, cursor);
        }
        follow
    }

    /// The cursor to go on from (of several channels: their token); `None` before the first contact.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        self.cursors.text(&self.following.channels, self.following.is_several)
    }

    /// The transport in use.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.following.transport
    }

    /// Goes on over another transport, after the same cursor.
    pub fn switch(&mut self, transport: Transport) {
        self.following.transport = transport;
        self.stage = Stage::Idle;
        self.is_online = false;
    }

    /// The next thing that happens. Safe to cancel: nothing is lost or repeated.
    ///
    /// # Errors
    /// Where another try of the same kind is useless, because the server refuses what is asked. A further call tries
    /// again all the same, after a wait.
    pub async fn next(&mut self) -> Result<FollowEvent, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            match &mut self.stage {
                Stage::Idle => self.begin(),
                Stage::Waiting(pause) => {
                    pause.as_mut().await;
                    self.stage = Stage::Idle;
                }
                Stage::Opening(opening) => match opening.as_mut().await {
                    Ok(opened) => self.opened(opened).await,
                    Err(error) => self.failed(error)?,
                },
                Stage::Reading(subscription) => match timeout_at(self.deadline, subscription.next()).await {
                    Ok(Ok(Some(event))) => self.take(event),
                    Ok(Ok(None)) => self.ended(None)?,
                    Ok(Err(error)) => self.failed(error)?,
                    Err(_) => {
                        let after = self.silence_max;
                        self.failed(ClientError::Timeout { what: "the next heartbeat", after })?;
                    }
                },
            }
        }
    }

    fn begin(&mut self) {
        self.retry = None;
        self.farewell = None;
        self.end = "the server ended the stream".to_owned();
        self.has_brought = false;
        let client = self.client.clone();
        let transport = self.following.transport;
        let is_join =
            transport.is_poll() && self.following.start == Start::Default && self.cursor().is_none();
        let read = if is_join { self.read(Transport::ShortPoll).limit(1) } else { self.read(transport) };
        let options = &self.following.options;
        let time_max = if read.transport() == Transport::LongPoll {
            options.wait + options.grace
        } else {
            HEAD_TIME_MAX
        };
        self.stage = Stage::Opening(Box::pin(async move {
            let subscription = timeout(time_max, client.open(&read))
                .await
                .map_err(|_| ClientError::Timeout { what: "the answer", after: time_max })??;
            Ok(if is_join { Opened::Joined(subscription) } else { Opened::Subscription(subscription) })
        }));
    }

    fn read(&self, transport: Transport) -> Read {
        let following = &self.following;
        let mut read = match following.channels.first() {
            Some(channel) if !following.is_several => Read::channel(transport, channel),
            _ => Read::channels(transport, following.channels.iter().cloned()),
        };
        read = match self.cursor() {
            // As a browser's EventSource does it. The first time the cursor is the caller's, and a malformed one an error.
            Some(cursor) if transport == Transport::Sse && self.has_met => read.last_event_id(cursor),
            Some(cursor) => read.after(cursor),
            None => read.start(following.start.clone()),
        };
        if transport == Transport::LongPoll {
            read = read.wait(following.options.wait);
        }
        match following.options.limit {
            Some(limit) if transport.is_poll() => read.limit(limit),
            _ => read,
        }
    }

    async fn opened(&mut self, opened: Opened) {
        self.opened_at = Instant::now();
        self.deadline = self.opened_at + self.silence_max;
        match opened {
            Opened::Subscription(subscription) => {
                // The answer of a poll is proof enough; a stream or socket says hello.
                if self.following.transport.is_poll() {
                    self.online();
                }
                self.stage = Stage::Reading(Box::new(subscription));
            }
            Opened::Joined(mut subscription) => {
                // The answer is complete, so this neither waits nor fails.
                while let Ok(Some(event)) = subscription.next().await {
                    match event {
                        Event::BatchEnd(end) => self.learn_batch(&end),
                        Event::Presence(state) => self.ready.push_back(FollowEvent::Presence(state)),
                        _ => {}
                    }
                }
                self.online();
                self.stage = Stage::Idle;
            }
        }
    }

    fn take(&mut self, event: Event) {
        self.deadline = Instant::now() + self.silence_max;
        if !matches!(event, Event::Problem(_) | Event::Retry(_) | Event::Closed(_)) {
            // The stream went on, so the last problem did not end it.
            self.farewell = None;
        }
        match event {
            Event::Hello(hello) => self.greeted(&hello),
            Event::Message(message) => {
                self.has_brought = true;
                if self.cursors.admit(&message) {
                    self.ready.push_back(FollowEvent::Message(message));
                }
            }
            Event::Gap(gap) => {
                if self.cursors.admit_gap(&gap) {
                    self.ready.push_back(FollowEvent::Gap(gap));
                }
            }
            Event::Presence(state) => self.ready.push_back(FollowEvent::Presence(state)),
            Event::Problem(problem) => self.take_problem(problem),
            Event::Retry(retry) => self.retry = Some(retry),
            Event::BatchEnd(end) => self.batch_ended(&end),
            Event::Closed(closed) => {
                let words =
                    if closed.reason.is_empty() { String::new() } else { format!(": {}", closed.reason) };
                self.end = format!("the WebSocket was closed ({}){words}", closed.code);
            }
            Event::Heartbeat(_) | Event::Cursor(_) | Event::Ack(_) | Event::Reply(_) => {}
        }
    }

    /// A problem concerns one of several channels, or it says why the stream will end.
    fn take_problem(&mut self, problem: Problem) {
        if self.following.is_several && problem.channel.is_some() {
            self.ready.push_back(FollowEvent::Problem(problem));
        } else {
            self.farewell = Some(problem);
        }
    }

    /// The hello's cursor counts only where we had none: what is replayed comes after ours, not after a newer one.
    fn greeted(&mut self, hello: &Hello) {
        if let Some(ms) = hello.heartbeat_ms {
            self.silence_max = Duration::from_millis(ms) + self.following.options.grace;
            self.deadline = Instant::now() + self.silence_max;
        }
        if let (Some(channel), Some(cursor)) = (&hello.channel, &hello.cursor) {
            self.cursors.set_first(channel, cursor);
        }
        for joined in &hello.channels {
            self.cursors.set_first(&joined.channel, &joined.cursor);
        }
        self.online();
    }

    fn batch_ended(&mut self, end: &BatchEnd) {
        self.learn_batch(end);
        self.backoff.reset();
        self.online();
        let pause = match self.following.transport {
            _ if end.more => Duration::ZERO,
            Transport::ShortPoll => {
                self.following.options.poll_interval.or(end.retry_after).unwrap_or(POLL_INTERVAL)
            }
            _ => end.retry_after.unwrap_or(Duration::ZERO),
        };
        self.stage = if pause.is_zero() { Stage::Idle } else { Stage::Waiting(Box::pin(sleep(pause))) };
    }

    fn learn_batch(&mut self, end: &BatchEnd) {
        let Some(cursor) = &end.cursor else { return };
        if !self.following.is_several {
            let channel = self.following.channels.first().cloned().unwrap_or_default();
            self.cursors.set_forward(&channel, cursor);
            return;
        }
        self.cursors.set_token(&self.following.channels, cursor);
    }

    fn online(&mut self) {
        self.has_met = true;
        if !self.is_online {
            self.is_online = true;
            self.ready.push_back(FollowEvent::Online { transport: self.following.transport });
        }
    }

    /// The stream is over without an error of the connection.
    fn ended(&mut self, error: Option<ClientError>) -> Result<(), ClientError> {
        if self.has_brought || self.opened_at.elapsed() >= STEADY {
            self.backoff.reset();
        }
        let farewell = self.farewell.take();
        let asked = error.as_ref().and_then(ClientError::retry_after);
        let said = farewell.as_ref().and_then(Problem::retry_after);
        let mut pause = self.backoff.next(fastrand::f64());
        if let Some(least) = asked.or(said).or(self.retry.take()) {
            pause += least;
        }
        self.stage = Stage::Waiting(Box::pin(sleep(pause)));
        self.is_online = false;
        match (error, farewell) {
            (Some(error), _) if error.is_permanent() => return Err(error),
            (None, Some(problem)) if problem.action == "stop" => {
                return Err(ClientError::Problem(Box::new(problem)));
            }
            (error, farewell) => {
                let reason = match (farewell, error) {
                    (Some(problem), _) => problem.to_string(),
                    (None, Some(error)) => error.to_string(),
                    (None, None) => std::mem::take(&mut self.end),
                };
                self.ready.push_back(FollowEvent::Offline { reason, retry_in: pause });
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: ClientError) -> Result<(), ClientError> {
        if matches!(error, ClientError::Timeout { .. }) {
            self.client.distrust();
        }
        self.ended(Some(error))
    }
}
