//! The opening handshake of a WebSocket over HTTP/1.1 (RFC 6455 §4.2) and HTTP/2 (RFC 8441), and what is agreed in it about
//! compression (RFC 7692).

use std::borrow::Cow;

use efir_core::{Code, Problem};
use efir_ws::{
    Agreement,
    handshake::{self, HandshakeError, UpgradeRequest},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{self, HeaderName},
    request::Parts,
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};

use crate::{place::Call, reply::CarrierHint};

/// The subprotocol that is answered to whoever offers it.
const PROTOCOL: &str = "efir";

/// A handshake that was accepted.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// `Sec-WebSocket-Accept`; HTTP/2 needs none.
    accept: Option<HeaderValue>,
    /// The subprotocol `efir` was offered, beside one with a token perhaps: a browser wants one of those it offers.
    has_protocol: bool,
    /// Compression, where the client offers it and the site has it.
    pub(crate) agreement: Option<Agreement>,
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
    pub(crate) fn accept(parts: &mut Parts, call: &Call<'_>) -> Result<Self, Problem> {
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
        let agreement = if call.site.options().has_websocket_deflate {
            let offers = joined(&parts.headers, header::SEC_WEBSOCKET_EXTENSIONS);
            Agreement::from_offers(&offers)
                .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?
        } else {
            None
        };
        let on_upgrade = match call.hint {
            CarrierHint::Slab => None,
            CarrierHint::Polled => {
                let taken = parts.extensions.remove::<OnUpgrade>();
                let cannot = || Problem::new(Code::UpgradeRequired, "this connection cannot be upgraded");
                Some(taken.ok_or_else(cannot)?)
            }
        };
        let offered = joined(&parts.headers, header::SEC_WEBSOCKET_PROTOCOL);
        let has_protocol = offered.split(',').any(|protocol| protocol.trim() == PROTOCOL);
        Ok(Self { accept, has_protocol, agreement, on_upgrade })
    }

    /// Status and headers that accept it.
    pub(crate) fn head(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::with_capacity(4);
        if let Some(answer) = self.agreement.and_then(|agreed| HeaderValue::try_from(agreed.answer()).ok()) {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, answer);
        }
        if self.has_protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        }
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
pub(crate) fn joined(headers: &HeaderMap, name: HeaderName) -> Cow<'_, str> {
    let mut lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let first = Cow::Borrowed(lines.next().unwrap_or_default());
    lines.fold(first, |joined, line| Cow::Owned(format!("{joined},{line}")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use efir_core::{Limits, Times, wire::Form};
    use efir_engine::Hub;
    use http::{Request, Version};

    use super::*;
    use crate::{Reply, Site, SiteOptions, TakeOver};

    /// The head of the answer, and the form in which messages will go out; otherwise the status.
    fn shake(options: SiteOptions, path: &str, offers: &[&str]) -> Result<(String, Form), StatusCode> {
        let site = Site::new(Hub::new(Limits::default(), Times::default()), options);
        let request = Request::get(path)
            .header("host", "localhost")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let request = offers
            .iter()
            .fold(request, |request, offer| request.header(header::SEC_WEBSOCKET_EXTENSIONS, *offer));
        match crate::handle_whole(&site, request.body(Bytes::new()).unwrap()) {
            Reply::Held(held) => {
                let taken = held.take_over(TakeOver { version: Version::HTTP_11, keep_alive: true });
                Ok((String::from_utf8(taken.head.to_vec()).unwrap(), taken.exchange.form()))
            }
            Reply::Whole(response) => Err(response.status()),
            Reply::Batch(response) => Err(response.status()),
        }
    }

    #[test]
    fn compression_is_agreed_where_it_is_offered() {
        let both = "\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover; \
                    client_no_context_takeover";
        for path in ["/channels/a", "/subscribe?channel=a&channel=b", "/socket"] {
            let agreed = |offers: &[&str]| shake(SiteOptions::default(), path, offers).unwrap();
            let (head, form) = agreed(&["permessage-deflate; client_max_window_bits"]);
            assert!(head.contains(&format!("{both}\r\n")), "{head}");
            assert_eq!(form, Form::WebSocketDeflate { window_bits: 15 });
            let (head, form) = agreed(&["x-other", "permessage-deflate; server_max_window_bits=10"]);
            assert!(head.contains(&format!("{both}; server_max_window_bits=10\r\n")), "{head}");
            assert_eq!(form, Form::WebSocketDeflate { window_bits: 10 });
            for declined in [
                &[][..],
                &["x-other"],
                &["permessage-deflate; unknown"],
                &["permessage-deflate; server_max_window_bits=8"],
            ] {
                let (head, form) = agreed(declined);
                assert!(!head.contains("extensions"), "{declined:?}: {head}");
                assert_eq!(form, Form::WebSocket);
            }
            let malformed = shake(SiteOptions::default(), path, &["permessage-deflate; =1"]);
            assert_eq!(malformed, Err(StatusCode::BAD_REQUEST));
        }
    }

    #[test]
    fn a_site_without_compression_does_not_look_at_offers() {
        let options = || SiteOptions { has_websocket_deflate: false, ..SiteOptions::default() };
        for offer in ["permessage-deflate", "permessage-deflate; =1"] {
            let (head, form) = shake(options(), "/socket", &[offer]).unwrap();
            assert!(!head.contains("extensions") && form == Form::WebSocket, "{head}");
        }
    }
}
