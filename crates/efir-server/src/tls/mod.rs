//! TLS: what the server shows and agrees to. The records themselves are the engine's ([`TlsSocket`]).

mod acme;
mod certificates;
mod shown;

use std::{sync::Arc, time::Duration};

use efir_engine::{HandshakeError, TlsSocket};
use rustls::{ServerConfig, crypto::aws_lc_rs, server::NoServerSessionStorage};
use tokio::net::TcpStream;

use self::{acme::Acme, certificates::Certificates, shown::Shown};
use crate::config::Resolved;

/// What HTTP/2 is called in a handshake (RFC 9113 §3.3).
pub(crate) const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// Between two looks at whether a certificate's files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What all TLS connections of a server share.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    acme: Option<Acme>,
    time_max: Duration,
    bytes_max: usize,
}

impl Tls {
    /// Reads the certificates, and the one that was ordered before.
    ///
    /// # Errors
    /// A file that cannot be read, or a key that does not belong to its certificate.
    pub(crate) fn new(resolved: &Resolved) -> anyhow::Result<Self> {
        let certificates = Arc::new(Certificates::read(resolved.certificates.clone())?);
        let acme = resolved.acme.clone().map(Acme::new).transpose()?;
        let ordered = acme.as_ref().map(Acme::ordered);
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shown::new(Arc::clone(&certificates), ordered)));
        config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
        if acme.is_some() {
            config.alpn_protocols.push(acme::ALPN.to_vec());
        }
        // A session is resumed from what its client keeps, under keys that change every six hours: nothing is kept here. Nothing is
        // accepted before the handshake is over (0-RTT), because it could be sent a second time by anybody.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            certificates,
            acme,
            time_max: Duration::from_millis(resolved.times.handshake_ms_max),
            bytes_max: resolved.limits.handshake_bytes_max,
        })
    }

    /// Takes a connection through its handshake; `None` where it came to nothing.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<TlsSocket> {
        let handshake = TlsSocket::accept(stream, Arc::clone(&self.config), self.bytes_max);
        match tokio::time::timeout(self.time_max, handshake).await {
            // An authority wanted to see a certificate, and has (RFC 8737 §3).
            Ok(Ok(socket)) if socket.protocol() == Some(acme::ALPN) => None,
            Ok(Ok(socket)) => Some(socket),
            // Whoever looks for a port does this all day.
            Ok(Err(HandshakeError::Io(_))) => None,
            Ok(Err(error)) => {
                tracing::debug!(event = "handshake_failed", %error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!(
                    event = "handshake_failed",
                    "a TLS handshake took longer than handshake_ms_max"
                );
                None
            }
        }
    }

    /// Orders what has to be ordered, from now on. The server must listen: the authority comes and looks.
    ///
    /// # Errors
    /// The thread for it cannot be started.
    pub(crate) fn begin_orders(&self) -> anyhow::Result<()> {
        self.acme.as_ref().map_or(Ok(()), Acme::begin)
    }

    /// Whether a certificate was ordered and has not come yet.
    pub(crate) fn lacks_certificate(&self) -> bool {
        self.acme.as_ref().is_some_and(|acme| acme.ordered().shown().is_none())
    }

    /// Reads the certificates again; those in force stay where the new ones are no good. What could not be ordered is ordered again
    /// at once.
    ///
    /// # Errors
    /// As [`Tls::new`].
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        if let Some(acme) = &self.acme {
            acme.hurry();
        }
        self.certificates.reload()
    }

    /// Reads the certificates again whenever their files have changed.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        loop {
            interval.tick().await;
            let certificates = Arc::clone(&self.certificates);
            // Files can be slow, and a worker waits for nobody.
            if tokio::task::spawn_blocking(move || certificates.look()).await.is_err() {
                return;
            }
        }
    }
}
