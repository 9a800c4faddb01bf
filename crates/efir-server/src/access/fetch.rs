//! One set of keys from its URL: one request, no redirects, so much and no more. Only URLs of the configuration come here.

use std::time::Duration;

use bytes::Bytes;
use efir_access::keys::JWKS_BYTES_MAX;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use thiserror::Error;
use tokio_rustls::TlsConnector;

use crate::outgoing::{self, OutgoingError};

/// How long a request may take in all.
const REQUEST_MAX: Duration = Duration::from_secs(4);
/// How long an answer is good where it does not say so.
const FRESH_DEFAULT: Duration = Duration::from_secs(300);
/// The shortest and the longest time that an answer may ask for.
const FRESH_MIN: Duration = Duration::from_secs(30);
const FRESH_MAX: Duration = Duration::from_secs(3_600);

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// The set of keys, as text.
    pub(super) text: String,
    /// When to ask again.
    pub(super) fresh: Duration,
}

/// Why there is no answer. No text repeats what the other side said.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("the answer is {}, not 200{}", .0.as_u16(), if .0.is_redirection() { "; redirects are not followed" } else { "" })]
    Status(StatusCode),
    #[error("the answer has more than {JWKS_BYTES_MAX} bytes, or broke off")]
    Body,
    #[error("the answer is not UTF-8")]
    Text,
    #[error("there was no answer within {} s", REQUEST_MAX.as_secs())]
    Late,
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
    #[error("this machine trusts no certificate authority; name a file with them in SSL_CERT_FILE")]
    NoRoots,
}

/// Asks for sets of keys.
pub(super) struct Fetcher {
    tls: Option<TlsConnector>,
}

impl Fetcher {
    /// For these URLs. Whom to trust is read from the machine (or `SSL_CERT_FILE`) where one of them wants TLS.
    pub(super) fn new<'a>(urls: impl IntoIterator<Item = &'a Uri>) -> Result<Self, FetchError> {
        let wants_tls = urls.into_iter().any(|url| url.scheme_str() == Some("https"));
        Ok(Self { tls: wants_tls.then(connector).transpose()? })
    }

    /// Asks once.
    ///
    /// # Errors
    /// There is no answer, or it is none.
    pub(super) async fn fetch(&self, url: &Uri) -> Result<Answer, FetchError> {
        tokio::time::timeout(REQUEST_MAX, self.ask(url)).await.map_err(|_| FetchError::Late)?
    }

    async fn ask(&self, url: &Uri) -> Result<Answer, FetchError> {
        let request = Request::get(url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|_| OutgoingError::Url)?;
        let (parts, body) = outgoing::send(self.tls.as_ref(), request).await?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(FetchError::Status(parts.status));
        }
        let body = Limited::new(body, JWKS_BYTES_MAX).collect().await.map_err(|_| FetchError::Body)?;
        let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| FetchError::Text)?;
        Ok(Answer { text, fresh: fresh(&parts.headers) })
    }
}

/// How long the answer is good, as it says (RFC 9111 §5.2.2.1), within bounds.
fn fresh(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let words: Vec<_> =
        lines.flat_map(|line| line.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect();
    if words.iter().any(|word| word == "no-store" || word == "no-cache") {
        return FRESH_MIN;
    }
    let age = words.iter().find_map(|word| word.strip_prefix("max-age=")?.trim_matches('"').parse().ok());
    age.map_or(FRESH_DEFAULT, Duration::from_secs).clamp(FRESH_MIN, FRESH_MAX)
}

fn connector() -> Result<TlsConnector, FetchError> {
    let roots = outgoing::machine_roots();
    if roots.is_empty() {
        return Err(FetchError::NoRoots);
    }
    Ok(outgoing::connector(roots)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_is_good_is_bounded() {
        for (line, seconds) in [
            ("", 300),
            ("public, max-age=600", 600),
            ("MAX-AGE=\"90\"", 90),
            ("max-age=0", 30),
            ("max-age=600, no-cache", 30),
            ("max-age=99999999", 3_600),
            ("max-age=soon", 300),
        ] {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, line.parse().unwrap())]);
            assert_eq!(fresh(&headers).as_secs(), seconds, "{line}");
        }
    }
}
