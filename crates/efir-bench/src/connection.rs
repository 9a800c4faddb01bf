//! One subscriber's connection: its socket, its seat, what it has seen, and what is cut.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::dialect::{Heard, Seat, Subscribe};
use crate::sequence::{Faults, Sequence};

/// An open connection. It holds no buffer while nothing is cut.
#[derive(Debug)]
pub struct Connection {
    /// Not blocking.
    pub socket: TcpStream,
    /// What it is and remembers.
    pub seat: Seat,
    dialect: Arc<dyn Subscribe>,
    /// One a lane.
    sequences: Box<[Sequence]>,
    /// The server has taken the connection, and the opening is sent.
    pub(crate) is_open: bool,
    /// The server knows this subscriber.
    pub(crate) is_joined: bool,
    /// What has come but is cut: part of a head, frame or mark.
    cut: Vec<u8>,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: usize,
    pub(crate) sent: usize,
    pub(crate) has_joined: bool,
}

impl Connection {
    /// On a socket that is connected or connecting. `first` is the number of the first message that is owed.
    ///
    /// # Errors
    /// When the socket cannot be used without blocking.
    pub fn new(socket: TcpStream, dialect: Arc<dyn Subscribe>, seat: Seat, first: u64) -> Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let sequences = (0..seat.lanes_len()).map(|_| Sequence::starting_at(first)).collect();
        let (cut, unsent) = (Vec::new(), Vec::new());
        Ok(Self { socket, seat, dialect, sequences, is_open: false, is_joined: false, cut, unsent })
    }

    /// How it speaks.
    #[must_use]
    pub fn dialect(&self) -> &dyn Subscribe {
        &*self.dialect
    }

    /// Sends the opening, once the socket is connected; returns how many bytes that was.
    ///
    /// # Errors
    /// When the socket could not be connected.
    pub(crate) fn open(&mut self) -> Result<usize> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error.into());
        }
        self.is_open = true;
        let mut opening = Vec::new();
        self.dialect.open(&mut self.seat, &mut opening);
        self.send(&opening)?;
        self.is_joined = self.dialect.joins_at_once(&self.seat);
        Ok(opening.len())
    }

    /// Reads once and tells `heard`, which is cleared before.
    ///
    /// # Errors
    /// When the connection has ended, or what came is not what the dialect expects.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], heard: &mut Heard) -> Result<Received> {
        heard.clear();
        let bytes = match (&self.socket).read(buffer) {
            Ok(0) => bail!("the server ended a connection ({})", self.dialect.name()),
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Received::default());
            }
            Err(error) => return Err(error.into()),
        };
        let came = &buffer[..bytes];
        if self.cut.is_empty() {
            let done = self.dialect.receive(&mut self.seat, came, heard)?;
            self.cut.extend_from_slice(&came[done..]);
        } else {
            let mut joined = std::mem::take(&mut self.cut);
            joined.extend_from_slice(came);
            let done = self.dialect.receive(&mut self.seat, &joined, heard)?;
            joined.drain(..done);
            // An empty buffer is let go: ten thousand connections are mostly idle.
            self.cut = if joined.is_empty() { Vec::new() } else { joined };
        }
        for mark in &heard.found {
            let place = self.seat.place(mark.lane).and_then(|place| self.sequences.get_mut(place as usize));
            let Some(sequence) = place else { bail!("a message of somebody else's channel came") };
            sequence.receive(mark.number);
        }
        let has_joined = heard.is_joined && !self.is_joined;
        self.is_joined |= heard.is_joined;
        Ok(Received { bytes, sent: self.reply(heard)?, has_joined })
    }

    /// Does what was asked for a while ago; returns how many bytes were sent.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) fn wake(&mut self, heard: &mut Heard) -> Result<usize> {
        heard.clear();
        self.dialect.wake(&mut self.seat, heard);
        self.reply(heard)
    }

    fn reply(&mut self, heard: &Heard) -> Result<usize> {
        if !heard.reply.is_empty() {
            self.send(&heard.reply)?;
        }
        Ok(heard.reply.len())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if self.is_waiting_to_send() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = sent_now(&self.socket, bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// The socket has not taken everything; it is to be watched for room.
    pub(crate) fn is_waiting_to_send(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// There is room again.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let sent = sent_now(&self.socket, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
        Ok(())
    }

    /// The number that is expected next, of the lane that has the least.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.sequences.iter().map(Sequence::next).min().unwrap_or(0)
    }

    /// Whether it has everything below what `ends` says of each lane.
    pub(crate) fn has_all(&self, ends: &[u64]) -> bool {
        self.owed(ends).all(|(sequence, end)| sequence.next() >= end)
    }

    /// How many messages there are for it below `ends`.
    pub(crate) fn owed_count(&self, ends: &[u64]) -> u64 {
        self.owed(ends).map(|(_, end)| end.saturating_sub(1)).sum()
    }

    /// What went wrong if every number below `ends` (one a lane of the run) was published.
    #[must_use]
    pub fn faults(&self, ends: &[u64]) -> Faults {
        let mut sum = Faults::default();
        self.owed(ends).for_each(|(sequence, end)| sum += sequence.faults(end));
        sum
    }

    fn owed(&self, ends: &[u64]) -> impl Iterator<Item = (&Sequence, u64)> {
        self.sequences.iter().enumerate().map(|(place, sequence)| {
            let lane = self.seat.lane(place as u32) as usize;
            (sequence, ends.get(lane).copied().unwrap_or(0))
        })
    }
}

/// Writes what the socket takes without blocking.
pub(crate) fn sent_now(mut socket: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
