//! What is run under shuttle: publishers, readers that join, one that leaves at once and a sweep, on one channel, in any order; and what
//! a worker has of it, which stands in its `schedules.rs`. A note that is lost is a reader that sleeps for ever, which shuttle sees; the
//! rest is asserted. Only built for `efir-schedules`.

use std::{future::poll_fn, sync::Arc};

use efir_core::{ChannelName, Limits, Payload, Position, Start, Times};
use shuttle::{future, thread};

use crate::{
    clock,
    hub::{Hub, Publish},
    lines::Lines,
    polled::Polled,
    reader::Reader,
    worker,
};

/// Messages of each of the two publishers.
const EACH: u64 = 2;
pub(crate) const ALL: u64 = 2 * EACH;

/// Runs `count` schedules of each of the two; panics with the one under which something does not hold.
pub fn run(count: usize) {
    shuttle::check_random(hand_over, count);
    shuttle::check_random(worker::schedules::hand_over, count);
}

fn hand_over() {
    let hub = Hub::new(Limits::default(), Times::default());
    let channel = Arc::new(ChannelName::parse("c").unwrap_or_else(|_| unreachable!("a name")));
    let start = hub.position(&channel);
    let mut threads = Vec::new();
    for publisher in 0..2 {
        let (hub, channel) = (hub.clone(), Arc::clone(&channel));
        threads.push(thread::spawn(move || publish(&hub, &channel, publisher)));
    }
    for _ in 0..2 {
        let (hub, channel) = (hub.clone(), Arc::clone(&channel));
        threads.push(thread::spawn(move || read(&hub, &channel, start)));
    }
    let (leaving, its) = (hub.clone(), Arc::clone(&channel));
    threads.push(thread::spawn(move || drop(open(&leaving, &its, start))));
    // Once all that is there has expired, and whoever does not watch is put away.
    let later_ms = clock::now_ms() + 24 * 3_600_000;
    let sweeping = hub.clone();
    threads.push(thread::spawn(move || sweeping.broker().sweep(later_ms)));
    for thread in threads {
        assert!(thread.join().is_ok());
    }
    assert_eq!(hub.position(&channel), Position::new(start.epoch, ALL), "no offset twice, none left out");
}

pub(crate) fn publish(hub: &Hub, channel: &ChannelName, publisher: u64) {
    let mut last = 0;
    for n in 0..EACH {
        let payload = Payload::bytes(vec![publisher as u8, n as u8].into());
        let published = hub.publish(&Publish { channel, payload: &payload, key: None, from: None });
        let offset = published.map_or(0, |receipt| receipt.position.offset);
        assert!(offset > last && offset <= ALL, "{offset} after {last}");
        last = offset;
    }
}

fn open(hub: &Hub, channel: &ChannelName, start: Position) -> Polled {
    let mut reader = Reader::new(hub.clone());
    reader.join(channel.clone(), Start::After(start.into()));
    let mut polled = Polled::new(Box::new(Lines), reader);
    // It joins with its first poll.
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(polled.poll_piece(&mut cx).is_pending() || hub.position(channel).offset > 0);
    polled
}

/// Reads until it has everything, in order, or was told what is gone.
fn read(hub: &Hub, channel: &ChannelName, start: Position) {
    let mut reader = Reader::new(hub.clone());
    reader.join(channel.clone(), Start::After(start.into()));
    let mut polled = Polled::new(Box::new(Lines), reader);
    let mut at = 0;
    while at < ALL {
        let piece = future::block_on(poll_fn(|cx| polled.poll_piece(cx))).unwrap_or_default();
        let text = String::from_utf8_lossy(&piece).into_owned();
        let offset = |name: &str| {
            let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
            Position::parse(rest.split('"').next()?).map(|position| position.offset)
        };
        if text.starts_with("{\"gap\"") {
            let resume_from = offset("resume_from").unwrap_or(0);
            assert!(resume_from > at, "{text} after {at}");
            at = resume_from;
        } else {
            assert_eq!(offset("position"), Some(at + 1), "{text} after {at}");
            at += 1;
        }
    }
}
