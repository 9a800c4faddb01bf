//! TLS below a connection. Whom it trusts is the machine's or the caller's business; which HTTP is spoken is agreed on here.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::client::{ClientOptions, HttpVersion};
use crate::error::ClientError;

/// A connection, encrypted or not.
pub(crate) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// How connections of a client are encrypted.
#[derive(Clone)]
pub(crate) struct Encryption {
    connector: TlsConnector,
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encryption")
    }
}

impl Encryption {
    /// As the options want it.
    ///
    /// # Errors
    /// `Tls` where nobody is trusted.
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let mut config = match &options.tls {
            Some(config) => ClientConfig::clone(config),
            None => of_machine()?,
        };
        let protocol: &[u8] = match options.version {
            HttpVersion::Http1 => b"http/1.1",
            HttpVersion::H2c => b"h2",
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self { connector: Arc::new(config).into() })
    }

    /// Encrypts a connection to a host.
    ///
    /// # Errors
    /// `Tls` where there is no agreement.
    pub(crate) async fn wrap(&self, stream: TcpStream, host: &str) -> Result<Stream, ClientError> {
        let refuse = |source| ClientError::Tls { host: host.to_owned(), source };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| refuse(io::Error::other(error)))?;
        let stream = self.connector.connect(name, stream).await.map_err(refuse)?;
        Ok(Stream::Right(stream))
    }
}

/// Trusts whom this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
fn of_machine() -> Result<ClientConfig, ClientError> {
    let refuse = |source| ClientError::Tls { host: "any host".to_owned(), source };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let text = "this machine trusts no certificate authority; name a file with them in SSL_CERT_FILE";
        return Err(refuse(io::Error::new(io::ErrorKind::NotFound, text)));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(io::Error::other(error)))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
