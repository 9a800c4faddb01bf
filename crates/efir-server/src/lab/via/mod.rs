//! A visitor's network: its connections are carried to the server's own front door, byte by byte, with what is wrong with the network.
//!
//! A connection comes here with a request whose target begins with `/lab/via/VISITOR`, stays as long as its requests do ([`dialogue`]),
//! and goes back to the server with the first one that does not. So a browser may use one connection for everything, and what
//! switches a fault off is never subject to it.

mod body;
mod dialogue;
mod flow;
mod pipe;
mod target;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use bytes::BytesMut;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::watch,
};

use self::pipe::Pipe;
pub(crate) use self::target::begins_via;
pub(super) use self::target::own_target;
use super::{
    Access, Lab,
    visitors::{Pass, in_ms},
};

/// What the kernel may hold of what the server has sent: little, so that a slow reader is one for the server, too.
const RECEIVE_BYTES: u32 = 64 * 1024;
/// How long the server may take to accept.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What became of a connection.
#[derive(Debug)]
pub(crate) enum Carried {
    /// It has ended.
    Over,
    /// It is the server's again, with the bytes of its next request.
    Back(TcpStream, BytesMut),
}

/// One connection of a visitor.
#[derive(Debug)]
pub(crate) struct Way {
    pass: Pass,
    visitor: String,
    access: Access,
    server: SocketAddr,
    head_max: Duration,
    /// How long the visitor may take nothing.
    stall_max: Duration,
}

impl Lab {
    /// The way of a connection that begins with these bytes, if it goes through a network and there is room.
    pub(crate) fn way(&self, ahead: &[u8]) -> Option<Way> {
        let visitor = begins_via(ahead).filter(|_| self.is_on() && self.access.admits_bytes(ahead))?;
        let times = self.site.hub().times();
        let pass = self.visitors.enter(visitor, in_ms(times.lab_faults_ms)).ok()?;
        Some(Way {
            pass,
            visitor: visitor.to_owned(),
            access: self.access,
            server: self.server,
            head_max: Duration::from_millis(times.head_ms_max),
            stall_max: Duration::from_millis(times.stall_ms_max),
        })
    }
}

/// Carries a connection until it ends or leaves the network; `stop` says that the server goes away, and then nothing is wrong with any.
pub(crate) async fn carry(
    way: Way,
    (client, input): (TcpStream, BytesMut),
    stop: watch::Receiver<bool>,
) -> Carried {
    let mut listener = way.pass.network.listen();
    let faults = *listener.borrow_and_update();
    if faults.cut {
        way.count_reset();
        reset(&client);
        return Carried::Over;
    }
    let server = match tokio::time::timeout(CONNECT_MAX, connect(way.server)).await {
        Ok(Ok(server)) => server,
        Ok(Err(_)) | Err(_) => {
            reset(&client);
            return Carried::Over;
        }
    };
    way.pass.network.counts.bytes_up.fetch_add(input.len() as u64, Ordering::Relaxed);
    Pipe::new(way, faults, (client, server), input).run(listener, stop).await
}

impl Way {
    fn count_reset(&self) {
        self.pass.network.counts.resets.fetch_add(1, Ordering::Relaxed);
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes the end of this connection a reset.
fn reset(stream: &TcpStream) {
    // One that is gone already needs none.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
