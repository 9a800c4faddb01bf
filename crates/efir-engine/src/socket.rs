//! A connection's bytes: plain TCP, or TLS over it ([`tls`]). Nobody above knows which, except that what TLS has sealed and the kernel
//! has not taken is still to be written.

mod taken;
mod tls;

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub use self::tls::{HandshakeError, TlsSocket};

/// Where a long-lived response is written to.
#[derive(Debug)]
pub enum Socket {
    /// Cleartext.
    Tcp(TcpStream),
    /// Encrypted, after its handshake.
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The TCP connection below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Tls(tls) if tls.has_opened() => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.tcp().poll_read_ready(cx),
        }
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(cx)
    }

    /// Reads what is there into the spare room of `buffer`. A read that does not fill it costs no second one to learn that nothing
    /// more is there.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => tokio_util::io::poll_read_buf(Pin::new(stream), cx, buffer),
            Self::Tls(tls) => tls.poll_open(cx, buffer),
        }
    }

    /// Writes without waiting; `WouldBlock` when the kernel's buffer is full. Of what TLS took some may be unsent
    /// ([`Socket::has_unsent`]); no slices at all send just that.
    pub(crate) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => match slices {
                // send(2) is a little cheaper than writev(2).
                [slice] => stream.try_write(slice),
                _ => stream.try_write_vectored(slices),
            },
            Self::Tls(tls) => tls.try_write(slices),
        }
    }

    /// Whether bytes that count as written wait for the kernel to take them.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(tls) => tls.has_unsent(),
        }
    }

    /// Seals `text` behind `arena`, for a send that somebody else makes; false where that cannot be done now.
    ///
    /// # Errors
    /// The connection is no good any longer.
    pub(crate) fn seal_behind(&mut self, text: &[u8], arena: &mut Vec<u8>) -> io::Result<bool> {
        match self {
            Self::Tls(tls) if text.len() <= tls::SEALED_APART_MAX && !tls.has_unsent() => {
                tls.seal_behind(text, arena).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// What the kernel did not take of what [`Socket::seal_behind`] sealed.
    pub(crate) fn keep_unsent(&mut self, rest: &[u8]) {
        if let Self::Tls(tls) = self {
            tls.keep_unsent(rest);
        }
    }

    /// Bytes of buffers that it keeps for now; at rest none.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Tcp(_) => 0,
            Self::Tls(tls) => tls.held_bytes(),
        }
    }

    /// Bytes that the peer has acknowledged, if more waits for which it has no room.
    pub(crate) fn taken_bytes(&self) -> Option<u64> {
        taken::taken_bytes(self.tcp())
    }

    pub(crate) fn fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(self.tcp())
    }

    /// Says that nothing more will be written.
    pub(crate) fn shut_down_write(&mut self) {
        self.say_goodbye();
        // A peer that is gone already makes this fail, which changes nothing.
        let _ = socket2::SockRef::from(self.tcp()).shutdown(Shutdown::Write);
    }

    /// Tells a peer that reads to the end that this was the end, where the connection's own end does not say so: `close_notify`.
    pub(crate) fn say_goodbye(&mut self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(tls) => tls.poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(tls) => tls.poll_write(cx, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(tls) => tls.poll_write(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => {
                tls.close();
                ready!(tls.poll_flush(cx))?;
                Poll::Ready(socket2::SockRef::from(tls.tcp()).shutdown(Shutdown::Write))
            }
        }
    }
}
