//! The opening handshake of a WebSocket over HTTP/1.1 (RFC 6455 §4.2) and HTTP/2 (RFC 8441).

use efir_core::{Code, Problem};
use efir_ws::handshake::{self, HandshakeError, UpgradeRequest};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{self, HeaderName},
    request::Parts,
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};

use crate::reply::CarrierHint;

/// A handshake that was accepted.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// `Sec-WebSocket-Accept`; HTTP/2 needs none.
    accept: Option<HeaderValue>,
    /// Where a polled carrier gets the bare connection from.
    pub(crate) on_upgrade: Option<OnUpgrade>,
}

/// Whether the request asks for a WebSocket, rightly or not.
pub(crate) fn is_asked(parts: &Parts) -> bool {
    if parts.method == Method::CONNECT {
        return parts.extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    }
    parts.version == http::Version::HTTP_11
        && handshake::has_token(&joined(&parts.headers, header::UPGRADE), "websocket")
}

impl Upgrade {
    /// Checks the handshake and takes what a polled carrier needs.
    ///
    /// # Errors
    /// `upgrade_required` for another version of the protocol or a connection that cannot be upgraded, otherwise `invalid_request`.
    pub(crate) fn accept(parts: &mut Parts, hint: CarrierHint) -> Result<Self, Problem> {
        let refuse = |error: HandshakeError| match error {
            HandshakeError::VersionUnsupported => Problem::new(Code::UpgradeRequired, error.to_string()),
            _ => Problem::new(Code::InvalidRequest, error.to_string()),
        };
        let accept = match parts.method {
            Method::CONNECT => {
                let version = joined(&parts.headers, header::SEC_WEBSOCKET_VERSION);
                if version.trim() != handshake::VERSION {
                    return Err(refuse(HandshakeError::VersionUnsupported));
                }
                None
            }
            Method::GET => Some(accept_header(&parts.headers).map_err(refuse)?),
            _ => return Err(Problem::new(Code::InvalidRequest, "a WebSocket begins with a GET")),
        };
        let on_upgrade = match hint {
            CarrierHint::Slab => None,
            CarrierHint::Polled => {
                let taken = parts.extensions.remove::<OnUpgrade>();
                let cannot = || Problem::new(Code::UpgradeRequired, "this connection cannot be upgraded");
                Some(taken.ok_or_else(cannot)?)
            }
        };
        Ok(Self { accept, on_upgrade })
    }

    /// Status and headers that accept it.
    pub(crate) fn head(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::with_capacity(4);
        let Some(accept) = &self.accept else { return (StatusCode::OK, headers) };
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
        (StatusCode::SWITCHING_PROTOCOLS, headers)
    }
}

fn accept_header(headers: &HeaderMap) -> Result<HeaderValue, HandshakeError> {
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let first = keys.next().and_then(|key| key.to_str().ok());
    // No key or two are refused as an empty one, after what comes before it in the order of the rules.
    let key = first.filter(|_| keys.next().is_none()).unwrap_or_default();
    let request = UpgradeRequest {
        connection: &joined(headers, header::CONNECTION),
        upgrade: &joined(headers, header::UPGRADE),
        version: &joined(headers, header::SEC_WEBSOCKET_VERSION),
        key,
    };
    let accept = request.accept()?;
    HeaderValue::from_str(&accept).map_err(|_| HandshakeError::KeyInvalid)
}

/// All lines of a header as one list; what is not ASCII is left out.
pub(crate) fn joined(headers: &HeaderMap, name: HeaderName) -> String {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}
