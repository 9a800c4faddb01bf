//! Subscribe, publish, unsubscribe, close, come back and read at once, in any order, over sockets and polls of one hub; what comes is
//! what a naive model says: every message after the cursor, in order, each once, or first a gap with its reason and its end.

use std::collections::BTreeMap;

use efir_core::{ChannelName, Cursor, GapReason, OFFSET_MAX, Payload, Position, ReadMost, Start};
use efir_engine::{Hub, Publish, PublishError};
use efir_transports::Site;
use serde_json::Value;

use crate::socket::{Socket, site};

const CHANNELS: [&str; 3] = ["a", "б", "c:d e"];
const SOCKETS: usize = 3;
/// Messages that a channel keeps.
const KEPT: u64 = 4;
const OPS_MAX: usize = 200;

/// Where somebody stands in a channel, as the text of a cursor means it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    At(u64),
    OtherEpoch,
}

/// One channel: all that was ever published, and under which keys.
#[derive(Default)]
struct Log {
    messages: Vec<String>,
    keys: BTreeMap<u8, (u64, u8)>,
}

struct Client {
    socket: Socket,
    joined: BTreeMap<usize, Place>,
}

struct World {
    site: Site,
    names: Vec<ChannelName>,
    logs: Vec<Log>,
    clients: [Option<Client>; SOCKETS],
    /// Where whoever left last stood, by channel.
    left: Vec<Place>,
}

impl Log {
    fn head(&self) -> u64 {
        self.messages.len() as u64
    }

    fn floor(&self) -> u64 {
        self.head().saturating_sub(KEPT)
    }

    /// The gap that is due to whoever stands there, and after which offset reading goes on.
    fn owed(&self, place: Place) -> (Option<GapReason>, u64) {
        match place {
            Place::OtherEpoch => (Some(GapReason::EpochChanged), self.floor()),
            Place::At(offset) if offset > self.head() => (Some(GapReason::PositionAhead), self.floor()),
            Place::At(offset) if offset < self.floor() => (Some(GapReason::Trimmed), self.floor()),
            Place::At(offset) => (None, offset),
        }
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let names: Vec<_> = CHANNELS.iter().map(|name| ChannelName::parse(name).expect("a name")).collect();
    let mut world = World {
        site: site(KEPT as usize),
        logs: names.iter().map(|_| Log::default()).collect(),
        left: vec![Place::At(0); names.len()],
        names,
        clients: [const { None }; SOCKETS],
    };
    for op in bytes.chunks_exact(3).take(OPS_MAX) {
        world.step(op[0], op[1], op[2]);
    }
    (0..SOCKETS).for_each(|socket| world.listen(socket));
}

impl World {
    fn hub(&self) -> &Hub {
        self.site.hub()
    }

    fn step(&mut self, what: u8, who: u8, how: u8) {
        let (channel, socket) = (usize::from(what >> 4) % CHANNELS.len(), usize::from(who) % SOCKETS);
        match what & 7 {
            0 | 1 => self.publish(channel, who, how),
            2 => self.subscribe(socket, channel, how),
            3 => self.unsubscribe(socket, channel),
            4 => self.say(socket, channel, how),
            5 => self.close(socket),
            6 => self.listen(socket),
            _ => self.read(channel, who, how),
        }
    }

    /// Publishes past all sockets, perhaps under a key.
    fn publish(&mut self, channel: usize, key: u8, text: u8) {
        let key = (key & 1 == 1).then_some(key & 6);
        let (payload, name) = (Payload::text(text.to_string().into()), key.map(|key| format!("k{key}")));
        let payload = payload.expect("a text");
        let publish =
            Publish { channel: &self.names[channel], payload: &payload, key: name.as_deref(), from: None };
        let published = self.hub().publish(&publish);
        let known = key.and_then(|key| self.logs[channel].keys.get(&key)).copied();
        match (known, published) {
            (Some((_, other)), Err(PublishError::KeyConflict)) => assert_ne!(other, text),
            (Some((offset, same)), Ok(receipt)) => {
                assert_eq!((same, receipt.duplicate, receipt.position.offset), (text, true, offset));
            }
            (None, Ok(receipt)) => {
                let log = &mut self.logs[channel];
                log.messages.push(text.to_string());
                assert_eq!((receipt.duplicate, receipt.position.offset), (false, log.head()));
                key.map(|key| log.keys.insert(key, (receipt.position.offset, text)));
            }
            (known, published) => panic!("{published:?} where {known:?}"),
        }
    }

    fn client(&mut self, socket: usize) -> &mut Client {
        let site = &self.site;
        self.clients[socket]
            .get_or_insert_with(|| Client { socket: Socket::open(site), joined: BTreeMap::new() })
    }

    fn cursor(&self, channel: usize, place: Place) -> String {
        match place {
            Place::At(offset) => {
                let Position { epoch, .. } = self.hub().position(&self.names[channel]);
                Position::new(epoch, offset).to_string()
            }
            Place::OtherEpoch => "nobody-7".to_owned(),
        }
    }

    /// Where one begins who says it in this way; and the words of the command.
    fn begin(&self, channel: usize, how: u8) -> (Place, String) {
        let log = &self.logs[channel];
        let place = match how % 8 {
            0 => return (Place::At(log.head()), String::new()),
            1 => return (Place::At(log.floor()), ",\"after\":\"start\"".to_owned()),
            2 => {
                let last = u64::from(how >> 3);
                let kept = log.head() - log.floor();
                return (Place::At(log.head() - last.min(kept)), format!(",\"last\":{last}"));
            }
            3 => Place::OtherEpoch,
            4 => Place::At(log.head() + u64::from(how >> 3)),
            5 => Place::At(OFFSET_MAX - u64::from(how >> 3)),
            6 => Place::At(u64::from(how >> 3)),
            _ => self.left[channel],
        };
        (place, format!(",\"after\":\"{}\"", self.cursor(channel, place)))
    }

    fn subscribe(&mut self, socket: usize, channel: usize, how: u8) {
        self.listen(socket);
        let (place, start) = self.begin(channel, how);
        let name = self.names[channel].clone();
        let client = self.client(socket);
        let is_known = client.joined.contains_key(&channel);
        client.joined.entry(channel).or_insert(place);
        let command = format!("{{\"id\":1,\"subscribe\":{{\"channel\":\"{name}\"{start}}}}}");
        client.socket.send(command.as_bytes());
        let cursor = self.cursor(channel, place);
        self.listen_with(socket, |answer| match is_known {
            true => assert_eq!(answer["problem"]["code"], "already_subscribed", "{command}: {answer}"),
            false => assert_eq!(answer["reply"]["cursor"], cursor, "{command}: {answer}"),
        });
    }

    fn unsubscribe(&mut self, socket: usize, channel: usize) {
        let name = self.names[channel].clone();
        let client = self.client(socket);
        let place = client.joined.remove(&channel);
        client.socket.send(format!("{{\"id\":1,\"unsubscribe\":{{\"channel\":\"{name}\"}}}}").as_bytes());
        if let Some(place) = place {
            self.left[channel] = place;
        }
        self.listen_with(socket, |answer| {
            assert_eq!(answer.get("reply").is_some(), place.is_some(), "{answer}");
        });
    }

    /// Publishes over the socket.
    fn say(&mut self, socket: usize, channel: usize, text: u8) {
        let name = self.names[channel].clone();
        self.logs[channel].messages.push(text.to_string());
        let offset = self.logs[channel].head();
        let client = self.client(socket);
        let command = format!("{{\"id\":1,\"publish\":{{\"channel\":\"{name}\",\"text\":\"{text}\"}}}}");
        client.socket.send(command.as_bytes());
        self.listen_with(socket, |answer| assert_eq!(answer["reply"]["offset"], offset, "{answer}"));
    }

    /// The connection is gone, with whatever it was owed.
    fn close(&mut self, socket: usize) {
        for (channel, place) in self.clients[socket].take().into_iter().flat_map(|client| client.joined) {
            self.left[channel] = place;
        }
    }

    fn listen(&mut self, socket: usize) {
        if self.clients[socket].is_some() {
            self.listen_with(socket, |answer| panic!("{answer} answers nothing"));
        }
    }

    /// Takes what has come, which is all that there is, and the one answer among it.
    fn listen_with(&mut self, socket: usize, mut answered: impl FnMut(&Value)) {
        let Some(client) = &mut self.clients[socket] else { return };
        let mut gaps: BTreeMap<usize, Value> = BTreeMap::new();
        let mut came: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        for text in client.socket.hear() {
            let object: Value = serde_json::from_slice(&text).expect("an object");
            let in_channel = |object: &Value| {
                let channel = CHANNELS.iter().position(|name| object["channel"] == *name);
                channel.unwrap_or_else(|| panic!("{object}"))
            };
            if object.get("id").is_some() {
                answered(&object);
            } else if let Some(gap) = object.get("gap") {
                let channel = in_channel(gap);
                assert!(!came.contains_key(&channel), "a gap behind a message");
                assert_eq!(gaps.insert(channel, gap.clone()), None, "two gaps");
            } else {
                came.entry(in_channel(&object)).or_default().push(object);
            }
        }
        assert!(!client.socket.is_closed);
        let Some(client) = &mut self.clients[socket] else { return };
        for (channel, place) in &mut client.joined {
            let log = &self.logs[*channel];
            let (reason, from) = log.owed(*place);
            let gap = gaps.remove(channel);
            assert_eq!(gap.is_some(), reason.is_some(), "{gap:?} for {place:?}");
            if let (Some(gap), Some(reason)) = (gap, reason) {
                assert_eq!(gap["reason"], reason.as_str());
                assert_eq!(offset(&gap["resume_from"]), from);
            }
            let came = came.remove(channel).unwrap_or_default();
            let said: Vec<_> = came
                .iter()
                .map(|one| (offset(&one["position"]), one["data"].as_str().unwrap_or_default()))
                .collect();
            let owed: Vec<_> =
                (from + 1..).zip(log.messages.iter().skip(from as usize).map(String::as_str)).collect();
            assert_eq!(said, owed);
            *place = Place::At(log.head());
        }
        assert!(gaps.is_empty() && came.is_empty(), "of channels that were not joined: {gaps:?} {came:?}");
    }

    /// Reads at once, page by page.
    fn read(&mut self, channel: usize, page: u8, how: u8) {
        let (place, _) = self.begin(channel, how | 4);
        let (log, name) = (&self.logs[channel], &self.names[channel]);
        let (mut reason, mut at) = log.owed(place);
        let mut cursor = Cursor::parse(&self.cursor(channel, place)).expect("a cursor");
        let most = ReadMost { messages: 1 + usize::from(page % 5), bytes: usize::MAX };
        loop {
            let read = self.hub().read(name, Start::After(cursor), most).read;
            let gap = read.gap.map(|gap| (gap.reason, gap.resume_from.offset));
            assert_eq!(gap, reason.take().map(|reason| (reason, at)));
            for message in &read.messages {
                assert_eq!(message.offset(), at + 1);
                at += 1;
            }
            assert_eq!((read.cursor.offset, read.more), (at, at < log.head()));
            if !read.more {
                return;
            }
            assert_eq!(read.messages.len(), most.messages);
            cursor = read.cursor.into();
        }
    }
}

fn offset(position: &Value) -> u64 {
    let position = position.as_str().and_then(Position::parse);
    position.unwrap_or_else(|| panic!("no position")).offset
}
