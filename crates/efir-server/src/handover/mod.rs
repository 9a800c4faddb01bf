//! Listening sockets that are not opened here: a service manager hands them over (`LISTEN_FDS`), or the server that was there before
//! ([`predecessor`]), and this one hands them on ([`successor`]). Which socket is for which address of the configuration is decided here;
//! what is accepted on them is not known.

pub(crate) mod predecessor;
pub(crate) mod successor;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, bail, ensure};
use listenfd::ListenFd;
use socket2::{SockRef, Type};

/// The first descriptor that is handed over (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// What a listening socket is for; the names are those in `LISTEN_FDNAMES` (`FileDescriptorName=` of a socket unit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Cleartext,
    Tls,
    Admin,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Cleartext, Self::Tls, Self::Admin];

    /// As the configuration calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cleartext => "listen",
            Self::Tls => "listen_tls",
            Self::Admin => "admin",
        }
    }

    /// `None` for a name of somebody else's, which says nothing.
    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

/// A socket, and what it is for.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) purpose: Purpose,
    pub(crate) listener: TcpListener,
}

/// One that was handed over.
#[derive(Debug)]
struct Socket {
    descriptor: i32,
    /// `None`: for whatever has its address.
    purpose: Option<Purpose>,
    address: SocketAddr,
    listener: TcpListener,
}

/// All that were handed over and have no place yet.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    sockets: Vec<Socket>,
    is_of_predecessor: bool,
}

impl Handed {
    /// Takes what this process was given. Call it once, before there are threads: it takes the variables out of the environment.
    ///
    /// # Errors
    /// A descriptor that is no listening TCP socket, or names that do not fit.
    pub(crate) fn of_process(is_of_predecessor: bool) -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut given = ListenFd::from_env();
        let names: Vec<&str> = if names.is_empty() { Vec::new() } else { names.split(':').collect() };
        let count = given.len();
        ensure!(
            count == 0 || names.is_empty() || names.len() == count,
            "LISTEN_FDS says {count} sockets, and LISTEN_FDNAMES has {} names",
            names.len()
        );
        let mut handed = Self { sockets: Vec::new(), is_of_predecessor };
        for index in 0..count {
            let descriptor = FIRST + i32::try_from(index)?;
            let listener = given
                .take_tcp_listener(index)
                .with_context(|| format!("LISTEN_FDS: descriptor {descriptor} cannot be listened on"))?;
            let Some(listener) = listener else { continue };
            let name = names.get(index).copied().unwrap_or_default();
            handed.add(descriptor, Purpose::of_name(name), listener)?;
        }
        Ok(handed)
    }

    fn add(
        &mut self,
        descriptor: i32,
        purpose: Option<Purpose>,
        listener: TcpListener,
    ) -> anyhow::Result<()> {
        let address = listener.local_addr()?;
        let socket = SockRef::from(&listener);
        ensure!(
            socket.r#type()? == Type::STREAM && socket.is_listener()?,
            "LISTEN_FDS: descriptor {descriptor} ({address}) does not listen; a socket unit has to say ListenStream= and Accept=no"
        );
        listener.set_nonblocking(true)?;
        self.sockets.push(Socket { descriptor, purpose, address, listener });
        Ok(())
    }

    /// Whether the server that was there before has handed them over, and nobody else holds them.
    pub(crate) fn is_of_predecessor(&self) -> bool {
        self.is_of_predecessor
    }

    /// Takes the sockets for an address; one with port 0 gets all of one port of that IP.
    pub(crate) fn take(&mut self, purpose: Purpose, address: SocketAddr) -> Vec<TcpListener> {
        let is_for = |socket: &&Socket| {
            let is_there = match address.port() {
                0 => socket.address.ip() == address.ip(),
                _ => socket.address == address,
            };
            is_there && socket.purpose.is_none_or(|own| own == purpose)
        };
        // One that is named for it goes before one without a name.
        let found = self.sockets.iter().filter(is_for).max_by_key(|socket| socket.purpose.is_some());
        let Some(chosen) = found.map(|socket| socket.address) else { return Vec::new() };
        let (taken, left) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(|socket| is_for(&socket) && socket.address == chosen);
        self.sockets = left;
        let taken: Vec<Socket> = taken;
        let descriptors: Vec<String> = taken.iter().map(|socket| socket.descriptor.to_string()).collect();
        tracing::info!(
            event = "sockets_taken",
            address = %chosen,
            r#for = purpose.name(),
            descriptors = descriptors.join(" "),
            from = if self.is_of_predecessor { "the server before" } else { "LISTEN_FDS" },
            "listening sockets were handed over"
        );
        taken.into_iter().map(|socket| socket.listener).collect()
    }

    /// Every socket must have found its address. Those of a server before may belong to an address that is configured no longer.
    ///
    /// # Errors
    /// Which ones have not.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let say = |socket: &Socket| {
            let purpose =
                socket.purpose.map(|purpose| format!(" for '{}'", purpose.name())).unwrap_or_default();
            format!("descriptor {} listens on {}{purpose}", socket.descriptor, socket.address)
        };
        let left: Vec<String> = self.sockets.iter().map(say).collect();
        if left.is_empty() {
            return Ok(());
        }
        if self.is_of_predecessor {
            for socket in &self.sockets {
                tracing::info!(event = "socket_let_go", address = %socket.address, "this address is configured no longer");
            }
            return Ok(());
        }
        bail!(
            "LISTEN_FDS: {}, which is no address of the configuration; write the same address into `listen` (with https:// for TLS) or \
             `admin.listen`, or take it out of the socket unit",
            left.join("; ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn handed(sockets: Vec<(Option<Purpose>, TcpListener)>, is_of_predecessor: bool) -> Handed {
        let mut handed = Handed { is_of_predecessor, ..Handed::default() };
        for (index, (purpose, listener)) in sockets.into_iter().enumerate() {
            handed.add(FIRST + index as i32, purpose, listener).unwrap();
        }
        handed
    }

    #[test]
    fn sockets_find_their_addresses() {
        let ((one, first), (two, second), (three, third)) = (listener(), listener(), listener());
        let sockets = vec![(None, one), (Some(Purpose::Tls), two), (Some(Purpose::Admin), three)];
        let mut handed = handed(sockets, false);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert!(handed.take(Purpose::Cleartext, second).is_empty(), "it is for TLS");
        assert_eq!(handed.take(Purpose::Tls, second)[0].local_addr().unwrap(), second);
        assert_eq!(handed.take(Purpose::Admin, any)[0].local_addr().unwrap(), third, "it is named for it");
        let error = handed.finish().unwrap_err().to_string();
        assert!(error.contains(&format!("descriptor 3 listens on {first}, which is no address")), "{error}");
    }

    #[test]
    fn all_sockets_of_one_port_belong_together() {
        let group =
            crate::listen::listen("127.0.0.1:0".parse().unwrap(), 3, std::time::Duration::from_secs(45));
        let group = group.unwrap();
        let address = group[0].local_addr().unwrap();
        let (other, _) = listener();
        let mut sockets: Vec<_> =
            group.into_iter().map(|listener| (Some(Purpose::Cleartext), listener)).collect();
        sockets.insert(1, (Some(Purpose::Cleartext), other));
        let mut handed = handed(sockets, true);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let taken = handed.take(Purpose::Cleartext, any);
        assert_eq!(taken.len(), 3);
        assert!(taken.iter().all(|listener| listener.local_addr().unwrap() == address));
        handed.finish().unwrap();
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, Type::STREAM, None).unwrap();
        let error = Handed::default().add(3, None, socket.into()).unwrap_err().to_string();
        assert!(error.contains("descriptor 3") && error.contains("does not listen"), "{error}");
    }
}
