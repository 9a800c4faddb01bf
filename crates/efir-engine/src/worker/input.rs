//! What comes from the clients: readiness, bytes, ends.

use std::{io, task::Poll, time::Instant};

use bytes::BytesMut;

use super::{
    READ_BYTES, Worker,
    connection::{INPUT_BYTES_MAX, Phase},
};
use crate::exchange::Turn;

/// Reads from one connection before the others get their turn.
const READS_MAX: usize = 2;
/// Calls of its exchange before the others get their turn.
const ROUNDS_MAX: usize = 2;

enum Heard {
    /// Bytes were read.
    Bytes,
    Nothing,
    /// The client is gone.
    End,
}

impl Worker {
    /// A connection's bell rang: write what waits, read what came.
    pub(super) fn serve(&mut self, key: u32, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        connection.rearm();
        if connection.stalled_since.is_some()
            && connection.phase != Phase::Lingering
            && connection.is_writable()
        {
            self.resume(key, now);
        }
        if let Some(connection) = self.connections.get_mut(key as usize)
            && std::mem::take(&mut connection.has_ahead)
        {
            self.receive(key, now);
        }
        for _ in 0..READS_MAX {
            let Some(connection) = self.connections.get_mut(key as usize) else { return };
            if connection.has_ahead {
                return;
            }
            if !connection.listens() {
                // Whatever follows this response looks again: the bell has rung for what is there.
                connection.has_ahead = matches!(connection.phase, Phase::Ending(_));
                return;
            }
            match self.hear(key) {
                Heard::Bytes => self.receive(key, now),
                Heard::Nothing => return,
                Heard::End => return self.hear_end(key),
            }
        }
        // There may be more, for which the bell has rung already.
        if let Some(connection) = self.connections.get(key as usize)
            && connection.is_readable()
        {
            self.intake.ring(key);
        }
    }

    /// The client sends nothing more. It may still read what it asked for; a response that goes on has lost its reader.
    fn hear_end(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let is_owed = match connection.phase {
            Phase::Ending(_) => true,
            Phase::Open => {
                let waits = connection.pending.is_some() || connection.socket.has_unsent();
                waits && connection.exchange.is_whole()
            }
            Phase::Lingering => false,
        };
        if is_owed {
            connection.has_ended = true;
        } else {
            connection.socket.say_goodbye();
            self.remove(key);
        }
    }

    /// The socket takes bytes again.
    fn resume(&mut self, key: u32, now: Instant) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        connection.end_stall();
        self.call(key, now, |connection, out| {
            // What was kept goes first; the messages of the log follow in the same write if they fit.
            connection.exchange.ready(&mut connection.reader, out)
        });
        let Some(connection) = self.connections.get(key as usize) else { return };
        if connection.stalled_since.is_none()
            && !connection.input.is_empty()
            && connection.phase == Phase::Open
        {
            self.receive(key, now);
        }
    }

    /// Reads once into the shared buffer and puts the bytes behind what the exchange has not consumed.
    fn hear(&mut self, key: u32) -> Heard {
        let Some(connection) = self.connections.get_mut(key as usize) else { return Heard::Nothing };
        self.read_buffer.reserve(READ_BYTES);
        match connection.read(&mut self.read_buffer) {
            Poll::Ready(Ok(0)) => Heard::End,
            Poll::Ready(Ok(_)) => {
                let heard = self.read_buffer.split();
                match connection.phase {
                    Phase::Open if connection.input.is_empty() => connection.input = heard,
                    Phase::Open => connection.input.extend_from_slice(&heard),
                    Phase::Ending(_) | Phase::Lingering => {}
                }
                Heard::Bytes
            }
            Poll::Pending => Heard::Nothing,
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Heard::Bytes,
            Poll::Ready(Err(_)) => Heard::End,
        }
    }

    /// Lets the exchange consume its input, again while it does: it stops early where too much waits to be written, which the write
    /// after each call may have mended. What is left after some rounds waits until others had their turn.
    pub(super) fn receive(&mut self, key: u32, now: Instant) {
        for _ in 0..ROUNDS_MAX {
            let Some(before) = self.connections.get(key as usize).map(|connection| connection.input.len())
            else {
                return;
            };
            self.receive_once(key, now);
            let Some(connection) = self.connections.get(key as usize) else { return };
            let left = connection.input.len();
            let is_free = connection.phase == Phase::Open && connection.stalled_since.is_none();
            if left == 0 || left >= before || !is_free {
                return;
            }
        }
        if let Some(connection) = self.connections.get_mut(key as usize) {
            connection.has_ahead = true;
            self.intake.ring(key);
        }
    }

    /// What the exchange leaves is copied out of the shared buffer.
    fn receive_once(&mut self, key: u32, now: Instant) {
        self.call(key, now, |connection, out| {
            let mut input = std::mem::take(&mut connection.input);
            let before = input.len();
            let turn = connection.exchange.receive(&mut input, &mut connection.reader, out);
            if let Some(tally) = &connection.tally {
                tally.add_up(before.saturating_sub(input.len()) as u64);
            }
            if !input.is_empty() {
                connection.input = BytesMut::from(&input[..]);
            }
            connection.is_deaf =
                connection.input.len() > INPUT_BYTES_MAX && turn == Turn::Wait && out.is_empty();
            turn
        });
        if self.book_begun(key) {
            self.shed(now);
            if self.hub.overload().has_excess() {
                // The largest are other workers'.
                self.hub.shed_elsewhere();
            }
        }
    }
}
