//! Who may ask: the `Host` check against DNS rebinding, the `Origin` check against foreign pages, and CORS.
//!
//! Nothing here knows tokens or users. A server applies [`Policy::check_host`] to its own paths as well.

use efir_core::{Code, Problem};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{self, HeaderName},
    request::Parts,
};

use crate::origin::{Scheme, host, is_loopback, is_same, split_port};

const ALLOW_HEADERS: &str =
    "Authorization, Content-Type, Last-Event-ID, Cache-Control, If-None-Match, Prefer, Idempotency-Key";
const EXPOSE_HEADERS: &str = "Efir-Cursor, Link, Retry-After, ETag, Preference-Applied";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const VARY: &str = "Accept, Prefer, Origin";
/// Browsers cap it at two hours anyway.
const PREFLIGHT_AGE: &str = "7200";

/// Which hosts and origins are answered.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Origins of other sites that may read and publish, as browsers send them: `https://example.org`.
    pub allow_origins: Vec<String>,
    /// Host names, with or without a port, that are answered besides loopback ones.
    pub hosts: Vec<String>,
    /// Whether the server listens on loopback only: then other `Host` names are refused, because only DNS rebinding leads them here.
    pub is_loopback_bind: bool,
}

/// What the answer tells a browser about cross-origin use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cors {
    origin: Option<HeaderValue>,
    is_listed: bool,
}

impl Policy {
    /// Refuses a `Host` that this server does not answer for.
    ///
    /// # Errors
    /// `host_refused`; or `invalid_request` where HTTP/1.1 lacks its `Host` (RFC 9112 §3.2).
    pub fn check_host(&self, parts: &Parts) -> Result<(), Problem> {
        let Some(host) = host(parts) else {
            if parts.version == http::Version::HTTP_11 {
                return Err(Problem::new(Code::InvalidRequest, "an HTTP/1.1 request needs one Host header"));
            }
            return Ok(());
        };
        if !self.is_loopback_bind || is_loopback(split_port(host).0) || self.is_known_host(host) {
            return Ok(());
        }
        let detail = format!("this server does not answer for the host {host:?}; allow it with --host");
        Err(Problem::new(Code::HostRefused, detail))
    }

    /// Refuses pages of foreign origins. Sockets and unsafe methods are checked by this; reads are left to CORS.
    ///
    /// # Errors
    /// `origin_refused`.
    pub fn check_origin(&self, parts: &Parts) -> Result<(), Problem> {
        let Some(origin) = parts.headers.get(header::ORIGIN) else { return Ok(()) };
        if self.judge(parts, origin).is_some() {
            return Ok(());
        }
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let asked = match parts.extensions.get::<Scheme>() {
            Some(Scheme::Http) => ", which was asked by http",
            Some(Scheme::Https) => ", which was asked by https",
            None => "",
        };
        let detail =
            format!("the origin {origin:?} is not that of this server{asked}; allow it with --allow-origin");
        Err(Problem::new(Code::OriginRefused, detail))
    }

    /// As [`Policy::check_origin`], for a `GET` that changes something: also what a foreign page sets off without an `Origin`, by a
    /// picture, a frame or a link, is refused, where the browser says so (`Sec-Fetch-Site` of Fetch Metadata).
    ///
    /// # Errors
    /// `origin_refused`.
    pub(crate) fn check_initiator(&self, parts: &Parts) -> Result<(), Problem> {
        self.check_origin(parts)?;
        let site = parts.headers.get(SEC_FETCH_SITE).map_or(&b""[..], HeaderValue::as_bytes);
        if parts.headers.contains_key(header::ORIGIN) || !matches!(site, b"cross-site" | b"same-site") {
            return Ok(());
        }
        let detail =
            "a page of another origin cannot make its visitor a member by a link or an embedded address";
        Err(Problem::new(Code::OriginRefused, detail))
    }

    /// Adds `Vary` and, for an origin that may read, the CORS headers to an answer of the server's own.
    pub fn share(&self, parts: &Parts, headers: &mut HeaderMap) {
        self.cors(parts).apply(headers);
    }

    /// The answer to `OPTIONS` on a path of the server's own that has these methods.
    pub fn preflight(&self, parts: &Parts, methods: &'static str) -> Response<bytes::Bytes> {
        let cors = self.cors(parts);
        let mut response = cors.preflight(methods);
        cors.apply(response.headers_mut());
        response
    }

    /// The page's origin, where it is another than that of the server: browsers say their own origin with some requests only.
    pub(crate) fn foreign_origin<'a>(&self, parts: &'a Parts) -> Option<&'a str> {
        let origin = parts.headers.get(header::ORIGIN)?.to_str().ok()?;
        (!is_same(parts, origin)).then_some(origin)
    }

    /// What to tell the browser of this request.
    pub(crate) fn cors(&self, parts: &Parts) -> Cors {
        let judged =
            parts.headers.get(header::ORIGIN).and_then(|origin| Some((origin, self.judge(parts, origin)?)));
        match judged {
            Some((origin, is_listed)) => Cors { origin: Some(origin.clone()), is_listed },
            None => Cors::default(),
        }
    }

    /// `None`: refused; otherwise whether the origin is on the list.
    fn judge(&self, parts: &Parts, origin: &HeaderValue) -> Option<bool> {
        if parts.headers.get_all(header::ORIGIN).iter().count() > 1 {
            return None;
        }
        let origin = origin.to_str().ok()?;
        if self.allow_origins.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
        {
            return Some(true);
        }
        let (scheme, authority) = origin.split_once("://")?;
        let is_here = matches!(scheme, "http" | "https") && is_loopback(split_port(authority).0);
        (is_here || is_same(parts, origin)).then_some(false)
    }

    fn is_known_host(&self, host: &str) -> bool {
        let (name, port) = split_port(host);
        self.hosts.iter().any(|known| {
            let (known_name, known_port) = split_port(known);
            known_name.eq_ignore_ascii_case(name) && (known_port.is_none() || known_port == port)
        })
    }
}

impl Cors {
    /// Adds `Vary` and, for an origin that may read, the CORS headers.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(header::VARY, HeaderValue::from_static(VARY));
        let Some(origin) = &self.origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSE_HEADERS));
        if self.is_listed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The answer to `OPTIONS`: which methods there are and, to a preflight of an allowed origin, what it may send.
    pub(crate) fn preflight(&self, methods: &'static str) -> Response<bytes::Bytes> {
        let mut response = Response::new(bytes::Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        if self.origin.is_some() {
            let mut say = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
            say(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            say(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
            say(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
        }
        response
    }
}

/// Whether the `Origin` check applies to this method whatever it asks for.
pub(crate) fn is_unsafe(method: &Method) -> bool {
    !(method.is_safe() || method.as_str() == "QUERY" || method == Method::CONNECT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(host: &str, origin: Option<&str>) -> Parts {
        let mut request = http::Request::get("/channels/chat").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn policy() -> Policy {
        Policy {
            allow_origins: vec!["https://app.example".into(), "null".into()],
            hosts: vec!["efir.example".into(), "other.example:8443".into()],
            is_loopback_bind: true,
        }
    }

    #[test]
    fn hosts() {
        let table = [
            ("localhost", true),
            ("localhost:8080", true),
            ("LOCALHOST.:1", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("efir.example", true),
            ("EFIR.example:9", true),
            ("other.example:8443", true),
            ("other.example", false),
            ("other.example:1", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("192.168.0.1:8080", false),
            ("[::2]:8080", false),
            ("", false),
        ];
        for (host, is_answered) in table {
            assert_eq!(policy().check_host(&parts(host, None)).is_ok(), is_answered, "{host:?}");
            let open = Policy { is_loopback_bind: false, ..policy() };
            assert!(open.check_host(&parts(host, None)).is_ok(), "{host:?} on an open bind");
        }
    }

    #[test]
    fn a_missing_or_double_host_is_refused_on_http_1_1_only() {
        let mut parts = parts("localhost", None);
        parts.headers.append("host", HeaderValue::from_static("localhost"));
        assert_eq!(policy().check_host(&parts).unwrap_err().code, Code::InvalidRequest);
        parts.headers.remove("host");
        assert_eq!(policy().check_host(&parts).unwrap_err().code, Code::InvalidRequest);
        parts.version = http::Version::HTTP_10;
        assert!(policy().check_host(&parts).is_ok());
    }

    #[test]
    fn origins() {
        // host, origin, passes, is listed
        let table = [
            ("localhost:8080", None, true, false),
            ("localhost:8080", Some("http://localhost:8080"), true, false),
            ("localhost:8080", Some("http://localhost:5173"), true, false),
            ("localhost:8080", Some("https://127.0.0.1"), true, false),
            ("localhost:8080", Some("http://[::1]:3000"), true, false),
            ("efir.example", Some("https://efir.example"), true, false),
            ("efir.example:443", Some("https://efir.example"), true, false),
            ("efir.example", Some("http://efir.example:80"), true, false),
            ("efir.example", Some("https://efir.example:8443"), false, false),
            ("efir.example", Some("https://app.example"), true, true),
            ("efir.example", Some("http://app.example"), false, false),
            ("efir.example", Some("https://app.example.evil"), false, false),
            ("efir.example", Some("https://localhost.evil"), false, false),
            ("efir.example", Some("null"), true, true),
            ("efir.example", Some("capacitor://localhost"), false, false),
            ("efir.example", Some("garbage"), false, false),
        ];
        for (host, origin, passes, is_listed) in table {
            let parts = parts(host, origin);
            assert_eq!(policy().check_origin(&parts).is_ok(), passes, "{host} {origin:?}");
            let cors = policy().cors(&parts);
            assert_eq!(cors.origin.is_some(), passes && origin.is_some(), "{host} {origin:?}");
            let mut headers = HeaderMap::new();
            cors.apply(&mut headers);
            assert_eq!(
                headers.contains_key("access-control-allow-credentials"),
                is_listed,
                "{host} {origin:?}"
            );
            assert_eq!(headers["vary"], VARY);
        }
    }

    #[test]
    fn a_preflight_of_a_refused_origin_permits_nothing() {
        let cors = policy().cors(&parts("efir.example", Some("https://evil.example")));
        let response = cors.preflight("GET, POST");
        assert_eq!(response.status(), 204);
        assert!(!response.headers().contains_key("access-control-allow-methods"));
        let cors = policy().cors(&parts("efir.example", Some("https://app.example")));
        assert_eq!(cors.preflight("GET, POST").headers()["access-control-max-age"], "7200");
    }
}
