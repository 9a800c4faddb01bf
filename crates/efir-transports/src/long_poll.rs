//! Long polling: the request hangs until something comes, or until the hold time is over; then one answer ends it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use efir_core::{Problem, ReadMost, Start, Token, wire::Form};
use efir_engine::{Exchange, Outbox, Reader, Turn};
use http::{HeaderValue, Response, header};
use parking_lot::Mutex;

use crate::{
    body::Body,
    head,
    poll::{Answer, Found},
    present::{self, Ends},
    problem::{self, Refused},
    reply::{Asker, Held, Reply, TakeOver},
    request::ReadRequest,
    shared_answer, short_poll,
    site::Site,
    stream,
};

/// Where the answer goes.
#[derive(Debug)]
pub(crate) enum Way {
    /// Onto the socket, as HTTP/1.
    Wire(TakeOver),
    /// To somebody who waits for the exchange to end.
    Slot(Slot),
}

pub(crate) type Slot = Arc<Mutex<Option<Response<Body>>>>;

impl Way {
    pub(crate) fn slot() -> Slot {
        Slot::default()
    }
}

/// One held poll.
#[derive(Debug)]
pub(crate) struct LongPoll {
    answer: Answer,
    most: ReadMost,
    hold: Duration,
    /// What is wrong with one of several channels is told at once to a first poll, which has no cursor yet; later ones hang as
    /// usual and are told with the answer, so that a client that goes on asking for a bad channel does not spin.
    is_told_at_once: bool,
    /// When the hold is over; set when it begins.
    end: Option<Instant>,
    way: Way,
}

pub(crate) fn begin(site: &Site, mut asked: ReadRequest) -> Result<Reply, Refused> {
    if asked.is_head {
        return short_poll::begin(site, asked).map(without_validators);
    }
    if asked.scope.begins_with_members() {
        // There is something to tell at once; of the other channels, what comes from now on.
        for (channel, start) in asked.scope.places_mut() {
            if matches!(start, Start::Now) && !channel.is_presence_log() {
                *start = Start::After(site.hub().position(channel).into());
            }
        }
        return short_poll::begin(site, asked).map(without_validators);
    }
    let present = present::begin(site.hub(), &mut asked, Ends::WithAnswer)?;
    let mut answer = Answer::of(&mut asked);
    answer.applied = asked.wait.is_preferred.then_some(asked.wait);
    let mut reader = Reader::new(site.hub().clone());
    let mut is_first = true;
    for (channel, start) in asked.scope.into_channels() {
        is_first &= start == Start::Now;
        reader.join(channel, start);
    }
    let exchange = LongPoll {
        is_told_at_once: is_first && answer.has_problems(),
        answer,
        most: site.hub().limits().batch(asked.limit),
        hold: Duration::from_millis(asked.wait.ms),
        end: None,
        way: Way::Slot(Way::slot()),
    };
    let asker = Asker { transport: asked.transport.name, client: asked.client, reader, present };
    Ok(Reply::Held(Held::poll(asker, exchange)))
}

/// The head of an answer that comes at once, which nobody may keep.
fn without_validators(mut reply: Reply) -> Reply {
    let headers = match &mut reply {
        Reply::Whole(response) => response.headers_mut(),
        Reply::Batch(response) => response.headers_mut(),
        Reply::Held(_) => return reply,
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(header::ETAG);
    headers.remove(header::RETRY_AFTER);
    reply
}

impl LongPoll {
    pub(crate) fn answer_by(&mut self, way: Way) {
        self.way = way;
    }

    fn say(&mut self, mut found: Found, reader: &Reader, out: &mut Outbox) -> Turn {
        let shared = match self.way {
            Way::Wire(how) => Some(how),
            Way::Slot(_) => None,
        };
        if let Some(how) = shared
            && let Some(bytes) = shared_answer::find(&self.answer, &found, how)
        {
            return write(how, bytes, out);
        }
        found.cursor = cursor(reader, self.answer.is_single());
        if self.answer.is_large(&found) {
            return self.say_in_pieces(&found, out);
        }
        let mut response = self.answer.response(&found, "no-store");
        let Some(how) = shared else { return self.send(response, found.messages.is_empty(), out) };
        if found.messages.is_empty() {
            out.mark_empty_answer();
        }
        let bytes = head::serialise_whole(how, &mut response);
        shared_answer::keep(std::mem::take(&mut self.answer), &found, how, &bytes);
        write(how, bytes, out)
    }

    fn say_in_pieces(&mut self, found: &Found, out: &mut Outbox) -> Turn {
        let response = self.answer.in_pieces(found, "no-store");
        match &self.way {
            Way::Wire(how) => {
                crate::serialise_batch(*how, response).for_each(|piece| out.push_raw(piece));
                if how.keep_alive { Turn::Reuse } else { Turn::Close }
            }
            Way::Slot(slot) => {
                *slot.lock() = Some(response.map(Body::from));
                Turn::Close
            }
        }
    }

    fn send(&mut self, mut response: Response<Bytes>, is_empty: bool, out: &mut Outbox) -> Turn {
        if is_empty {
            out.mark_empty_answer();
        }
        match &self.way {
            Way::Wire(how) => write(*how, head::serialise_whole(*how, &mut response), out),
            Way::Slot(slot) => {
                *slot.lock() = Some(response.map(Body::from));
                Turn::Close
            }
        }
    }
}

/// Ends the response with an answer.
fn write(how: TakeOver, answer: Bytes, out: &mut Outbox) -> Turn {
    out.push_raw(answer);
    if how.keep_alive { Turn::Reuse } else { Turn::Close }
}

/// Where a response stands: the cursor of its channel, or the token of its channels.
pub(crate) fn cursor(reader: &Reader, is_single: bool) -> String {
    if is_single {
        return reader.cursors().next().map(|(_, cursor)| cursor.to_string()).unwrap_or_default();
    }
    Token::encode(reader.cursors())
}

impl Exchange for LongPoll {
    fn form(&self) -> Form {
        Form::Batch
    }

    fn is_plain_stream(&self) -> bool {
        false
    }

    fn open(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.end = Some(now + self.hold);
        if self.is_told_at_once {
            return self.say(Found::default(), reader, out);
        }
        Turn::Wait
    }

    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let (taken, more) = reader.take(self.most);
        if taken.is_empty() {
            return Turn::Wait;
        }
        let mut found = Found { more, ..Found::default() };
        for one in taken {
            found.gaps.extend(one.gap);
            found.messages.extend(one.messages);
        }
        out.mark_delivered(found.messages.len());
        self.say(found, reader, out)
    }

    fn receive(&mut self, _input: &mut BytesMut, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        // The next request of the connection may stand behind this one, and is read once this one is answered. The carrier bounds
        // how much of it is taken from the socket.
        Turn::Wait
    }

    fn due(&self) -> Option<Instant> {
        self.end
    }

    fn tick(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        if self.end.is_none_or(|end| end > now) {
            return Turn::Wait;
        }
        self.say(Found::default(), reader, out)
    }

    fn drain(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let found = Found { cursor: cursor(reader, self.answer.is_single()), ..Found::default() };
        let mut response = self.answer.response(&found, "no-store");
        // In whole seconds, and not the same for all.
        let seconds = stream::retry_ms(reader.hub().times()).div_ceil(1_000).max(1);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        if let Way::Wire(how) = &mut self.way {
            how.keep_alive = false;
        }
        self.send(response, true, out)
    }

    fn recheck(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        // It comes back at once, and is judged then.
        self.say(Found::default(), reader, out)
    }

    fn shed(&mut self, problem: &Problem, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        let mut response = problem::whole(problem, None);
        self.answer.share(response.headers_mut());
        if let Way::Wire(how) = &mut self.way {
            how.keep_alive = false;
        }
        self.send(response, true, out)
    }

    fn last_words(&self, problem: &Problem, out: &mut Outbox) {
        let mut response = problem::whole(problem, None);
        self.answer.share(response.headers_mut());
        match &self.way {
            Way::Wire(how) => {
                let how = TakeOver { keep_alive: false, ..*how };
                out.push_raw(head::serialise_whole(how, &mut response));
            }
            Way::Slot(slot) => *slot.lock() = Some(response.map(Body::from)),
        }
    }
}
