//! A socket that never waits, encrypted or not: what comes, and what it has not taken yet. It knows nothing of what is said.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::Result;
use rustls::ClientConnection;

use crate::encryption::{self, Encryption};

/// See the module. It holds no buffer while nothing waits.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) socket: TcpStream,
    session: Option<Box<ClientConnection>>,
    /// In cleartext, what the socket has not taken yet; a session keeps its own.
    unsent: Vec<u8>,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Nothing,
    End,
    /// Bytes of the wire, and bytes of content, with which the buffer begins.
    Bytes(usize, usize),
}

impl Line {
    /// On a socket that is connected or connecting.
    ///
    /// # Errors
    /// When the socket cannot be used without blocking.
    pub(crate) fn new(socket: TcpStream, encryption: Option<&Encryption>) -> Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let session = encryption.map(Encryption::session).transpose()?.map(Box::new);
        Ok(Self { socket, session, unsent: Vec::new() })
    }

    /// Reads once; the buffer is larger than any record.
    ///
    /// # Errors
    /// When the connection has ended, or its encryption cannot be trusted.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Came> {
        if let Some(session) = &mut self.session {
            let came = encryption::receive(session, &self.socket, buffer)?;
            // The handshake is a dialogue.
            encryption::flush(session, &self.socket)?;
            return Ok(match came {
                None => Came::Nothing,
                Some((0, _)) => Came::End,
                Some((wire, content)) => Came::Bytes(wire, content),
            });
        }
        match (&self.socket).read(buffer) {
            Ok(0) => Ok(Came::End),
            Ok(len) => Ok(Came::Bytes(len, len)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(Came::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what the socket takes at once and keeps the rest; returns how many bytes of the wire that was now.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(session) = &mut self.session {
            encryption::put(session, bytes)?;
            return encryption::flush(session, &self.socket);
        }
        let sent = if self.unsent.is_empty() { sent_now(&self.socket, bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(sent)
    }

    /// There is room again; returns how many bytes it took.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) fn flush(&mut self) -> io::Result<usize> {
        if let Some(session) = &mut self.session {
            return encryption::flush(session, &self.socket);
        }
        let sent = sent_now(&self.socket, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
        Ok(sent)
    }

    /// The socket has not taken everything; it is to be watched for room.
    pub(crate) fn is_waiting_to_send(&self) -> bool {
        match &self.session {
            Some(session) => session.wants_write(),
            None => !self.unsent.is_empty(),
        }
    }

    /// Whether what is said is on its way and not waiting for a handshake.
    pub(crate) fn is_agreed(&self) -> bool {
        self.session.as_ref().is_none_or(|session| !session.is_handshaking())
    }
}

/// Writes what the socket takes without blocking.
fn sent_now(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
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
