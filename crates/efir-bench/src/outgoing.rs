//! One connection that publishes: its socket, its seat, and what is on its way. `publisher.rs` decides what it sends.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use crate::connection::sent_now;
use crate::dialect::{Heard, Publish, Seat};

/// One connection that publishes.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) socket: TcpStream,
    pub(crate) seat: Seat,
    pub(crate) is_open: bool,
    pub(crate) unanswered: u64,
    pub(crate) cut: Vec<u8>,
    pub(crate) unsent: Vec<u8>,
    /// Of its lanes, the one whose turn it is.
    pub(crate) lane: u32,
}

impl Outgoing {
    pub(crate) fn flush(&mut self) -> Result<u64> {
        let sent =
            sent_now(&self.socket, &self.unsent).context("the server ended a publisher's connection")?;
        self.unsent.drain(..sent);
        Ok(sent as u64)
    }

    pub(crate) fn receive(
        &mut self,
        dialect: &dyn Publish,
        buffer: &mut [u8],
        heard: &mut Heard,
    ) -> Result<usize> {
        let len = match (&self.socket).read(buffer) {
            Ok(0) => bail!("the server ended a publisher's connection"),
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(0);
            }
            Err(error) => return Err(error).context("the server ended a publisher's connection"),
        };
        self.cut.extend_from_slice(&buffer[..len]);
        let done = dialect.receive(&mut self.seat, &self.cut, heard).context("publishing")?;
        self.cut.drain(..done);
        self.unsent.extend_from_slice(&heard.reply);
        self.unanswered = self.unanswered.saturating_sub(heard.answers);
        self.is_open |= heard.is_joined;
        Ok(len)
    }
}
