//! What is run of a worker under shuttle: its intake, its bells and the channels that it watches, taken from and rearmed in its order. Of
//! the worker itself there is nothing here, for it needs sockets and an event loop.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use efir_core::{ChannelName, Limits, Position, ReadMost, Times};
use shuttle::{future, thread};

use super::{
    intake::{Batch, Bell, Intake},
    watched::{Subscriber, WatchedChannels},
};
use crate::{
    channel::{Channel, Noted},
    clock,
    hub::Hub,
    schedules::{ALL, publish},
    sync::Mutex,
};

/// What comes over the socket of the one connection.
const BYTES: u64 = 2;

/// Publishers, a channel that is left at once, a socket that becomes ready, a drain and a sweep, and a worker that must see all of it.
pub(crate) fn hand_over() {
    let hub = Hub::new(Limits::default(), Times::default());
    let channel = Arc::new(name("c"));
    let start = hub.position(&channel);
    let intake = Intake::new(Arc::default());
    let bell = Bell::new(0, Arc::clone(&intake));
    let socket = Arc::<Mutex<u64>>::default();
    let mut threads = Vec::new();
    for publisher in 0..2 {
        let (hub, channel) = (hub.clone(), Arc::clone(&channel));
        threads.push(thread::spawn(move || publish(&hub, &channel, publisher)));
    }
    let (elsewhere, later_ms) = (hub.clone(), clock::now_ms() + 24 * 3_600_000);
    threads.push(thread::spawn(move || {
        publish(&elsewhere, &name("left"), 0);
        elsewhere.broker().sweep(later_ms);
    }));
    let (waker, filled, drained) = (Waker::from(Arc::clone(&bell)), Arc::clone(&socket), Arc::clone(&intake));
    threads.push(thread::spawn(move || {
        for _ in 0..BYTES {
            *filled.lock() += 1;
            waker.wake_by_ref();
        }
        drained.drain();
    }));
    threads.push(thread::spawn(move || work(&hub, &intake, (&channel, start), (&bell, &socket))));
    for thread in threads {
        assert!(thread.join().is_ok());
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap_or_else(|_| unreachable!("a name"))
}

/// Goes on until it has all messages, all bytes and the word to drain; what never reaches it is a deadlock.
fn work(
    hub: &Hub,
    intake: &Arc<Intake>,
    (channel, start): (&ChannelName, Position),
    (bell, socket): (&Bell, &Mutex<u64>),
) {
    let mut watched = WatchedChannels::default();
    let subscriber = Subscriber { connection: 0, subscription: 0 };
    let (_, left, place) = watched.add(hub, intake, &name("left"), subscriber);
    watched.remove(left, place);
    // In the same slot, for which a note of the other channel may still come.
    let (joined, slot, place) = watched.add(hub, intake, channel, subscriber);
    assert_eq!(slot, left);
    let mut at = read_on(&joined, start);
    let (mut bytes, mut is_draining) = (0, false);
    let mut batch = Batch::default();
    while at.offset < ALL || bytes < BYTES || !is_draining {
        future::block_on(poll_fn(|cx| {
            if intake.take(&mut batch, cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
        }));
        for slot in batch.notes.drain(..) {
            let Some(watched) = watched.at(slot) else { continue };
            watched.watch.rearm();
            at = read_on(&watched.channel, at);
        }
        for _ in batch.ready.drain(..) {
            bell.rearm();
            bytes = *socket.lock();
        }
        is_draining |= std::mem::take(&mut batch.is_draining);
    }
    assert!(watched.remove(slot, place).is_none(), "nobody else is there");
}

/// Everything after the position, in order, or what a gap leads to.
fn read_on(channel: &Channel, at: Position) -> Position {
    let read = channel.read(&at.into(), ReadMost::ALL);
    let mut at = read.gap.map_or(at, |gap| gap.resume_from);
    for message in read.messages {
        assert_eq!(message.position(), Position::new(at.epoch, at.offset + 1));
        at = message.position();
    }
    at
}
