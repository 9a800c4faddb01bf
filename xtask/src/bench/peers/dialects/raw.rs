//! The floor (`../floor.rs`): bytes on a socket. One letter says who one is.

use anyhow::Result;
use efir_bench::{Heard, Message, Publish, Seat, Subscribe};

/// What each side sends first.
pub(crate) const SUBSCRIBER: u8 = b'S';
pub(crate) const PUBLISHER: u8 = b'P';
/// The answer to both.
pub(crate) const JOINED: u8 = b'J';

fn receive(seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> usize {
    if seat.stage == 0 && bytes.first() == Some(&JOINED) {
        seat.stage = 1;
        heard.is_joined = true;
        return 1 + heard.search(&bytes[1..]);
    }
    heard.search(bytes)
}

/// Reads.
#[derive(Debug)]
pub(crate) struct Subscriber;

impl Subscribe for Subscriber {
    fn name(&self) -> &str {
        "raw"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        out.push(SUBSCRIBER);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        Ok(receive(seat, bytes, heard))
    }
}

/// Sends payloads, one behind the other.
#[derive(Debug)]
pub(crate) struct Publisher;

impl Publish for Publisher {
    fn name(&self) -> &str {
        "raw"
    }

    fn open(&self, _: &mut Seat, out: &mut Vec<u8>) {
        out.push(PUBLISHER);
    }

    fn publish(&self, _: &mut Seat, message: Message<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(message.payload);
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        Ok(receive(seat, bytes, heard))
    }

    fn is_answered(&self) -> bool {
        false
    }
}
