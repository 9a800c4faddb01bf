//! Listening sockets: one per worker on the same address, so that the kernel spreads connections over the cores.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::Context;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: i32 = 4096;

/// What the kernel may hold for one connection beyond what is on its way to the client. It does not limit the window, so a fast reader
/// loses nothing; without it a reader that reads nothing pins the whole of an autotuned send buffer, about 4 MB.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Opens `count` sockets on `address`; port 0 takes a free one, the same for all.
///
/// # Errors
/// The address is taken (also by a server that would share it), not this machine's, or not permitted.
pub(crate) fn listen(
    address: SocketAddr,
    count: usize,
    silent_max: Duration,
) -> anyhow::Result<Vec<TcpListener>> {
    // Sharing a port is meant for our own workers only: a second server on it would silently get half of the connections. So the
    // first takes the address for itself, and shares it while it holds it: in between nobody else can take it.
    let first = open(address, false).map_err(|error| explain(address, error))?;
    tune(&first, silent_max)?;
    let address = first.local_addr()?;
    if count > 1 {
        SockRef::from(&first).set_reuse_port(true).context("SO_REUSEPORT")?;
    }
    let others = (1..count).map(|_| {
        let listener = open(address, true).map_err(|error| explain(address, error))?;
        tune(&listener, silent_max)?;
        Ok(listener)
    });
    std::iter::once(Ok(first)).chain(others).collect()
}

/// Sets sockets that somebody else has opened as our own are.
///
/// # Errors
/// The system refuses.
pub(crate) fn adopt(listeners: &[TcpListener], silent_max: Duration) -> anyhow::Result<()> {
    listeners.iter().try_for_each(|listener| tune(listener, silent_max))
}

/// Deals sockets out to `count` workers. Each socket gets at least one worker, because the kernel puts connections into the queues of all
/// of them, and each worker at least one socket: where there are fewer sockets than workers, several workers accept on the same one.
///
/// # Errors
/// No descriptor is left.
pub(crate) fn deal(listeners: &[TcpListener], count: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut per_worker: Vec<Vec<TcpListener>> = (0..count).map(|_| Vec::new()).collect();
    let shares = listeners.len().max(count);
    for (share, listener) in listeners.iter().cycle().take(shares).enumerate() {
        if let Some(worker) = per_worker.get_mut(share % count) {
            worker.push(listener.try_clone()?);
        }
    }
    Ok(per_worker)
}

fn open(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What accepted connections inherit from the listening socket on Linux, without a system call each.
fn tune(listener: &TcpListener, silent_max: Duration) -> anyhow::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true).context("TCP_NODELAY")?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX).context("TCP_NOTSENT_LOWAT")?;
    // Probes and deadline leave room for the timers' own coarseness, so that a silent peer is gone within the time.
    let interval = (silent_max / 5).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval).with_retries(3);
    socket.set_tcp_keepalive(&keepalive).context("TCP keepalive")?;
    // A peer that acknowledges nothing for this long is gone, however much is under way to it.
    socket.set_tcp_user_timeout(Some(silent_max * 4 / 5)).context("TCP_USER_TIMEOUT")?;
    Ok(())
}

fn explain(address: SocketAddr, error: io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "port {} is taken by another process; stop it or choose another with --listen",
                address.port()
            )
        }
        io::ErrorKind::AddrNotAvailable => format!("{} is not an address of this machine", address.ip()),
        io::ErrorKind::PermissionDenied => {
            format!("port {} needs more rights; take one above 1023", address.port())
        }
        _ => "cannot listen there".to_owned(),
    };
    anyhow::Error::new(error).context(format!("{address}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_inherit_the_options() {
        let silent_max = Duration::from_secs(45);
        let listener = listen("127.0.0.1:0".parse().unwrap(), 2, silent_max).unwrap().pop().unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // Two sockets share the port; the other one may have got the connection.
        listener.set_nonblocking(true).unwrap();
        let mut accepted = listener.accept();
        for _ in 0..50 {
            if accepted.is_ok() {
                break;
            }
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            accepted = listener.accept();
        }
        let (accepted, _) = accepted.unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(36)));
    }

    #[test]
    fn a_taken_port_is_refused_also_by_sharing_sockets() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 2, Duration::from_secs(45)).unwrap();
        let address = first[0].local_addr().unwrap();
        let error = listen(address, 2, Duration::from_secs(45)).unwrap_err();
        assert!(format!("{error:#}").contains("is taken"), "{error:#}");
    }

    #[test]
    fn every_socket_has_a_worker_and_every_worker_a_socket() {
        for (sockets, workers) in [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (3, 3)] {
            let listeners = listen("127.0.0.1:0".parse().unwrap(), sockets, Duration::from_secs(45)).unwrap();
            let address = listeners[0].local_addr().unwrap();
            let dealt = deal(&listeners, workers).unwrap();
            drop(listeners);
            assert_eq!(dealt.len(), workers);
            assert!(dealt.iter().all(|worker| !worker.is_empty()), "{sockets} sockets, {workers} workers");
            let clients: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
            let accepted = dealt.iter().flatten().flat_map(|one| std::iter::from_fn(|| one.accept().ok()));
            assert_eq!(accepted.count(), clients.len(), "{sockets} sockets, {workers} workers");
        }
    }

    #[test]
    fn connections_are_spread_over_all_sockets() {
        let listeners = listen("127.0.0.1:0".parse().unwrap(), 3, Duration::from_secs(45)).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let clients: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let shares: Vec<_> =
            listeners.iter().map(|one| std::iter::from_fn(|| one.accept().ok()).count()).collect();
        assert_eq!(shares.iter().sum::<usize>(), clients.len());
        assert!(shares.iter().all(|share| *share > 40), "{shares:?}");
    }
}
