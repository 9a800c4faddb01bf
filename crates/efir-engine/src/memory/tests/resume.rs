//! Whoever comes back with a cursor, against a hub that publishes, trims, expires, puts away, forgets and restarts: a hundred thousand
//! random sequences, each verdict (gap, reason, where reading goes on, what comes) compared with a naive model.

mod model;
mod stream;

use bytes::Bytes;
use efir_core::{Limits, OFFSET_MAX, Payload, Times};
use fastrand::Rng;

use super::*;
use crate::{clock, hub::Hub};
use model::{Answer, Model, Place};
use stream::Stream;

const SEQUENCES: u64 = 100_000;
const CHANNELS: usize = 3;
const READERS: usize = 4;
/// A variable that makes one sequence run again: the seed of the one that failed.
const SEED: &str = "EFIR_SEED";

/// Somebody who carries a cursor, and perhaps has a stream open from it.
struct Carried {
    channel: usize,
    place: Place,
    stream: Option<Stream>,
}

struct World {
    rng: Rng,
    limits: Limits,
    names: Vec<ChannelName>,
    hub: Hub,
    now_ms: u64,
    channels: Vec<Model>,
    readers: Vec<Carried>,
    /// The epoch of what begins now.
    node: Epoch,
    /// Epochs under which a channel had messages that are forgotten: none of them comes back.
    gone: Vec<(usize, Epoch)>,
}

#[test]
fn every_cursor_gets_what_the_model_says() {
    if let Some(seed) = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()) {
        return sequence(seed);
    }
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let base = fastrand::u64(..);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for n in (thread..SEQUENCES).step_by(threads as usize) {
                    sequence(base.wrapping_add(n));
                }
            });
        }
    });
}

fn sequence(seed: u64) {
    /// Tells which sequence it was when it does not come to its end.
    struct Told(u64);
    impl Drop for Told {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("{SEED}={}", self.0);
            }
        }
    }
    let _told = Told(seed);
    let mut world = World::new(Rng::with_seed(seed));
    for _ in 0..world.rng.usize(5..40) {
        world.step();
        world.check_positions();
    }
    (0..READERS).for_each(|reader| world.read(reader, usize::MAX, true));
}

impl World {
    fn new(mut rng: Rng) -> Self {
        let limits = Limits {
            retention_messages_max: rng.usize(1..6),
            retention_ms_max: 1_000,
            key_window_ms: 600,
            keys_max: 3,
            stubs_max: rng.usize(0..3),
            ..Limits::default()
        };
        let now_ms = 1_795_000_000_000;
        clock::set(now_ms);
        let hub = Hub::new(limits.clone(), Times::default());
        let names: Vec<_> = (0..CHANNELS).map(|n| ChannelName::parse(&format!("c{n}")).unwrap()).collect();
        let channels: Vec<_> =
            names.iter().map(|name| Model::new(hub.position(name).epoch, limits.retention())).collect();
        let reader = |n: usize| {
            let place = Place::At(Position::new(channels[n % CHANNELS].epoch, 0));
            Carried { channel: n % CHANNELS, place, stream: None }
        };
        let readers = (0..READERS).map(reader).collect();
        let node = channels[0].epoch;
        Self { rng, limits, names, hub, now_ms, channels, readers, node, gone: Vec::new() }
    }

    fn step(&mut self) {
        let reader = self.rng.usize(0..READERS);
        let page = self.rng.usize(1..4);
        match self.rng.u32(0..32) {
            0..=11 => self.publish(),
            12..=16 => self.read(reader, page, true),
            // The answer was lost on its way: the cursor stays where it is.
            17..=18 => self.read(reader, page, false),
            19..=20 => self.open(reader),
            21 => self.close(reader),
            22..=24 => self.odd(reader),
            25..=26 => self.begin(reader),
            27..=29 => self.pass(),
            30 => self.sweep(),
            _ => self.restart(),
        }
    }

    fn publish(&mut self) {
        let channel = self.rng.usize(0..CHANNELS);
        let key = self.rng.bool().then(|| self.rng.u8(0..4));
        let text = self.rng.u8(0..2);
        let wanted = self.channels[channel].append(self.now_ms, key, text);
        let payload = Payload::text(Bytes::from(text.to_string())).unwrap();
        let key = key.map(|key| format!("k{key}"));
        let name = &self.names[channel];
        let found =
            self.hub.publish(&Publish { channel: name, payload: &payload, key: key.as_deref(), from: None });
        let found = found.map(|receipt| (receipt.position, receipt.duplicate));
        assert_eq!(found, wanted);
    }

    /// Reads a page; `None` of it is taken where the answer gets lost.
    fn read(&mut self, reader: usize, page: usize, is_taken: bool) {
        let Carried { channel, place, stream } = &mut self.readers[reader];
        let model = &mut self.channels[*channel];
        if let Some(stream) = stream {
            let wanted = model.answer(*place, usize::MAX);
            stream.poll().check(&wanted);
            *place = Place::At(wanted.cursor);
            return;
        }
        model.expire(self.now_ms);
        let wanted = model.answer(*place, page);
        let most = ReadMost { messages: page, bytes: usize::MAX };
        let found = self.hub.read(&self.names[*channel], Start::After(place.cursor()), most);
        assert_eq!(found.head, model.position());
        assert_eq!(found.read.more, wanted.cursor.offset < model.head());
        Answer::of(&found.read).check(&wanted);
        if is_taken {
            *place = Place::At(wanted.cursor);
        }
    }

    /// A stream from the cursor on; what there is comes at once.
    fn open(&mut self, reader: usize) {
        let Carried { channel, place, stream } = &mut self.readers[reader];
        if stream.is_none() {
            let start = Start::After(place.cursor());
            *stream = Some(Stream::open(&self.hub, &self.names[*channel], start));
        }
        self.read(reader, 1, true);
    }

    /// The connection is cut: what was not taken will be read again.
    fn close(&mut self, reader: usize) {
        self.readers[reader].stream = None;
    }

    /// A cursor that nobody was given, or one of long ago.
    fn odd(&mut self, reader: usize) {
        let channel = self.rng.usize(0..CHANNELS);
        let Model { epoch, .. } = self.channels[channel];
        let head = self.channels[channel].head();
        let offset = match self.rng.u32(0..8) {
            0 => 0,
            1 => head + 1,
            2 => head + self.rng.u64(1..5),
            3 => OFFSET_MAX - self.rng.u64(0..2),
            4 => u64::MAX - self.rng.u64(1..3),
            _ => self.rng.u64(0..=head),
        };
        let place = match self.rng.u32(0..6) {
            0 => Place::Lost,
            1 if !self.gone.is_empty() => {
                let (_, epoch) = self.gone[self.rng.usize(0..self.gone.len())];
                Place::At(Position::new(epoch, offset))
            }
            2 => Place::At(Position::new(Epoch(epoch.0 ^ 1), offset)),
            _ => Place::At(Position::new(epoch, offset)),
        };
        self.readers[reader] = Carried { channel, place, stream: None };
    }

    /// Begins anew: now, at the beginning, or with the last few.
    fn begin(&mut self, reader: usize) {
        let channel = self.rng.usize(0..CHANNELS);
        let last = self.rng.usize(0..6);
        let start = [Start::Now, Start::Beginning, Start::Last(last)][self.rng.usize(0..3)].clone();
        let model = &mut self.channels[channel];
        model.expire(self.now_ms);
        let kept = (model.head() - model.floor()) as usize;
        let back = match &start {
            Start::Beginning => kept,
            Start::Last(last) => kept.min(*last),
            _ => 0,
        };
        let at = Position::new(model.epoch, model.head() - back as u64);
        assert_eq!(self.hub.resolve(&self.names[channel], start.clone()), Cursor::from(at));
        let is_stream = self.rng.bool();
        let stream = is_stream.then(|| Stream::open(&self.hub, &self.names[channel], start));
        self.readers[reader] = Carried { channel, place: Place::At(at), stream };
        if is_stream {
            self.read(reader, 1, true);
        }
    }

    /// Time passes; now and then a clock is set back.
    fn pass(&mut self) {
        self.now_ms = match self.rng.u32(0..16) {
            0 => self.now_ms - self.rng.u64(0..100),
            1..=3 => self.now_ms + 1_100,
            4 => self.now_ms + 70_000,
            _ => self.now_ms + self.rng.u64(0..400),
        };
        clock::set(self.now_ms);
        if self.rng.bool() {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let before: Vec<bool> = self.names.iter().map(|name| self.is_live(name)).collect();
        for _ in 0..SHARDS / SHARDS_PER_SWEEP {
            self.hub.sweep();
        }
        for (channel, was_live) in before.into_iter().enumerate() {
            // A shard is not looked at each time, so a sweep may find nothing; but what it finds has expired.
            let is_live = self.is_live(&self.names[channel]);
            let model = &mut self.channels[channel];
            let kept = |channel: Arc<Channel>| channel.with(|state| (state.log.len(), state.log.keys()));
            if was_live && !is_live {
                assert!(!self.readers.iter().any(|one| one.channel == channel && one.stream.is_some()));
                model.expire(self.now_ms);
                model.put_away();
            } else if self
                .hub
                .memory()
                .find(&self.names[channel])
                .is_ok_and(|live| kept(live) != model.kept())
            {
                model.expire(self.now_ms);
                assert_eq!(self.hub.memory().find(&self.names[channel]).map(kept), Ok(model.kept()));
            }
        }
        self.forget();
    }

    fn is_live(&self, name: &ChannelName) -> bool {
        self.hub.memory().find(name).is_ok()
    }

    /// Stubs beyond their number were forgotten: those channels begin anew, under an epoch that never was.
    fn forget(&mut self) {
        let mut stubs = 0;
        let mut forgotten = Vec::new();
        for (channel, name) in self.names.iter().enumerate() {
            let (model, found) = (&self.channels[channel], self.hub.position(name));
            if found == model.position() {
                stubs += usize::from(!self.is_live(name) && found.offset > 0);
                continue;
            }
            assert!(!self.is_live(name) && found.offset == 0, "{found} where {} was", model.position());
            forgotten.push((channel, found.epoch));
        }
        assert!(stubs <= self.limits.stubs_max);
        // The node has another epoch only if a stub was forgotten; whoever had no message yet may follow it later.
        for (channel, epoch) in &forgotten {
            if self.channels[*channel].head() > 0 {
                self.node = *epoch;
            }
        }
        assert!(forgotten.iter().all(|(_, epoch)| *epoch == self.node), "an epoch changed for nothing");
        forgotten.into_iter().for_each(|(channel, epoch)| self.renew(channel, epoch));
    }

    /// The channel begins under an epoch in which it never was.
    fn renew(&mut self, channel: usize, epoch: Epoch) {
        let before =
            std::mem::replace(&mut self.channels[channel], Model::new(epoch, self.limits.retention()));
        if before.head() > 0 {
            self.gone.push((channel, before.epoch));
        }
        assert!(!self.gone.contains(&(channel, epoch)));
    }

    /// A killed server has nothing left.
    fn restart(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.stream = None);
        self.hub = Hub::new(self.limits.clone(), Times::default());
        self.node = self.hub.position(&self.names[0]).epoch;
        for channel in 0..CHANNELS {
            let epoch = self.hub.position(&self.names[channel]).epoch;
            assert_ne!(epoch, self.channels[channel].epoch);
            self.renew(channel, epoch);
        }
    }

    fn check_positions(&self) {
        for (name, model) in self.names.iter().zip(&self.channels) {
            assert_eq!(self.hub.position(name), model.position());
        }
    }
}
