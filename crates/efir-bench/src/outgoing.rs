//! One connection that publishes: its socket, its seat, and what is on its way. `publisher.rs` decides what it sends.

use anyhow::{Context, Result, bail};

use crate::dialect::{Heard, Publish, Seat};
use crate::line::{Came, Line};

/// One connection that publishes.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) line: Line,
    pub(crate) seat: Seat,
    /// Messages may be sent.
    pub(crate) is_open: bool,
    /// The server does not have to say that messages may be sent.
    pub(crate) opens_by_itself: bool,
    pub(crate) unanswered: u64,
    pub(crate) cut: Vec<u8>,
    pub(crate) unsent: Vec<u8>,
    /// Of its lanes, the one whose turn it is.
    pub(crate) lane: u32,
}

const ENDED: &str = "the server ended a publisher's connection";

impl Outgoing {
    /// Gives the socket the next bytes, once it has taken those before.
    pub(crate) fn flush(&mut self) -> Result<u64> {
        let mut sent = self.line.flush().context(ENDED)?;
        if !self.line.is_waiting_to_send() {
            sent += self.line.send(&self.unsent).context(ENDED)?;
            self.unsent.clear();
        }
        Ok(sent as u64)
    }

    /// Whether nothing is left to be sent.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.unsent.is_empty() && !self.line.is_waiting_to_send()
    }

    pub(crate) fn receive(
        &mut self,
        dialect: &dyn Publish,
        buffer: &mut [u8],
        heard: &mut Heard,
    ) -> Result<usize> {
        let (len, content) = match self.line.receive(buffer).context(ENDED)? {
            Came::End => bail!(ENDED),
            Came::Bytes(wire, content) => (wire, content),
            Came::Nothing => return Ok(0),
        };
        self.cut.extend_from_slice(&buffer[..content]);
        let done = dialect.receive(&mut self.seat, &self.cut, heard).context("publishing")?;
        self.cut.drain(..done);
        self.unsent.extend_from_slice(&heard.reply);
        self.unanswered = self.unanswered.saturating_sub(heard.answers);
        self.is_open |= heard.is_joined || (self.opens_by_itself && self.line.is_agreed());
        Ok(len)
    }
}
