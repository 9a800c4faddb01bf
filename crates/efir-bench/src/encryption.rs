//! TLS below a connection, without waiting: whom it trusts, and the session of one connection.
//!
//! A session is given to [`Line`](crate::line::Line), which reads and writes the socket. Sessions are never resumed: each
//! connection is one of somebody who was not here before, and pays for its whole handshake.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Whose certificates are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
    #[default]
    Machine,
    /// Those in a PEM file, and whom they vouch for.
    File(PathBuf),
    /// Anybody's: whoever stands in between can read everything.
    Anybody,
}

/// How connections to one server are encrypted: TLS 1.2 or 1.3, HTTP/1.1.
#[derive(Clone)]
pub struct Encryption {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encryption").field(&self.name).finish()
    }
}

impl Encryption {
    /// With the server of this name: a host or an address, without a port.
    ///
    /// # Errors
    /// When the name is none, the file cannot be read or holds no certificate, or this machine trusts nobody.
    pub fn new(name: &str, trust: &Trust) -> Result<Self> {
        let name = name.trim_matches(['[', ']']);
        let name = ServerName::try_from(name.to_owned()).with_context(|| format!("{name} is no host"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match trust {
            Trust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous(provider)))
            }
            _ => builder.with_webpki_verifier(
                WebPkiServerVerifier::builder_with_provider(roots(trust)?, provider).build()?,
            ),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name })
    }

    pub(crate) fn session(&self) -> Result<ClientConnection> {
        let mut session = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        // What is on its way is bounded by whoever sends it.
        session.set_buffer_limit(None);
        Ok(session)
    }
}

fn roots(trust: &Trust) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    if let Trust::File(path) = trust {
        let read = || -> Result<Vec<CertificateDer<'static>>> {
            Ok(CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?)
        };
        roots.add_parsable_certificates(read().with_context(|| format!("reading {}", path.display()))?);
        if roots.is_empty() {
            bail!("{} holds no certificate", path.display());
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            bail!("this machine trusts no certificate authority; name a file with them");
        }
    }
    Ok(Arc::new(roots))
}

/// Takes every certificate; only that the server has its key is still checked.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Where connections go, and how they are encrypted, if they are.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The server. On loopback, connections come from several addresses of 127/8, so that ports do not run out.
    pub address: SocketAddr,
    /// `None`: in cleartext.
    pub encryption: Option<Encryption>,
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self { address, encryption: None }
    }
}

/// The longest record of TLS 1.2 and 1.3, with room (RFC 5246 §6.2.3, RFC 8446 §5.2).
const RECORD_BYTES_MAX: usize = 20 * 1024;

/// Reads once from the socket, and as much of the content as that makes; `None` where nothing has come. An end is
/// `Some((0, 0))`; bytes of the wire come first in the pair, those of the content, which `buffer` then begins with, second.
pub(crate) fn receive(
    session: &mut ClientConnection,
    mut socket: &TcpStream,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, usize)>> {
    // What is deciphered is never longer than what came, and the beginning of a record that came before.
    let half = buffer.len().saturating_sub(RECORD_BYTES_MAX) / 2;
    let (content, wire) = buffer.split_at_mut(half + RECORD_BYTES_MAX);
    let came = match socket.read(wire) {
        Ok(0) => return Ok(Some((0, 0))),
        Ok(came) => came,
        Err(error) if is_for_later(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut rest, mut len) = (&wire[..came], 0);
    while !rest.is_empty() {
        session.read_tls(&mut rest)?;
        session.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        loop {
            match session.reader().read(&mut content[len..]) {
                Ok(0) => return Ok(Some((came, len))),
                Ok(more) => len += more,
                Err(error) if is_for_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Some((came, len)))
}

/// Puts on the socket what it takes of what is enciphered; returns how many bytes that were.
pub(crate) fn flush(session: &mut ClientConnection, mut socket: &TcpStream) -> io::Result<usize> {
    let mut sent = 0;
    while session.wants_write() {
        match session.write_tls(&mut socket) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Says it, as soon as the handshake lets it.
pub(crate) fn put(session: &mut ClientConnection, bytes: &[u8]) -> io::Result<()> {
    session.writer().write_all(bytes)
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
