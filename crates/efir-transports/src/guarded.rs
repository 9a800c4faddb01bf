//! What access adds to a response that lasts: it ends when the token does, and leaves what may no longer be read when the rules, the
//! keys or the revocations change. The transports know nothing of it; an exchange is wrapped where a site is not open to everybody.
//! `/socket` has many commands to judge and guards itself ([`crate::socket`]).

use std::time::{Duration, Instant};

use bytes::BytesMut;
use efir_access::Action;
use efir_core::{
    ChannelName, Problem,
    wire::{Control, Form},
};
use efir_engine::{Exchange, Outbox, Reader, Response, Turn, clock};

use crate::access::{self, Visitor};

/// An exchange whose reader may read for a while, or for as long as nothing changes.
struct Guarded {
    exchange: Box<dyn Exchange>,
    visitor: Box<Visitor>,
    /// The channels that its reader has entered by it.
    entered: Box<[ChannelName]>,
    /// When the token's time is over.
    end: Option<Instant>,
}

/// A visitor, and the channels that it enters by reading.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) visitor: Box<Visitor>,
    pub(crate) entered: Box<[ChannelName]>,
}

/// The exchange, guarded where there is a visitor to guard against.
pub(crate) fn around(guard: Option<Guard>, exchange: Box<dyn Exchange>) -> Box<dyn Exchange> {
    match guard {
        Some(Guard { visitor, entered }) => {
            let end = end(&visitor, Instant::now());
            Box::new(Guarded { exchange, visitor, entered, end })
        }
        None => exchange,
    }
}

/// When the visitor's token is over. Clocks of the wall may be set, so the time is looked at again when it has come.
pub(crate) fn end(visitor: &Visitor, now: Instant) -> Option<Instant> {
    let expires_ms = visitor.caller.expires_ms()?;
    now.checked_add(Duration::from_millis(expires_ms.saturating_sub(clock::now_ms())))
}

/// Leaves the channels that may no longer be read. Gives the problem of the last one where none is left.
pub(crate) fn leave_denied(
    visitor: &Visitor,
    reader: &mut Reader,
    mut tell: impl FnMut(&Problem),
) -> Option<Problem> {
    let names: Vec<_> = reader.cursors().map(|(channel, _)| channel.clone()).collect();
    let mut last = None;
    for channel in &names {
        if let Err(problem) = visitor.judge(Action::Subscribe, channel) {
            reader.leave(channel);
            match reader.is_empty() {
                true => last = Some(problem),
                false => tell(&problem),
            }
        }
    }
    last
}

impl Guarded {
    /// Judged before it began, and again if anything changed in between.
    fn check(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        if let Err(problem) = self.visitor.check_caller() {
            return self.exchange.shed(&problem, reader, out);
        }
        // It comes back without entering, and reads on.
        let mut entered = self.entered.iter();
        if let Some(problem) = entered.find_map(|channel| self.visitor.judge(Action::Presence, channel).err())
        {
            return self.exchange.shed(&problem, reader, out);
        }
        let form = self.exchange.form();
        let denied = leave_denied(&self.visitor, reader, |problem| {
            // A poll is told with its next request.
            if form != Form::Batch {
                out.push_control(&Control::Problem(problem).encode(form));
            }
        });
        match denied {
            Some(problem) => self.exchange.shed(&problem, reader, out),
            None => Turn::Wait,
        }
    }
}

impl Exchange for Guarded {
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
        match self.exchange.open(now, reader, out) {
            Turn::Wait if self.visitor.is_outdated() => self.check(reader, out),
            turn => turn,
        }
    }

    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.exchange.ready(reader, out)
    }

    fn receive(&mut self, input: &mut BytesMut, reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.exchange.receive(input, reader, out)
    }

    fn due(&self) -> Option<Instant> {
        match (self.exchange.due(), self.end) {
            (Some(due), Some(end)) => Some(due.min(end)),
            (due, end) => due.or(end),
        }
    }

    fn tick(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        if self.end.is_some_and(|end| end <= now) {
            self.end = end(&self.visitor, now).filter(|end| *end > now);
            if self.end.is_none() {
                return self.exchange.shed(&access::expired(), reader, out);
            }
        }
        // Whatever it has to do at its own time, it looks at the clock itself.
        if self.exchange.due().is_some_and(|due| due <= now) {
            return self.exchange.tick(now, reader, out);
        }
        Turn::Wait
    }

    fn silent_at(&self) -> Option<Instant> {
        self.exchange.silent_at()
    }

    fn bear_silence(&mut self, at: Instant) {
        self.exchange.bear_silence(at);
    }

    fn drain(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.exchange.drain(reader, out)
    }

    fn shed(&mut self, problem: &Problem, reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.exchange.shed(problem, reader, out)
    }

    fn last_words(&self, problem: &Problem, out: &mut Outbox) {
        self.exchange.last_words(problem, out);
    }

    fn recheck(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        if self.visitor.is_outdated() { self.check(reader, out) } else { Turn::Wait }
    }

    fn held_bytes(&self) -> usize {
        self.exchange.held_bytes() + size_of::<Self>()
    }

    fn succeed(&mut self) -> Option<Response> {
        self.exchange.succeed()
    }
}
