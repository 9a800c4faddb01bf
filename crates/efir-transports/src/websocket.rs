//! WebSocket on `/channels/{channel}`: messages come as text frames, and what the client sends is published. On `/subscribe` it only
//! reads. Frames, pings and closing are in [`crate::peer`]; many channels with commands in [`crate::socket`].

use std::time::Instant;

use bytes::BytesMut;
use efir_access::Action;
use efir_core::{
    ChannelName, Code, Payload, Problem, Receipt,
    wire::{Control, Form},
};
use efir_engine::{Exchange, Outbox, Publish, Reader, Turn};

use crate::{
    access::Visitor,
    peer::{self, Farewell, Heard, Peer},
    place,
    policy::Cors,
    present::{self, Ends},
    problem::Refused,
    publish::check_size,
    publish::payload_problem,
    reply::{Asker, Held, Reply},
    request::{ReadRequest, Sent},
    site::Site,
    stream,
    upgrade::Upgrade,
};

/// A socket that reads one channel and publishes to it, or reads several.
struct ChannelSocket {
    peer: Peer,
    /// Where to publish; `None` on a socket of several channels.
    channel: Option<ChannelName>,
    sent: Sent,
    /// What is wrong with single channels; told once.
    bad: Vec<Problem>,
    /// Who sends, where not everybody may publish.
    visitor: Option<Box<Visitor>>,
}

pub(crate) fn begin(site: &Site, mut asked: ReadRequest) -> Result<Reply, Refused> {
    let Some(upgrade) = asked.upgrade.take() else {
        return Err(Problem::new(Code::UpgradeRequired, "a WebSocket begins with a handshake").into());
    };
    let present = match present::begin(site.hub(), &mut asked, Ends::WhenClosed) {
        Ok(present) => present,
        // A page sees nothing of a refused handshake.
        Err(problem) => return Ok(refuse(site, &asked.cors, upgrade, problem)),
    };
    let bad = asked.scope.take_bad();
    let exchange = ChannelSocket {
        peer: Peer::new(("message_bytes_max", site.hub().limits().message_bytes_max), upgrade.agreement),
        channel: asked.scope.only().cloned(),
        sent: asked.sent,
        bad,
        visitor: asked.visitor,
    };
    let mut reader = Reader::new(site.hub().clone());
    for (channel, start) in asked.scope.into_channels() {
        reader.join(channel, start);
    }
    let asker = Asker { transport: asked.transport.name, client: asked.client, reader, present };
    Ok(Reply::Held(Held::socket(asker, upgrade, asked.cors, Box::new(exchange))))
}

/// Accepts the handshake to say in the socket what is wrong.
pub(crate) fn refuse(site: &Site, cors: &Cors, upgrade: Upgrade, problem: Problem) -> Reply {
    let reader = Reader::new(site.hub().clone());
    let asker = Asker { transport: "websocket", client: None, reader, present: None };
    Reply::Held(Held::socket(asker, upgrade, cors.clone(), Box::new(Farewell(problem))))
}

impl ChannelSocket {
    fn publish(&self, heard: Heard, reader: &Reader) -> Result<Receipt, Problem> {
        let Some(channel) = &self.channel else {
            let detail =
                "a socket of several channels only reads; publish on /channels/{channel} or on /socket";
            return Err(Problem::new(Code::InvalidRequest, detail));
        };
        if self.sent.is_refused {
            return Err(place::read_only());
        }
        let payload = match heard {
            Heard::Text(text) if self.sent.is_json => Payload::json(text),
            Heard::Text(text) => Payload::text(text),
            Heard::Binary(bytes) => Ok(Payload::bytes(bytes)),
        };
        let payload = payload.map_err(|error| payload_problem(&error))?;
        let options = match &self.visitor {
            Some(visitor) => Some(visitor.judge(Action::Publish, channel)?),
            None => None,
        };
        check_size(options.as_ref(), payload.len())?;
        reader.pay(payload.len())?;
        let from =
            self.visitor.as_ref().zip(options.as_ref()).and_then(|(visitor, options)| visitor.from(options));
        let publish = Publish { channel, payload: &payload, key: None, from };
        reader.hub().publish(&publish).map_err(|error| error.problem())
    }

    fn answer(&self, published: Result<Receipt, Problem>, out: &mut Outbox) {
        let ordinal = self.peer.ordinal();
        match published {
            Ok(receipt) if self.sent.is_acknowledged => {
                out.push_control(&Control::Ack { ordinal, receipt: &receipt }.encode(Form::WebSocket));
            }
            Ok(_) => {}
            Err(problem) => {
                out.push_control(&Control::Problem(&problem.with_ordinal(ordinal)).encode(Form::WebSocket));
            }
        }
    }
}

impl Exchange for ChannelSocket {
    fn form(&self) -> Form {
        self.peer.form()
    }

    fn open(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        self.peer.begin(now, reader.hub().times());
        out.push_control(&stream::hello(reader, self.channel.is_some(), Form::WebSocket));
        for problem in std::mem::take(&mut self.bad) {
            out.push_control(&Control::Problem(&problem).encode(Form::WebSocket));
        }
        Turn::Wait
    }

    fn ready(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        reader.pull(self.peer.form(), out);
        Turn::Wait
    }

    fn receive(&mut self, input: &mut BytesMut, reader: &mut Reader, out: &mut Outbox) -> Turn {
        loop {
            match self.peer.hear(input, reader.hub(), out) {
                Ok(None) => return Turn::Wait,
                Ok(Some(heard)) => {
                    let published = self.publish(heard, reader);
                    if let Err(problem) = &published {
                        reader.hub().counters().refuse(problem);
                    }
                    self.answer(published, out);
                }
                Err(turn) => return turn,
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.peer.due()
    }

    fn tick(&mut self, now: Instant, reader: &mut Reader, out: &mut Outbox) -> Turn {
        match self.peer.tick(now, reader.hub(), out) {
            Ok(true) => {
                out.push_volatile(&stream::heartbeat(reader, self.channel.is_some(), Form::WebSocket));
            }
            Ok(false) => {}
            Err(turn) => return turn,
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

    fn recheck(&mut self, reader: &mut Reader, out: &mut Outbox) -> Turn {
        let problem = stream::closing(reader.hub().times());
        self.shed(&problem, reader, out)
    }

    fn shed(&mut self, problem: &Problem, _reader: &mut Reader, out: &mut Outbox) -> Turn {
        peer::part(problem, problem.row().close, out)
    }

    fn last_words(&self, problem: &Problem, out: &mut Outbox) {
        peer::part(problem, problem.row().close, out);
    }

    fn held_bytes(&self) -> usize {
        self.peer.held_bytes()
    }
}
