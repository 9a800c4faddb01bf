//! The opening handshake's words (RFC 6455 §4), on header values as text.
//!
//! Which HTTP library carries them is not known here. Extensions are in `negotiation`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a server appends to the client's key before hashing (RFC 6455 §1.3).
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only protocol version, as `Sec-WebSocket-Version` must give it.
pub const VERSION: &str = "13";

/// Why an upgrade request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// `Upgrade` does not name `websocket`.
    #[error("the Upgrade header does not name websocket")]
    UpgradeMissing,
    /// `Connection` does not name `Upgrade`.
    #[error("the Connection header does not name Upgrade")]
    ConnectionMissing,
    /// Answer 426 with `Sec-WebSocket-Version: 13`.
    #[error("Sec-WebSocket-Version must be 13")]
    VersionUnsupported,
    /// The key is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    KeyInvalid,
}

/// The headers of an HTTP/1.1 upgrade request; a header that is absent is an empty text. Several lines of one header
/// are to be joined by commas, except the key, which must come once.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpgradeRequest<'a> {
    /// `Connection`
    pub connection: &'a str,
    /// `Upgrade`
    pub upgrade: &'a str,
    /// `Sec-WebSocket-Version`
    pub version: &'a str,
    /// `Sec-WebSocket-Key`
    pub key: &'a str,
}

impl UpgradeRequest<'_> {
    /// The value of `Sec-WebSocket-Accept` for this request (RFC 6455 §4.2.2).
    ///
    /// # Errors
    /// The first rule of RFC 6455 §4.2.1 that the request breaks.
    pub fn accept(&self) -> Result<String, HandshakeError> {
        if !has_token(self.upgrade, "websocket") {
            return Err(HandshakeError::UpgradeMissing);
        }
        if !has_token(self.connection, "upgrade") {
            return Err(HandshakeError::ConnectionMissing);
        }
        if self.version.trim_matches(is_space) != VERSION {
            return Err(HandshakeError::VersionUnsupported);
        }
        accept_key(self.key)
    }
}

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
///
/// ```
/// let accept = efir_ws::handshake::accept_key("dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept.as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
/// ```
///
/// # Errors
/// [`HandshakeError::KeyInvalid`] unless the key is 16 bytes in base64.
pub fn accept_key(key: &str) -> Result<String, HandshakeError> {
    let key = key.trim_matches(is_space);
    // The decoder writes whole groups of three; a longer key does not fit and is refused unread.
    let mut nonce = [0; 18];
    if STANDARD.decode_slice(key, &mut nonce) != Ok(16) {
        return Err(HandshakeError::KeyInvalid);
    }
    let mut hash = sha1_smol::Sha1::from(key);
    hash.update(ACCEPT_SUFFIX);
    Ok(STANDARD.encode(hash.digest().bytes()))
}

/// The value of `Sec-WebSocket-Key` for 16 random bytes, new for each connection.
#[must_use]
pub fn client_key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// Whether a comma-separated header value has `token`, in any case, as one of its members.
///
/// ```
/// assert!(efir_ws::handshake::has_token("keep-alive, Upgrade", "upgrade"));
/// assert!(!efir_ws::handshake::has_token("upgraded", "upgrade"));
/// ```
#[must_use]
pub fn has_token(value: &str, token: &str) -> bool {
    tokens(value).any(|member| member.eq_ignore_ascii_case(token))
}

/// The first subprotocol of a `Sec-WebSocket-Protocol` value that we support, in the client's order; names are
/// compared exactly.
#[must_use]
pub fn choose_subprotocol<'s>(offered: &str, supported: &[&'s str]) -> Option<&'s str> {
    tokens(offered).find_map(|name| supported.iter().copied().find(|candidate| *candidate == name))
}

fn tokens(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|member| member.trim_matches(is_space)).filter(|member| !member.is_empty())
}

/// Optional white space of HTTP (RFC 9110 §5.6.3).
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        let request = UpgradeRequest {
            connection: "keep-alive , UPGRADE",
            upgrade: "WebSocket",
            version: "13",
            key: KEY,
        };
        assert_eq!(request.accept().as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn each_broken_header_is_named() {
        let good = UpgradeRequest { connection: "upgrade", upgrade: "websocket", version: "13", key: KEY };
        let refused = |request: UpgradeRequest<'_>| request.accept().unwrap_err();
        assert_eq!(refused(UpgradeRequest { upgrade: "h2c", ..good }), HandshakeError::UpgradeMissing);
        assert_eq!(
            refused(UpgradeRequest { connection: "close", ..good }),
            HandshakeError::ConnectionMissing
        );
        assert_eq!(refused(UpgradeRequest { version: "8", ..good }), HandshakeError::VersionUnsupported);
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "dGhlIHNhbXBsZSBub25jZ!==",
            &"é".repeat(12),
        ] {
            assert_eq!(refused(UpgradeRequest { key, ..good }), HandshakeError::KeyInvalid, "{key}");
        }
    }

    #[test]
    fn a_client_key_is_accepted() {
        assert!(accept_key(&client_key([7; 16])).is_ok());
        assert_eq!(client_key(*b"the sample nonce"), KEY);
    }

    #[test]
    fn subprotocols_are_chosen_in_the_clients_order() {
        assert_eq!(choose_subprotocol("b, a", &["a", "b"]), Some("b"));
        assert_eq!(choose_subprotocol("c, A", &["a", "b"]), None);
    }
}
