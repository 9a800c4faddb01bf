//! What SSE and HTTP streaming have in common: a body that goes on, with `hello` first and signs of life. How things are said differs
//! between their files, [`crate::sse`] and [`crate::http_stream`].

use std::time::Instant;

use bytes::BytesMut;
use efir_core::{
    Code, Cursor, Problem, Times, Token,
    wire::{Control, Form, Frame, sse},
};
use efir_engine::{Exchange, Outbox, Reader, Turn, clock};
use http::HeaderMap;

use crate::{
    life::{self, Beat},
    long_poll::cursor,
    present::{self, Ends},
    reply::{Asker, Held, Reply},
    request::ReadRequest,
    site::Site,
};

/// What is said in one stream form only.
pub(crate) trait Tongue: Send + 'static {
    /// The form of messages and control objects.
    fn form(is_single: bool) -> Form;

    /// Tells the client after how many ms to come back once the stream has ended; stands before `hello` and before an end.
    fn retry(ms: u64) -> Option<Frame>;
}

/// A stream that is open.
pub(crate) struct Stream<T> {
    is_single: bool,
    /// What is wrong with single channels; told once.
    bad: Vec<Problem>,
    /// Set when it begins.
    times: Option<(Beat, Instant)>,
    tongue: std::marker::PhantomData<fn() -> T>,
}

/// Begins a stream; the caller has made its headers.
pub(crate) fn begin<T: Tongue>(
    site: &Site,
    mut asked: ReadRequest,
    mut headers: HeaderMap,
) -> Result<Reply, Problem> {
    asked.cors.apply(&mut headers);
    if asked.is_head {
        let mut response = http::Response::new(bytes::Bytes::new());
        *response.headers_mut() = headers;
        return Ok(Reply::Whole(response));
    }
    let present = present::begin(site.hub(), &mut asked, Ends::WithRotation)?;
    let bad = asked.scope.take_bad();
    let is_single = asked.scope.only().is_some();
    let mut reader = Reader::new(site.hub().clone());
    for (channel, start) in asked.scope.into_channels() {
        reader.join(channel, start);
    }
    let asker = Asker { transport: asked.transport.name, client: asked.client, reader, present };
    let exchange = Stream::<T> { is_single, bad, times: None, tongue: std::marker::PhantomData };
    Ok(Reply::Held(Held::stream(asker, headers, Box::new(exchange))))
}

/// The problem of a stream that would have to end at once.
pub(crate) fn refuse_draining(site: &Site) -> Result<(), Problem> {
    if site.is_draining() { Err(draining(site.hub().times())) } else { Ok(()) }
}

/// After how many ms a client is to come back: random, so that a thousand do not come back at once.
pub(crate) fn retry_ms(times: &Times) -> u64 {
    life::between(times.retry_ms_min, times.retry_ms_max)
}

/// The node goes away; clients come back spread over a while.
pub(crate) fn draining(times: &Times) -> Problem {
    let detail = "this node is going away; connect again with the cursor";
    Problem::new(Code::Draining, detail).with_retry_after_ms(retry_ms(times))
}

/// What was open to everybody is so no longer: whoever reads without having been judged asks again.
pub(crate) fn closing(times: &Times) -> Problem {
    let detail = "who may do what has changed; connect again with the cursor";
    Problem::new(Code::Draining, detail).with_retry_after_ms(retry_ms(times))
}

impl<T: Tongue> Stream<T> {
    fn end(&self, out: &mut Outbox) -> Turn {
        out.push_end();
        Turn::Close
    }

    fn part(&self, problem: &Problem, out: &mut Outbox) -> Turn {
        self.say_retry(problem.retry_after_ms.unwrap_or_default(), out);
        out.push_control(&Control::Problem(problem).encode(self.form()));
        self.end(out)
    }

    fn say_retry(&self, ms: u64, out: &mut Outbox) {
        if let Some(frame) = T::retry(ms) {
            out.push_control(&frame);
        }
    }
}

/// `hello` of one channel, or of several with their token.
pub(crate) fn hello(reader: &Reader, is_single: bool, form: Form) -> Frame {
    let heartbeat_ms = reader.hub().times().heartbeat_ms;
    if is_single && let Some((channel, cursor)) = reader.cursors().next() {
        return Control::Hello { channel, cursor, heartbeat_ms }.encode(form);
    }
    let channels: Vec<(_, Cursor)> =
        reader.cursors().map(|(channel, cursor)| (channel.clone(), cursor.clone())).collect();
    let token = Token::encode(reader.cursors());
    Control::HelloMany { channels: &channels, token: &token, heartbeat_ms }.encode(form)
}

/// `heartbeat` with the cursor or token.
pub(crate) fn heartbeat(reader: &Reader, is_single: bool, form: Form) -> Frame {
    let cursor = cursor(reader, is_single);
    Control::Heartbeat { time_ms: clock::now_ms(), cursor: Some(&cursor) }.encode(form)
}

impl<T: Tongue> Exchange for Stream<T> {
    fn form(&self) -> Form {
        T::form(self.is_single)
    }

    fn is_plain_stream(&self) -> bool {
        // In the shared form of SSE an id follows each flush, which only `ready` writes.
        self.form() != Form::SseShared
    }

    fn open(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let times = reader.hub().times();
        self.times = Some((Beat::new(now, times.heartbeat_ms), life::rotation(now, times)));
        self.say_retry(retry_ms(times), out);
        out.push_control(&hello(reader, self.is_single, self.form()));
        for problem in std::mem::take(&mut self.bad) {
            out.push_control(&Control::Problem(&problem).encode(self.form()));
        }
        Turn::Wait
    }

    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        if reader.pull(self.form(), out) && self.form() == Form::SseShared {
            out.push_volatile(&sse::id_only(&Token::encode(reader.cursors())));
        }
        Turn::Wait
    }

    fn receive(&mut self, input: &mut BytesMut, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        // A stream ends its connection; nobody will ever read what is sent behind its request.
        input.clear();
        Turn::Wait
    }

    fn due(&self) -> Option<Instant> {
        self.times.map(|(beat, end)| beat.next().min(end))
    }

    fn tick(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let Some((beat, end)) = &mut self.times else { return Turn::Wait };
        if *end <= now {
            self.say_retry(retry_ms(reader.hub().times()), out);
            return self.end(out);
        }
        if beat.is_due(now) {
            out.push_volatile(&heartbeat(reader, self.is_single, self.form()));
        }
        Turn::Wait
    }

    fn drain(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let problem = draining(reader.hub().times());
        self.shed(&problem, reader, out)
    }

    fn recheck(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.shed(&closing(reader.hub().times()), reader, out)
    }

    fn shed(&mut self, problem: &Problem, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.part(problem, out)
    }

    fn last_words(&self, problem: &Problem, out: &mut Outbox) {
        self.part(problem, out);
    }
}
