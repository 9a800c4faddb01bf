//! TLS on a TCP connection, with rustls' unbuffered interface: records are sealed and opened in buffers of the thread, so that a
//! connection at rest keeps its keys and nothing else.
//!
//! What a connection does keep for a while is bounded: a record that has not come whole, what one read has opened and nobody has taken,
//! and what one write has sealed and the kernel has not taken. Certificates and protocols are not known here; they are in the
//! [`rustls::ServerConfig`] that comes in.

mod handshake;

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::{
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

pub use self::handshake::HandshakeError;

/// Plaintext that one write seals: one record (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Plaintext of one record that somebody else sends, with those of other connections.
pub(super) const SEALED_APART_MAX: usize = 4 * 1024;
/// What a record may be larger than its plaintext (RFC 5246 §6.2.3 has most), and a key update before it.
const OVERHEAD_BYTES_MAX: usize = 2048 + 256;
/// Read at once.
const READ_BYTES: usize = 32 * 1024;
/// Bytes of records that are not whole. A record has at most 16 KiB and 2,053 bytes; messages of a handshake may span some.
const HELD_BYTES_MAX: usize = 64 * 1024;
/// Answers to the peer's own messages (key updates, alerts) that wait to be sent.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// A `close_notify`, sealed.
const GOODBYE_BYTES_MAX: usize = 256;
/// Reads that open nothing before others get their turn.
const EMPTY_READS_MAX: usize = 8;

thread_local! {
    /// What was just read, or is about to be sent. Every connection of a thread has it for a moment.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

#[derive(Default)]
struct Buffers {
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// A server's side of a TLS connection, after its handshake.
pub struct TlsSocket {
    stream: TcpStream,
    session: UnbufferedServerConnection,
    /// The beginning of a record whose rest has not come. Unallocated at rest.
    held: Vec<u8>,
    /// Plaintext that a reader with less room left. Unallocated at rest.
    opened: BytesMut,
    /// Sealed, and not taken by the kernel. Unallocated at rest.
    unsent: BytesMut,
    /// The peer has said that nothing more comes.
    has_ended: bool,
    /// We have said so.
    is_closed: bool,
    /// The session failed; it must not be asked anything further.
    is_broken: bool,
}

impl std::fmt::Debug for TlsSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSocket").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// What records came to.
#[derive(Debug, Default)]
struct Taken {
    /// Bytes from the front that are done with.
    used: usize,
    /// The handshake is over.
    is_open: bool,
}

impl TlsSocket {
    /// The protocol that was agreed on (RFC 7301).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn has_opened(&self) -> bool {
        !self.opened.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.capacity() + self.opened.capacity() + self.unsent.capacity()
    }

    /// Opens what has come, behind what stands in `buffer`; its length, 0 at the peer's end.
    pub(super) fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_fill(cx))?;
        let count = self.opened.len();
        buffer.extend_from_slice(&self.opened);
        self.opened = BytesMut::new();
        Poll::Ready(Ok(count))
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        let count = self.opened.len().min(into.remaining());
        into.put_slice(&self.opened.split_to(count));
        if self.opened.is_empty() {
            self.opened = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads until something is opened, or the peer has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        for _ in 0..EMPTY_READS_MAX {
            if !self.opened.is_empty() || self.has_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_records(cx))?;
        }
        if !self.opened.is_empty() || self.has_ended {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and takes in what came.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        BUFFERS.with_borrow_mut(|buffers| {
            let before = self.held.len();
            let room = before + READ_BYTES;
            if buffers.sealed.len() < room {
                buffers.sealed.resize(room, 0);
            }
            let Some(space) = buffers.sealed.get_mut(..room) else { return Poll::Pending };
            if let Some(front) = space.get_mut(..before) {
                front.copy_from_slice(&self.held);
            }
            let mut into = ReadBuf::new(space);
            into.set_filled(before);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
            let records = into.filled_mut();
            if records.len() == before {
                // What was cut off is not a record.
                (self.held, self.has_ended) = (Vec::new(), true);
                return Poll::Ready(Ok(()));
            }
            let taken = self.take_in(records);
            if !self.unsent.is_empty() {
                // An alert or a key update; if it does not fit now, the next write sends it.
                let _ = self.send_unsent();
            }
            let taken = taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let rest = records.get(taken.used..).unwrap_or_default();
            if rest.len() > HELD_BYTES_MAX || self.unsent.len() > UNSENT_BYTES_MAX {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            self.held = rest.to_vec();
            Poll::Ready(Ok(()))
        })
    }

    /// Opens whole records into `opened`; what they ask for goes to `unsent`. After an error `unsent` has the alert that tells it.
    fn take_in(&mut self, records: &mut [u8]) -> Result<Taken, rustls::Error> {
        let mut taken = Taken::default();
        loop {
            let rest = records.get_mut(taken.used..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(rest);
            taken.used += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        taken.used += record.discard;
                        self.opened.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.unsent),
                // It is sent from `unsent`, before anything that comes later.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.has_ended = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    taken.is_open = true;
                    break;
                }
                Ok(ConnectionState::Closed) => {
                    (self.has_ended, taken.is_open) = (true, true);
                    break;
                }
                Ok(_) => break,
                Err(error) => {
                    self.fail();
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    /// Takes the alert that tells the peer why out of the failed session, which is never asked again: it would panic where the same
    /// records fail a second time.
    fn fail(&mut self) {
        (self.is_broken, self.is_closed) = (true, true);
        while self.session.wants_write() {
            match self.session.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.unsent),
                _ => return,
            }
        }
    }

    /// Seals and sends as much as one record takes, when everything before it is sent.
    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_unsent()?;
        if slices.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        BUFFERS.with_borrow_mut(|Buffers { plain, sealed }| {
            let first = slices.first().map_or(&[][..], |slice| slice);
            let text = if slices.len() == 1 || first.len() >= RECORD_BYTES_MAX {
                first.get(..RECORD_BYTES_MAX).unwrap_or(first)
            } else {
                gather(plain, slices);
                plain
            };
            let room = RECORD_BYTES_MAX + OVERHEAD_BYTES_MAX;
            if sealed.len() < room {
                sealed.resize(room, 0);
            }
            let length = self.seal(text, sealed)?;
            let bytes = sealed.get(..length).unwrap_or_default();
            // What sealing put there goes first.
            let sent = if self.unsent.is_empty() { self.send(bytes)? } else { 0 };
            if let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
                self.unsent.extend_from_slice(rest);
            }
            Ok(text.len())
        })
    }

    /// Seals `text`, of one record at most, behind `arena`, for whoever sends it at once; what is not sent comes back by
    /// [`TlsSocket::keep_unsent`]. Nothing may be unsent before.
    pub(super) fn seal_behind(&mut self, text: &[u8], arena: &mut Vec<u8>) -> io::Result<()> {
        let before = arena.len();
        arena.resize(before + text.len() + OVERHEAD_BYTES_MAX, 0);
        let sealing = self.seal(text, arena.get_mut(before..).unwrap_or_default());
        arena.truncate(before + *sealing.as_ref().unwrap_or(&0));
        sealing.map(drop)
    }

    /// What the kernel did not take of a sealed record.
    pub(super) fn keep_unsent(&mut self, rest: &[u8]) {
        self.unsent.extend_from_slice(rest);
    }

    /// Seals `text` into `sealed`; the length.
    fn seal(&mut self, text: &[u8], sealed: &mut [u8]) -> io::Result<usize> {
        if self.is_broken || self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        loop {
            // A message of the peer's that has not come whole stands in `held`, where the session looks for it.
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(&mut self.held);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.fail();
                    return Err(io::Error::other(error));
                }
            };
            match state {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let sealing = traffic.encrypt(text, sealed).map_err(io::Error::other);
                    self.held.drain(..discard.min(self.held.len()));
                    return sealing;
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, &mut self.unsent),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.has_ended = true,
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            self.held.drain(..discard.min(self.held.len()));
        }
    }

    /// Sends what the kernel takes; 0 where that is nothing.
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }

    fn send_unsent(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let sent = self.stream.try_write(&self.unsent)?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unsent.advance(sent);
            if self.unsent.is_empty() {
                self.unsent = BytesMut::new();
            }
        }
        Ok(())
    }

    /// Says once that nothing more will be written, as far as that can be said without waiting.
    pub(super) fn close(&mut self) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.held);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let mut goodbye = [0; GOODBYE_BYTES_MAX];
            let length = traffic.queue_close_notify(&mut goodbye).unwrap_or(0);
            self.unsent.extend_from_slice(goodbye.get(..length).unwrap_or_default());
            // A peer that takes nothing now is told by the connection's end.
            let _ = self.send_unsent();
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.send_unsent() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                sent => return Poll::Ready(sent),
            }
        }
    }
}

/// Copies the beginning of `slices` into `plain`, one record full.
fn gather(plain: &mut Vec<u8>, slices: &[IoSlice<'_>]) {
    plain.clear();
    for slice in slices {
        let room = RECORD_BYTES_MAX - plain.len();
        match slice.get(..room) {
            Some(part) => return plain.extend_from_slice(part),
            None => plain.extend_from_slice(slice),
        }
    }
}

/// Puts a record of the session's own behind `buffer`.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, buffer: &mut BytesMut) {
    let before = buffer.len();
    let mut room = 0;
    // Once to learn the size, once to write.
    for _ in 0..2 {
        buffer.resize(before + room, 0);
        match data.encode(buffer.get_mut(before..).unwrap_or_default()) {
            Ok(length) => return buffer.truncate(before + length),
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(EncodeError::AlreadyEncoded) => break,
        }
    }
    buffer.truncate(before);
}
