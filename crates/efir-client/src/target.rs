//! Where the server is, and how its paths and queries are spelled.

use http::Uri;

use crate::error::ClientError;

/// The server, taken from its base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// A name or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether connections are encrypted.
    pub(crate) is_tls: bool,
    /// `host[:port]` for the Host header.
    pub(crate) authority: String,
    /// The path that stands before `/channels`, without a slash at its end.
    pub(crate) prefix: String,
}

impl Target {
    /// Reads `http://host[:port][/prefix]` or `https://…`; `host:port` alone is taken for the first.
    pub(crate) fn parse(url: &str) -> Result<Self, ClientError> {
        let refuse = |reason| ClientError::Url { url: url.to_owned(), reason };
        let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = whole.parse().map_err(|_| refuse("it is not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(refuse("it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("user and password are not sent in URLs"));
        }
        if uri.query().is_some() {
            return Err(refuse("a base URL has no query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The path of a channel, or of the log of its members.
    pub(crate) fn channel(&self, channel: &str) -> String {
        match channel.strip_suffix("/presence") {
            Some(channel) => self.presence(channel),
            None => format!("{}/channels/{}", self.prefix, encode_channel(channel)),
        }
    }

    /// The path of the log of a channel's members.
    pub(crate) fn presence(&self, channel: &str) -> String {
        format!("{}/channels/{}/presence", self.prefix, encode_channel(channel))
    }
}

/// A channel name as a path segment or query value: percent-encoded UTF-8.
///
/// ```
/// assert_eq!(efir_client::encode_channel("чат:a b"), "%D1%87%D0%B0%D1%82:a%20b");
/// ```
#[must_use]
pub fn encode_channel(channel: &str) -> String {
    let mut out = String::with_capacity(channel.len());
    for byte in channel.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        let target = Target::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), ("127.0.0.1", 8080, ""));
        let target = Target::parse("http://[::1]:81/rt/").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 81));
        assert_eq!(target.authority, "[::1]:81");
        assert_eq!(target.channel("a/b"), "/rt/channels/a%2Fb");
        assert_eq!(target.channel("чат/presence"), "/rt/channels/%D1%87%D0%B0%D1%82/presence");
        let target = Target::parse("localhost:9").unwrap();
        assert_eq!((target.authority.as_str(), target.port), ("localhost:9", 9));
        assert_eq!(Target::parse("http://efir.example").unwrap().port, 80);
        let target = Target::parse("https://efir.example").unwrap();
        assert_eq!((target.is_tls, target.port), (true, 443));
    }

    #[test]
    fn bad_base_urls_say_why() {
        for (url, word) in [
            ("ftp://a", "http://"),
            ("http://a?b=1", "query"),
            ("http://u:p@a", "password"),
            ("http://a b", "not a URL"),
            ("", "not a URL"),
        ] {
            let text = Target::parse(url).unwrap_err().to_string();
            assert!(text.contains(word), "{url}: {text}");
        }
    }
}
