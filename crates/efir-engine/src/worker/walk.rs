//! Fan-out: one loop over a channel's subscribers, in steps, so that a channel of a hundred thousand delays no other.
//!
//! Subscribers that are in step get the same shared frames in one vectored write each. The others (several channels on the
//! connection, behind, blocked) are marked and served by their exchange. The walk goes from the last subscriber to the first: one that leaves
//! meanwhile is replaced by the last one, which has been visited already.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    ops::Range,
    os::fd::RawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use efir_core::{Message, Position, ReadMost, wire::Form};

use super::{Subscriber, Worker, connection::Phase, ring::Ring};
use crate::outbox::{Framing, Outbox};

/// Subscribers visited before other channels get their turn.
pub(super) const STEP: usize = 256;
/// Messages gathered in one write.
const MESSAGES_MAX: usize = 256;
/// Bytes gathered in one write.
const BYTES_MAX: usize = 256 * 1024;

/// Sends from which on one system call for all of them is cheaper.
const RING_MIN: usize = 4;

/// What a worker keeps of the buffer in which a step's messages are sealed.
const SEALED_BYTES_KEPT: usize = 128 * 1024;

/// A fan-out under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    slot: u32,
    /// Subscribers before this place have not been visited.
    left: usize,
    has_begun: bool,
    /// The channel grew after this walk began; another one follows. (Beginning this one anew would starve those at its end.)
    again: bool,
}

/// What subscribers at one cursor are to get, made once.
#[derive(Debug)]
struct Gathered {
    form: Form,
    framing: Framing,
    after: Position,
    until: Position,
    messages: Vec<Arc<Message>>,
    /// All their frames, one behind the other.
    bytes: Bytes,
    /// The log has more than one write takes.
    has_more: bool,
    /// The log no longer reaches back to `after`.
    needs_reader: bool,
    /// Subscribers that have got all of it.
    served: Cell<u64>,
}

/// What one subscriber is about to be sent.
#[derive(Debug, Clone, Copy)]
struct Send {
    subscriber: Subscriber,
    /// Of the [`Gathered`].
    index: usize,
}

impl Worker {
    /// The channel grew: its subscribers will be visited.
    pub(super) fn begin_walk(&mut self, slot: u32) {
        let Some(watched) = self.watched.at_mut(slot) else { return };
        if std::mem::replace(&mut watched.is_walking, true) {
            if let Some(walk) = self.walks.iter_mut().find(|walk| walk.slot == slot) {
                walk.again = walk.has_begun;
            }
            return;
        }
        self.walks.push_back(Walk { slot, left: usize::MAX, has_begun: false, again: false });
    }

    /// Moves each fan-out one step.
    pub(super) fn step_walks(&mut self, now: Instant) {
        for _ in 0..self.walks.len() {
            let Some(mut walk) = self.walks.pop_front() else { return };
            self.at_hand.clear();
            let stepped = catch_unwind(AssertUnwindSafe(|| self.step(&mut walk, now)));
            let is_over = match stepped {
                Ok(is_over) => is_over,
                // Whoever got its messages is in step and not visited again. Where it was nobody's fault the next message begins anew.
                Err(_) => {
                    walk = Walk { left: usize::MAX, has_begun: false, again: false, ..walk };
                    !self.end_at_hand()
                }
            };
            if !is_over {
                self.walks.push_back(walk);
            } else if walk.again {
                self.walks.push_back(Walk { left: usize::MAX, has_begun: false, again: false, ..walk });
            } else {
                if let Some(watched) = self.watched.at_mut(walk.slot) {
                    watched.is_walking = false;
                }
            }
        }
    }

    /// Visits the next subscribers; true when all are done.
    fn step(&mut self, walk: &mut Walk, now: Instant) -> bool {
        let Some(watched) = self.watched.at(walk.slot) else { return true };
        if !std::mem::replace(&mut walk.has_begun, true) {
            // Before anything is read: a publish from now on is noted again.
            watched.watch.rearm();
        }
        let channel = Arc::clone(&watched.channel);
        let end = walk.left.min(watched.subscribers.len());
        let begin = end.saturating_sub(STEP);
        let head = channel.head();
        let mut gathered: Vec<Gathered> = Vec::new();
        let mut sends: Vec<Send> = Vec::new();
        let mut sealed: Vec<Send> = Vec::new();
        let has_ring = self.ring.is_some() && end - begin >= RING_MIN;
        for place in (begin..end).rev() {
            let Some(subscriber) =
                self.watched.at(walk.slot).and_then(|watched| watched.subscribers.get(place)).copied()
            else {
                continue;
            };
            self.at_hand.set(subscriber.connection);
            let Some(after) = self.in_step(subscriber, head) else { continue };
            let Some(connection) = self.connections.get(subscriber.connection as usize) else { continue };
            let (form, framing, is_tls) = (connection.form, connection.framing, connection.socket.is_tls());
            let known = gathered
                .iter()
                .position(|one| one.form == form && one.framing == framing && one.after == after);
            let index = known.unwrap_or_else(|| {
                gathered.push(gather(&channel, form, framing, after));
                gathered.len() - 1
            });
            match gathered.get(index) {
                Some(one) if has_ring && !one.needs_reader => {
                    let sends = if is_tls { &mut sealed } else { &mut sends };
                    sends.push(Send { subscriber, index });
                }
                Some(one) => self.send_shared(subscriber, one, now),
                None => {}
            }
        }
        self.send_by_ring(&gathered, &sends, now);
        self.send_sealed_by_ring(&gathered, &sealed, now);
        for one in &gathered {
            self.booked.deliver(one.form, one.served.get() * one.messages.len() as u64);
        }
        walk.left = begin;
        begin == 0
    }

    /// Where a subscriber stands if it can take shared frames right now; everybody else is noted and flushed by the exchange.
    fn in_step(&mut self, subscriber: Subscriber, head: Position) -> Option<Position> {
        let connection = self.connections.get_mut(subscriber.connection as usize)?;
        if connection.phase != Phase::Open {
            return None;
        }
        let sent = connection.reader.sent_position(subscriber.subscription);
        if sent == Some(head) {
            return None;
        }
        let is_free = connection.is_plain
            && connection.stalled_since.is_none()
            && !connection.is_dirty
            && connection.reader.is_single();
        if let Some(after) = sent
            && is_free
            && after.epoch == head.epoch
            && !connection.reader.is_behind()
        {
            return Some(after);
        }
        connection.reader.note(subscriber.subscription);
        self.mark_dirty(subscriber.connection);
        None
    }

    fn send_shared(&mut self, subscriber: Subscriber, gathered: &Gathered, now: Instant) {
        let Some(connection) = self.connections.get_mut(subscriber.connection as usize) else { return };
        if gathered.needs_reader {
            connection.reader.note(subscriber.subscription);
            return self.mark_dirty(subscriber.connection);
        }
        let result = connection.write_shared(&[IoSlice::new(&gathered.bytes)]);
        self.sent(subscriber, gathered, result, now);
    }

    /// The sends of a step by one system call.
    fn send_by_ring(&mut self, gathered: &[Gathered], sends: &[Send], now: Instant) {
        let Some(ring) = &mut self.ring else { return };
        if sends.is_empty() {
            return;
        }
        let prepared = sends.iter().map(|send| {
            let connection = self.connections.get(send.subscriber.connection as usize);
            let fd = connection.map_or(-1, |connection| connection.socket.fd());
            (fd, gathered.get(send.index).map_or(&[][..], |one| &one.bytes))
        });
        let results = ring.send_all(sends.len(), prepared);
        if ring.is_broken() {
            self.ring = None;
        }
        let mut ended = sends.iter().zip(results);
        self.contain(|worker| {
            for (send, result) in ended.by_ref() {
                worker.at_hand.set(send.subscriber.connection);
                let Some(one) = gathered.get(send.index) else { continue };
                if let (Ok(written), Some(connection)) =
                    (&result, worker.connections.get(send.subscriber.connection as usize))
                {
                    connection.count_down(*written);
                }
                worker.sent(send.subscriber, one, result, now);
            }
        });
    }

    /// As [`Worker::send_by_ring`], of what is sealed for each of them.
    fn send_sealed_by_ring(&mut self, gathered: &[Gathered], sends: &[Send], now: Instant) {
        if sends.is_empty() {
            return;
        }
        let mut arena = std::mem::take(&mut self.sealed);
        let mut prepared: Vec<(Send, RawFd, Range<usize>)> = Vec::with_capacity(sends.len());
        let mut left = sends.iter();
        self.contain(|worker| {
            for send in left.by_ref() {
                worker.at_hand.set(send.subscriber.connection);
                let Some(one) = gathered.get(send.index) else { continue };
                let Some(connection) = worker.connections.get_mut(send.subscriber.connection as usize) else {
                    continue;
                };
                let begin = arena.len();
                match connection.socket.seal_behind(&one.bytes, &mut arena) {
                    Ok(true) => prepared.push((*send, connection.socket.fd(), begin..arena.len())),
                    Ok(false) => worker.send_shared(send.subscriber, one, now),
                    Err(_) => worker.remove(send.subscriber.connection),
                }
            }
        });
        let bytes = |range: &Range<usize>| arena.get(range.clone()).unwrap_or_default();
        let results: Vec<io::Result<usize>> = match &mut self.ring {
            Some(ring) => {
                ring.send_all(prepared.len(), prepared.iter().map(|(_, fd, range)| (*fd, bytes(range))))
            }
            None => prepared.iter().map(|_| Err(io::ErrorKind::WouldBlock.into())).collect(),
        };
        if self.ring.as_ref().is_some_and(Ring::is_broken) {
            self.ring = None;
        }
        let mut ended = prepared.iter().zip(results);
        self.contain(|worker| {
            for ((send, _, range), result) in ended.by_ref() {
                worker.at_hand.set(send.subscriber.connection);
                let Some(one) = gathered.get(send.index) else { continue };
                let Some(connection) = worker.connections.get_mut(send.subscriber.connection as usize) else {
                    continue;
                };
                let result = match result {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                    result => result,
                };
                // Sealed is as good as sent: nobody can seal it again.
                let result = result.map(|sent| {
                    connection.socket.keep_unsent(bytes(range).get(sent..).unwrap_or_default());
                    connection.count_down(one.bytes.len());
                    one.bytes.len()
                });
                worker.sent(send.subscriber, one, result, now);
            }
        });
        arena.clear();
        arena.shrink_to(SEALED_BYTES_KEPT);
        self.sealed = arena;
    }

    /// A send has ended.
    fn sent(&mut self, subscriber: Subscriber, gathered: &Gathered, result: io::Result<usize>, now: Instant) {
        let Some(connection) = self.connections.get_mut(subscriber.connection as usize) else { return };
        match result {
            Ok(written) if written == gathered.bytes.len() => {
                let has_sealed = connection.socket.has_unsent();
                connection.reader.skip_to(subscriber.subscription, gathered.until);
                gathered.served.set(gathered.served.get() + 1);
                if gathered.has_more {
                    connection.reader.note(subscriber.subscription);
                    self.mark_dirty(subscriber.connection);
                }
                if has_sealed {
                    // What TLS has sealed and the kernel has not taken makes the connection wait, as what is cut does.
                    self.call(subscriber.connection, now, |_, _| crate::Turn::Wait);
                }
            }
            Ok(written) => self.send_rest(subscriber, gathered, written, now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.send_rest(subscriber, gathered, 0, now);
            }
            Err(_) => self.remove(subscriber.connection),
        }
    }

    /// The socket took a part: pin the frame that was cut, leave the rest to the log.
    fn send_rest(&mut self, subscriber: Subscriber, gathered: &Gathered, written: usize, now: Instant) {
        self.call(subscriber.connection, now, |connection, out: &mut Outbox| {
            for message in &gathered.messages {
                out.push_message(message, gathered.form, subscriber.subscription);
            }
            connection.reader.push_to(subscriber.subscription, gathered.until);
            if gathered.has_more {
                connection.reader.note(subscriber.subscription);
            }
            out.advance(written, &mut connection.reader);
            crate::Turn::Wait
        });
    }
}

fn gather(channel: &crate::channel::Channel, form: Form, framing: Framing, after: Position) -> Gathered {
    let mut messages = Vec::new();
    let most = ReadMost { messages: MESSAGES_MAX, bytes: BYTES_MAX };
    let in_step = channel.read_in_step(after, most, &mut messages);
    Gathered {
        form,
        framing,
        after,
        until: messages.last().map_or(after, |message| message.position()),
        bytes: joined(&messages, form, framing),
        has_more: in_step == Some(true),
        needs_reader: in_step.is_none() || messages.is_empty(),
        served: Cell::new(0),
        messages,
    }
}

/// One buffer for all subscribers in step: joining costs one copy a step, a vector of slices would cost each of their writes.
fn joined(messages: &[Arc<Message>], form: Form, framing: Framing) -> Bytes {
    if let [only] = messages {
        return framing.apply(&only.frame(form));
    }
    let frames = messages.iter().map(|message| framing.apply(&message.frame(form)));
    let mut bytes = BytesMut::new();
    frames.for_each(|frame| bytes.extend_from_slice(&frame));
    bytes.freeze()
}
