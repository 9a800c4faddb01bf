//! WebSocket on `/socket`: one connection, many channels, JSON commands with replies (docs/protocol.md §8). A command is one line of
//! [`COMMANDS`]; what it refuses concerns that command only.

mod command;
mod enter;
mod guard;
mod history;
mod publish;
mod subscribe;

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use efir_core::{
    Code, Limits, Problem, Reply as CommandReply,
    wire::{Control, Form},
};
use efir_engine::{Exchange, Outbox, Reader, Turn, clock};
use http::{Method, request::Parts};

use self::{enter::Entered, guard::Guard};
use crate::{
    access,
    peer::{self, Heard, Peer},
    place::Call,
    present,
    problem::Refused,
    query::Query,
    reply::{Asker, Held, Reply},
    request, stream,
    upgrade::{self, Upgrade},
    websocket,
};

/// What a command may have besides its payload.
const COMMAND_BYTES_MORE: usize = 16 * 1024;
/// How much longer escapes make a text: `\u0000` stands for one byte.
const ESCAPED_MAX: usize = 6;

/// The name of the limit of a command in problems.
pub(crate) const COMMAND_LIMIT: &str = "command_bytes_max";

/// The commands and what carries them out.
const COMMANDS: &[(&str, Command)] = &[
    ("subscribe", subscribe::subscribe),
    ("unsubscribe", subscribe::unsubscribe),
    ("publish", publish::publish),
    ("history", history::history),
    ("enter", enter::enter),
    ("leave", enter::leave),
    ("authorize", guard::authorize),
    ("ping", ping),
];

type Command = fn(&mut Desk<'_>, &str) -> Result<(), Problem>;

/// Where one command is carried out.
struct Desk<'a> {
    reader: &'a mut Reader,
    out: &'a mut Outbox,
    entered: &'a mut Option<Box<Entered>>,
    guard: &'a mut Option<Box<Guard>>,
    /// The command's id, as JSON.
    id: &'a str,
}

struct Socket {
    peer: Peer,
    /// Unallocated until somebody enters, unless the client said who it is.
    entered: Option<Box<Entered>>,
    /// Who is on the other end, where not everybody may do everything.
    guard: Option<Box<Guard>>,
}

pub(crate) fn begin(call: &Call<'_>, parts: &mut Parts) -> Result<Reply, Refused> {
    if !upgrade::is_asked(parts) || parts.method == Method::HEAD {
        return Err(Problem::new(Code::UpgradeRequired, "/socket speaks WebSocket only").into());
    }
    call.site.policy().check_origin(parts)?;
    let upgrade = Upgrade::accept(parts, call)?;
    let query = Query::parse(parts.uri.query());
    let client = match request::check_client(&query) {
        Ok(client) => client.map(Box::from),
        Err(problem) => return Ok(websocket::refuse(call.site, &call.cors, upgrade, problem)),
    };
    let visitor = match access::visitor(call.site, parts, &query) {
        Ok(visitor) => visitor,
        Err(problem) => return Ok(websocket::refuse(call.site, &call.cors, upgrade, problem)),
    };
    let hub = call.site.hub();
    if let Err(problem) = hub.check_room() {
        return Ok(websocket::refuse(call.site, &call.cors, upgrade, problem));
    }
    let limit = (COMMAND_LIMIT, command_bytes_max(hub.limits()));
    let entered = client.clone().map(|client| Box::new(Entered::new(Some(client))));
    let reader = Reader::new(hub.clone());
    let asker = Asker { transport: "websocket", client, reader, present: None };
    let guard = visitor.map(|visitor| Box::new(Guard::new(*visitor)));
    let exchange = Socket { peer: Peer::new(limit, upgrade.agreement), entered, guard };
    Ok(Reply::Held(Held::socket(asker, upgrade, call.cors.clone(), Box::new(exchange))))
}

/// How long a frame of the socket may be, inflated: the largest message, escaped, and its fields.
pub(crate) fn command_bytes_max(limits: &Limits) -> usize {
    limits.message_bytes_max.saturating_mul(ESCAPED_MAX).saturating_add(COMMAND_BYTES_MORE)
}

impl Desk<'_> {
    fn has_id(&self) -> bool {
        self.id != command::NO_ID
    }

    fn reply(&mut self, reply: CommandReply<'_>) {
        self.out.push_control(&Control::Reply { id: self.id, reply }.encode(Form::WebSocket));
    }
}

impl Socket {
    fn carry_out(&mut self, text: &Bytes, reader: &mut Reader, out: &mut Outbox) {
        let parsed = command::parse(text);
        let refused = match parsed.command {
            Ok((name, fields)) => {
                let (entered, guard) = (&mut self.entered, &mut self.guard);
                let mut desk = Desk { reader, out, entered, guard, id: parsed.id };
                match COMMANDS.iter().find(|(known, _)| *known == name) {
                    Some((_, run)) => run(&mut desk, fields).err().or_else(|| {
                        // Whoever may do something is no stranger. A ping is everybody's.
                        if name != "ping" {
                            self.peer.end_authorization();
                        }
                        None
                    }),
                    None => Some(unknown(&name)),
                }
            }
            Err(problem) => Some(problem),
        };
        if let Some(problem) = refused {
            reader.hub().counters().refuse(&problem);
            out.push_control(&Control::Refusal { id: parsed.id, problem: &problem }.encode(Form::WebSocket));
        }
    }
}

fn unknown(name: &str) -> Problem {
    let name: String = name.chars().take(64).collect();
    let known: Vec<_> = COMMANDS.iter().map(|(known, _)| *known).collect();
    Problem::new(Code::UnknownCommand, format!("{name:?} is no command; there are {}", known.join(", ")))
}

fn ping(desk: &mut Desk<'_>, _fields: &str) -> Result<(), Problem> {
    desk.reply(CommandReply::Pong { time_ms: clock::now_ms() });
    Ok(())
}

impl Exchange for Socket {
    fn form(&self) -> Form {
        self.peer.form()
    }

    fn open(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let (times, limits) = (reader.hub().times(), reader.hub().limits());
        self.peer.begin(now, times);
        let hello = Control::HelloSocket {
            heartbeat_ms: times.heartbeat_ms,
            channels_max: limits.socket_channels_max,
        };
        out.push_control(&hello.encode(Form::WebSocket));
        match &mut self.guard {
            Some(guard) => {
                guard.follow(now, reader);
                if guard.is_nobody() {
                    self.peer.await_authorization(reader.hub());
                }
                self.recheck(reader, out)
            }
            None => Turn::Wait,
        }
    }

    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        reader.pull(self.peer.form(), out);
        Turn::Wait
    }

    fn receive(&mut self, input: &mut BytesMut, reader: &mut Reader, out: &mut Outbox) -> Turn {
        loop {
            match self.peer.hear(input, reader.hub(), out) {
                Ok(None) => return Turn::Wait,
                Ok(Some(Heard::Text(text))) => self.carry_out(&text, reader, out),
                Ok(Some(Heard::Binary(_))) => {
                    let problem =
                        Problem::new(Code::InvalidCommand, "commands are text frames, not binary ones");
                    self.entered = None;
                    reader.hub().counters().refuse(&problem);
                    return peer::part(&problem.with_ordinal(self.peer.ordinal()), 1003, out);
                }
                Err(turn) => {
                    // The connection may last a little longer, in which nobody is there any more.
                    self.entered = None;
                    return turn;
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let due = self.guard.as_ref().and_then(|guard| guard.due());
        self.peer.due().into_iter().chain(due).min()
    }

    fn tick(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        if let Some(guard) = &mut self.guard
            && let Err(problem) = guard.tick(now)
        {
            reader.hub().counters().refuse(&problem);
            return self.shed(&problem, reader, out);
        }
        match self.peer.tick(now, reader.hub(), out) {
            Ok(true) => {
                let heartbeat = Control::Heartbeat { time_ms: clock::now_ms(), cursor: None };
                out.push_volatile(&heartbeat.encode(Form::WebSocket));
            }
            Ok(false) => {}
            Err(turn) => {
                self.entered = None;
                return turn;
            }
        }
        Turn::Wait
    }

    fn silent_at(&self) -> Option<Instant> {
        self.peer.silent_at()
    }

    fn bear_silence(&mut self, at: Instant) {
        self.peer.bear_silence(at);
    }

    fn drain(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let problem = stream::draining(reader.hub().times());
        self.shed(&problem, reader, out)
    }

    fn shed(&mut self, problem: &Problem, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let times = reader.hub().times();
        if let Some(mut entered) = self.entered.take()
            && present::comes_back(problem)
        {
            entered.set_linger_ms(times.retry_ms_max + times.presence_grace_ms);
        }
        peer::part(problem, problem.row().close, out)
    }

    fn last_words(&self, problem: &Problem, out: &mut Outbox) {
        peer::part(problem, problem.row().close, out);
    }

    fn recheck(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let judged = match &mut self.guard {
            Some(guard) => guard.recheck(reader, out, &mut self.entered),
            None => Err(stream::closing(reader.hub().times())),
        };
        match judged {
            Ok(()) => Turn::Wait,
            Err(problem) => self.shed(&problem, reader, out),
        }
    }

    fn held_bytes(&self) -> usize {
        self.peer.held_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use efir_core::{ChannelName, Times};
    use efir_engine::{Framing, Hub};

    use super::*;

    /// Its connection may last a little longer.
    #[test]
    fn who_is_given_up_is_in_no_channel_any_more() {
        let hub = Hub::new(Limits::default(), Times::default());
        let (mut reader, mut out, now) =
            (Reader::new(hub.clone()), Outbox::new(Framing::Plain), Instant::now());
        let peer = Peer::new((COMMAND_LIMIT, 1_000), None);
        let mut socket = Socket { peer, entered: None, guard: None };
        assert_eq!(socket.open(now, &mut reader, &mut out), Turn::Wait);
        let enter = Bytes::from_static(br#"{"id":1,"enter":{"channel":"chat","member":"a"}}"#);
        socket.carry_out(&enter, &mut reader, &mut out);
        let chat = ChannelName::parse("chat").unwrap();
        assert_eq!(hub.member_count(&chat), 1);
        let silent = Duration::from_millis(hub.times().silent_ms_max + hub.times().ping_ms);
        assert_ne!(socket.tick(now + silent, &mut reader, &mut out), Turn::Wait);
        assert_eq!((hub.member_count(&chat), socket.due().is_some()), (0, true));
    }
}
