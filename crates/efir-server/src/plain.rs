//! Plain requests: those whose head and body lie in one piece before us and whose answer is ours to give. They are parsed and answered
//! without the HTTP library, which costs more than all the rest of a short answer.
//!
//! Between two responses an HTTP/1 connection stands here, as an exchange of its worker that reads the next request. Whatever is not
//! plain (the page, HTTP/2, chunked or large bodies, odd methods, everything that is wrong with a head) leaves with its bytes for
//! [`crate::heads`], where the library reads it and says what is wrong. How a head is understood is in [`parse`].

pub mod parse;
mod waiting;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use efir_core::{Code, Problem, wire::Form};
use efir_engine::{Exchange, Framing, Guest, Outbox, Reader, Response, Tally, Turn};
use efir_transports::{Reply, TakeOver};
use http::{HeaderValue, Request, header};

use self::parse::{Parsed, PlainRequest};
use crate::{
    admission::{Arrival, Surplus},
    heads::Shared,
};

/// Answers that wait to be written before further requests of the connection are read.
const AHEAD_BYTES_MAX: usize = 64 * 1024;
/// Requests of one connection that are answered before others get their turn.
const AT_ONCE_MAX: usize = 32;
/// How long a connection that has asked for nothing yet may still do so when the node drains.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// How far the next request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it is there.
    Rest,
    /// A part of its head.
    Head,
    /// Its head and a part of its body, so many bytes of it.
    Body { there: usize },
}

/// The requests of one HTTP/1 connection, as far as they are plain.
pub(crate) struct PlainRequests {
    shared: Arc<Shared>,
    stage: Stage,
    /// Since when it is in this stage.
    since: Option<Instant>,
    /// A request whose body has not come to its end, with its head. Unallocated otherwise.
    part: BytesMut,
    successor: Option<Box<Response>>,
    /// The connection has not carried a request yet.
    is_fresh: bool,
    /// There were as many connections as may be when it came. Those who were there before are not disturbed by it.
    is_surplus: bool,
    /// Whose connection it is.
    guest: Option<Arc<Guest>>,
    is_tls: bool,
    is_draining: bool,
}

impl PlainRequests {
    /// Those of a fresh connection; a surplus one is told that it is one too many.
    pub(crate) fn first(shared: &Arc<Shared>, arrival: Arrival<'_>, is_surplus: bool) -> Response {
        Self { is_fresh: true, is_surplus, ..Self::new(shared, arrival) }.response()
    }

    /// Those that follow after a response; `ahead` bytes of the next one are read already.
    pub(crate) fn next(shared: &Arc<Shared>, arrival: Arrival<'_>, ahead: usize) -> Response {
        let stage = if ahead > 0 { Stage::Head } else { Stage::Rest };
        Self { stage, ..Self::new(shared, arrival) }.response()
    }

    fn new(shared: &Arc<Shared>, arrival: Arrival<'_>) -> Self {
        Self {
            shared: Arc::clone(shared),
            guest: arrival.guest.cloned(),
            is_tls: arrival.is_tls,
            stage: Stage::Rest,
            since: None,
            part: BytesMut::new(),
            successor: None,
            is_fresh: false,
            is_surplus: false,
            is_draining: false,
        }
    }

    fn response(self) -> Response {
        let reader = Reader::new(self.shared.site().hub().clone());
        Response {
            head: Bytes::new(),
            framing: Framing::Plain,
            exchange: Box::new(self),
            reader,
            tally: None,
        }
    }

    fn enter(&mut self, stage: Stage) {
        let is_same = std::mem::discriminant(&self.stage) == std::mem::discriminant(&stage);
        self.stage = stage;
        if !is_same || self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    fn await_body(&mut self, there: usize, input: &mut BytesMut) -> Turn {
        self.enter(Stage::Body { there });
        // A buffer of its own, and no larger than what has come: thousands may wait.
        self.part = BytesMut::from(&input[..]);
        input.clear();
        Turn::Wait
    }

    fn time_max(&self) -> Duration {
        let site = self.shared.site();
        let times = site.hub().times();
        Duration::from_millis(match self.stage {
            Stage::Rest if self.is_draining => return DRAIN_GRACE,
            Stage::Rest => times.idle_ms_max,
            Stage::Head => times.head_ms_max,
            Stage::Body { there } => return efir_transports::body_pace(site.hub(), there).0,
        })
    }

    /// Says that the rest of a body has not come in time.
    fn refuse_late(&mut self, there: usize, out: &mut Outbox) -> Turn {
        let site = Arc::clone(&self.shared.site());
        let mut request = Request::from_parts(waiting::head(&std::mem::take(&mut self.part)), ());
        let (_, late) = efir_transports::body_pace(site.hub(), there);
        let arrival = Arrival { guest: self.guest.as_ref(), is_tls: self.is_tls };
        let answer = match self.shared.introduce(&mut request, arrival) {
            Some(surplus) => self.shared.refusal(&request.into_parts().0, surplus),
            None => efir_transports::refusal(&site, &request.into_parts().0, late()),
        };
        self.say(TakeOver { version: http::Version::HTTP_11, keep_alive: false }, answer, out).0
    }

    /// Answers one request; `Wait` when the next one may be read.
    fn answer(&mut self, plain: PlainRequest, out: &mut Outbox) -> Turn {
        let PlainRequest { mut request, keep_alive, bytes } = plain;
        self.is_fresh = false;
        let how = TakeOver { version: request.version(), keep_alive: keep_alive && !self.is_draining };
        let up = bytes as u64;
        let arrival = Arrival { guest: self.guest.as_ref(), is_tls: self.is_tls };
        let of_address = self.shared.introduce(&mut request, arrival);
        if let Some(surplus) = of_address.or(self.is_surplus.then_some(Surplus::OfServer)) {
            return self.say(how, self.shared.refusal(&request.into_parts().0, surplus), out).0;
        }
        let client = parse::has_client(&request).then(|| efir_transports::client_of(&request)).flatten();
        let kind = efir_transports::kind_of_whole(&request);
        match efir_transports::handle_whole(&self.shared.site(), request) {
            Reply::Whole(response) => {
                let is_empty = crate::heads::is_empty_answer(&response);
                let (turn, down) = self.say(how, response, out);
                if let Some(client) = client {
                    let tally = self.count(&client, kind, (up, down));
                    if is_empty {
                        tally.add_empty();
                    }
                }
                turn
            }
            Reply::Batch(response) => {
                let before = out.len();
                efir_transports::serialise_batch(how, response).for_each(|piece| out.push_raw(piece));
                if let Some(client) = client {
                    self.count(&client, kind, (up, out.len() - before));
                }
                if how.keep_alive { Turn::Wait } else { Turn::Close }
            }
            Reply::Held(held) => {
                let tally = held.client().map(|client| self.shared.traffic.tally(client, held.transport()));
                if let Some(tally) = &tally {
                    tally.add_request();
                    tally.add_up(up);
                }
                self.successor = Some(Box::new(Response { tally, ..held.take_over(how) }));
                Turn::Succeed
            }
        }
    }

    /// Counts a whole answer for the client that asked for it.
    fn count(&self, client: &str, kind: &'static str, (up, down): (u64, usize)) -> Arc<Tally> {
        let tally = self.shared.traffic.tally(client, kind);
        tally.add_request();
        tally.add_up(up);
        tally.add_down(down as u64);
        tally
    }

    /// Says what is wrong with a request that nobody can be sure of, and ends the connection: what follows may be a part of it.
    fn refuse(&self, detail: &'static str, out: &mut Outbox) -> Turn {
        let (nothing, ()) = http::Request::new(()).into_parts();
        let problem = Problem::new(Code::InvalidRequest, detail);
        let answer = efir_transports::refusal(&self.shared.site(), &nothing, problem);
        self.say(TakeOver { version: http::Version::HTTP_11, keep_alive: false }, answer, out).0
    }

    /// Pushes a whole answer; what follows, and its bytes.
    fn say(&self, mut how: TakeOver, response: http::Response<Bytes>, out: &mut Outbox) -> (Turn, usize) {
        let closes = HeaderValue::from_static("close");
        how.keep_alive &= response.headers().get(header::CONNECTION) != Some(&closes);
        let bytes = efir_transports::serialise(how, response);
        let length = bytes.len();
        out.push_raw(bytes);
        (if how.keep_alive { Turn::Wait } else { Turn::Close }, length)
    }
}

impl Exchange for PlainRequests {
    fn form(&self) -> Form {
        Form::Batch
    }

    fn is_plain_stream(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn open(&mut self, now: Instant, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        self.since = Some(now);
        Turn::Wait
    }

    fn ready(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Wait
    }

    fn receive(&mut self, input: &mut BytesMut, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        if !self.part.is_empty() {
            let mut whole = std::mem::take(&mut self.part);
            whole.extend_from_slice(input);
            *input = whole;
        }
        for _ in 0..AT_ONCE_MAX {
            if out.len() >= AHEAD_BYTES_MAX {
                break;
            }
            if input.is_empty() {
                self.since = None;
                self.enter(Stage::Rest);
                return Turn::Wait;
            }
            match parse::parse(input, self.shared.site().hub().limits()) {
                Parsed::Whole(plain) => match self.answer(*plain, out) {
                    Turn::Wait => self.since = None,
                    ended => return ended,
                },
                Parsed::PartOfHead => {
                    self.enter(Stage::Head);
                    return Turn::Wait;
                }
                Parsed::PartOfBody(there) => return self.await_body(there, input),
                Parsed::NotPlain => match waiting::part(input, self.shared.site().hub().limits()) {
                    Some(there) => return self.await_body(there, input),
                    None => return Turn::Leave,
                },
                Parsed::Ambiguous(detail) => {
                    input.clear();
                    return self.refuse(detail, out);
                }
            }
        }
        Turn::Wait
    }

    fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.time_max())
    }

    fn tick(&mut self, now: Instant, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        match self.due() {
            Some(due) if due <= now => match self.stage {
                Stage::Body { there } => self.refuse_late(there, out),
                Stage::Rest | Stage::Head => {
                    let limit = if self.stage == Stage::Rest { "idle_ms_max" } else { "head_ms_max" };
                    self.shared.site().hub().counters().close_for(limit);
                    Turn::Close
                }
            },
            _ => Turn::Wait,
        }
    }

    fn drain(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        self.is_draining = true;
        // Between two requests nothing is lost by closing.
        if self.stage == Stage::Rest && !self.is_fresh { Turn::Close } else { Turn::Wait }
    }

    fn shed(&mut self, problem: &Problem, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        if self.part.is_empty() {
            return Turn::Close;
        }
        let head = waiting::head(&std::mem::take(&mut self.part));
        let answer = efir_transports::refusal(&self.shared.site(), &head, problem.clone());
        self.say(TakeOver { version: http::Version::HTTP_11, keep_alive: false }, answer, out).0
    }

    fn held_bytes(&self) -> usize {
        self.part.capacity()
    }

    fn succeed(&mut self) -> Option<Response> {
        self.successor.take().map(|successor| *successor)
    }
}
