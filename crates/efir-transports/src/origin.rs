//! Where a page comes from, and whether that is where the client thinks we are: origins and authorities as texts. Who is let in is
//! decided by [`crate::policy`].

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{header, request::Parts};

/// By which scheme the client asked, put into a request's extensions by whoever knows: by the server, whose connection is encrypted, or
/// to whom a trusted proxy has said it; by an application around the router, which has the same knowledge.
///
/// Where it is missing nobody knows, since a proxy may have taken the encryption off: then pages of `http://` and of `https://` are
/// both the server's own, if host and port are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In cleartext.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// That of an origin (RFC 6454 §6.2), or as `X-Forwarded-Proto` and `Forwarded` (RFC 7239 §5.4) say it. Some proxies say `wss` of a
    /// WebSocket.
    pub fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("https") || is("wss") {
            return Some(Self::Https);
        }
        (is("http") || is("ws")).then_some(Self::Http)
    }

    fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// Whether an origin is that of the host that the client wanted: scheme, name and port.
pub(crate) fn is_same(parts: &Parts, origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return false,
    };
    if parts.extensions.get::<Scheme>().is_some_and(|own| *own != scheme) {
        return false;
    }
    let default_port = scheme.default_port();
    host(parts).is_some_and(|host| {
        let ((name, port), (own_name, own_port)) = (split_port(authority), split_port(host));
        name.eq_ignore_ascii_case(own_name)
            && port.unwrap_or(default_port) == own_port.unwrap_or(default_port)
    })
}

/// The authority that the client wanted: `:authority` on HTTP/2, `Host` otherwise. Two `Host` headers are none.
pub(crate) fn host(parts: &Parts) -> Option<&str> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let first = hosts.next()?;
    if hosts.next().is_some() {
        return None;
    }
    first.to_str().ok()
}

/// Splits `name:port`, `[v6]:port`; the name without a trailing dot.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !is_open_bracket(name) => {
            (name, Some(port))
        }
        _ => (authority, None),
    };
    (name.strip_suffix('.').unwrap_or(name), port.filter(|port| !port.is_empty()))
}

fn is_open_bracket(name: &str) -> bool {
    name.starts_with('[') && !name.ends_with(']')
}

pub(crate) fn is_loopback(name: &str) -> bool {
    if let Some(v6) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(host: &str, scheme: Option<Scheme>) -> Parts {
        let mut parts = http::Request::get("/").header("host", host).body(()).unwrap().into_parts().0;
        if let Some(scheme) = scheme {
            parts.extensions.insert(scheme);
        }
        parts
    }

    #[test]
    fn an_origin_is_a_scheme_a_name_and_a_port() {
        // host, origin, by whom it is the server's own: known to be http, known to be https, nobody knows
        for (host, origin, own) in [
            ("efir.example", "http://efir.example", [true, false, true]),
            ("efir.example", "https://efir.example", [false, true, true]),
            ("efir.example", "http://efir.example:80", [true, false, true]),
            ("efir.example", "https://efir.example:443", [false, true, true]),
            ("efir.example", "https://efir.example:80", [false; 3]),
            ("efir.example", "http://efir.example:443", [false; 3]),
            ("efir.example:443", "https://efir.example", [false, true, true]),
            ("efir.example:443", "http://efir.example", [false; 3]),
            ("efir.example:80", "http://efir.example", [true, false, true]),
            ("efir.example:80", "https://efir.example", [false; 3]),
            ("efir.example:8443", "https://efir.example:8443", [false, true, true]),
            ("efir.example:8443", "http://efir.example:8443", [true, false, true]),
            ("efir.example:8443", "https://efir.example", [false; 3]),
            ("EFIR.example.", "https://efir.example", [false, true, true]),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443", [false, true, true]),
            ("[2001:db8::1]", "http://[2001:db8::1]", [true, false, true]),
            ("efir.example", "wss://efir.example", [false; 3]),
            ("efir.example", "efir.example", [false; 3]),
            ("efir.example", "https://x.efir.example", [false; 3]),
        ] {
            let judged = [Some(Scheme::Http), Some(Scheme::Https), None]
                .map(|scheme| is_same(&parts(host, scheme), origin));
            assert_eq!(judged, own, "{origin} at {host}");
        }
    }

    #[test]
    fn names_of_schemes() {
        let named = ["http", "HTTPS", "wss", "ws", "", "h2", "https,http"].map(Scheme::named);
        let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
        assert_eq!(named, [http, https, https, http, None, None, None]);
    }
}
