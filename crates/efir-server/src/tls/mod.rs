//! TLS: what the server shows and agrees to. The records themselves are the engine's ([`TlsSocket`]).

mod certificates;

use std::{sync::Arc, time::Duration};

use efir_core::{Limits, Times};
use efir_engine::{HandshakeError, TlsSocket};
use rustls::{ServerConfig, crypto::aws_lc_rs, server::NoServerSessionStorage};
use tokio::net::TcpStream;

pub(crate) use self::certificates::Certificates;
use crate::config::resolved::CertificateFiles;

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
    time_max: Duration,
    bytes_max: usize,
}

impl Tls {
    /// Reads the certificates.
    ///
    /// # Errors
    /// A file that cannot be read, or a key that does not belong to its certificate.
    pub(crate) fn new(files: Vec<CertificateFiles>, limits: &Limits, times: &Times) -> anyhow::Result<Self> {
        let certificates = Arc::new(Certificates::read(files)?);
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
        // A session is resumed from what its client keeps, under keys that change every six hours: nothing is kept here. Nothing is
        // accepted before the handshake is over (0-RTT), because it could be sent a second time by anybody.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            certificates,
            time_max: Duration::from_millis(times.handshake_ms_max),
            bytes_max: limits.handshake_bytes_max,
        })
    }

    /// Takes a connection through its handshake; `None` where it came to nothing.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<TlsSocket> {
        let handshake = TlsSocket::accept(stream, Arc::clone(&self.config), self.bytes_max);
        match tokio::time::timeout(self.time_max, handshake).await {
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

    /// Reads the certificates again; those in force stay where the new ones are no good.
    ///
    /// # Errors
    /// As [`Tls::new`].
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
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
