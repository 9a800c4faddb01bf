//! Connections: opening, HTTP/1.1 or HTTP/2 with prior knowledge, and the few that wait for the next request.
//! Knows nothing of channels; [`crate::client`] makes the requests.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::client::HttpVersion;
use crate::encryption::{Encryption, Stream};
use crate::error::ClientError;
use crate::interim::Interim;
use crate::target::Target;

/// Between two looks at whether the server's settings have come.
const SETTINGS_LOOK: Duration = Duration::from_millis(1);
/// How long a connection may take to be made, HTTP/2's settings included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a peer over HTTP/2 that owes something is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIME_MAX: Duration = Duration::from_secs(10);
/// How many HTTP/1.1 connections wait for a next request.
const IDLE_MAX: usize = 16;

type Sender1 = http1::SendRequest<Full<Bytes>>;
type Sender2 = http2::SendRequest<Full<Bytes>>;

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Connections {
    target: Target,
    version: HttpVersion,
    source: Option<IpAddr>,
    encryption: Option<Encryption>,
    idle: Mutex<Vec<Sender1>>,
    /// The one HTTP/2 connection; made by the first request, made anew when it is closed.
    shared: tokio::sync::Mutex<Option<Sender2>>,
    opened: AtomicU64,
}

/// The right to use a connection for one exchange.
#[derive(Debug)]
pub(crate) struct Lease {
    sender: Sender,
    connections: Arc<Connections>,
}

#[derive(Debug)]
enum Sender {
    Http1(Sender1),
    /// Shared; held so that the connection lives as long as the exchange.
    Http2(Sender2),
}

impl Connections {
    /// Connections from a source address if one is given, and encrypted if that is.
    pub(crate) fn new(
        target: Target,
        version: HttpVersion,
        (source, encryption): (Option<IpAddr>, Option<Encryption>),
    ) -> Self {
        Self {
            target,
            version,
            source,
            encryption,
            idle: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
            opened: AtomicU64::new(0),
        }
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Nothing came where something was due: what is sent from now on goes over another connection than the shared one, whose path
    /// may be dead without a word. Exchanges that still use it are left alone.
    pub(crate) fn distrust(&self) {
        // Whoever holds the lock is making a new one.
        if let Ok(mut shared) = self.shared.try_lock() {
            shared.take();
        }
    }

    /// Sends a request on an idle connection or a new one. A request that an idle connection could not even begin to
    /// send goes out again on another; one that may have been sent does not.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Lease), ClientError> {
        let interim = Interim::watch(&mut request);
        tokio::select! {
            sent = self.send_on_any(request) => sent,
            // What is dropped with the request is its connection.
            error = interim.too_many() => Err(error),
        }
    }

    async fn send_on_any(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Lease), ClientError> {
        loop {
            let (mut lease, is_new) = self.lease().await?;
            match lease.try_send(request).await {
                Ok(response) => return Ok((response, lease)),
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(refused.into_error().into()),
                },
            }
        }
    }

    async fn lease(self: &Arc<Self>) -> Result<(Lease, bool), ClientError> {
        let (sender, is_new) = match self.version {
            HttpVersion::Http1 => match self.take_idle().await {
                Some(sender) => (Sender::Http1(sender), false),
                None => (Sender::Http1(self.open_http1().await?), true),
            },
            HttpVersion::H2c => {
                let (sender, is_new) = self.share_http2().await?;
                (Sender::Http2(sender), is_new)
            }
        };
        Ok((Lease { sender, connections: Arc::clone(self) }, is_new))
    }

    async fn take_idle(&self) -> Option<Sender1> {
        loop {
            let mut sender = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            // Given back at the body's end, it needs a moment to be ready; a closed one says so at once.
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn share_http2(&self) -> Result<(Sender2, bool), ClientError> {
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let sender = self.open_http2().await?;
        *shared = Some(sender.clone());
        Ok((sender, true))
    }

    async fn open_http1(&self) -> Result<Sender1, ClientError> {
        let io = TokioIo::new(self.connect().await?);
        let (sender, connection) = http1::Builder::new().handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(sender)
    }

    /// Opens the connection and waits for the server's settings, because extended CONNECT depends on them.
    async fn open_http2(&self) -> Result<Sender2, ClientError> {
        let io = TokioIo::new(self.connect().await?);
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIME_MAX)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(io)
            .await?;
        // The frames are read by a task of hyper's own, which wakes nobody for settings: so look again each millisecond.
        let settings = async {
            loop {
                tokio::select! {
                    ended = &mut connection => return ended,
                    () = tokio::time::sleep(SETTINGS_LOOK) => {}
                }
                if connection.is_extended_connect_protocol_enabled() {
                    return Ok(());
                }
            }
        };
        // A server that has not the protocol never says so: after a moment we go on without it.
        if let Ok(ended) = timeout(Duration::from_millis(500), settings).await {
            ended?;
        }
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(sender)
    }

    async fn connect(&self) -> Result<Stream, ClientError> {
        let stream = timeout(CONNECT_TIME_MAX, self.connect_encrypted())
            .await
            .map_err(|_| ClientError::Timeout { what: "connecting", after: CONNECT_TIME_MAX })??;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    async fn connect_encrypted(&self) -> Result<Stream, ClientError> {
        let stream = self.connect_any().await?;
        stream.set_nodelay(true)?;
        match &self.encryption {
            None => Ok(Stream::Left(stream)),
            Some(encryption) => encryption.wrap(stream, &self.target.host).await,
        }
    }

    async fn connect_any(&self) -> Result<TcpStream, ClientError> {
        let lookup = |source| ClientError::Lookup { host: self.target.host.clone(), source };
        let addresses =
            tokio::net::lookup_host((self.target.host.as_str(), self.target.port)).await.map_err(lookup)?;
        let mut last = lookup(io::Error::new(io::ErrorKind::NotFound, "the name has no usable address"));
        for address in addresses {
            if self.source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
                continue;
            }
            match self.connect_one(address).await {
                Ok(stream) => return Ok(stream),
                Err(source) => last = ClientError::Connect { address, source },
            }
        }
        Err(last)
    }

    async fn connect_one(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    }
}

impl Lease {
    async fn try_send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Lets the next request have the connection. Call it only when the exchange is over.
    pub(crate) fn give_back(self) {
        let Sender::Http1(sender) = self.sender else { return };
        let mut idle = self.connections.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }
}
