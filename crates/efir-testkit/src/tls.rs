//! What the encrypted carriers need: a certificate of our own, clients that trust it, and which addresses speak TLS.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

use anyhow::{Context, Result};
use efir_server::config::resolved::CertificateFiles;
use rcgen::{CertificateParams, CertifiedKey, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

/// A client's side of a connection, encrypted or not.
pub type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Which addresses of this process speak TLS.
static SPEAKERS: LazyLock<Mutex<HashSet<SocketAddr>>> = LazyLock::new(Mutex::default);

/// One certificate for all servers of this process; made by the first that needs it.
static OWN: OnceLock<Result<Own, String>> = OnceLock::new();

/// A certificate that vouches for itself, in a folder of its own.
#[derive(Debug)]
pub struct Own {
    /// Its files.
    pub files: CertificateFiles,
    /// What clients have to trust.
    pub root: CertificateDer<'static>,
}

impl Own {
    /// Makes one for these names and 127.0.0.1, with files of its own.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn make(names: &[&str]) -> Result<Self> {
        let folder = folder()?;
        let files =
            CertificateFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
        let root = write(&files, names)?;
        Ok(Self { files, root })
    }

    /// Puts another certificate into the files; what clients have to trust from now on.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn renew(&mut self, names: &[&str]) -> Result<()> {
        self.root = write(&self.files, names)?;
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        remove(&self.files);
    }
}

fn remove(files: &CertificateFiles) {
    if let Some(folder) = files.certificate.parent() {
        // Somebody else has tidied up.
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Removes what the process leaves behind, when nothing of it is used any longer.
pub fn clean() {
    if let Some(Ok(own)) = OWN.get() {
        remove(&own.files);
    }
}

fn write(files: &CertificateFiles, names: &[&str]) -> Result<CertificateDer<'static>> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let signing_key = KeyPair::generate()?;
    let cert = params.self_signed(&signing_key)?;
    let made = CertifiedKey { cert, signing_key };
    // The key first: whoever looks in between has two that do not belong together, and waits.
    std::fs::write(&files.key, made.signing_key.serialize_pem())?;
    std::fs::write(&files.certificate, made.cert.pem())?;
    Ok(made.cert.der().clone())
}

/// A new folder for the files of one certificate.
fn folder() -> Result<PathBuf> {
    let name = format!("efir-testkit-{}-{}", std::process::id(), fastrand::u64(..));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

fn own() -> Result<&'static Own> {
    let own = OWN.get_or_init(|| Own::make(&["localhost"]).map_err(|error| format!("{error:#}")));
    own.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// The certificate of the servers of this process.
///
/// # Errors
/// When it cannot be made.
pub fn certificate() -> Result<CertificateFiles> {
    Ok(own()?.files.clone())
}

/// Clients that trust the servers of this process, and nobody else.
pub fn trust() -> Arc<ClientConfig> {
    trusting(own().ok().map(|own| own.root.clone()))
}

/// Clients that trust these certificates.
pub fn trusting(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|error| unreachable!("the provider has all versions: {error}"));
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether a server that listens there speaks TLS; later connections go by that.
pub fn remember(address: SocketAddr, is_tls: bool) {
    let mut speakers = SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner);
    match is_tls {
        true => speakers.insert(address),
        false => speakers.remove(&address),
    };
}

/// Encrypts a connection, where the server speaks TLS, and agrees on a protocol.
///
/// # Errors
/// A handshake that fails, or that agrees on something else.
pub async fn wrap(stream: TcpStream, address: SocketAddr, protocol: &[u8]) -> Result<Stream> {
    if !SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner).contains(&address) {
        return Ok(Stream::Left(stream));
    }
    let mut config = ClientConfig::clone(&trust());
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let agreed = stream.get_ref().1.alpn_protocol();
    anyhow::ensure!(agreed == Some(protocol), "agreed on {agreed:?}");
    Ok(Stream::Right(stream))
}
