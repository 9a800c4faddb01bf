//! One request to somebody else's server: a connection of its own, HTTP/1.1, TLS where the URL wants it, no redirects. Whoever asks
//! bounds the time and what it reads of the answer.

use std::io;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("efir/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum OutgoingError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the URL cannot be asked for")]
    Url,
}

/// Whom this machine trusts, or the file in `SSL_CERT_FILE`.
pub(crate) fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Speaks TLS with those whom these authorities vouch for.
///
/// # Errors
/// TLS cannot be spoken.
pub(crate) fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

/// Sends a request to its URL; without `tls` only to one in cleartext.
///
/// # Errors
/// There is no answer.
pub(crate) async fn send<B>(
    tls: Option<&TlsConnector>,
    request: Request<B>,
) -> Result<Response<Incoming>, OutgoingError>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let authority = request.uri().authority().ok_or(OutgoingError::Url)?.clone();
    let host = authority.host().trim_matches(['[', ']']);
    let is_tls = request.uri().scheme_str() == Some("https");
    let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    if !is_tls {
        return exchange(stream, request).await;
    }
    let connector = tls.ok_or(OutgoingError::Url)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| OutgoingError::Url)?;
    exchange(connector.connect(name, stream).await?, request).await
}

async fn exchange<S, B>(stream: S, mut request: Request<B>) -> Result<Response<Incoming>, OutgoingError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; its faults show in the answer.
    tokio::spawn(async move { _ = connection.await });
    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(authority).map_err(|_| OutgoingError::Url)?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| OutgoingError::Url)?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(sender.send_request(request).await?)
}
