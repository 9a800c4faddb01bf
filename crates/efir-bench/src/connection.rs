//! One subscriber's connection: its socket, its seat, what it has seen, and what is cut.

use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::dialect::{Heard, Seat, Subscribe};
use crate::encryption::Encryption;
use crate::line::{Came, Line};
use crate::sequence::{Faults, Sequence};

/// An open connection. It holds no buffer while nothing is cut.
#[derive(Debug)]
pub struct Connection {
    line: Line,
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
}

/// What one read brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: usize,
    pub(crate) sent: usize,
    pub(crate) has_joined: bool,
}

impl Connection {
    /// In cleartext on a socket that is connected or connecting. `first` is the number of the first message that is owed.
    ///
    /// # Errors
    /// When the socket cannot be used without blocking.
    pub fn new(socket: TcpStream, dialect: Arc<dyn Subscribe>, seat: Seat, first: u64) -> Result<Self> {
        Self::on(Line::new(socket, None)?, dialect, seat, first)
    }

    /// The same, encrypted where that is wanted.
    ///
    /// # Errors
    /// As [`Connection::new`].
    pub(crate) fn encrypted(
        (socket, encryption): (TcpStream, Option<&Encryption>),
        dialect: Arc<dyn Subscribe>,
        seat: Seat,
        first: u64,
    ) -> Result<Self> {
        Self::on(Line::new(socket, encryption)?, dialect, seat, first)
    }

    fn on(line: Line, dialect: Arc<dyn Subscribe>, seat: Seat, first: u64) -> Result<Self> {
        let sequences = (0..seat.lanes_len()).map(|_| Sequence::starting_at(first)).collect();
        Ok(Self { line, seat, dialect, sequences, is_open: false, is_joined: false, cut: Vec::new() })
    }

    /// Not blocking.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.line.socket
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
        if let Some(error) = self.line.socket.take_error()? {
            return Err(error.into());
        }
        self.is_open = true;
        let mut opening = Vec::new();
        self.dialect.open(&mut self.seat, &mut opening);
        let sent = self.line.send(&opening)?;
        self.is_joined = self.dialect.joins_at_once(&self.seat);
        Ok(sent)
    }

    /// Reads once and tells `heard`, which is cleared before.
    ///
    /// # Errors
    /// When the connection has ended, or what came is not what the dialect expects.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], heard: &mut Heard) -> Result<Received> {
        heard.clear();
        let (bytes, content) = match self.line.receive(buffer)? {
            Came::End => bail!("the server ended a connection ({})", self.dialect.name()),
            Came::Bytes(wire, content) => (wire, content),
            Came::Nothing => return Ok(Received::default()),
        };
        let came = &buffer[..content];
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
        if heard.reply.is_empty() { Ok(0) } else { Ok(self.line.send(&heard.reply)?) }
    }

    /// The socket has not taken everything; it is to be watched for room.
    pub(crate) fn is_waiting_to_send(&self) -> bool {
        self.line.is_waiting_to_send()
    }

    /// There is room again; returns how many bytes it took.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) fn flush(&mut self) -> Result<usize> {
        Ok(self.line.flush()?)
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
