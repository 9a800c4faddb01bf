//! One connection in a worker's slab: a socket, its response, and at rest nothing else.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::BytesMut;
use efir_core::wire::Form;

use super::{
    intake::{Adoption, Bell},
    patience::Asked,
};
use crate::{
    counters::{Counters, Transport},
    exchange::{Exchange, Response, Turn},
    guest::Guest,
    outbox::{Framing, Outbox},
    reader::Reader,
    socket::Socket,
    tally::Tally,
};

/// Slices of one vectored write; `IOV_MAX` is 1,024.
const SLICES_MAX: usize = 512;
/// As many as almost every write has: clearing room for the rest would cost as much as a third of the answer.
const SLICES_FEW: usize = 8;
/// Unconsumed input beyond which nothing more is read from the client.
pub(super) const INPUT_BYTES_MAX: usize = 64 * 1024;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The response goes on.
    Open,
    /// The response is complete; this follows once the outbox is written.
    Ending(Turn),
    /// Everything is written and the write side shut; what the client still sends is read and dropped, so that its kernel does not
    /// answer our last bytes with a reset.
    Lingering,
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    Blocked,
    Failed,
}

/// A connection and its response. Fields are changed by the worker only; everything is freed when it leaves the slab.
pub(super) struct Connection {
    pub(super) guest: Option<Arc<Guest>>,
    pub(super) socket: Socket,
    pub(super) exchange: Box<dyn Exchange>,
    pub(super) reader: Reader,
    /// What a full socket did not take: control objects and the rest of one cut frame. None almost always.
    pub(super) pending: Option<Box<Outbox>>,
    /// What the exchange has not consumed. Unallocated at rest.
    pub(super) input: BytesMut,
    /// Of a message that the client has begun and not ended, as far as that is booked.
    pub(super) begun_bytes: u32,
    bell: Arc<Bell>,
    pub(super) tally: Option<Arc<Tally>>,
    /// Since when `pending` made no progress.
    pub(super) stalled_since: Option<Instant>,
    /// What the kernel said when it was last asked what the client takes. Nobody is asked about who reads and speaks.
    pub(super) asked: Option<Box<Asked>>,
    /// The earliest entry in the worker's timers.
    pub(super) timer: Option<Instant>,
    pub(super) form: Form,
    pub(super) framing: Framing,
    pub(super) phase: Phase,
    /// The walk may write shared frames without asking the exchange.
    pub(super) is_plain: bool,
    /// Stands in the worker's list of connections to flush.
    pub(super) is_dirty: bool,
    /// The client sent more than the exchange wants; the socket is not read for now.
    pub(super) is_deaf: bool,
    /// The client sent its end and is still owed an answer.
    pub(super) has_ended: bool,
    /// There is input, here or in the socket, that was left for later and for which no bell will ring.
    pub(super) has_ahead: bool,
}

impl Connection {
    pub(super) fn new(adoption: Adoption, bell: Arc<Bell>) -> Self {
        let Adoption { guest, socket, input, response } = adoption;
        let Response { framing, exchange, reader, tally, .. } = response;
        Self {
            guest,
            form: exchange.form(),
            is_plain: exchange.is_plain_stream(),
            socket,
            exchange,
            reader,
            pending: None,
            input,
            begun_bytes: 0,
            bell,
            tally,
            stalled_since: None,
            asked: None,
            timer: None,
            framing,
            phase: Phase::Open,
            is_dirty: false,
            is_deaf: false,
            has_ended: false,
            has_ahead: false,
        }
    }

    /// Goes on with another response, when everything of that before is written; returns what that one read.
    pub(super) fn succeed(&mut self, response: Response) -> Reader {
        let Response { framing, exchange, reader, tally, .. } = response;
        (self.form, self.is_plain) = (exchange.form(), exchange.is_plain_stream());
        (self.exchange, self.framing, self.tally) = (exchange, framing, tally);
        (self.phase, self.is_deaf) = (Phase::Open, false);
        std::mem::replace(&mut self.reader, reader)
    }

    /// By what it delivers now; `None` while it only reads the next request.
    pub(super) fn transport(&self) -> Option<Transport> {
        Transport::of(self.form, self.exchange.is_whole())
    }

    /// It is behind because its socket takes no more.
    fn stall(&mut self, now: Instant) {
        if self.stalled_since.is_none() {
            self.stalled_since = Some(now);
            self.counters().stall();
        }
    }

    /// Its socket takes bytes again, or it is given up.
    pub(super) fn end_stall(&mut self) {
        if self.stalled_since.take().is_some() && self.phase != Phase::Lingering {
            self.counters().end_stall();
        }
    }

    fn counters(&self) -> &Counters {
        self.reader.hub().counters()
    }

    pub(super) fn rearm(&self) {
        self.bell.rearm();
    }

    fn with_bell<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let waker = Waker::from(Arc::clone(&self.bell));
        poll(&mut Context::from_waker(&waker))
    }

    /// Whether the client is heard now. While a response ends that another one follows, what comes is for that one; and whoever does
    /// not read what we answer is not heard further.
    pub(super) fn listens(&self) -> bool {
        let is_free = match self.phase {
            Phase::Open => self.stalled_since.is_none() || self.input.is_empty(),
            Phase::Ending(turn) => turn == Turn::Close,
            Phase::Lingering => true,
        };
        is_free && !self.is_deaf && !self.has_ended
    }

    /// Whether there is something to read; if not, the bell rings when there is.
    pub(super) fn is_readable(&self) -> bool {
        self.with_bell(|cx| self.socket.poll_readable(cx)).is_ready()
    }

    /// Reads what is there; `Pending` when there is nothing, and the bell rings when there is.
    pub(super) fn read(&mut self, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let waker = Waker::from(Arc::clone(&self.bell));
        self.socket.poll_read(&mut Context::from_waker(&waker), buffer)
    }

    /// Whether the socket takes bytes again; if not, the bell rings when it does.
    pub(super) fn is_writable(&self) -> bool {
        matches!(self.with_bell(|cx| self.socket.poll_writable(cx)), Poll::Ready(_))
    }

    /// One write of shared slices; the bytes taken.
    pub(super) fn write_shared(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.socket.try_write(slices)?;
        self.count_down(written);
        Ok(written)
    }

    /// So many bytes went to the client.
    pub(super) fn count_down(&self, written: usize) {
        if let Some(tally) = &self.tally {
            tally.add_down(written as u64);
        }
    }

    fn write_once(&mut self, out: &Outbox) -> io::Result<usize> {
        fn write<const SLICES: usize>(connection: &mut Connection, out: &Outbox) -> io::Result<usize> {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = out.slices(&mut slices);
            connection.write_shared(slices.get(..filled).unwrap_or_default())
        }
        if out.pieces() <= SLICES_FEW {
            write::<SLICES_FEW>(self, out)
        } else {
            write::<SLICES_MAX>(self, out)
        }
    }

    /// Writes the outbox as far as the socket takes it. What remains after `Blocked` is what must be kept.
    pub(super) fn write(&mut self, out: &mut Outbox, now: Instant) -> Written {
        while !out.is_empty() || self.socket.has_unsent() {
            match self.write_once(out) {
                Ok(written) => {
                    out.advance(written, &mut self.reader);
                    if self.stalled_since.is_some() {
                        self.stalled_since = Some(now);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    out.retreat(&mut self.reader);
                    if self.is_writable() {
                        // It became writable just now, and the bell will not ring for that.
                        if out.is_empty() && !self.socket.has_unsent() {
                            return Written::All;
                        }
                        continue;
                    }
                    self.stall(now);
                    return Written::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Failed,
            }
        }
        self.reader.settle();
        self.end_stall();
        Written::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle connections pay for each of these bytes.
    #[test]
    fn a_connection_at_rest_is_small() {
        let bytes = std::mem::size_of::<Connection>();
        assert!(bytes <= 384, "{bytes} bytes");
    }
}
