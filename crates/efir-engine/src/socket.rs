//! A connection's bytes: plain TCP now, TLS as a further variant.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::net::TcpStream;

/// Where a long-lived response is written to.
#[derive(Debug)]
pub enum Socket {
    /// Cleartext.
    Tcp(TcpStream),
}

impl Socket {
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Tcp(stream) = self;
        stream.poll_read_ready(cx)
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Tcp(stream) = self;
        stream.poll_write_ready(cx)
    }

    /// Reads what is there into the spare room of `buffer`. A read that does not fill it costs no second one to learn that nothing
    /// more is there.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream) = self;
        tokio_util::io::poll_read_buf(Pin::new(stream), cx, buffer)
    }

    /// Writes without waiting; `WouldBlock` when the kernel's buffer is full.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self::Tcp(stream) = self;
        match slices {
            // send(2) is a little cheaper than writev(2).
            [slice] => stream.try_write(slice),
            _ => stream.try_write_vectored(slices),
        }
    }

    pub(crate) fn fd(&self) -> std::os::fd::RawFd {
        let Self::Tcp(stream) = self;
        std::os::fd::AsRawFd::as_raw_fd(stream)
    }

    /// Says that nothing more will be written.
    pub(crate) fn shut_down_write(&self) {
        let Self::Tcp(stream) = self;
        // A peer that is gone already makes this fail, which changes nothing.
        let _ = socket2::SockRef::from(stream).shutdown(Shutdown::Write);
    }
}
