//! The doors of a server: all of its listening sockets, each worker's share of them, and accepting there. Whether the sockets are
//! opened here or were handed over makes no difference to whoever comes in.

use std::{
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use efir_engine::contained;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    config::Resolved,
    entrance::{Ending, Way},
    handover::{Handed, Kept, Purpose},
    heads::Heads,
    listen::{self, BACKLOG},
    tls::Tls,
};

/// How long accepting pauses when no file is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One worker's share of an address.
pub(crate) struct Door {
    listener: StdListener,
    pub(crate) tls: Option<Arc<Tls>>,
    /// Nobody else holds the socket, so that those who wait in its queue are lost when it is closed here.
    is_ours: bool,
}

/// All doors, and the sockets that they are made of.
pub(crate) struct Doors {
    pub(crate) per_worker: Vec<Vec<Door>>,
    /// Where there is no TLS, with the ports that were taken for port 0.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tls_addresses: Vec<SocketAddr>,
    /// The operator's, where there is one.
    pub(crate) admin: Option<StdListener>,
    /// Each socket once more, for a successor.
    pub(crate) kept: Vec<Kept>,
}

impl Doors {
    /// Takes the sockets that were handed over, and opens what is missing.
    ///
    /// # Errors
    /// An address that cannot be listened on, or a socket that was handed over and has no place here.
    pub(crate) fn open(
        config: &Resolved,
        tls: Option<&Arc<Tls>>,
        mut handed: Handed,
    ) -> anyhow::Result<Self> {
        let is_ours = handed.is_of_predecessor();
        let cleartext = config.listen.iter().map(|address| (Purpose::Cleartext, *address));
        let encrypted = config.listen_tls.iter().map(|address| (Purpose::Tls, *address));
        let wanted: Vec<_> = cleartext.chain(encrypted).collect();
        let given: Vec<_> = wanted.iter().map(|(purpose, address)| handed.take(*purpose, *address)).collect();
        let admin = config.admin.as_ref().map(|options| options.listen);
        let admin_given = admin.and_then(|address| handed.take(Purpose::Admin, address).pop());
        // Before anything is opened: an address that is taken would only say that it is.
        handed.finish()?;
        let mut doors = Self {
            per_worker: (0..config.workers.max(1)).map(|_| Vec::new()).collect(),
            addresses: Vec::new(),
            tls_addresses: Vec::new(),
            admin: None,
            kept: Vec::new(),
        };
        let silent_max = Duration::from_millis(config.times.silent_ms_max);
        for ((purpose, address), given) in wanted.into_iter().zip(given) {
            let is_given = !given.is_empty();
            let listeners = match is_given {
                true => given,
                false => listen::listen(address, doors.per_worker.len(), silent_max)?,
            };
            listen::adopt(&listeners, silent_max)?;
            let tls = (purpose == Purpose::Tls).then_some(tls).flatten();
            doors.hang(listeners, (purpose, tls), is_ours || !is_given)?;
        }
        if let Some(address) = admin {
            let listener = match admin_given {
                Some(listener) => listener,
                None => StdListener::bind(address)
                    .with_context(|| format!("{address}: the admin listener cannot listen there"))?,
            };
            doors.kept.push(Kept { purpose: Purpose::Admin, listener: listener.try_clone()? });
            doors.admin = Some(listener);
        }
        Ok(doors)
    }

    fn hang(
        &mut self,
        listeners: Vec<StdListener>,
        (purpose, tls): (Purpose, Option<&Arc<Tls>>),
        is_ours: bool,
    ) -> anyhow::Result<()> {
        let address = listeners.first().map(StdListener::local_addr).transpose()?;
        match purpose {
            Purpose::Tls => self.tls_addresses.extend(address),
            _ => self.addresses.extend(address),
        }
        let dealt = listen::deal(&listeners, self.per_worker.len())?;
        for (doors, listeners) in self.per_worker.iter_mut().zip(dealt) {
            let door = |listener| Door { listener, tls: tls.cloned(), is_ours };
            doors.extend(listeners.into_iter().map(door));
        }
        self.kept.extend(listeners.into_iter().map(|listener| Kept { purpose, listener }));
        Ok(())
    }
}

/// Accepts whenever the way is open, until it is over.
pub(crate) async fn accept(door: Door, heads: Rc<Heads>, mut way: Way) {
    let Door { listener, tls, is_ours } = door;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(event = "listen_failed", %error, "cannot listen"),
    };
    let (ending, _pass) = way.follow(|| accept_all(&listener, &heads, tls.as_ref())).await;
    if ending == Ending::Closed && is_ours {
        accept_rest(listener, &heads, tls.as_ref());
    }
}

async fn accept_all(listener: &TcpListener, heads: &Rc<Heads>, tls: Option<&Arc<Tls>>) {
    let mut was_full = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                was_full = false;
                arrive(heads, stream, peer.ip(), tls);
            }
            Err(error) if is_out_of_files(&error) => {
                if !std::mem::replace(&mut was_full, true) {
                    tracing::warn!(event = "accept_paused", %error, "no connection can be accepted for now; raise the limit of open files");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The client gave up while it waited.
            Err(error) => tracing::debug!(event = "accept_failed", %error, "a client gave up"),
        }
    }
}

/// Those who wait in the socket's queue are let in before it is closed, because that would reset them.
fn accept_rest(listener: TcpListener, heads: &Rc<Heads>, tls: Option<&Arc<Tls>>) {
    let Ok(listener) = listener.into_std() else { return };
    // More cannot have been waiting; who comes meanwhile comes too late.
    for _ in 0..BACKLOG {
        let Ok((stream, peer)) = listener.accept() else { return };
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            arrive(heads, stream, peer.ip(), tls);
        }
    }
}

/// Whatever a bug does to one that comes, others are accepted.
fn arrive(heads: &Rc<Heads>, stream: TcpStream, peer: IpAddr, tls: Option<&Arc<Tls>>) {
    let site = heads.shared.site();
    contained(site.hub().counters(), "a connection that came", || heads.arrive(stream, peer, tls));
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
