//! How the authority is asked: over TLS only, so long and so much, no redirects.

use std::{pin::Pin, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Limited};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use crate::{
    config::acme::AcmeOptions,
    outgoing::{self, OutgoingError},
};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// A chain of certificates has some 5 kB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Asks.
#[derive(Clone)]
pub(super) struct Wire(TlsConnector);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes, or broke off")]
    Body,
    #[error("there was no answer within {} s", REQUEST_MAX.as_secs())]
    Late,
    #[error("the authority names a URL without TLS")]
    Cleartext,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// Trusts those in `ca_file`, or those whom this machine trusts.
    ///
    /// # Errors
    /// The file is no good, or the machine trusts nobody.
    pub(super) fn new(options: &AcmeOptions) -> anyhow::Result<Self> {
        let Some(file) = &options.ca_file else {
            let roots = outgoing::machine_roots();
            if roots.is_empty() {
                bail!(
                    "this machine trusts no certificate authority, so {} cannot be asked; install ca-certificates, or name a file in tls.acme.ca_file",
                    options.directory
                );
            }
            return Ok(Self(outgoing::connector(roots)?));
        };
        let shown = || format!("tls.acme.ca_file {}", file.display());
        let text = std::fs::read(file).with_context(shown)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            roots.add(certificate.with_context(shown)?).with_context(shown)?;
        }
        if roots.is_empty() {
            bail!("{} has no CERTIFICATE in PEM", shown());
        }
        Ok(Self(outgoing::connector(roots)?))
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, WireError> {
        if request.uri().scheme_str() != Some("https") {
            return Err(WireError::Cleartext);
        }
        let (parts, body) = outgoing::send(Some(&self.0), request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| WireError::Body)?;
        Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asked = tokio::time::timeout(REQUEST_MAX, self.clone().ask(request));
        Box::pin(async move {
            let answered = asked.await.unwrap_or(Err(WireError::Late));
            answered.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}
