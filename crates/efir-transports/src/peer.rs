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
/// Frames of one message.
pub(crate) const FRAGMENTS_MAX: usize = 4_096;
/// Its name in problems.
pub(crate) const FRAGMENTS_LIMIT: &str = "fragments_max";

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
    silent_max: Duration,
}

impl Peer {
    /// A client that may send messages of at most so many bytes, inflated; the limit has a name for problems.
    pub(crate) fn new(limit: (&'static str, usize), agreement: Option<Agreement>) -> Self {
        let bytes_max = limit.1;
        let limits = DecoderLimits {
            message_bytes_max: bytes_max,
            frame_bytes_max: bytes_max,
            fragments_max: FRAGMENTS_MAX,
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
            silent_max: Duration::from_millis(times.silent_ms_max),
        });
    }

    /// 1, 2, 3 …: which message was heard last.
    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let clocks = self.clocks.as_ref()?;
        Some(clocks.heartbeat.next().min(clocks.ping.next()).min(clocks.heard + clocks.silent_max))
    }

    /// Pings, and gives up a client that said nothing for too long.
    ///
    /// `Ok(true)`: a heartbeat is due.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Outbox) -> Result<bool, Turn> {
        let Some(clocks) = &mut self.clocks else { return Ok(false) };
        if clocks.heard + clocks.silent_max <= now {
            // Nobody is there to read a farewell.
            return Err(Turn::Close);
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
                return Ok(None);
            }
            match self.decoder.decode(input) {
                Ok(None) => return Ok(None),
                Ok(Some(Event::Text(text))) => {
                    self.ordinal += 1;
                    return Ok(Some(Heard::Text(text)));
                }
                Ok(Some(Event::Binary(bytes))) => {
                    self.ordinal += 1;
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

    fn problem(&self, error: FrameError) -> Problem {
        let detail = error.to_string();
        let problem = match error {
            FrameError::FrameTooLarge { .. }
            | FrameError::MessageTooLarge { .. }
            | FrameError::InflatedTooLarge { .. } => {
                Problem::new(Code::PayloadTooLarge, detail).with_limit(self.limit.0, self.limit.1 as u64)
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
