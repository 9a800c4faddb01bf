//! The bookkeeping of a reader: names, places, and what was pushed but not sent.

use efir_core::{Limits, Times};

use super::*;
use crate::{
    channel::{Noted, Watch},
    outbox::Framing,
};

struct Nobody;
impl Noted for Nobody {
    fn note(&self, _: u32) {}
    fn drain(&self) {}
}

fn name(n: usize) -> ChannelName {
    ChannelName::parse(&format!("room-{n}")).unwrap()
}

/// Joins as a carrier lets it.
fn join(reader: &mut Reader, name: &ChannelName) {
    reader.join(name.clone(), Start::Now);
    for change in reader.take_changes() {
        let Change::Joined { subscription } = change else { continue };
        let channel = reader.hub().broker().watch(name, Watch::new(Arc::new(Nobody), 0));
        reader.attach(subscription, channel, (0, 0));
    }
}

fn offset(reader: &Reader, name: &ChannelName) -> u64 {
    reader.cursor(name).unwrap().position().unwrap().offset
}

#[test]
fn a_subscription_is_small() {
    assert!(size_of::<Option<Subscription>>() <= 48, "{} bytes", size_of::<Option<Subscription>>());
    assert!(size_of::<Reader>() <= 160, "{} bytes", size_of::<Reader>());
}

#[test]
fn channels_are_found_whether_few_or_many() {
    let mut reader = Reader::new(Hub::new(Limits::default(), Times::default()));
    for n in 0..3 * LINEAR_MAX {
        assert_eq!(reader.cursor(&name(n)), None);
        join(&mut reader, &name(n));
        assert_eq!(reader.len(), n + 1);
    }
    for n in (0..3 * LINEAR_MAX).step_by(2) {
        assert!(reader.leave(&name(n)) && !reader.leave(&name(n)));
    }
    assert_eq!(reader.len(), 3 * LINEAR_MAX / 2);
    join(&mut reader, &name(0));
    for n in 0..3 * LINEAR_MAX {
        assert_eq!(reader.cursor(&name(n)).is_some(), n == 0 || n % 2 == 1, "{n}");
    }
    assert_eq!(reader.cursors().count(), reader.len());
    assert_eq!(reader.subscriptions.len(), 3 * LINEAR_MAX, "a free place is taken again");
}

#[test]
fn what_was_not_sent_is_read_again() {
    let hub = Hub::new(Limits::default(), Times::default());
    let mut reader = Reader::new(hub.clone());
    let mut out = Outbox::new(Framing::Plain);
    join(&mut reader, &name(0));
    hub.publish_text("room-0", "1").unwrap();
    assert!(reader.pull(Form::HttpStream, &mut out));
    assert_eq!(offset(&reader, &name(0)), 1, "it is pushed");
    reader.rewind();
    assert_eq!(offset(&reader, &name(0)), 0);
    assert!(reader.is_behind());
    hub.publish_text("room-0", "2").unwrap();
    assert!(reader.pull(Form::HttpStream, &mut out));
    reader.settle();
    assert_eq!(offset(&reader, &name(0)), 2);
    assert_eq!(reader.sent_position(0), hub.position(&name(0)).into());
}

#[test]
fn a_late_frame_of_a_channel_that_was_left_moves_no_other() {
    let hub = Hub::new(Limits::default(), Times::default());
    let mut reader = Reader::new(hub.clone());
    let mut out = Outbox::new(Framing::Plain);
    join(&mut reader, &name(0));
    hub.publish_text("room-0", "1").unwrap();
    assert!(reader.pull(Form::HttpStream, &mut out));
    reader.leave(&name(0));
    join(&mut reader, &name(1));
    assert!(out.pop(&mut reader).is_some());
    assert_eq!(offset(&reader, &name(1)), 0);
}
