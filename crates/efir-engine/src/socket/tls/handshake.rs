//! How a TLS connection begins: bounded in bytes here, and in time by whoever waits for it.

use std::{io, sync::Arc};

use bytes::{Buf, BytesMut};
use rustls::{ServerConfig, server::UnbufferedServerConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::TlsSocket;

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The connection ended or failed.
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    /// The peer said something else than TLS, or wants what we have not.
    #[error("no agreement: {0}")]
    Tls(#[from] rustls::Error),
    /// More came than a handshake needs.
    #[error("the handshake is longer than {0} bytes")]
    TooLong(usize),
}

impl TlsSocket {
    /// Takes a connection through its handshake. The caller bounds the time; `bytes_max` bounds what the peer may send for it.
    ///
    /// # Errors
    /// Whatever ends it; the peer has been told why then, as far as it listens.
    pub async fn accept(
        stream: TcpStream,
        config: Arc<ServerConfig>,
        bytes_max: usize,
    ) -> Result<Self, HandshakeError> {
        let session = UnbufferedServerConnection::new(config)?;
        let mut socket = Self {
            stream,
            session,
            held: Vec::new(),
            opened: BytesMut::new(),
            unsent: BytesMut::new(),
            has_ended: false,
            is_closed: false,
            is_broken: false,
        };
        let mut incoming = BytesMut::with_capacity(4 * 1024);
        let mut left = bytes_max;
        loop {
            let count = socket.stream.read_buf(&mut incoming).await?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            left = left.checked_sub(count).ok_or(HandshakeError::TooLong(bytes_max))?;
            let taken = socket.take_in(&mut incoming);
            while !socket.unsent.is_empty() {
                socket.stream.write_buf(&mut socket.unsent).await?;
            }
            socket.unsent = BytesMut::new();
            let taken = taken?;
            incoming.advance(taken.used.min(incoming.len()));
            if taken.is_open {
                // What came behind the handshake.
                socket.held = incoming.to_vec();
                return Ok(socket);
            }
        }
    }
}
