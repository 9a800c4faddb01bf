//! The seam: how a server is spoken to. Whoever measures another server writes one value for each of the two traits.
//!
//! Both sides work the same way: `open` gives the bytes that are sent as soon as the connection stands, `receive` reads
//! what comes and may reply. A dialect keeps no state of its own; what a connection has to remember stands in its
//! [`Seat`]. `websocket.rs` and `http.rs` do the framing.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::channels::Channels;
use crate::mark::{self, Mark};

/// How a subscriber speaks.
pub trait Subscribe: Send + Sync + Debug {
    /// For people: the transport, and the server where it is not efir.
    fn name(&self) -> &str;

    /// What is sent as soon as the connection stands; joining may go on in [`Subscribe::receive`].
    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>);

    /// Reads `bytes` and tells `heard` what they were: marks, [`Heard::is_joined`] once the server knows this subscriber
    /// (nothing that is published from then on may be missed), bytes to send back. Returns how many bytes are done
    /// with; the rest comes again in front of what comes next.
    ///
    /// # Errors
    /// When the server refused or said something that this dialect does not expect: the connection has ended.
    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize>;

    /// Whether it has joined as soon as the opening is sent: where a cursor says from where it reads, or where the server
    /// sends without being asked.
    fn joins_at_once(&self, _seat: &Seat) -> bool {
        false
    }

    /// The time that was asked for with [`Heard::wake`] is over.
    fn wake(&self, _seat: &mut Seat, _heard: &mut Heard) {}
}

/// How a publisher speaks.
pub trait Publish: Send + Sync + Debug {
    /// For people.
    fn name(&self) -> &str;

    /// As [`Subscribe::open`]. Where nothing is written, the first message may follow at once; otherwise it waits
    /// for [`Heard::is_joined`].
    fn open(&self, _seat: &mut Seat, _out: &mut Vec<u8>) {}

    /// The bytes of one message. Many are written before the first is answered.
    fn publish(&self, seat: &mut Seat, message: Message<'_>, out: &mut Vec<u8>);

    /// As [`Subscribe::receive`]; [`Heard::answers`] counts messages that were accepted.
    ///
    /// # Errors
    /// When a message was refused: the run is over.
    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize>;

    /// Whether each message is answered. Where it is not, only the socket holds a publisher back.
    fn is_answered(&self) -> bool {
        true
    }

    /// Whether a connection publishes on one channel only, which is its seat's first.
    fn is_bound(&self) -> bool {
        false
    }
}

/// A message on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The channel's name: letters, digits and hyphens.
    pub channel: &'a str,
    /// ASCII without quotes and backslashes, so it may stand in JSON as it is.
    pub payload: &'a [u8],
}

/// What one connection is and remembers.
#[derive(Clone, Debug)]
pub struct Seat {
    channels: Arc<Channels>,
    first: u32,
    count: u32,
    /// Which connection of the run this is.
    pub number: u32,
    /// For the dialect: where in its opening it stands. 0 at first.
    pub stage: u8,
    /// For the dialect: how many replies it waits for.
    pub owed: u32,
    /// Where reading goes on; given before `open` it is where reading begins.
    pub cursor: Option<Box<str>>,
    /// Where in an answer or frame the framing stands.
    pub(crate) framing: Framing,
}

/// See `http.rs` and `websocket.rs`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framing {
    pub(crate) is_past_head: bool,
    pub(crate) is_chunked: bool,
    /// Bytes of the body, chunk or frame that have not come.
    pub(crate) left: u64,
}

impl Seat {
    /// Connection `number` on `count` channels from channel `first` on.
    #[must_use]
    pub fn new(channels: Arc<Channels>, number: u32, (first, count): (u32, u32)) -> Self {
        let framing = Framing::default();
        Self { channels, first, count, number, stage: 0, owed: 0, cursor: None, framing }
    }

    /// Its channel; the first where there are several.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.channels.name(self.first)
    }

    /// Its channels.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        (self.first..self.first + self.count).map(|n| self.channels.name(n))
    }

    /// How many channels it has.
    #[must_use]
    pub fn channels_len(&self) -> u32 {
        self.count
    }

    /// How many lanes it reads.
    pub(crate) fn lanes_len(&self) -> u32 {
        self.count * self.channels.lanes_each()
    }

    /// The place of a lane among its own; `None` where that is none of its lanes.
    pub(crate) fn place(&self, lane: u32) -> Option<u32> {
        let (all, first) = (self.channels.lanes(), self.first % self.channels.len());
        let place = (lane + all).checked_sub(first * self.channels.lanes_each())? % all;
        (lane < all && place < self.lanes_len()).then_some(place)
    }

    /// The lane at a place: [`Seat::place`] the other way round.
    pub(crate) fn lane(&self, place: u32) -> u32 {
        (self.first * self.channels.lanes_each() + place) % self.channels.lanes()
    }
}

/// What was heard in one read, and what is to be done about it. One value serves all connections of a thread.
#[derive(Debug, Default)]
pub struct Heard {
    /// The marks of the messages, in order.
    pub found: Vec<Mark>,
    /// What is sent back at once: pongs, commands, the next poll.
    pub reply: Vec<u8>,
    /// The server knows this subscriber, or takes messages from this publisher.
    pub is_joined: bool,
    /// Messages that the server has accepted from this publisher.
    pub answers: u64,
    /// Requests among the replies: a poll is one, a pong is not.
    pub requests: u64,
    /// After this time [`Subscribe::wake`] is to be called.
    pub wake: Option<Duration>,
}

impl Heard {
    /// Looks for marks; returns how many bytes are done with.
    pub fn search(&mut self, bytes: &[u8]) -> usize {
        mark::search(bytes, &mut self.found)
    }

    pub(crate) fn clear(&mut self) {
        self.found.clear();
        self.reply.clear();
        (self.is_joined, self.answers, self.requests, self.wake) = (false, 0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_knows_its_lanes_around_the_end() {
        let channels = Arc::new(Channels::new("c", 5, 10));
        let seat = Seat::new(channels, 0, (3, 3));
        assert_eq!(seat.channels().collect::<Vec<_>>(), ["c-3", "c-4", "c-0"]);
        let places: Vec<Option<u32>> = (0..11).map(|lane| seat.place(lane)).collect();
        let none = None;
        assert_eq!(
            places,
            [Some(4), Some(5), none, none, none, none, Some(0), Some(1), Some(2), Some(3), none]
        );
        assert!((0..6).all(|place| seat.place(seat.lane(place)) == Some(place)));
    }
}
