//! What presence adds to a response that lasts: leases that end with it, and the state of members that goes before their changes.
//! The transports know nothing of it beyond their beginning: an exchange is wrapped where somebody enters or a log of members is read.

use std::time::Instant;

use bytes::BytesMut;
use efir_core::{
    Action, ChannelName, Code, PresenceState, Problem, Start,
    wire::{Control, Form},
};
use efir_engine::{Exchange, Hub, Lease, Outbox, Reader, Response, Turn, Via};

use crate::request::{ReadRequest, Scope, entering::Entering};

/// When to ask again for a state that had no room beside others, which have cursors then.
const STATES_RETRY_MS: u64 = 1_000;

/// Leases and states of one response.
#[derive(Debug)]
pub(crate) struct Present {
    leases: Vec<Lease>,
    states: Vec<PresenceState>,
    /// How long members stay when the response ends by its time.
    rotation_ms: u64,
    /// How long they stay when the node drains.
    drain_ms: u64,
}

/// How a response of this kind ends, for those who are in a channel by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It is answered, and the client asks again.
    WithAnswer,
    /// It lasts until its time is over; then the client comes back.
    WithRotation,
    /// It lasts until somebody closes it.
    WhenClosed,
}

/// The reader enters the channels that it names, and what it reads of members begins with their state. `None` where there is
/// neither, as in almost all requests.
///
/// # Errors
/// There is no room for its leases.
#[inline]
pub(crate) fn begin(hub: &Hub, asked: &mut ReadRequest, ends: Ends) -> Result<Option<Box<Present>>, Problem> {
    if asked.entering.is_none() && !asked.scope.begins_with_members() {
        return Ok(None);
    }
    attend(hub, asked, ends).map(Some)
}

fn attend(hub: &Hub, asked: &mut ReadRequest, ends: Ends) -> Result<Box<Present>, Problem> {
    let mut leases = Vec::new();
    let times = hub.times();
    if let Some(entering) = &asked.entering {
        let via = check(hub, entering, via(asked))?;
        for channel in &entering.channels {
            leases.push(hub.enter(channel, &entering.who, via).map_err(|error| error.problem())?);
        }
        // Not before all are in: whoever is refused lingers nowhere.
        if ends == Ends::WithAnswer {
            leases.iter_mut().for_each(|lease| lease.set_linger_ms(times.presence_grace_ms));
        }
    }
    let states = take_states(hub, &mut asked.scope);
    // Who is sent away comes back after `retry` and a little.
    let back_ms = times.retry_ms_max + times.presence_grace_ms;
    let (rotation_ms, drain_ms) = match ends {
        Ends::WithAnswer => (times.presence_grace_ms, times.presence_grace_ms),
        Ends::WithRotation => (back_ms, back_ms),
        Ends::WhenClosed => (0, back_ms),
    };
    Ok(Box::new(Present { leases, states, rotation_ms, drain_ms }))
}

/// The reader of an answer that comes at once enters the channels that it names, for so long.
///
/// # Errors
/// There is no room for its leases.
pub(crate) fn enter_for(hub: &Hub, asked: &ReadRequest, ms: u64) -> Result<(), Problem> {
    let Some(entering) = &asked.entering else { return Ok(()) };
    let via = check(hub, entering, via(asked))?;
    for channel in &entering.channels {
        hub.enter_for(channel, &entering.who, via, ms).map_err(|error| error.problem())?;
    }
    Ok(())
}

/// Refuses before the first channel is entered where there is no room for all.
fn check<'a>(hub: &Hub, entering: &Entering, via: Via<'a>) -> Result<Via<'a>, Problem> {
    if entering.channels.len() > 1 {
        let checked = hub.check_entering(&entering.channels, entering.who.id(), via);
        checked.map_err(|error| error.problem())?;
    }
    Ok(via)
}

/// Whether a client that is told this comes back, so that its member stays meanwhile. Who was shut out does not.
pub(crate) fn comes_back(problem: &Problem) -> bool {
    let is_passing = matches!(problem.row().action, Action::RetryNow | Action::RetryLater);
    is_passing || problem.code == Code::TokenExpired
}

fn via(asked: &ReadRequest) -> Via<'_> {
    Via { client: asked.client.as_deref(), transport: Some(asked.transport.name) }
}

/// The states of the logs of members that are read without a cursor; from there on they are read after it. A log whose state has no
/// room any more is not read.
fn take_states(hub: &Hub, scope: &mut Scope) -> Vec<PresenceState> {
    let (mut states, mut room) = (Vec::new(), StatesRoom::of(hub));
    scope.keep(|log, start| {
        if matches!(start, Start::Now)
            && let Some(channel) = log.members_of()
        {
            let state = hub.members(&channel);
            room.take(log, &state)?;
            *start = Start::After(state.cursor.into());
            states.push(state);
        }
        Ok(())
    });
    states
}

/// What room one response has for states. They are kept for as long as the client does not take them, and a short request may ask for
/// a hundred.
#[derive(Debug)]
pub(crate) struct StatesRoom {
    bytes: usize,
    bytes_max: usize,
}

impl StatesRoom {
    pub(crate) fn of(hub: &Hub) -> Self {
        Self { bytes: 0, bytes_max: hub.limits().presence_states_bytes_max }
    }

    /// One always fits, for it could not be read otherwise.
    ///
    /// # Errors
    /// There is no room for the state. There will be as soon as the logs before it are read after their cursors.
    pub(crate) fn take(&mut self, log: &ChannelName, state: &PresenceState) -> Result<(), Problem> {
        let bytes = self.bytes + state.members.as_ref().map_or(0, |members| members.len());
        if self.bytes > 0 && bytes > self.bytes_max {
            let bytes_max = self.bytes_max;
            let detail = format!(
                "the states of members with which one response begins have at most {bytes_max} bytes; \
                 ask again with the cursors of those that came, or read this one alone"
            );
            return Err(Problem::new(Code::PresenceFull, detail)
                .with_limit("presence_states_bytes_max", bytes_max as u64)
                .with_retry_after_ms(STATES_RETRY_MS)
                .with_channel(log.clone()));
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Present {
    /// The exchange with what presence adds to it.
    pub(crate) fn around(present: Option<Box<Self>>, exchange: Box<dyn Exchange>) -> Box<dyn Exchange> {
        match present {
            Some(present) => Box::new(Attending { exchange, present }),
            None => exchange,
        }
    }

    /// The response is over: its leases end, now or a little later.
    fn end(&mut self, linger_ms: Option<u64>) {
        for mut lease in self.leases.drain(..) {
            if let Some(ms) = linger_ms {
                lease.set_linger_ms(ms);
            }
        }
    }
}

/// An exchange whose reader is in channels or reads who is.
struct Attending {
    exchange: Box<dyn Exchange>,
    present: Box<Present>,
}

impl Attending {
    /// A connection may outlive its response for a while, in which nobody is there any more.
    fn follow(&mut self, turn: Turn, linger_ms: Option<u64>) -> Turn {
        if turn != Turn::Wait {
            self.present.end(linger_ms);
        }
        turn
    }
}

impl Exchange for Attending {
    fn form(&self) -> Form {
        self.exchange.form()
    }

    fn is_plain_stream(&self) -> bool {
        self.exchange.is_plain_stream()
    }

    fn is_whole(&self) -> bool {
        self.exchange.is_whole()
    }

    fn open(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let turn = self.exchange.open(now, reader, out);
        for state in std::mem::take(&mut self.present.states) {
            if turn == Turn::Wait {
                out.push_control(&Control::Presence(&state).encode(self.exchange.form()));
            }
        }
        self.follow(turn, None)
    }

    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let turn = self.exchange.ready(reader, out);
        self.follow(turn, None)
    }

    fn receive(&mut self, input: &mut BytesMut, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let turn = self.exchange.receive(input, reader, out);
        self.follow(turn, None)
    }

    fn due(&self) -> Option<Instant> {
        self.exchange.due()
    }

    fn tick(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let turn = self.exchange.tick(now, reader, out);
        self.follow(turn, Some(self.present.rotation_ms))
    }

    fn silent_at(&self) -> Option<Instant> {
        self.exchange.silent_at()
    }

    fn bear_silence(&mut self, at: Instant) {
        self.exchange.bear_silence(at);
    }

    fn drain(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let turn = self.exchange.drain(reader, out);
        self.follow(turn, Some(self.present.drain_ms))
    }

    fn shed(&mut self, problem: &Problem, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let turn = self.exchange.shed(problem, reader, out);
        self.follow(turn, comes_back(problem).then_some(self.present.drain_ms))
    }

    fn last_words(&self, problem: &Problem, out: &mut Outbox) {
        self.exchange.last_words(problem, out);
    }

    fn recheck(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let turn = self.exchange.recheck(reader, out);
        self.follow(turn, None)
    }

    fn held_bytes(&self) -> usize {
        self.exchange.held_bytes()
    }

    fn succeed(&mut self) -> Option<Response> {
        self.exchange.succeed()
    }
}
