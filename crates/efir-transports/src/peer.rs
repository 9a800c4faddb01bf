//! The other end of a WebSocket: what it sends, whether it is alive, and how the two part (RFC 6455 §5, §7). What messages mean is
//! decided by [`crate::websocket`] and [`crate::socket`].

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use efir_core::{
    Code, Problem, Times,
    wire::{Control, Form},
};
use efir_engine::{Exchange, Hub, Outbox, Reader, Turn};
use efir_ws::{
    Agreement, Decoder, DecoderLimits, Event, FrameError, Opcode, Role,
    frame::{encode, encode_close},
};

use crate::life::Beat;

/// Unwritten bytes beyond which nothing more is taken from a client: it may not make us keep what it does not read.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;
/// Frames of one message, however small it may be.
const FRAGMENTS_LEAST: usize = 4_096;
/// A message as large as it may be may come in pieces of so many bytes: what a client cuts for its own network has to fit.
const PIECE_BYTES: usize = 64;
/// The name of the limit of frames of one message, in problems.
pub(crate) const FRAGMENTS_LIMIT: &str = "fragments_max";

/// How many frames a message may have that may have so many bytes. Empty ones cost time and no memory; time has its own limit.
pub(crate) fn fragments_max(message_bytes_max: usize) -> usize {
    (message_bytes_max / PIECE_BYTES).max(FRAGMENTS_LEAST)
}

/// The name of the limit of a message before the client has shown who it is.
const UNAUTHORIZED_LIMIT: &str = "unauthorized_bytes_max";

/// A message from the client.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Valid UTF-8.
    Text(Bytes),
    Binary(Bytes),
}

/// One client's end.
#[derive(Debug)]
pub(crate) struct Peer {
    decoder: Decoder,
    /// How messages go out.
    form: Form,
    /// The name and value of the limit of a message, for problems.
    limit: (&'static str, usize),
    /// Messages heard so far.
    ordinal: u64,
    /// Set when the socket begins.
    clocks: Option<Clocks>,
}

#[derive(Debug)]
struct Clocks {
    heartbeat: Beat,
    ping: Beat,
    heard: Instant,
    silent_ms_max: u32,
    /// What the client has to do in time.
    late: Option<Late>,
}

/// By when the client has to do something.
#[derive(Debug, Clone, Copy)]
struct Late {
    by: Instant,
    what: Owed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    /// To end the message that has begun.
    Message,
    /// To show who it is.
    Authorization,
}

impl Clocks {
    fn silent_at(&self) -> Instant {
        self.heard + Duration::from_millis(self.silent_ms_max.into())
    }
}

impl Peer {
    /// A client that may send messages of at most so many bytes, inflated; the limit has a name for problems.
    pub(crate) fn new(limit: (&'static str, usize), agreement: Option<Agreement>) -> Self {
        let bytes_max = limit.1;
        let limits = DecoderLimits {
            message_bytes_max: bytes_max,
            frame_bytes_max: bytes_max,
            fragments_max: fragments_max(bytes_max),
        };
        let decoder = Decoder::new(Role::Server, limits);
        let (decoder, form) = match agreement {
            Some(Agreement { server_window_bits: window_bits, .. }) => {
                (decoder.with_deflate(), Form::WebSocketDeflate { window_bits })
            }
            None => (decoder, Form::WebSocket),
        };
        Self { decoder, form, limit, ordinal: 0, clocks: None }
    }

    /// How messages go out. Control objects are never compressed: they are short.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn begin(&mut self, now: Instant, times: &Times) {
        self.clocks = Some(Clocks {
            heartbeat: Beat::new(now, times.heartbeat_ms),
            ping: Beat::new(now, times.ping_ms),
            heard: now,
            silent_ms_max: u32::try_from(times.silent_ms_max).unwrap_or(u32::MAX),
            late: None,
        });
    }

    /// 1, 2, 3 …: which message was heard last.
    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let clocks = self.clocks.as_ref()?;
        let next = clocks.heartbeat.next().min(clocks.ping.next()).min(clocks.silent_at());
        Some(clocks.late.map_or(next, |late| late.by.min(next)))
    }

    /// When it is given up if nothing comes from it.
    pub(crate) fn silent_at(&self) -> Option<Instant> {
        self.clocks.as_ref().map(Clocks::silent_at)
    }

    /// As if it had last been heard `at` that time.
    pub(crate) fn bear_silence(&mut self, at: Instant) {
        if let Some(clocks) = &mut self.clocks {
            clocks.heard = at;
        }
    }

    /// Pings, and gives up a client that said nothing for too long.
    ///
    /// `Ok(true)`: a heartbeat is due.
    pub(crate) fn tick(&mut self, now: Instant, hub: &Hub, out: &mut Outbox) -> Result<bool, Turn> {
        let Some(clocks) = &mut self.clocks else { return Ok(false) };
        if clocks.silent_at() <= now {
            // Nobody is there to read a farewell.
            return Err(Turn::Close);
        }
        if let Some(late) = clocks.late.filter(|late| late.by <= now) {
            let problem = late.what.problem(hub.times()).with_ordinal(self.ordinal + 1);
            hub.counters().refuse(&problem);
            return Err(part(&problem, problem.row().close, out));
        }
        if clocks.ping.is_due(now) {
            out.push_raw(encode(Opcode::Ping, b""));
        }
        Ok(clocks.heartbeat.is_due(now))
    }

    /// The next message in the input; `Ok(None)` when more bytes are needed. Answers pings, and parts where that is due.
    pub(crate) fn hear(
        &mut self,
        input: &mut BytesMut,
        hub: &Hub,
        out: &mut Outbox,
    ) -> Result<Option<Heard>, Turn> {
        if let Some(clocks) = &mut self.clocks
            && !input.is_empty()
        {
            clocks.heard = Instant::now();
        }
        loop {
            if out.len() > UNWRITTEN_BYTES_MAX {
                self.set_late(None);
                return Ok(None);
            }
            match self.decoder.decode(input) {
                Ok(None) => {
                    let has_begun = !self.decoder.is_idle() || !input.is_empty();
                    self.set_late(has_begun.then_some(hub.times().body_ms_max));
                    return Ok(None);
                }
                Ok(Some(Event::Text(text))) => {
                    self.ordinal += 1;
                    self.set_late(None);
                    return Ok(Some(Heard::Text(text)));
                }
                Ok(Some(Event::Binary(bytes))) => {
                    self.ordinal += 1;
                    self.set_late(None);
                    return Ok(Some(Heard::Binary(bytes)));
                }
                Ok(Some(Event::Ping(payload))) => out.push_raw(encode(Opcode::Pong, &payload)),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close { code, reason })) => {
                    let reason = std::str::from_utf8(&reason).unwrap_or_default();
                    out.push_raw(
                        code.map_or_else(|| encode(Opcode::Close, b""), |code| encode_close(code, reason)),
                    );
                    return Err(Turn::Close);
                }
                Err(error) => {
                    let problem = self.problem(error);
                    hub.counters().refuse(&problem);
                    return Err(part(&problem, error.close_code(), out));
                }
            }
        }
    }

    /// A message has to be there so many ms after it has begun, however busily its bytes come.
    fn set_late(&mut self, ms_max: Option<u64>) {
        if let Some(clocks) = &mut self.clocks
            && !clocks.late.is_some_and(|late| late.what == Owed::Authorization)
        {
            let by = ms_max.map(|ms| clocks.heard + Duration::from_millis(ms));
            let late = by.map(|by| Late { by, what: Owed::Message });
            clocks.late = clocks.late.filter(|_| late.is_some()).or(late);
        }
    }

    /// The client may do nothing before it has shown who it is: it has `unauthorized_ms_max` for that, and messages are small until
    /// then. To be called after [`Peer::begin`].
    pub(crate) fn await_authorization(&mut self, hub: &Hub) {
        let by = Duration::from_millis(hub.times().unauthorized_ms_max);
        if let Some(clocks) = &mut self.clocks {
            clocks.late = Some(Late { by: clocks.heard + by, what: Owed::Authorization });
        }
        self.decoder.set_message_bytes_max(hub.limits().unauthorized_bytes_max.min(self.limit.1));
    }

    /// The client has shown who it is.
    pub(crate) fn end_authorization(&mut self) {
        if let Some(clocks) = &mut self.clocks {
            clocks.late = clocks.late.filter(|late| late.what == Owed::Message);
        }
        self.decoder.set_message_bytes_max(self.limit.1);
    }

    /// Bytes of a message that has begun.
    pub(crate) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes()
    }

    fn problem(&self, error: FrameError) -> Problem {
        let detail = error.to_string();
        let problem = match error {
            FrameError::FrameTooLarge { .. }
            | FrameError::MessageTooLarge { .. }
            | FrameError::InflatedTooLarge { .. } => {
                let bytes_max = self.decoder.message_bytes_max();
                let name = if bytes_max < self.limit.1 { UNAUTHORIZED_LIMIT } else { self.limit.0 };
                Problem::new(Code::PayloadTooLarge, detail).with_limit(name, bytes_max as u64)
            }
            FrameError::TooManyFragments { limit } => {
                Problem::new(Code::InvalidFrame, detail).with_limit(FRAGMENTS_LIMIT, limit as u64)
            }
            FrameError::TextNotUtf8 | FrameError::CloseReasonNotUtf8 => {
                Problem::new(Code::InvalidUtf8, detail)
            }
            _ => Problem::new(Code::InvalidFrame, detail),
        };
        problem.with_ordinal(self.ordinal + 1)
    }
}

impl Owed {
    fn problem(self, times: &Times) -> Problem {
        let (name, ms, what) = match self {
            Self::Message => ("body_ms_max", times.body_ms_max, "a message that has begun did not end"),
            Self::Authorization => {
                ("unauthorized_ms_max", times.unauthorized_ms_max, "no token that allows anything was shown")
            }
        };
        Problem::new(Code::RequestTimeout, format!("{what} within {ms} ms")).with_limit(name, ms)
    }
}

/// Says why, and closes.
pub(crate) fn part(problem: &Problem, close_code: u16, out: &mut Outbox) -> Turn {
    out.push_control(&Control::Problem(problem).encode(Form::WebSocket));
    out.push_raw(encode_close(close_code, &problem.to_string()));
    Turn::Close
}

/// A socket that ends with its first words: what a page could not read in a refused handshake.
#[derive(Debug)]
pub(crate) struct Farewell(pub(crate) Problem);

impl Exchange for Farewell {
    fn form(&self) -> Form {
        Form::WebSocket
    }

    fn is_plain_stream(&self) -> bool {
        false
    }

    fn open(&mut self, _now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        reader.hub().counters().refuse(&self.0);
        part(&self.0, self.0.row().close, out)
    }

    fn ready(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }

    fn receive(&mut self, input: &mut BytesMut, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        input.clear();
        Turn::Close
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _now: Instant, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }

    fn drain(&mut self, _reader: &mut Reader, _out: &mut Outbox) -> Turn {
        Turn::Close
    }
}

#[cfg(test)]
mod tests {
    use efir_core::Limits;
    use efir_engine::Framing;
    use efir_ws::frame::encode_masked;

    use super::*;

    #[test]
    fn a_message_that_has_begun_has_to_end() {
        let hub = Hub::new(Limits::default(), Times { body_ms_max: 1_000, ..Times::default() });
        let mut peer = Peer::new(("message_bytes_max", 65_536), None);
        let begin = Instant::now();
        peer.begin(begin, hub.times());
        let mut out = Outbox::new(Framing::Plain);
        let frame = encode_masked(Opcode::Text, &[b'x'; 40_000], [1, 2, 3, 4]);
        let at_rest = peer.due();
        // Bytes keep coming, which shows that somebody is there; the message is late all the same.
        let mut input = BytesMut::new();
        for piece in [&frame[..1], &frame[1..10], &frame[10..39_000]] {
            input.extend_from_slice(piece);
            assert!(matches!(peer.hear(&mut input, &hub, &mut out), Ok(None)));
        }
        assert!(peer.held_bytes() >= 38_000);
        let late = peer.due().unwrap();
        assert!(late < at_rest.unwrap() && late >= begin + Duration::from_millis(1_000));
        assert_eq!(peer.tick(late - Duration::from_millis(1), &hub, &mut out), Ok(false));
        assert!(out.is_empty());
        input.extend_from_slice(&frame[39_000..]);
        assert!(matches!(peer.hear(&mut input, &hub, &mut out), Ok(Some(Heard::Text(_)))));
        assert!(peer.due().unwrap() > late && peer.held_bytes() == 0, "it has come");
        assert_eq!(peer.tick(late, &hub, &mut out), Ok(false));
        input.extend_from_slice(&frame[..20]);
        assert!(matches!(peer.hear(&mut input, &hub, &mut out), Ok(None)));
        let late = peer.due().unwrap();
        assert_eq!(peer.tick(late, &hub, &mut out), Err(Turn::Close));
        assert!(!out.is_empty(), "it is told");
    }

    #[test]
    fn who_has_not_shown_who_it_is_has_little_time_and_room() {
        let limits = Limits { unauthorized_bytes_max: 100, ..Limits::default() };
        let hub = Hub::new(limits, Times { unauthorized_ms_max: 500, ..Times::default() });
        let stranger = || {
            let mut peer = Peer::new(("command_bytes_max", 65_536), None);
            peer.begin(Instant::now(), hub.times());
            peer.await_authorization(&hub);
            peer
        };
        let mut out = Outbox::new(Framing::Plain);
        let frame =
            |bytes: usize| BytesMut::from(&encode_masked(Opcode::Text, &vec![b'x'; bytes], [1, 2, 3, 4])[..]);
        // Messages, whole or begun, buy no time.
        let mut peer = stranger();
        let by = peer.due().unwrap();
        assert!(matches!(peer.hear(&mut frame(100), &hub, &mut out), Ok(Some(Heard::Text(_)))));
        assert!(matches!(peer.hear(&mut frame(100).split_to(50), &hub, &mut out), Ok(None)));
        assert_eq!(peer.due(), Some(by));
        assert_eq!(peer.tick(by, &hub, &mut out), Err(Turn::Close));
        let mut peer = stranger();
        assert!(peer.hear(&mut frame(101), &hub, &mut out).is_err(), "too large for a stranger");
        let mut peer = stranger();
        peer.end_authorization();
        assert!(peer.due().unwrap() > by + Duration::from_secs(5));
        assert!(matches!(peer.hear(&mut frame(60_000), &hub, &mut out), Ok(Some(Heard::Text(_)))));
    }
}
